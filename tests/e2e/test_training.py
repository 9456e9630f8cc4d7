# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=300
"""Training as its reader sees it: lines of JSON, progress, limits, files, and what goes wrong early or late."""
import json
import os
import pathlib
import pty
import re
import select
import struct
import time

from e2e import BDL, DIGITS, Skip, bdl, case, check, equal, main, refused, start, table

LENET = ["train", "lenet", "--data", DIGITS]


def last_line(*arguments):
    """Trains with --json; every line must parse; gives the summary."""
    lines = [json.loads(line) for line in bdl("train", *arguments, "--json").out.splitlines()]
    equal([line["event"] for line in lines].count("end"), 1)
    equal(lines[-1]["event"], "end")
    return lines[-1]


@case
def lines_of_json():
    result = bdl(*LENET, "--val", DIGITS, "--epochs", "2", "--save", "model", "--checkpoint", "saved", "--json")
    equal(result.err, "")
    lines = [json.loads(line) for line in result.out.splitlines()]
    equal([line["event"] for line in lines if line["event"] != "step"], ["epoch", "epoch", "end"])
    end = lines[-1]
    equal((end["epoch"], end["iteration"], end["reason"]), (2, 16, "epochs"))
    equal((end["model"], end["checkpoint"]), ("model", "saved"))
    check(re.fullmatch("[0-9a-f]{64}", end["fingerprint"]), end)
    check(0 < end["val_top1"] <= end["val_top5"] <= 1 and end["loss"] > 0 and end["rate"] == 0.05, end)
    lines = bdl("eval", "model", "--data", DIGITS).out.splitlines()
    equal(len(lines), 1)
    line = json.loads(lines[0])
    equal(list(line), ["n", "loss", "top1", "top5"])
    equal((line["n"], round(line["top1"], 6)), (1000, round(end["val_top1"], 6)))
    equal(bdl("eval", "model", "--data", DIGITS, "--json").out, "\n".join(lines) + "\n")


@case
def failed_training_prints_whole_lines():
    """What --json has printed until an error is whole lines."""
    result = bdl("train", "mlp", "--data", DIGITS, "--optim", "sgd(lr=1e30)", "--json", code=1)
    for line in result.out.splitlines():
        json.loads(line)


@case
def plain_progress():
    result = bdl(*LENET, "--epochs", "2", "--val", DIGITS)
    check("\r" not in result.err and "\033" not in result.err, result)
    lines = result.err.splitlines()
    check(len(lines) == 2 and "epoch 1" in lines[0] and "top1" in lines[0] and "samples/s" in lines[0], result)
    check("2 epochs" in result.out and "fingerprint" in result.out, result)
    result = bdl(*LENET, "--epochs", "1", "--quiet")
    equal((result.out, result.err), ("", ""))


@case
def summaries():
    """How much was trained, in whole epochs where there are any, and what ended it."""
    def first_line(*options):
        return bdl(*LENET, *options).out.splitlines()[0].split(" in ")[0]

    equal(first_line("--iterations", "1"), "trained 1 iteration")
    equal(first_line("--iterations", "3"), "trained 3 iterations")
    equal(first_line("--epochs", "1", "--checkpoint", "saved"), "trained 1 epoch, 8 iterations")
    resumed = bdl(*LENET, "--epochs", "2", "--checkpoint", "saved", "--resume").out
    check(resumed.startswith("trained 8 iterations more (in all 2 epochs, 16 iterations) in "), resumed)
    again = bdl(*LENET, "--epochs", "2", "--checkpoint", "saved", "--resume").out
    check(again.startswith("nothing was trained: 2 epochs, 16 iterations were before\n"), again)
    until = ["--epochs", "9", "--until", "loss < 0 or iteration>=5", "--log", "log.jsonl"]
    check("\nstopped by --until: iteration>=5\n" in bdl(*LENET, *until).out)
    with open("log.jsonl", encoding="utf-8") as file:
        logged = json.loads(file.read().splitlines()[-1])
    shown = json.loads(bdl(*LENET, *until, "--json").out.splitlines()[-1])
    for end in (logged, shown):
        equal((end["iteration"], end["reason"], end["condition"]), (5, "until", "iteration>=5"))
    check("condition" not in json.loads(bdl(*LENET, "--iterations", "1", "--json").out.splitlines()[-1]))
    check("\nstopped by --seconds\n" in bdl(*LENET, "--seconds", "0.01").out)


