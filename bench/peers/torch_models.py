# SPDX-License-Identifier: Apache-2.0
"""The benchmark networks in PyTorch, with PyTorch's default initialisation."""
from torch import nn


def lenet(classes=10):
    """conv-tanh-pool twice, two linear layers; input (n, 1, 28, 28)."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.MaxPool2d(2),
        nn.Conv2d(6, 12, 5), nn.Tanh(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(192, 100), nn.Tanh(), nn.Linear(100, classes), nn.LogSoftmax(1))


def vgg_cifar(classes=10):
    """VGG-16 with batch norm and dropout for 32x32 images; input (n, 3, 32, 32)."""
    layers, maps = [], 3

    def block(out, drop=0.0):
        nonlocal maps
        layers.extend([nn.Conv2d(maps, out, 3, padding=1), nn.BatchNorm2d(out, eps=1e-3),
                       nn.ReLU(inplace=True)])
        if drop:
            layers.append(nn.Dropout(drop))
        maps = out

    for out, drops in ((64, (0.3, 0)), (128, (0.4, 0)), (256, (0.4, 0.4, 0)),
                       (512, (0.4, 0.4, 0)), (512, (0.4, 0.4, 0))):
        for drop in drops:
            block(out, drop)
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    layers += [nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 512), nn.BatchNorm1d(512),
               nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(512, classes), nn.LogSoftmax(1)]
    return nn.Sequential(*layers)
