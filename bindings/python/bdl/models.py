# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Ready-made models."""

from __future__ import annotations

from typing import Literal

from bdl._described import Ints, joined
from bdl.model import Model, ready_made

__all__ = [
    "alexnet",
    "autoencoder",
    "inception_v1",
    "lenet",
    "lenet_caffe",
    "linear",
    "mlp",
    "resnet",
    "vgg16",
    "vgg19",
    "vgg_cifar",
]


def alexnet(classes: int = 1000, variant: Literal["owt", "caffe"] = "owt", *, seed: int = 1) -> Model:
    """AlexNet for ImageNet's images.

    owt, input (3, 224, 224): conv 11x11/4 64 P, 5x5 192 P, 3x3 384, 256, 256 P, each with ReLU, P being max pool
    3/2; twice linear 4096, ReLU, dropout 0.5; linear 4096-classes, log softmax. caffe, input (3, 227, 227): conv
    11x11/4 96 N P, 5x5 256 in two groups N P, 3x3 384, 384 and 256 in two groups P, N being local response
    normalization; the rest is the same. After Krizhevsky et al., "ImageNet classification with deep convolutional
    neural networks", 2012, and Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.

    Args:
        classes: Classes.
        variant: owt: one column, 224x224 images. caffe: two groups and local response normalization, 227x227
            images.
        seed: Seed of the initial weights.
    """
    return ready_made("alexnet", {"classes": classes, "variant": variant}, seed)


def autoencoder(bottleneck: int = 32, shape: Ints = (1, 28, 28), *, seed: int = 1) -> Model:
    """Autoencoder with one hidden layer.

    flatten, linear size-bottleneck, ReLU, linear bottleneck-size, sigmoid, back to the input's shape. Train it with
    --target input: the loss compares the output with the input.

    Args:
        bottleneck: Units of the hidden layer.
        shape: Shape of a sample: channels, height, width, or fewer sizes.
        seed: Seed of the initial weights.
    """
    return ready_made("autoencoder", {"bottleneck": bottleneck, "shape": shape}, seed)


def inception_v1(classes: int = 1000, *, seed: int = 1) -> Model:
    """Inception v1 (GoogLeNet) for 224x224 images, without auxiliary classifiers.

    conv 7x7/2 64, max pool 3/2, LRN, conv 1x1 64, conv 3x3 192, LRN, max pool 3/2; nine modules of four branches
    (1x1; 1x1 and 3x3; 1x1 and 5x5; max pool and 1x1) joined by channels; average pool 7, dropout 0.4, linear
    1024-classes, log softmax. Input (3, 224, 224), Xavier weights, names as in Caffe's bvlc_googlenet. After
    Szegedy et al., "Going deeper with convolutions", 2014.

    Args:
        classes: Classes.
        seed: Seed of the initial weights.
    """
    return ready_made("inception_v1", {"classes": classes}, seed)


def lenet(classes: int = 10, variant: Literal["bigdl", "article"] = "bigdl", *, seed: int = 1) -> Model:
    """LeNet for 28x28 grey images, as in BigDL.

    conv 5x5 1-6, tanh, max pool 2, conv 5x5 6-12, tanh, max pool 2, linear 192-100, tanh, linear 100-classes, log
    softmax. After LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    Args:
        classes: Classes.
        variant: bigdl: tanh before both poolings. article: the second tanh after the first pooling.
        seed: Seed of the initial weights.
    """
    return ready_made("lenet", {"classes": classes, "variant": variant}, seed)


def lenet_caffe(classes: int = 10, *, seed: int = 1) -> Model:
    """LeNet for 28x28 grey images, as in Caffe.

    conv 5x5 1-20, max pool 2, conv 5x5 20-50, max pool 2, linear 800-500, ReLU, linear 500-classes, log softmax.
    Layers and names as in Caffe's examples/mnist/lenet.prototxt, initial weights as in Torch. sgd(lr=0.02,
    momentum=0.9, weight_decay=5e-4) with a cosine schedule over five epochs of MNIST, batch 128, gave 99.16 to
    99.23 % with four seeds.

    Args:
        classes: Classes.
        seed: Seed of the initial weights.
    """
    return ready_made("lenet_caffe", {"classes": classes}, seed)


def linear(classes: int = 10, shape: Ints = (1, 28, 28), outputs: int = 0, *, seed: int = 1) -> Model:
    """Logistic regression: one linear layer.

    flatten, linear size-classes, log softmax; with outputs linear regression: no softmax.

    Args:
        classes: Classes.
        shape: Shape of a sample: channels, height, width, or fewer sizes.
        outputs: Numbers to predict, for regression: no softmax; 0 = scores of classes.
        seed: Seed of the initial weights.
    """
    return ready_made("linear", {"classes": classes, "shape": shape, "outputs": outputs}, seed)


