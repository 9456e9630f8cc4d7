# SPDX-License-Identifier: Apache-2.0
"""Training speed of TensorFlow: one tf.function of forward, loss, gradient and SGD with momentum.

    tf_train.py lenet|vgg_cifar [--batch 128]
"""
import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import common

L = tf.keras.layers
SHAPES = {"lenet": (28, 28, 1), "vgg_cifar": (32, 32, 3)}


def lenet():
    return tf.keras.Sequential([
        L.Input(SHAPES["lenet"]), L.Conv2D(6, 5, activation="tanh"), L.MaxPool2D(2),
        L.Conv2D(12, 5, activation="tanh"), L.MaxPool2D(2),
        L.Flatten(), L.Dense(100, activation="tanh"), L.Dense(10)])


def vgg_cifar():
    net = tf.keras.Sequential([L.Input(SHAPES["vgg_cifar"])])
    for maps, drops in ((64, (0.3, 0)), (128, (0.4, 0)), (256, (0.4, 0.4, 0)),
                        (512, (0.4, 0.4, 0)), (512, (0.4, 0.4, 0))):
        for drop in drops:
            net.add(L.Conv2D(maps, 3, padding="same"))
            net.add(L.BatchNormalization(epsilon=1e-3, momentum=0.9))
            net.add(L.ReLU())
            if drop:
                net.add(L.Dropout(drop))
        net.add(L.MaxPool2D(2))
    for layer in (L.Flatten(), L.Dropout(0.5), L.Dense(512),
                  L.BatchNormalization(epsilon=1e-3, momentum=0.9), L.ReLU(), L.Dropout(0.5),
                  L.Dense(10)):
        net.add(layer)
    return net


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("case", choices=SHAPES)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(1)
    net = {"lenet": lenet, "vgg_cifar": vgg_cifar}[args.case]()
    optim = tf.keras.optimizers.SGD(0.01, momentum=0.9)
    rng = np.random.default_rng(1)
    batches = [(tf.constant(rng.standard_normal((args.batch,) + SHAPES[args.case], np.float32)),
                tf.constant(rng.integers(0, 10, args.batch))) for _ in range(8)]

    @tf.function
    def train(x, y):
        with tf.GradientTape() as tape:
            logits = net(x, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        variables = net.trainable_variables
        optim.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    count = 0

    def step():
        nonlocal count
        loss = train(*batches[count % len(batches)])
        count += 1
        return float(loss)

    rates = common.measure(step, args.batch, args.seconds)
    common.report("tensorflow", args.case + "_train", rates, batch=args.batch, threads=args.threads,
                  version=tf.__version__)


if __name__ == "__main__":
    main()
