# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=300
"""Ctrl-C, SIGTERM and kill -9 at any time, and damaged checkpoints: a resumed run ends with the bits of an undisturbed one.

The random times of kills come from BDL_SEED, which is printed.
"""
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import time

from e2e import bdl, case, check, equal, main, start

DATA = "digits(count=2000)"
TRAIN = ["train", "mlp(16)", "--data", DATA, "--val", "digits(count=500)", "--batch", "8", "--optim", "sgd(lr=0.01)",
         "--threads", "2", "--json"]
SEED = int(os.environ.get("BDL_SEED", random.SystemRandom().randrange(1 << 30)))
print(f"BDL_SEED={SEED}")


def end_of(out):
    return json.loads(out.splitlines()[-1])


def lines_in(path):
    """Whole lines of a log, which may grow meanwhile."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


def wait_for(fact, process, what, seconds=60):
    end = time.monotonic() + seconds
    while not fact():
        if process.poll() is not None:
            raise AssertionError(f"ended before {what}: {process.communicate()}")
        check(time.monotonic() < end, "no", what)
        time.sleep(0.002)


def iteration_of(folder):
    names = [name for name in os.listdir(folder) if name.endswith(".bdlckpt")] if os.path.isdir(folder) else []
    return max((int(name[5:15]) for name in names), default=-1)


def goes_on(train, iterations, *saving):
    """A run that goes on from its checkpoint to `iterations` ends as one that was never interrupted."""
    got = end_of(bdl(*train, "--iterations", iterations, "--checkpoint", "saved", "--resume", *saving).out)
    want = end_of(bdl(*train, "--iterations", iterations).out)
    keys = ("fingerprint", "iteration", "epoch", "rate", "val_loss", "val_top1")
    equal({key: got[key] for key in keys}, {key: want[key] for key in keys})
    equal(got["iteration"], iterations)


@case
def signals_in_an_epoch():
    """130 and 143; a checkpoint in the middle of an epoch; the run goes on to the same bits, twice interrupted."""
    inside = []
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        process = start(*TRAIN, "--epochs", "1000000", "--checkpoint", "saved", "--log", "log.jsonl", "--resume")
        wait_for(lambda: any(e["event"] == "start" for e in lines_in("log.jsonl")), process, "start in the log")
        time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        equal(process.returncode, code)
        check(b"cancelled" in err, err)
        equal(end_of(out)["reason"], "cancelled")
        equal(end_of(out)["iteration"], iteration_of("saved"))
        inside.append(end_of(out)["iteration"] % 250)
        os.remove("log.jsonl")
    check(any(inside), "no signal came in the middle of an epoch")
    goes_on(TRAIN, iteration_of("saved") + 300)


@case
def signal_while_data_are_made():
    """Before the first iteration there is nothing to keep; the run goes on all the same."""
    train = ["train", "mlp(4)", "--data", "digits(count=20000)", "--val", DATA, "--batch", "2048", "--threads", "1",
             "--json"]
    process = start(*train, "--checkpoint", "saved", "--resume")
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    check(process.returncode in (143, -signal.SIGTERM), process.returncode)
    check(iteration_of("saved") != 0, "a checkpoint of nothing")
    goes_on(train, iteration_of("saved") + 5)


@case
def signal_in_a_long_iteration():
    """An iteration of 1.4 million million operations is given up, not waited for: nothing is trained, nothing kept."""
    layer = {"type": "conv2d", "params": {"out_channels": 1024, "kernel_size": 3, "padding": 1}}
    nodes = [{**layer, "name": f"c{i}", "inputs": [f"c{i - 1}" if i else "input"], **({"share": "c0"} if i else {})}
             for i in range(6)]
    nodes += [{"name": "flat", "type": "flatten", "inputs": ["c5"]},
              {"name": "last", "type": "linear", "params": {"out_features": 10}, "inputs": ["flat"]}]
    with open("slow.json", "w", encoding="utf-8") as file:
        json.dump({"inputs": [{"name": "input", "shape": [1024, 16, 16]}], "nodes": nodes}, file)
    process = start("train", "slow.json", "--data", "synthetic(count=16, shape=[1024,16,16], classes=10)", "--batch", "16",
                    "--precision", "fp32_exact", "--checkpoint", "saved", "--log", "log.jsonl", "--json")
    wait_for(lambda: any(e["event"] == "start" for e in lines_in("log.jsonl")), process, "start in the log")
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    equal(process.returncode, 130)
    check(b"nothing was trained" in err, err)
    equal((end_of(out)["iteration"], iteration_of("saved")), (0, -1))


@case
def signals_in_validations():
    """The epoch's validation, with what the schedule makes of it, is done after the resume, also with other settings."""
    train = ["train", "mlp(512)", "--data", "digits(count=400)", "--val", "digits(count=20000)", "--batch", "8",
             "--threads", "2", "--json", "--schedule", "plateau(monitor=top1,mode=max,patience=0,threshold=10)"]
    n_inside = 0
    for _ in range(8):
        before = iteration_of("saved")
        process = start(*train, "--epochs", "1000000", "--every", "49", "--checkpoint", "saved", "--resume")
        wait_for(lambda: iteration_of("saved") > before, process, "a new checkpoint")
        time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=60)[0]
        equal(process.returncode, 130)
        newest = pathlib.Path("saved", f"step-{end_of(out)['iteration']:010}.bdlckpt")
        if b'validation_due\\": true' in newest.read_bytes():
            n_inside += 1
            shutil.rmtree("inside", ignore_errors=True)
            shutil.copytree("saved", "inside")
        if n_inside == 2:
            break
    check(n_inside > 0, "no signal came in a validation")
    iteration = iteration_of("inside")
    result = bdl(*train, "--batch", "16", "--iterations", str(iteration + 25), "--checkpoint", "inside", "--resume",
                 "--log", "log.jsonl")
    check("batch was 8 and is now 16" in result.err, result.err)
    events = [(e["event"], e["iteration"], e["epoch"]) for e in lines_in("log.jsonl")]
    check(events.index(("validation", iteration, iteration // 50)) == 1, events[:3])
    equal((end_of(result.out)["iteration"], end_of(result.out)["epoch"]), (iteration + 25, iteration // 50 + 1))
    goes_on(train, iteration_of("saved") + 70)


@case
def stop_conditions_outlive_a_resume():
    """What the last validation gave is still known in the middle of the next epoch."""
    until = ["--until", "top1>0.05 and iteration>=260"]
    want = end_of(bdl(*TRAIN, *until).out)
    equal((want["iteration"], want["reason"]), (260, "until"))
    bdl(*TRAIN, "--iterations", "255", "--checkpoint", "saved")
    got = end_of(bdl(*TRAIN, *until, "--checkpoint", "saved", "--resume").out)
    equal((got["iteration"], got["fingerprint"]), (260, want["fingerprint"]))


@case
def second_signal():
    """The second Ctrl-C does not wait for a long iteration."""
    process = start("train", "vgg_cifar", "--data", "synthetic(count=256,shape=[3,32,32],classes=10)", "--batch", "256",
                    "--threads", "1", "--checkpoint", "saved", "--log", "log.jsonl")
    wait_for(lambda: lines_in("log.jsonl"), process, "start in the log")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    check(process.poll() is None, "the iteration was too short for this test")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    equal(process.returncode, 130)
    equal(iteration_of("saved"), -1)


@case
def signals_in_other_verbs():
    for arguments in (["eval", "lenet_caffe", "--data", "digits", "--threads", "1"],
                      ["predict", "lenet_caffe", "--data", "digits", "--threads", "1"],
                      ["bench", "lenet_forward", "--threads", "1"]):
        process = start(*arguments)
        time.sleep(0.4)
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=60)[1]
        if process.returncode == -signal.SIGTERM:  # it came before the command had begun to watch
            continue
        if arguments[0] == "bench" or process.returncode:  # 10,000 images may already have been measured
            check(process.returncode == 143 and err.count(b"\n") == 1, arguments, process.returncode, err)


@case
def kills():
    """kill -9 at random times; leftovers of interrupted writes do no harm. No round may find training at its end."""
    draw = random.Random(SEED)
    for _ in range(6):
        before = iteration_of("saved")
        process = start(*TRAIN, "--epochs", "1000000", "--checkpoint", "saved", "--every", "5", "--resume")
        wait_for(lambda: iteration_of("saved") > before, process, "a new checkpoint")
        time.sleep(draw.random() * 0.1)
        check(process.poll() is None, "training had already ended")
        process.kill()
        process.communicate()
    goes_on(TRAIN, iteration_of("saved") + 103, "--every", "5")
    equal([name for name in os.listdir("saved") if not name.endswith(".bdlckpt")], [])


@case
def files_above_the_limit():
    process = start(*TRAIN, "--epochs", 2, "--checkpoint", "saved", "--threads", 1,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    _, err = process.communicate(timeout=60)
    equal(process.returncode, 1)
    check(b"checkpoint" in err and b"File too large" in err, err)
    equal(os.listdir("saved"), [])


@case
def damaged_checkpoints():
    """The newest good checkpoint is used; a damaged one is named and set aside."""
    want = end_of(bdl(*TRAIN, "--epochs", "2").out)["fingerprint"]
    bdl(*TRAIN, "--iterations", "300", "--checkpoint", "whole", "--every", "100")
    newest = "step-0000000300.bdlckpt"
    data = pathlib.Path("whole", newest).read_bytes()
    middle = len(data) // 2
    for damaged in (data[:middle], data[:middle] + bytes([data[middle] ^ 8]) + data[middle + 1:], b"", data[:-1]):
        shutil.rmtree("saved", ignore_errors=True)
        shutil.copytree("whole", "saved")
        pathlib.Path("saved", newest).write_bytes(damaged)
        result = bdl(*TRAIN, "--epochs", "2", "--checkpoint", "saved", "--resume")
        check("warning" in result.err and newest in result.err, result.err)
        check("step-0000000200.bdlckpt" in result.err, result.err)
        equal(end_of(result.out)["fingerprint"], want)
    for name in os.listdir("whole"):
        pathlib.Path("whole", name).write_bytes(b"nothing")
    result = bdl(*TRAIN, "--epochs", "2", "--checkpoint", "whole", "--resume", code=1)
    check("damaged" in result.err.splitlines()[-1], result.err)


@case
def settings_that_must_stay():
    bdl(*TRAIN, "--iterations", "100", "--checkpoint", "saved")
    for change in (["--batch", "16"], ["--seed", "7"], ["--data", "digits(count=3000)"], ["--optim", "adam"]):
        result = bdl(*TRAIN, "--epochs", "2", "--checkpoint", "saved", "--resume", *change, code=1)
        check("saved/step-0000000100" in result.err, result.err)
    bdl("train", "mlp(17)", *TRAIN[2:], "--epochs", "2", "--checkpoint", "saved", "--resume", code=1)


main()