def mlp(
    hidden: Ints = 128,
    classes: int = 10,
    shape: Ints = (1, 28, 28),
    activation: Literal["relu", "tanh", "sigmoid", "gelu"] = "relu",
    outputs: int = 0,
    *,
    seed: int = 1,
) -> Model:
    """Multilayer perceptron.

    flatten, then linear and activation for each hidden layer, linear hidden-classes, log softmax; with outputs the
    last layer is linear hidden-outputs.

    Args:
        hidden: Units of each hidden layer.
        classes: Classes.
        shape: Shape of a sample: channels, height, width, or fewer sizes.
        activation: What follows each hidden layer.
        outputs: Numbers to predict, for regression: no softmax; 0 = scores of classes.
        seed: Seed of the initial weights.
    """
    return ready_made("mlp", {
        "hidden": hidden,
        "classes": classes,
        "shape": shape,
        "activation": activation,
        "outputs": outputs,
    }, seed)


def resnet(
    depth: int = 0,
    dataset: Literal["cifar10", "imagenet"] = "cifar10",
    shortcut: Literal["A", "B", "C"] = "B",
    classes: int = 0,
    bias: bool = False,
    *,
    seed: int = 1,
) -> Model:
    """Residual networks for CIFAR and ImageNet.

    cifar10, input (3, 32, 32): conv 3x3 16, three stages of (depth - 2) / 6 basic blocks with 16, 32, 64 channels,
    average pool 8. imagenet, input (3, 224, 224): conv 7x7/2 64, max pool 3/2, four stages of blocks with 64, 128,
    256, 512 channels, average pool 7; bottleneck blocks (1x1, 3x3, 1x1 with four times the channels) from depth 50
    on, whose last batch norm starts at 0. Batch norm follows every convolution; the stride of a block is in its
    first 3x3. Last comes linear without softmax: train with cross_entropy. After He et al., "Deep residual learning
    for image recognition", 2015.

    Args:
        depth: Layers: 6k + 2 for cifar10; 18, 34, 50, 101, 152 or 200 for imagenet. 0 is 20 and 50.
        dataset: cifar10: 32x32 images, stages of 16, 32, 64 channels. imagenet: 224x224 images, stages of 64,
            128, 256, 512.
        shortcut: Where channels change, A subsamples and adds zeros, B convolves; C always convolves.
        classes: Classes; 0 is 10 for cifar10 and 1000 for imagenet.
        bias: Whether convolutions have a bias, which the batch norm after each makes needless.
        seed: Seed of the initial weights.
    """
    return ready_made("resnet", {
        "depth": depth,
        "dataset": dataset,
        "shortcut": shortcut,
        "classes": classes,
        "bias": bias,
    }, seed)


def vgg16(classes: int = 1000, *, seed: int = 1) -> Model:
    """VGG with 16 layers for 224x224 images.

    conv 3x3 and ReLU: 64 64 P, 128 128 P, 256 256 256 P, 512 512 512 P, 512 512 512 P, P being max pool 2; twice
    linear 4096, threshold(0, 1e-6), dropout 0.5; linear 4096-classes, log softmax. Input (3, 224, 224). After
    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014.

    Args:
        classes: Classes.
        seed: Seed of the initial weights.
    """
    return ready_made("vgg16", {"classes": classes}, seed)


def vgg19(classes: int = 1000, *, seed: int = 1) -> Model:
    """VGG with 19 layers for 224x224 images.

    As vgg16, with four convolutions in each of the last three stages. After Simonyan and Zisserman, "Very deep
    convolutional networks for large-scale image recognition", 2014.

    Args:
        classes: Classes.
        seed: Seed of the initial weights.
    """
    return ready_made("vgg19", {"classes": classes}, seed)


def vgg_cifar(classes: int = 10, *, seed: int = 1) -> Model:
    """VGG for 32x32 images (CIFAR), with batch norm and dropout.

    Blocks of conv 3x3, batch norm (eps 1e-3), ReLU: 64 64 P, 128 128 P, 256 256 256 P, 512 512 512 P, 512 512 512
    P, P being max pool 2, with dropout of 0.3 in the first stage and 0.4 in the others between the blocks; dropout
    0.5, linear 512-512, batch norm, ReLU, dropout 0.5, linear 512-classes, log softmax. Input (3, 32, 32). After
    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014.

    Args:
        classes: Classes.
        seed: Seed of the initial weights.
    """
    return ready_made("vgg_cifar", {"classes": classes}, seed)
