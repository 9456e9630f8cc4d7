# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=300
"""Verbs, options and what is said to those who get them wrong."""
import json
import os

from e2e import DIGITS, bdl, case, check, equal, main, png, refused, start


@case
def verbs():
    refused("tran", code=2, says="'train'")
    refused("frobnicate", code=2, says="--help")
    refused("-x", code=2)
    equal(bdl(code=2).out, "")
    check("train" in bdl("--help").out)
    check(bdl("version").out == bdl("--version").out, "versions differ")
    check(bdl("version").out.startswith("bdl 0."))
    for verb in ("train", "eval", "predict", "inspect", "layers", "schema", "bench", "doctor", "version"):
        check("usage: bdl " + verb in bdl(verb, "--help").out, verb)
        if verb not in ("layers", "bench"):
            refused(verb, "--nonsense", code=2, says="nonsense")
    for verb in ("schema", "doctor", "version"):
        refused(verb, "extra", code=2, says="extra")
    refused("version", "--json", code=2, says="json")
    refused("eval", "lenet", "--out", "file", code=2, says="out")
    for verb in ("train", "eval", "predict", "bench"):
        help_text = bdl(verb, "--help").out
        check("  --json " in help_text and "  --threads N " in help_text, help_text)
    refused("layers", "conv2d", "extra", code=2, says="extra")
    equal(bdl("help", "train").out, bdl("train", "--help").out)
    equal(bdl("help").out, bdl("--help").out)
    refused("help", "tran", code=2, says="'train'")


@case
def usage_errors():
    """Wrong use of an option is exit code 2 and is found before any data are read."""
    refused("train", code=2, says="model")
    refused("train", "lenet", code=2, says="'data'")
    refused("eval", "lenet", code=2, says="'data'")
    refused("train", "lenet", "more", "--data", DIGITS, code=2, says="'more'")
    refused("train", "lenet", "--data", DIGITS, "--bach", "3", code=2, says="'batch'")
    refused("train", "lenet", "--data", code=2, says="needs a value")
    refused("train", "lenet", "--dat", code=2, says="'data'")
    refused("train", "-x", code=2, says="two hyphens")
    text = refused("train", "lenet", "--data", DIGITS, "--batch", "0", code=2)
    check(text.startswith("bdl: train: batch must be"), text)
    for batch in ("0", "-3", "99999999999999999999", "", "many", "1.5"):
        refused("train", "lenet", "--data", DIGITS, "--batch", batch, code=2, says="batch")
    refused("train", "lenet", "--data", DIGITS, "--batch=0", code=2, says="batch")
    for threads in ("0", "-1", "two", "", "5000"):
        refused("train", "lenet", "--data", DIGITS, "--threads", threads, code=2, says="threads")
    refused("train", "lenet", "--data", DIGITS, "--epochs", "-1", code=2, says="epochs")
    refused("train", "lenet", "--data", DIGITS, "--resume=maybe", code=2, says="resume")
    refused("predict", "lenet", "--top", "0", "--data", DIGITS, code=2, says="top")
    refused("predict", "lenet", "--format", "cvs", "--data", DIGITS, code=2, says="cvs")


@case
def nearest_names():
    """A misspelt name of any kind gets the nearest one offered."""
    def train(*arguments):
        return refused("train", *arguments)

    check("'lenet'" in train("lenett", "--data", DIGITS))
    check("'digits'" in train("lenet", "--data", "digit"))
    check("'momentum'" in train("lenet", "--data", DIGITS, "--optim", "sgd(momentm=1)"))
    check("'classes'" in train("lenet(clases=3)", "--data", DIGITS))
    check("'flip'" in train("lenet", "--data", DIGITS, "--transform", "flop"))
    check("'cosine'" in train("lenet", "--data", DIGITS, "--schedule", "cosin(10)"))
    check("'mse'" in train("lenet", "--data", DIGITS, "--loss", "mze"))
    check("'top1'" in train("lenet", "--data", DIGITS, "--metrics", "top"))
    check("'top1'" in train("lenet", "--data", DIGITS, "--val", DIGITS, "--until", "topp1>1"))
    check("'classes'" in train("lenet", "--data", "synthetic(shape=[1,28,28],clases=3)"))
    check("adam" in train("lenet", "--data", DIGITS, "--optim", "adamm"))
    check("fp32" in train("lenet", "--data", DIGITS, "--precision", "fp23"))
    check("norm" in train("lenet", "--data", DIGITS, "--clip", "nrm(1)"))
    check("'conv2d'" in refused("layers", "conv2"))
    check("'lenet_train'" in refused("bench", "lenet_trian"))
    refused("bench", "nothing", says=["nothing", "lenet_train, ", "allreduce_4b"])


