# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=300
"""Predicting one image: which nets go through oneDNN, what the plan says, and that small nets never load it."""
import json
import os
import pathlib

from e2e import Skip, bdl, case, check, equal, main, npy


def predicting_plan(model, batch, *options):
    return bdl("inspect", model, "--plan", "--predict", "--batch", batch, *options).out


def need_onednn():
    if not (pathlib.Path(os.environ["BDL_BUILD_DIR"]) / "lib/libbdl_dnnl.so").exists():
        raise Skip("this build has no oneDNN")


@case
def plans_name_what_computes():
    need_onednn()
    plan = predicting_plan("vgg_cifar", 1)
    check("inference plan" in plan and "1 part of 1 lane," in plan, plan)
    convolutions = [line for line in plan.splitlines() if " conv2d " in line and "->" in line]
    check(len(convolutions) == 13 and all(line.endswith("onednn") for line in convolutions), plan)
    equal(predicting_plan("vgg_cifar", 2), plan)
    check("onednn" not in predicting_plan("vgg_cifar", 3), "three samples are a slice")
    check("onednn" not in predicting_plan("lenet", 1), "LeNet is small")
    check("onednn" not in predicting_plan("vgg_cifar", 1, "--precision", "f64"), "float64 is the kernels'")
    check("training plan" in bdl("inspect", "vgg_cifar", "--plan", "--batch", "1").out, "training is the default")


def loads_onednn(*arguments):
    """Whether the command opens libbdl_dnnl.so, by what the loader says."""
    result = bdl(*arguments, env={**os.environ, "LD_DEBUG": "files"})
    check(json.loads(result.out.splitlines()[0]), result)
    return "libbdl_dnnl.so" in result.err


@case
def only_large_nets_load_onednn():
    need_onednn()
    for i, (model, shape) in enumerate((("lenet", [1, 28, 28]), ("vgg_cifar", [3, 32, 32]))):
        channels, height, width = shape
        npy("x.npy", "<f4", [4, *shape], [(j * 7919 % 251) / 251 for j in range(4 * channels * height * width)])
        npy("y.npy", "<i8", [4], [0, 1, 2, 3])
        npy("one.npy", "<f4", [1, *shape], [(j * 7919 % 251) / 251 for j in range(channels * height * width)])
        npy("none.npy", "<i8", [1], [0])
        bdl("train", f"{model}(classes=10)", "--data", "npy:x.npy,y.npy", "--batch", 4, "--iterations", 1, "--save", f"saved{i}")
        predict = ["predict", f"saved{i}", "--data", "npy:one.npy,none.npy", "--json"]
        equal(loads_onednn(*predict), model == "vgg_cifar")


@case
def predictions_are_those_of_a_batch():
    """The same within rounding, and to the bit for any number of threads."""
    values = [(j * 7919 % 251) / 251 - 0.5 for j in range(4 * 3 * 32 * 32)]
    for n in (2, 4):
        npy(f"x{n}.npy", "<f4", [n, 3, 32, 32], values[:n * 3 * 32 * 32])
        npy(f"y{n}.npy", "<i8", [n], range(n))
    bdl("train", "vgg_cifar(classes=10)", "--data", "npy:x4.npy,y4.npy", "--batch", 4, "--iterations", 1, "--save", "saved")

    def predict(n, *options):
        return bdl("predict", "saved", "--data", f"npy:x{n}.npy,y{n}.npy", "--top", 10, "--json", *options).out

    few = predict(2)
    equal(predict(2, "--threads", 1), few)
    equal(predict(2, "--threads", 3), few)
    for one, other in zip(few.splitlines(), predict(4).splitlines()):
        one, other = json.loads(one), json.loads(other)
        equal(one.keys(), other.keys())
        got, wanted = (sorted((t["class"], t["probability"]) for t in row["classes"]) for row in (one, other))
        equal([g[0] for g in got], [w[0] for w in wanted])
        check(all(abs(g[1] - w[1]) < 1e-4 for g, w in zip(got, wanted)), got, wanted)


main()