def on_terminal(arguments, seconds=60):
    """Runs the command with stderr on a terminal of its own; gives what it shows."""
    master, slave = pty.openpty()
    process = start(*arguments, stderr=slave)
    os.close(slave)
    shown = b""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([master], [], [], 0.2)[0]:
            if process.poll() is not None:
                break
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not piece:
            break
        shown += piece
    process.communicate(timeout=seconds)
    os.close(master)
    return process.returncode, shown.decode()


@case
def live_line_on_a_terminal():
    code, shown = on_terminal(["train", "lenet", "--data", "digits(count=5000)", "--val", "digits(count=60000)", "--epochs",
                               "2", "--batch", "1", "--threads", "1"])
    equal(code, 0)
    live = [piece for piece in shown.split("\r") if " left" in piece]
    check(live, "no live line in", repr(shown[-500:]))
    check(re.search(r"epoch 1/2 +\d+ %  loss \d+\.\d+  \d+ samples/s  [\d.]+ (s|min.*) left", live[0]), repr(live[0]))
    check(re.search(r"\rvalidating  \d+ of 60000 samples\x1b", shown), repr(shown[-500:]))
    equal(shown.count("validation:"), 2)
    code, shown = on_terminal([*LENET, "--epochs", "1", "--quiet"])
    equal((code, shown), (0, ""))


@case
def time_left():
    """By the speed of training alone: the time that a long validation takes must not count."""
    result = bdl("train", "lenet", "--data", DIGITS, "--val", "digits(count=20000)", "--epochs", "12", "--batch",
                 "1", "--threads", "1", "--json")
    lines = [json.loads(line) for line in result.out.splitlines()]
    steps = [line for line in lines if line["event"] == "step"]
    check(steps, "no progress lines in", result)
    for line in steps:
        left = (12 * 1000 - line["iteration"]) / line["samples_per_second"]
        check(abs(line["seconds_left"] - left) < 0.06 + 0.02 * left, line, left)


@case
def limits():
    equal(last_line("lenet", "--data", DIGITS, "--iterations", "3")["iteration"], 3)
    end = last_line("lenet", "--data", DIGITS, "--val", DIGITS, "--until", "top1>=0.9 or epoch>=2")
    equal((end["epoch"], end["reason"]), (2, "until"))
    end = last_line("lenet", "--data", DIGITS, "--val", DIGITS, "--until", "top1>0.05", "--epochs", "9")
    equal((end["epoch"], end["reason"]), (1, "until"))
    end = last_line("lenet", "--data", DIGITS, "--until", "iteration>=5")
    equal((end["iteration"], end["reason"]), (5, "until"))
    equal(last_line("lenet", "--data", DIGITS, "--epochs", "3", "--iterations", "20")["iteration"], 20)
    refused(*LENET, "--until", "top1>0.1", says="--val")


@case
def last_validation_is_of_the_last_weights():
    end = last_line("lenet", "--data", DIGITS, "--val", DIGITS, "--iterations", "20", "--save", "model")
    line = json.loads(bdl("eval", "model", "--data", DIGITS).out)
    equal(round(end["val_loss"], 5), round(line["loss"], 5))


@case
def settings_that_matter():
    """Seeds, clipping and schedules change the weights; the number of threads does not."""
    def train(*arguments):
        return last_line("lenet", "--data", DIGITS, "--epochs", "1", "--seed", "1", *arguments)["fingerprint"]

    plain = train()
    equal(train("--threads", "1"), plain)
    equal(train("--threads", "3"), plain)
    others = [train("--seed", "2"), train("--clip", "norm(0.1)"), train("--clip", "value(0.001)"),
              train("--schedule", "exponential(gamma=0.5)"), train("--batch", "64"), train("--precision", "f64"),
              train("--optim", "adam(lr=0.001)"), train("--transform", "scale(0.01)")]
    equal(len({plain, *others}), 1 + len(others))


