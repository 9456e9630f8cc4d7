# SPDX-License-Identifier: Apache-2.0
"""Time from process start until PyTorch's LeNet reaches 98.0 % Top-1 on MNIST.

    mnist_to_98.py --data DIR [--seed 1]

The data stay in memory as one tensor and batches are gathered from it, which is several times faster than a
DataLoader. SGD lr 0.05, momentum 0.9, batch 128; the test part is evaluated after each epoch.
"""
import argparse
import json
import os
import time

import torch

import common
import torch_accuracy
import torch_models


def seconds_since_start():
    """Age of this process, the interpreter's start included."""
    with open("/proc/self/stat", encoding="ascii") as file:
        ticks = int(file.read().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--goal", type=float, default=0.98)
    parser.add_argument("--most-epochs", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    (x, y), (x_test, y_test) = [[torch.from_numpy(a) for a in part] for part in common.mnist(args.data)]
    net = torch_models.lenet()
    optim = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(1, args.most_epochs + 1):
        torch_accuracy.epoch(net, optim, x, y, 128)
        score = torch_accuracy.top1(net, x_test, y_test)
        if score >= args.goal:
            break
    print(json.dumps({"peer": "torch", "case": "mnist_to_98", "unit": "s",
                      "seconds": round(seconds_since_start(), 2), "epochs": epoch, "top1": score,
                      "seed": args.seed, "peak_rss_mib": round(common.peak_rss_mib(), 1),
                      "version": torch.__version__}))


if __name__ == "__main__":
    main()
