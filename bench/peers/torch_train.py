# SPDX-License-Identifier: Apache-2.0
"""Training speed of PyTorch: forward, loss, backward and SGD with momentum on data in memory.

    torch_train.py lenet|vgg_cifar [--batch 128] [--mode eager|compile] [--channels-last]
"""
import argparse

import torch
from torch import nn

import common
import torch_models

SHAPES = {"lenet": (1, 28, 28), "vgg_cifar": (3, 32, 32)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("case", choices=SHAPES)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--mode", choices=("eager", "compile"), default="eager")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    net = getattr(torch_models, args.case)().to(memory_format=layout)
    optim = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    batches = [(torch.randn((args.batch,) + SHAPES[args.case]).to(memory_format=layout),
                torch.randint(0, 10, (args.batch,))) for _ in range(8)]

    def loss_of(x, y):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            return nn.functional.nll_loss(net(x), y)

    run = torch.compile(loss_of) if args.mode == "compile" else loss_of
    count = 0

    def step():
        nonlocal count
        x, y = batches[count % len(batches)]
        count += 1
        optim.zero_grad()
        run(x, y).backward()
        optim.step()

    rates = common.measure(step, args.batch, args.seconds)
    common.report("torch", args.case + "_train", rates, batch=args.batch, threads=args.threads,
                  mode=args.mode, channels_last=args.channels_last, bf16=args.bf16,
                  version=torch.__version__)


if __name__ == "__main__":
    main()