@case
def plateau():
    """The rate falls when what it watches gets no better."""
    end = last_line("lenet", "--data", DIGITS, "--val", DIGITS, "--epochs", "6", "--optim", "sgd(lr=1e-9)",
                    "--schedule", "plateau(monitor=score,mode=max,patience=1)")
    check(end["rate"] < 1e-9, end)
    refused(*LENET, "--schedule", "plateau(monitor=top1)", says="--val")
    refused(*LENET, "--val", DIGITS, "--schedule", "plateau(monitor=top7)", says="top7")


@case
def places_that_cannot_be_written():
    """Found before the first iteration, and nothing is said of progress."""
    open("file", "w").close()
    for option in ("--save", "--checkpoint", "--summary", "--log"):
        for place in ("file/below", "/proc/nowhere", "/nowhere/log" if option == "--log" else "file"):
            message = refused(*LENET, "--epochs", "1000", option, place)
            check(place.split("/")[0] in message and option[2:] in message, message)
    refused(*LENET, "--epochs", "1000", "--log", ".", says="log")


@case
def checkpoints_of_another_run():
    """A new run does not mix with an older one's checkpoints, and says so at the start."""
    train = [*LENET, "--epochs", "1", "--checkpoint", "saved"]
    bdl(*train)
    refused(*train, says=["saved", "resume"])
    result = bdl(*LENET, "--epochs", "2", "--checkpoint", "saved", "--resume")
    check(re.search(r"resuming from saved/step-\d+\.bdlckpt \(after iteration \d+, before epoch 2\)", result.err), result)
    for option in (["--resume"], ["--every", "5"], ["--keep", "2"]):
        refused(*LENET, *option, code=2, says=[f"'{option[0][2:]}'", "'checkpoint'"])
    bdl(*LENET, "--resume=false", "--iterations", "1")
    for every in ("x", "0", "-1", "1.5"):
        refused(*LENET, "--checkpoint", "other", "--every", every, says="every")


@case
def loss_that_is_no_number():
    """Names step and layer; the last checkpoint holds weights from before."""
    train = ["train", "mlp", "--data", DIGITS, "--batch", "100", "--checkpoint", "saved", "--every", "1", "--save", "model"]
    bdl(*train, "--iterations", "3")
    before = last_line(*train[1:], "--iterations", "3", "--resume")["fingerprint"]
    message = refused(*train, "--resume", "--optim", "sgd(lr=1e30,momentum=0.9)", "--epochs", "3", "--quiet")
    check(re.search(r"iteration \d+ \(epoch \d+, step \d+\)", message), message)
    check(re.search(r"layer with such values is '\w+'", message), message)
    names = sorted(os.listdir("saved"))
    check(len(names) == 3 and all(re.fullmatch(r"step-\d{10}\.bdlckpt", name) for name in names), names)
    for name in names[1:]:
        os.remove("saved/" + name)
    equal(last_line(*train[1:], "--iterations", "3", "--resume")["fingerprint"], before)
    check(json.loads(bdl("eval", "model", "--data", DIGITS).out)["loss"] > 0)


