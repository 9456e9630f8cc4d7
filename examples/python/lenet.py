# SPDX-License-Identifier: Apache-2.0
"""LeNet learns to read digits, is saved, opened again and used.

    python lenet.py [DATA [EPOCHS]]

DATA is `digits` (made by bdl; the default) or `mnist:DIR`, DIR holding the four files of MNIST.
"""

import sys

import bdl
from bdl import nn


def lenet(classes: int) -> bdl.Sequential:
    model = bdl.Sequential(name="lenet")
    model.add(nn.Reshape((1, 28, 28)))
    model.add(nn.Conv2d(1, 6, 5)).add(nn.Tanh()).add(nn.MaxPool2d(2, 2))
    model.add(nn.Conv2d(6, 12, 5)).add(nn.Tanh()).add(nn.MaxPool2d(2, 2))
    model.add(nn.Flatten())
    model.add(nn.Linear(12 * 4 * 4, 100)).add(nn.Tanh())
    model.add(nn.Linear(100, classes)).add(nn.LogSoftmax())
    return model.build((1, 28, 28))


def main() -> None:
    data = sys.argv[1] if len(sys.argv) > 1 else "digits"
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    model = lenet(10)
    print(model.summary())
    model.fit(
        data,
        validation_data=data,  # digits and mnist have a part for it
        epochs=epochs,
        batch_size=128,
        optimizer=bdl.optim.SGD(lr=0.05, momentum=0.9),
        loss=bdl.losses.NLLLoss(),
        metrics=[bdl.metrics.Top1()],
    )
    model.save("lenet_model")
    again = bdl.load("lenet_model")
    print("on the test part:", again.evaluate(data))
    scores = again.predict(data)
    print("first predictions:", scores[:10].argmax(axis=1))


if __name__ == "__main__":
    main()
