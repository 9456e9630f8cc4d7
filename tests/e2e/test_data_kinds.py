# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=300
"""Small sets of every kind, made here: train, measure, predict."""
import csv
import json
import pathlib
import random

from e2e import DIGITS, bdl, case, check, equal, image_set, main, npy, png, refused, table

TABLE = "csv:table.csv(label=species)"


def evaluate(*arguments):
    lines = bdl("eval", *arguments).out.splitlines()
    equal(len(lines), 1)
    return json.loads(lines[0])


@case
def tables():
    """A ready-made model takes its shape and its classes from the data; predictions carry the classes' names."""
    table("table.csv")
    bdl("train", "mlp", "--data", TABLE, "--epochs", "20", "--save", "model", "--quiet")
    line = evaluate("model", "--data", TABLE)
    equal(list(line), ["n", "loss", "top1"])
    check(line["n"] == 150 and line["top1"] > 0.95 and line["loss"] < 0.3, line)
    rows = [json.loads(row) for row in bdl("predict", "model", "--data", TABLE, "--top", "2", "--json").out.splitlines()]
    equal([row["row"] for row in rows], list(range(150)))
    best = rows[0]["classes"]
    equal((len(best), best[0]["name"]), (2, "red"))
    check(0.5 < best[0]["probability"] <= 1 and best[1]["probability"] <= 0.5, best)
    refused("train", "mlp(classes=2)", "--data", TABLE, says=["2 outputs", "3 classes"])
    refused("train", "mlp(shape=[5])", "--data", TABLE, says=["takes samples of 5", "gives 4"])
    refused("train", "lenet", "--data", TABLE, says="28")


@case
def part_of_the_classes():
    """Labels go by the names of classes: a file without the first class must not move the others."""
    table("table.csv")
    bdl("train", "mlp", "--data", TABLE, "--epochs", "20", "--save", "model", "--quiet")
    lines = pathlib.Path("table.csv").read_text(encoding="utf-8").splitlines()
    part = [line for line in lines if "blue" not in line]
    pathlib.Path("part.csv").write_text("\n".join(part) + "\n", encoding="utf-8")
    check(evaluate("model", "--data", "csv:part.csv(label=species)")["top1"] > 0.95)
    other = [line.replace("red", "pink") for line in lines]
    pathlib.Path("other.csv").write_text("\n".join(other) + "\n", encoding="utf-8")
    refused("eval", "model", "--data", "csv:other.csv(label=species)", says="'pink'")
    result = bdl("train", "mlp", "--data", TABLE, "--val", "csv:part.csv(label=species)", "--epochs", "20", "--json")
    check(json.loads(result.out.splitlines()[-1])["val_top1"] > 0.95, result)


