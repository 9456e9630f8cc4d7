# SPDX-License-Identifier: Apache-2.0
"""Accuracy baselines: trains LeNet on MNIST or VGG-CIFAR on CIFAR-10 in PyTorch for several seeds.

    torch_accuracy.py lenet --data DIR          five epochs, SGD lr 0.05 momentum 0.9, batch 128
    torch_accuracy.py vgg_cifar --data DIR      two epochs, SGD lr 0.01 momentum 0.9 decay 5e-4

DIR holds the MNIST idx files, or the CIFAR-10 folders train/CLASS/*.jpg and test/CLASS/*.jpg. One JSON
line an epoch, one at the end with the mean of the last epochs' Top-1 and its standard error.
"""
import argparse
import json
import statistics
import time

import torch
from torch import nn

import common
import torch_models

CASES = {
    "lenet": dict(net=torch_models.lenet, read=common.mnist, epochs=5, seeds=10,
                  sgd=dict(lr=0.05, momentum=0.9)),
    "vgg_cifar": dict(net=torch_models.vgg_cifar, read=common.cifar10_jpeg, epochs=2, seeds=3,
                      sgd=dict(lr=0.01, momentum=0.9, weight_decay=5e-4)),
}


def top1(net, x, y):
    """Share of samples whose largest output is their label."""
    net.eval()
    with torch.no_grad():
        hits = sum(int((net(x[i:i + 500]).argmax(1) == y[i:i + 500]).sum())
                   for i in range(0, len(x), 500))
    return hits / len(x)


def epoch(net, optim, x, y, batch):
    """One pass over the shuffled training part, the short last batch included; the mean loss."""
    net.train()
    total = 0.0
    for rows in torch.randperm(len(x)).split(batch):
        optim.zero_grad()
        loss = nn.functional.nll_loss(net(x[rows]), y[rows])
        loss.backward()
        optim.step()
        total += float(loss.detach()) * len(rows)
    return total / len(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--data", required=True)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    case = CASES[args.case]
    torch.set_num_threads(args.threads)
    (x, y), (x_test, y_test) = [[torch.from_numpy(a) for a in part] for part in case["read"](args.data)]
    results = []
    for seed in range(args.first_seed, args.first_seed + (args.seeds or case["seeds"])):
        torch.manual_seed(seed)
        net = case["net"]().to(memory_format=torch.channels_last)
        optim = torch.optim.SGD(net.parameters(), **case["sgd"])
        for number in range(1, (args.epochs or case["epochs"]) + 1):
            start = time.perf_counter()
            loss = epoch(net, optim, x, y, args.batch)
            score = top1(net, x_test, y_test)
            print(json.dumps({"peer": "torch", "case": args.case, "seed": seed, "epoch": number,
                              "loss": round(loss, 5), "top1": score,
                              "seconds": round(time.perf_counter() - start, 1)}), flush=True)
        results.append(score)
    summary = {"peer": "torch", "version": torch.__version__, "case": args.case, "seeds": len(results),
               "mean_top1": round(statistics.mean(results), 5), "each": results}
    if len(results) > 1:
        summary["standard_error"] = round(statistics.stdev(results) / len(results) ** 0.5, 5)
    print(json.dumps(summary), flush=True)


if __name__ == "__main__":
    main()
