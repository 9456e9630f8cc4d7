#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=600
"""bench/links and the model of bench/scaling.py: they run, and the model gives what can be worked out by hand."""
import json
import os
import pathlib
import subprocess
import sys

from e2e import BDL, case, check, equal, main

BENCH = pathlib.Path(os.environ["BDL_SOURCE_DIR"]) / "bench"
sys.path.insert(0, str(BENCH))
import scaling  # noqa: E402


def near(a, b):
    check(abs(a - b) < 1e-9 * max(abs(a), abs(b), 1), a, b)


@case
def a_step_is_compute_and_wire():
    step = scaling.Step(n_ranks=2, n_shards=2, shard_seconds=3.0, layers=[scaling.BLOCK] * 2, bucket=0)
    near(step.seconds(0, 0), 3)
    # Two blocks: one out and in, twice.
    near(step.seconds(2 * scaling.BLOCK, 0), 3 + 2 + 2)
    # One message for the loss, one for gradients, one for weights; and what the processor adds.
    near(step.seconds(0, 0.25, 0.5), 3 + 3 * 0.25 + 0.5)
    step.scalar_size = 2
    near(step.seconds(2 * scaling.BLOCK, 0), 3 + 1 + 1)


@case
def buckets_hide_gradients_and_new_weights_behind_backward():
    block = scaling.BLOCK
    layers = [block, block, block, block]  # the first and third are rank 0's
    step = scaling.Step(n_ranks=2, n_shards=2, shard_seconds=3.0, layers=layers, bucket=1)
    near(step.ready(0, 3), 3)
    near(step.ready(2 * block, 3), 2)
    # A block takes a second. The last one (rank 1's) is there at 1.5 s, the others at 2, 2.5 and 3 s: rank 1 has its
    # gradients at 2.5 and 3.5 s. New weights of the last block come to rank 0 between gradients of its own two, from 3 s to
    # 4 s; it has all gradients at 5 s, and the second block's new weights at 6 s.
    near(step.wire(4 * block), 6)
    # A quarter of a second a block. All but the first two blocks' weights have travelled when backward ends at 3 s; rank 0
    # gets the last gradients until 3.25 s, and then each rank one block of new weights.
    near(step.wire(16 * block), 3.5)
    near(scaling.Step(2, 2, 3.0, layers, bucket=0).wire(4 * block), 3 + 2 + 2)
    near(step.wire(0), 3)


@case
def uneven_division_and_chance_cost_time():
    near(scaling.Step(3, 4, 1.0, [10]).compute(), 2)
    near(scaling.Step(3, 6, 1.0, [10]).compute(), 2)
    check(1.1 < scaling.Step(4, 4, 1.0, [10], jitter=0.1).compute() < 1.11)
    equal([scaling.n_nodes(b, e) for b, e in ((0, 32), (0, 1), (1, 2), (1, 8), (10, 21), (21, 32))], [1, 1, 1, 3, 4, 3])


@case
def links_measures_beside_the_model():
    build = os.environ.get("BDL_BUILD_DIR", str(pathlib.Path(BDL).parents[1]))
    done = subprocess.run([BENCH / "links", "--ranks", "2", "--link", "loopback", "relay:50e6:0.001", "--wire", "bf16", "--steps",
                           "2", "--compute", "0.005", "--width", "64"], env={**os.environ, "BDL_BUILD_DIR": build},
                          stdout=subprocess.PIPE, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    equal([(line["link"], line["bucket"] > 0) for line in lines],
          [("loopback", True), ("relay:50e6:0.001", True), ("loopback", False), ("relay:50e6:0.001", False)])
    check(all(line["measured_ms"] >= 5 and line["model_ms"] >= 5 for line in lines), lines)  # the sleep alone


@case
def the_predictions_are_those_of_the_text():
    """docs/design/scaling.md has the tables that the script prints."""
    text = (BENCH.parent / "docs/design/scaling.md").read_text()
    for options in ([], ["--node", "500", "--wire", "bf16"], ["--node", "500", "--batch", "512"]):
        done = subprocess.run([BENCH / "scaling.py", *options], env={**os.environ, "BDL": BDL}, stdout=subprocess.PIPE, text=True,
                              check=True)
        check(done.stdout in text, options, done.stdout)


if __name__ == "__main__":
    main()