@case
def regression():
    draw = random.Random(2)
    lines = ["a,b,y"]
    for _ in range(400):
        a, b = draw.gauss(0, 1), draw.gauss(0, 1)
        lines.append(f"{a:.4f},{b:.4f},{2 * a - b + 0.5:.4f}")
    pathlib.Path("values.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = "csv:values.csv(label=y,task=regression)"
    bdl("train", "linear", "--data", data, "--val", data, "--epochs", "30", "--batch", "32", "--save", "model", "--quiet")
    line = evaluate("model", "--data", data)
    equal(list(line), ["n", "loss", "mae"])
    check(line["loss"] < 1e-3, line)
    rows = list(csv.reader(bdl("predict", "model", "--data", data, "--format", "csv").out.splitlines()))
    equal((rows[0], len(rows)), (["row", "value0"], 401))
    check(abs(float(rows[1][1]) - float(lines[1].split(",")[2])) < 0.1, rows[1], lines[1])
    refused("train", "linear", "--data", data, "--val", "csv:values.csv(label=y,task=regression)", "--until", "top1>0.5")


@case
def arrays():
    draw = random.Random(3)
    labels = [i % 2 for i in range(100)]
    npy("x.npy", "<f4", (100, 3), [draw.gauss(4 * label - 2, 0.5) for label in labels for _ in range(3)])
    npy("y.npy", "<i8", (100,), labels)
    bdl("train", "linear", "--data", "npy:x.npy,y.npy", "--epochs", "20", "--batch", "10", "--save", "model", "--quiet")
    check(evaluate("model", "--data", "npy:x.npy,y.npy")["top1"] > 0.95)
    equal(len(bdl("predict", "model", "--data", "npy:x.npy").out.splitlines()), 100)
    refused("eval", "model", "--data", "npy:x.npy", says="no labels")
    npy("z.npy", "<i8", (100,), [9 * label for label in labels])
    refused("train", "linear(classes=2)", "--data", "npy:x.npy,z.npy", says=["2 outputs", "10 classes"])
    refused("eval", "model", "--data", "npy:x.npy,z.npy", says=["2 outputs", "10 classes"])
    npy("w.npy", "<i8", (99,), labels[:99])
    refused("train", "linear", "--data", "npy:x.npy,w.npy", says=["99", "100"])


@case
def wrong_validation():
    """Validation labels that the model cannot give are refused before training, not measured as not-a-number."""
    more = "synthetic(shape=[1,28,28],classes=20,count=100)"
    refused("train", "lenet", "--data", DIGITS, "--val", more, says=["10 outputs", "20 classes"])
    table("table.csv")
    refused("train", "lenet", "--data", DIGITS, "--val", TABLE)


@case
def autoencoder():
    scale = ["--transform", "scale(0.00392156862745098)"]
    bdl("train", "autoencoder(bottleneck=8)", "--data", DIGITS, "--val", DIGITS, "--target", "input", "--loss", "mse",
        "--optim", "adam(lr=0.01)", "--epochs", "3", "--save", "model", "--quiet", *scale)
    line = evaluate("model", "--data", DIGITS, "--target", "input")
    equal(list(line), ["n", "loss"])
    check(line["loss"] < 0.12, line)
    refused("eval", "model", "--data", DIGITS, says="target=input")
    refused("train", "autoencoder", "--data", DIGITS, says="target=input")
    refused("train", "autoencoder", "--data", DIGITS, "--target", "inpt", says="inpt")


@case
def images():
    """A folder of images, a validation set that lacks the first class, and files to predict, one of them broken."""
    image_set("train", ["cat", "dog"])
    image_set("val", ["dog"])
    bdl("train", "linear", "--data", "images:train", "--val", "images:val", "--epochs", "20", "--save", "model", "--quiet")
    equal(evaluate("model", "--data", "images:train")["top1"], 1)
    equal(evaluate("model", "--data", "images:val")["top1"], 1)
    pathlib.Path("broken.png").write_text("nothing", encoding="utf-8")
    png("odd, \"name\".png", 8, 8, [60] * 64)
    good = ["train/cat/00.png", "val/dog/01.png", "odd, \"name\".png"]
    rows = list(csv.reader(bdl("predict", "model", "--format", "csv", *good).out.splitlines()))
    equal(rows[0], ["name", "class1", "probability1"])
    equal([row[:2] for row in rows[1:]], [[good[0], "cat"], [good[1], "dog"], [good[2], "cat"]])
    names = [json.loads(row)["name"] for row in bdl("predict", "model", "--format", "jsonl", *good).out.splitlines()]
    equal(names, good)
    bdl("predict", "model", "--out", "out.txt", "--top", "2", *good)
    text = pathlib.Path("out.txt").read_text(encoding="utf-8")
    check("cat" in text and "dog" in text and len(text.splitlines()) == 3, text)
    result = bdl("predict", "model", good[0], "broken.png", "nowhere.png", good[1], code=1)
    equal(len(result.out.splitlines()), 2)
    lines = result.err.splitlines()
    equal(len(lines), 3)
    check("broken.png" in "".join(lines[:2]) and "nowhere.png" in "".join(lines[:2]), lines)
    check("2 of 4" in lines[2], lines)
    refused("predict", "model", "broken.png", says="broken.png")
    refused("predict", "model", "train", says="train")


@case
def broken_images():
    image_set("set", ["cat", "dog"])
    pathlib.Path("set/cat/zz.png").write_text("nothing", encoding="utf-8")
    train = ["train", "linear", "--data", "images:set", "--val", "images:set", "--epochs", "2", "--save", "model"]
    refused(*train, says=["1 of 25", "zz.png"])
    result = bdl(*train, "--most-broken", "0.1")
    check("left out" in result.err and "zz.png" in result.err, result)
    refused("eval", "model", "--data", "images:set", says="zz.png")
    result = bdl("eval", "model", "--data", "images:set", "--most-broken", "0.1")
    equal(json.loads(result.out)["n"], 24)
    check("zz.png" in result.err, result)


@case
def odd_sizes():
    """One sample, batches larger than the data, and a short last batch."""
    table("one.csv", 3)
    data = "csv:one.csv(label=species)"
    equal(json.loads(bdl("train", "mlp", "--data", data, "--epochs", "1", "--json").out.splitlines()[-1])["iteration"], 1)
    for batch, steps in ((1, 3), (2, 2), (3, 1), (16777216, 1)):
        result = bdl("train", "mlp", "--data", data, "--epochs", "1", "--batch", batch, "--save", "model", "--json")
        equal(json.loads(result.out.splitlines()[-1])["iteration"], steps)
    equal(evaluate("model", "--data", data, "--batch", "16777216")["n"], 3)
    equal(len(bdl("predict", "model", "--data", data, "--batch", "16777216").out.splitlines()), 3)


main()