@case
def damaged_weights():
    bdl(*LENET, "--epochs", "1", "--save", "model", "--quiet")
    path = pathlib.Path("model/weights.safetensors")
    whole = path.read_bytes()
    for at in (len(whole) - 5, len(whole) // 2, 20, 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        refused("eval", "model", "--data", DIGITS, says="weights.safetensors")
    path.write_bytes(whole[:-7])
    refused("eval", "model", "--data", DIGITS, says="weights.safetensors")
    path.unlink()
    refused("eval", "model", "--data", DIGITS, says="weights.safetensors")
    path.write_bytes(whole)
    bdl("eval", "model", "--data", DIGITS)
    model = pathlib.Path("model/model.json")
    text = model.read_text(encoding="utf-8")
    model.write_text(text.replace('"conv2d"', '"conv2e"', 1), encoding="utf-8")
    refused("eval", "model", "--data", DIGITS, says=["model.json", "'conv2d'"])


@case
def logs():
    bdl(*LENET, "--val", DIGITS, "--epochs", "2", "--log", "log.jsonl", "--checkpoint", "saved")
    lines = [json.loads(line) for line in pathlib.Path("log.jsonl").read_text(encoding="utf-8").splitlines()]
    equal([line["iteration"] for line in lines if line["event"] == "step"], list(range(1, 17)))
    equal([line["event"] for line in lines if line["event"] != "step"],
          ["start", "validation", "epoch", "checkpoint", "validation", "epoch", "checkpoint", "end"])
    check(0 < lines[-1]["validation"]["top1"] <= 1, lines[-1])
    bdl(*LENET, "--val", DIGITS, "--epochs", "3", "--log", "log.jsonl", "--checkpoint", "saved", "--resume")
    check(len(pathlib.Path("log.jsonl").read_text(encoding="utf-8").splitlines()) > len(lines), "the log was not kept")


@case
def going_on_with_a_saved_model():
    """A saved directory is a model to train, with its preprocessing and its classes."""
    table("table.csv")
    data = "csv:table.csv(label=species)"
    first = last_line("mlp", "--data", data, "--epochs", "1", "--save", "one")
    second = last_line("one", "--data", data, "--epochs", "5", "--save", "two")
    check(second["loss"] < first["loss"], first, second)
    equal(json.loads(bdl("eval", "two", "--data", data).out)["n"], 150)


# ---- TensorBoard's event files ----------------------------------------------------------------------

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    data = pathlib.Path(path).read_bytes()
    at = 0
    while at < len(data):
        size, crc = struct.unpack_from("<QI", data, at)
        equal(crc, masked(data[at:at + 8]))
        body = data[at + 12:at + 12 + size]
        equal(struct.unpack_from("<I", data, at + 12 + size)[0], masked(body))
        yield body
        at += 16 + size


def fields(message):
    """Protocol buffer fields of one message: [(number, value)]."""
    at, found = 0, []

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            found.append((key >> 3, varint()))
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        found.append((key >> 3, message[at:at + size]))
        at += size
    return found


def scalars(path):
    found = []
    for i, body in enumerate(records(path)):
        event = dict(fields(body))
        if i == 0:
            equal(event[3], b"brain.Event:2")
            continue
        value = dict(fields(dict(fields(event[5]))[1]))
        found.append((value[1].decode(), event[2], struct.unpack("<f", value[2])[0]))
    return found


@case
def summaries():
    end = last_line("lenet", "--data", DIGITS, "--val", DIGITS, "--epochs", "2", "--summary", "board")
    files = [str(p) for p in pathlib.Path("board").rglob("*tfevents*")]
    equal(sorted(f.split("/")[1] for f in files), ["train", "validation"])
    train = scalars(next(f for f in files if "/train/" in f))
    equal([step for tag, step, _ in train if tag == "Loss"], list(range(1, 17)))
    equal({tag for tag, _, _ in train}, {"Loss", "LearningRate", "Throughput"})
    val = scalars(next(f for f in files if "/validation/" in f))
    equal([(tag, step) for tag, step, _ in val], [(t, s) for s in (8, 16) for t in ("loss", "top1", "top5")])
    check(abs(val[-2][2] - end["val_top1"]) < 1e-6, val, end)


@case
def summaries_read_by_tensorboard():
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise Skip("the package tensorboard is not installed") from None
    bdl(*LENET, "--val", DIGITS, "--epochs", "2", "--summary", "board")
    reader = EventAccumulator("board/train")
    reader.Reload()
    equal([event.step for event in reader.Scalars("Loss")], list(range(1, 17)))
    reader = EventAccumulator("board/validation")
    reader.Reload()
    equal([event.step for event in reader.Scalars("top1")], [8, 16])


check(os.path.exists(BDL), "no command", BDL)
main()
