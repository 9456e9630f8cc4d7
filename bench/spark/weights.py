#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains LeNet on MNIST by every front and compares the weight files; fails unless all are equal.

    weights.py [--epochs 5] [--rows N] [--least 0.98] [FRONT...]

Fronts: train (bdl train), launch2, launch3 (bdl launch), local, standalone, killed, connect, yarn (see fit.py); all unless
some are named. --rows takes that many rows of each part; --least is the Top-1 that each must reach. Prints a table, then
a JSON object a front. Needs BDL_TEST_DATA, and the environment that bench/run makes.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from common import BATCH, BDL, OPTIM, TRANSFORM, cut_idx, write_parquet

LAUNCHED = {"train": [], "launch2": ["launch", "-n", "2", "--"], "launch3": ["launch", "-n", "3", "--"]}
IN_SPARK = ["local", "standalone", "killed", "connect", "yarn"]
TITLES = {"train": "`bdl train`", "launch2": "`bdl launch -n 2`", "launch3": "`bdl launch -n 3`", "local": "PySpark `local[2]`",
          "standalone": "standalone cluster, 2 executors", "killed": "the same, one executor killed (`kill -9`)",
          "connect": "Spark Connect", "yarn": "YARN, 2 executors"}


def by_command(front, mnist, epochs):
    """Trains and evaluates by the command."""
    with tempfile.TemporaryDirectory() as folder:
        saved, data = pathlib.Path(folder, "model"), f"mnist:{mnist}"
        start = time.monotonic()
        subprocess.run([BDL, *LAUNCHED[front], "train", "lenet", "--data", data, "--batch", str(BATCH), "--optim", OPTIM,
                        "--transform", TRANSFORM, "--epochs", str(epochs), "--save", saved, "--quiet"], check=True,
                       stdout=subprocess.DEVNULL)
        wall = time.monotonic() - start
        tested = subprocess.run([BDL, "eval", saved, "--data", data, "--json"], check=True, stdout=subprocess.PIPE)
        digest = hashlib.sha256((saved / "weights.safetensors").read_bytes()).hexdigest()
    return {"front": front, "top1": json.loads(tested.stdout)["top1"], "sha256": digest, "wall": round(wall, 2)}


def by_spark(front, parquet, epochs):
    """Trains and evaluates in Spark, in a process of its own."""
    done = subprocess.run([sys.executable, pathlib.Path(__file__).with_name("fit.py"), front, parquet, "--epochs", str(epochs)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{front}: exit {done.returncode}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fronts", nargs="*", metavar="FRONT", choices=[[], *LAUNCHED, *IN_SPARK])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--least", type=float, default=0.98)
    o = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        mnist = pathlib.Path(os.environ["BDL_TEST_DATA"], "mnist/gz")
        if o.rows:
            cut = pathlib.Path(folder, "idx")
            cut.mkdir()
            cut_idx(mnist, cut, o.rows)
            mnist = cut
        write_parquet(mnist, folder)
        print("| front | Top-1 | SHA-256 of the weights | fit, s |\n|---|---|---|---|")
        for front in o.fronts or TITLES:
            line = by_command(front, mnist, o.epochs) if front in LAUNCHED else by_spark(front, folder, o.epochs)
            found.append(line)
            print(f"| {TITLES[front]} | {100 * line['top1']:.2f} % | `{line['sha256'][:16]}` | {line['wall']:.1f} |", flush=True)
    print("\n".join(map(json.dumps, found)))
    if len({line["sha256"] for line in found}) > 1:
        sys.exit("the weights differ")
    if any(line["top1"] < o.least for line in found):
        sys.exit(f"a front reached less than {100 * o.least:g} %")


if __name__ == "__main__":
    main()