@case
def wrong_files():
    open("empty", "w").close()
    with open("text.json", "w", encoding="utf-8") as file:
        file.write("{")
    os.mkdir("folder")
    refused("train", "", "--data", DIGITS)
    refused("train", "lenet", "--data", "")
    refused("train", "lenet", "--data", DIGITS, "--val", "mnist:/nowhere", says="/nowhere")
    refused("train", "lenet", "--data", "mnist:folder", says="train-images")
    refused("train", "lenet", "--data", "cifar10:folder")
    refused("train", "lenet", "--data", "images:folder", says="folder")
    refused("train", "mlp", "--data", "csv:nowhere.csv", says="nowhere.csv")
    refused("train", "mlp", "--data", "csv:empty", says="empty")
    refused("train", "mlp", "--data", "npy:empty,empty", says="empty")
    refused("eval", "nowhere", "--data", DIGITS, says="nowhere")
    refused("eval", "./nowhere", "--data", DIGITS, says="./nowhere")
    refused("inspect", "folder", says="model.json")
    refused("inspect", "empty", says="empty")
    refused("inspect", "text.json", says="text.json")
    refused("predict", "lenet", code=2, says="--data")
    refused("predict", "lenet", "a.png", "--data", DIGITS, code=2, says="not both")
    check(refused("predict", "lenet", "nowhere.png").endswith("cannot open 'nowhere.png': No such file or directory"))
    refused("predict", "lenet", "a.png", "b.png", says=["none of the first 2 images", "b.png"])


@case
def line_feeds_in_names():
    """One error is one line, whatever the names in it hold."""
    refused("predict", "lenet", "two\nlines.png", says="two\\nlines.png")
    refused("predict", "lenet", "\033[31mred.png", says="\\x1b[31mred.png")
    refused("train", "two\nlines", "--data", DIGITS, says="two\\nlines")
    refused("train", "lenet", "--data", "csv:two\nlines.csv", says="two\\nlines.csv")
    refused("two\nlines", code=2)
    refused("bench", "two\nlines")
    refused("train", "lenet", "two\nlines", "--data", DIGITS, code=2)
    refused("predict", "lenet", "--data", DIGITS, "--out", "two\nlines/file")
    os.mkdir("class")
    for name in ("two\nlines.png", "fine.png"):
        png(os.path.join("class", name), 28, 28, bytes(28 * 28))
    with open("class/two\nlines.png", "wb"):
        pass
    err = bdl("train", "linear", "--data", "images:.", "--iterations", "1", "--most-broken", "0.9").err
    check("two\\nlines.png" in err and all(line.startswith(("bdl: ", "epoch ")) for line in err.splitlines()), err)


@case
def models_in_json():
    bdl("inspect", "lenet")
    graph = json.loads(bdl("inspect", "lenet", "--json").out)
    with open("lenet.json", "w", encoding="utf-8") as file:
        json.dump(graph, file)
    equal(bdl("inspect", "lenet.json", "--json").out, bdl("inspect", "lenet", "--json").out)

    def broken(change):
        copy = json.loads(json.dumps(graph))
        change(next(n for n in copy["nodes"] if n["type"] == "conv2d"))
        with open("broken.json", "w", encoding="utf-8") as file:
            json.dump(copy, file)
        return refused("inspect", "broken.json")

    check("'conv2d'" in broken(lambda n: n.update(type="conv2")))
    check("stride" in broken(lambda n: n["params"].update(stride=0)))
    check("kernel_size" in broken(lambda n: n["params"].update(kernel_siz=3)))


@case
def listings():
    check("conv2d" in bdl("layers").out)
    text = bdl("layers", "conv2d").out
    check("out_channels" in text and max(map(len, text.splitlines())) <= 100, text)
    schema = json.loads(bdl("schema", "--json").out)
    names = {key: {entry["name"] for entry in schema[key]} for key in schema if isinstance(schema[key], list)}
    check("conv2d" in names["layers"] and "sgd" in names["optimizers"] and "cosine" in names["schedules"])
    check("digits" in names["readers"] and "flip" in names["transforms"] and "lenet" in names["models"])
    doctor = json.loads(bdl("doctor", "--json").out)
    check(doctor["threads"] >= 1 and doctor["kernels"] and "advice" in doctor, doctor)
    check(doctor["kernels"] in bdl("doctor").out)
    plan = bdl("inspect", "lenet", "--plan", "--threads", "1").out
    check(not [line for line in plan.splitlines() if line.endswith(" ")], plan)
    check("segment" in plan and "weights" in plan and "memory" in plan, plan)
    check("lenet_train" in bdl("bench").out)


@case
def bench_line():
    lines = bdl("bench", "lenet_forward", "--threads", "1").out.splitlines()
    equal(len(lines), 1)
    line = json.loads(lines[0])
    equal(sorted(line), ["case", "median", "p10", "p90", "peak_rss_mib", "unit"])
    equal((line["case"], line["unit"]), ("lenet_forward", "images/s"))
    check(0 < line["p10"] <= line["median"] <= line["p90"] and line["peak_rss_mib"] > 0, line)


@case
def full_disk():
    """Output that cannot be written is a failure with a message."""
    for arguments in (["layers"], ["doctor"], ["inspect", "lenet"], ["version"]):
        with open("/dev/full", "w", encoding="utf-8") as full:
            process = start(*arguments, stdout=full)
            err = process.communicate()[1].decode()
        check(process.returncode == 1 and "standard output" in err, arguments, process.returncode, err)
    refused("predict", "lenet", "--data", DIGITS, "--out", "/dev/full", says="No space left")
    refused("predict", "lenet", "--data", DIGITS, "--out", "/nowhere/file", says="/nowhere/file")
    refused("train", "lenet", "--data", DIGITS, "--epochs", "1", "--log", "/dev/full", says=["/dev/full", "No space left"])


main()
