# SPDX-License-Identifier: Apache-2.0
"""Learns from a table of numbers: a CSV file with a column of class names.

    python table.py FILE LABEL

LABEL is the name of the label's column. The first layers' inputs follow from the file.
"""

import sys

import bdl
from bdl import nn


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    path, label = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        names = file.readline().rstrip().split(",")
        if label not in names:
            sys.exit(f"{path}: there is no column '{label}'; the columns: {', '.join(names)}")
        features = len(names) - 1  # all columns but the label
        classes = len({line.rstrip().split(",")[names.index(label)] for line in file})
    model = bdl.Sequential(nn.Linear(16), nn.ReLU(), nn.Linear(classes), input_shape=(features,))

    def report(epoch: int, values: dict) -> bool:
        if epoch % 20 == 0:
            print(f"epoch {epoch}: loss {values['loss']:.3f}")
        return values["loss"] > 0.02  # False ends training

    table = bdl.data.Csv(path, label=label)
    history = model.fit(table, epochs=200, batch_size=16, optimizer=bdl.optim.Adam(lr=0.01), callbacks=report, verbose=0)
    print(f"ended after {len(history.epochs)} epochs ({history.reason}):", model.evaluate(table, metrics="top1"))


if __name__ == "__main__":
    main()
