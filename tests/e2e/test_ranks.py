#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ranks as processes, with relays between them: what is seen on the wire, slow and cut connections, strangers."""
import json
import os
import pathlib
import secrets
import socket
import struct
import subprocess
import sys
import time

from e2e import BDL, Skip, bdl, case, check, equal, main
from relay import Relay

HERE = pathlib.Path(__file__).parent
LIBRARY = pathlib.Path(os.environ.get("BDL_BUILD_DIR", pathlib.Path(BDL).parents[1])) / "lib" / "libbdl.so"
TRAINING = ["model=lenet", "data=digits(count=512)", "batch=128", "epochs=1", "optim=sgd(lr=0.1)"]
LIMIT = 60  # seconds; the ranks' own deadlines are shorter


class Ranks:
    """Starts ranks; `relays` maps rank r to the relay through which the others reach it."""

    def __init__(self, n, encrypt=False, settings=(), relays=None, visit=None, environments=None):
        secret = secrets.token_bytes(32)
        self.processes = [
            subprocess.Popen([sys.executable, HERE / "rank_process.py", LIBRARY, str(rank), str(n), secret.hex(),
                              str(int(encrypt)), *TRAINING, *settings, *([f"save={os.getcwd()}/model"] if rank == 0 else [])],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             env={**os.environ, **(environments or {}).get(rank, {})}) for rank in range(n)]
        addresses = [self.read(process)["address"] for process in self.processes]
        if visit:
            visit(addresses)
        for rank, relay in (relays or {}).items():
            relay.set_target(addresses[rank])
            addresses[rank] = relay.address
        for process in self.processes:
            process.stdin.write(json.dumps(addresses) + "\n")
            process.stdin.flush()

    @staticmethod
    def read(process):
        line = process.stdout.readline()
        check(line, "a rank ended without a word")
        return json.loads(line)

    def results(self):
        results = [self.read(process) for process in self.processes]
        for process in self.processes:
            process.stdin.close()
            equal(process.wait(LIMIT), 0)
        return results


def fingerprints(ranks):
    results = ranks.results()
    check(all("fingerprint" in r for r in results), results)
    return {r["fingerprint"] for r in results}


def weight_runs(directory):
    """Runs of 16 bytes of the trained weights: 199 of them, spread over the file."""
    data = (pathlib.Path(directory) / "weights.safetensors").read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    step = max((len(data) - start) // 200 // 16 * 16, 16)
    runs = {data[at:at + 16] for at in range(start, len(data) - 16, step)}
    return {run for run in runs if len(set(run)) > 8}  # zeros and the like prove nothing


@case
def the_weights_are_on_the_wire_in_clear_only_without_tls():
    seen = {}
    for encrypt in (False, True):
        record = f"wire{int(encrypt)}"
        with Relay(None, record=record) as relay:
            fingerprints(Ranks(2, encrypt, relays={0: relay}))
        wire = pathlib.Path(record).read_bytes()
        runs = weight_runs("model")
        check(len(runs) > 50 and len(wire) > 100000, len(runs), len(wire))
        seen[encrypt] = sum(run in wire for run in runs)
    check(seen[False] > 50, seen)
    equal(seen[True], 0)


@case
def a_slow_network_changes_no_bit():
    fast = fingerprints(Ranks(3))
    with Relay(None, rate=10e6, delay=0.005) as one, Relay(None, rate=30e6, delay=0.001) as two:
        equal(fingerprints(Ranks(3, relays={0: one, 1: two})), fast)
    equal(len(fast), 1)


@case
def a_connection_that_is_cut_ends_all_ranks():
    for encrypt in (False, True):
        with Relay(None, cut=400000) as relay:
            start = time.monotonic()
            results = Ranks(3, encrypt, relays={0: relay}, settings=["epochs=100000"]).results()
            check(all("error" in r for r in results), results)
            # Who was about to write sees a broken pipe, who was reading an end.
            check(all("rank " in r["error"] and ("ended" in r["error"] or "broke" in r["error"])
                      for r in results), results)
            check(time.monotonic() - start < LIMIT)


@case
def strangers_do_not_disturb():
    kept = []

    def visit(addresses):
        for address in addresses:
            host, port = address.rsplit(":", 1)
            for hello in (b"GET / HTTP/1.0\r\n\r\n" * 10, b"", b"\0" * 4000, b"bdl-dist" + b"\xff" * 300):
                stranger = socket.create_connection((host, int(port)))
                stranger.sendall(hello)
                kept.append(stranger)

    equal(len(fingerprints(Ranks(2, visit=visit))), 1)
    check(len(kept) == 8)


@case
def ranks_train_with_kernels_that_all_have():
    if json.loads(bdl("doctor", "--json").out)["kernels"] == "sse4":
        raise Skip("this processor has no kernels but sse4")
    sse4 = {"BDL_TARGET": "sse4"}
    mixed = fingerprints(Ranks(3, environments={1: sse4}))
    equal(mixed, fingerprints(Ranks(3, environments={0: sse4, 1: sse4, 2: sse4})))
    check(mixed != fingerprints(Ranks(3)))


if __name__ == "__main__":
    main()
