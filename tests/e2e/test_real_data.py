# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=600
"""Short training on MNIST and CIFAR-10, where BDL_TEST_DATA names the folder that has them."""
import json
import os
import pathlib

from e2e import Skip, bdl, case, check, equal, main


def folder(name):
    data = os.environ.get("BDL_TEST_DATA", "")
    if not data:
        raise Skip("BDL_TEST_DATA is not set")
    path = pathlib.Path(data, name)
    if not path.is_dir():
        raise Skip(f"{name} is not in BDL_TEST_DATA")
    return path


@case
def mnist():
    """One epoch of LeNet reaches 95 % Top-1; the saved model measures the same."""
    data = f"mnist:{folder('mnist/gz')}"
    out = bdl("train", "lenet", "--data", data, "--val", data, "--epochs", "1", "--threads", "2", "--save", "model",
              "--json").out
    end = json.loads(out.splitlines()[-1])
    check(end["iteration"] == 469 and end["val_top1"] >= 0.95, end)
    line = json.loads(bdl("eval", "model", "--data", data, "--threads", "1").out)
    equal((line["n"], round(line["top1"], 6)), (10000, round(end["val_top1"], 6)))


@case
def cifar10_as_images():
    """A handful of steps of the VGG net on JPEG files; a prediction by file name."""
    train, test = folder("cifar10/jpeg/train"), folder("cifar10/jpeg/test")
    out = bdl("train", "vgg_cifar", "--data", f"images:{train}", "--batch", "64", "--iterations", "4", "--transform",
              "pad(4), crop(32, at=random), flip, normalize(mean=[0.49,0.48,0.45],std=[0.25,0.24,0.26],divide=255)", "--save",
              "model", "--threads", "2", "--json").out
    end = json.loads(out.splitlines()[-1])
    check(end["iteration"] == 4 and 0 < end["loss"] < 10, end)
    files = sorted(test.glob("*/*.jpg"))[:3]
    rows = [json.loads(row) for row in bdl("predict", "model", "--json", "--top", "3", *files).out.splitlines()]
    names = {entry.name for entry in train.iterdir()}
    check(len(rows) == 3 and {c["name"] for c in rows[0]["classes"]} < names, rows)


@case
def cifar10_binary():
    """The first file of the binary form, or a part of it."""
    files = sorted(folder("cifar10").glob("*data_batch_1*.bin"))
    if not files:
        raise Skip("cifar10/data_batch_1.bin is not in BDL_TEST_DATA")
    os.symlink(files[0].resolve(), "data_batch_1.bin")
    out = bdl("train", "linear", "--data", "cifar10:.", "--batch", "64", "--iterations", "4", "--json").out
    equal(json.loads(out.splitlines()[-1])["iteration"], 4)


main()
