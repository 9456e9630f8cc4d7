#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Predicts the efficiency of training on many nodes by an alpha-beta model, and prints the tables of docs/design/scaling.md.

    bench/scaling.py [--bandwidth 1.25] [--latency 60] [--node 58] [--batch 128] [--jitter 0.02]

A step of R nodes takes compute * (1 + stragglers) + what communication adds. Compute is the node's share of the batch by its
speed. Gradients: each node sends and receives (R - 1) / R of the weights' bytes; with buckets that runs beside backward (two
thirds of the compute, which large layers' gradients leave evenly), and what does not fit is added; without, all of it is. New
weights: the same bytes again after the update, never beside anything. An exchange of small sums takes ceil(log2 R) messages
of one latency each, one exchange for the loss and two for each batch normalization. Stragglers: the largest of R independent
normal times, about jitter * sqrt(2 ln R). Uneven division: the node with most shards is waited for.
"""
import argparse
import math

# Name: weights, batch normalizations, speed relative to Inception-v1.
MODELS = {"Inception-v1": (6998552, 0, 1.0), "ResNet-50": (25557032, 53, 0.45)}
# Images/s of BigDL 0.3 on Inception-v1 (Dai and others, arXiv:1804.05839, and its white paper), relative to 16 nodes.
PUBLISHED = {16: 920, 32: 1887, 64: 3421, 96: 4854, 128: 5876, 256: 7861}


def step(o, model, n_nodes, buckets, batch):
    weights, n_norms, relative = MODELS[model]
    n_shards = min(math.ceil(batch * n_nodes / 16), 1024)
    most = math.ceil(n_shards / n_nodes) / (n_shards / n_nodes)
    compute = batch / (o.node * relative) * most
    if n_nodes == 1:
        return compute
    once = 4 * weights * (n_nodes - 1) / n_nodes / (o.bandwidth * 1e9)
    rounds = math.ceil(math.log2(n_nodes))
    exchanges = (1 + 2 * n_norms) * rounds * o.latency * 1e-6
    gradients = max(once - compute * 2 / 3, 0) if buckets else once
    late = compute * o.jitter * math.sqrt(2 * math.log(n_nodes))
    return compute + late + gradients + once + exchanges + 2 * o.latency * 1e-6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bandwidth", type=float, default=1.25, help="GB/s of a node, each way")
    parser.add_argument("--latency", type=float, default=60, help="microseconds of a small message, end to end")
    parser.add_argument("--node", type=float, default=58, help="images/s of one node, Inception-v1")
    parser.add_argument("--batch", type=int, default=128, help="samples of a node")
    parser.add_argument("--jitter", type=float, default=0.02, help="deviation of a node's step time, as a share")
    o = parser.parse_args()
    print("| nodes | " + " | ".join(f"{m}, buckets | {m}, none" for m in MODELS) + " | BigDL, Inception-v1 (16 nodes = 100 %) |")
    print("|---" * (2 + 2 * len(MODELS)) + "|")
    for n in (2, 16, 32, 64, 96, 128, 256):
        cells = [f"{100 * step(o, m, 1, b, o.batch) / step(o, m, n, b, o.batch):.1f} %" for m in MODELS for b in (True, False)]
        known = f"{100 * PUBLISHED[n] / n / (PUBLISHED[16] / 16):.0f} %" if n in PUBLISHED else ""
        print(f"| {n} | " + " | ".join(cells) + f" | {known} |")


if __name__ == "__main__":
    main()
