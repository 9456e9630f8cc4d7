# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=300
"""bdl launch: local ranks end with the bits of `bdl train`, stop together, and fail together."""
import hashlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import time

from e2e import BDL, Skip, bdl, case, check, equal, main, png, refused, start

LENET = ["train", "lenet", "--data", "digits(count=1500)", "--val", "digits(count=700)", "--batch", "100", "--epochs", "2",
         "--json"]
LONG = ["train", "mlp(16)", "--data", "digits(count=2000)", "--batch", "64", "--json"]


def end_of(result):
    return json.loads(result.out.splitlines()[-1])


def weights_of(folder):
    return hashlib.sha256(pathlib.Path(folder, "weights.safetensors").read_bytes()).hexdigest()


def same_everywhere(train, ranks):
    want = end_of(bdl(*train, "--save", "alone", "--threads", 2))
    for n in ranks:
        got = end_of(bdl("launch", "-n", n, "--threads", 1, "--", *train, "--save", f"ranks{n}"))
        for key in want.keys() - {"seconds", "samples_per_second", "model"}:
            equal((n, key, got[key]), (n, key, want[key]))
        equal(weights_of(f"ranks{n}"), weights_of("alone"))
    return want


def ranks_of(process):
    """Process numbers of the launcher's children, by rank: they were started in that order."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        text = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
        if len(text.split()) == 3:
            return sorted(map(int, text.split()))
        time.sleep(0.01)
    raise AssertionError("no ranks were started")


def wait_for_events(path, kind, n):
    end = time.monotonic() + 60
    while not os.path.exists(path) or pathlib.Path(path).read_text(encoding="utf-8").count(f'"{kind}"') < n:
        check(time.monotonic() < end, f"no {n} times '{kind}' in", path)
        time.sleep(0.01)


def wait_for_steps(path):
    wait_for_events(path, "step", 3)


@case
def two_and_three_ranks_train_as_one():
    same_everywhere(LENET, (2, 3))


@case
def mnist_trains_as_one():
    folder = pathlib.Path(os.environ.get("BDL_TEST_DATA", "/nowhere"), "mnist/gz")
    if not folder.is_dir():
        raise Skip("mnist/gz is not in BDL_TEST_DATA")
    end = same_everywhere(["train", "lenet", "--data", f"mnist:{folder}", "--val", f"mnist:{folder}", "--batch", "512",
                           "--epochs", "1", "--json"], (2, 3))
    check(end["val_top1"] > 0.9, end)


@case
def standard_files_may_be_closed():
    train = ["train", "mlp(4)", "--data", "digits(count=100)", "--batch", "50", "--iterations", "2"]
    command = " ".join(f"'{word}'" for word in [BDL, "launch", "-n", "2", "--", *train, "--save", "model", "--log",
                                                 "log.jsonl"])
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        ended = subprocess.run(f"{command} {closed}", shell=True, capture_output=True, timeout=60, check=False)
        equal((closed, ended.returncode), (closed, 0))
        for line in pathlib.Path("log.jsonl").read_text(encoding="utf-8").splitlines():
            json.loads(line)
        check(os.path.exists("model/weights.safetensors"), closed)
    ended = subprocess.run(f"{command} >&-", shell=True, capture_output=True, timeout=60, check=False)
    equal(ended.returncode, 1)
    check(b"cannot write to standard output" in ended.stderr, ended.stderr)


@case
def few_files_are_enough_for_few_ranks():
    bdl("launch", "-n", 2, "--threads", 1, "--", *LONG, "--iterations", 2,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)))


@case
def too_few_files_end_the_launch():
    """With an open standard input from which nothing comes."""
    nothing, end = os.pipe()
    process = start("launch", "-n", 20, "--", *LONG, "--iterations", 2, stdin=nothing,
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16)))
    _, err = process.communicate(timeout=60)
    os.close(nothing)
    os.close(end)
    equal(process.returncode, 1)
    check(err.startswith(b"bdl launch: cannot make a pipe: "), err)


@case
def ctrl_c_saves_and_one_process_goes_on():
    process = start("launch", "-n", 3, "--", *LONG, "--epochs", 1000000, "--checkpoint", "saved", "--log", "log.jsonl")
    wait_for_steps("log.jsonl")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    equal(process.returncode, 130)
    check(b"cancelled" in err, err)
    iteration = json.loads(out.splitlines()[-1])["iteration"]
    got = end_of(bdl(*LONG, "--iterations", iteration + 40, "--checkpoint", "saved", "--resume"))
    want = end_of(bdl(*LONG, "--iterations", iteration + 40))
    equal(got["fingerprint"], want["fingerprint"])


@case
def ctrl_c_at_the_start_ends_all_ranks():
    """Some ranks watch for signals then, and some do not yet; some know the others, and some wait for them."""
    for i in range(16):
        number = signal.SIGTERM if i % 2 else signal.SIGINT
        process = start("launch", "-n", 3, "--", *LONG, "--epochs", 1000000)
        ranks = ranks_of(process)
        time.sleep(i * 0.002)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        equal((i, process.returncode, err.decode()), (i, 128 + number, err.decode()))
        equal([pid for pid in ranks if os.path.exists(f"/proc/{pid}")], [])


@case
def a_chosen_number_of_shards_is_kept_and_told():
    want = same_everywhere([*LENET, "--shards", 3], (2, 3))
    equal(want["shards"], 3)
    err = bdl("launch", "-n", 3, "--", *LENET[:-1], "--shards", 3, "--iterations", 1).err
    check("3 ranks x 1 thread: of a step's 7 slices of 16 samples, in 3 shards, a thread has up to 3, so that 22 % of the "
          "time is waiting; a batch of 96 or 144 divides evenly" in err, err)
    err = bdl("launch", "-n", 2, "--", *LENET[:-1], "--shards", 3, "--iterations", 1).err
    check("a multiple of 2 shards does better" in err, err)
    err = bdl(*LENET[:-1], "--threads", 2, "--shards", 1, "--iterations", 1).err
    check("2 threads: a step has 1 shard" in err and "with 2 shards each has its own" in err, err)
    err = bdl("launch", "-n", 2, "--", *LENET[:-1], "--batch", 128, "--shards", 4, "--iterations", 1).err
    check("2 ranks x 1 thread: a step's 4 shards divide evenly, 2 for each thread" in err, err)
    other = end_of(bdl(*LENET))
    equal(other["shards"], 7)
    check(other["fingerprint"] != want["fingerprint"], want)


@case
def broken_files_train_alike():
    """So many that shards lack slices, and some have none."""
    for i in range(192):
        path = pathlib.Path(f"set/{'cat' if i % 2 else 'dog'}/{i:03}.png")
        if i % 12 == 0:
            png(path, 4, 4, [(i * 37 + k * 11) % 256 for k in range(16)])
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("nothing", encoding="utf-8")
    train = ["train", "mlp(12)", "--data", "images:set", "--batch", "192", "--epochs", "4", "--most-broken", "1", "--json"]
    for shards in (0, 3, 5):
        same_everywhere([*train, "--shards", shards], (2, 3))


@case
def ctrl_c_gives_up_a_long_iteration():
    """One of some 3 million million operations, which all ranks leave: nothing was trained, so nothing is saved."""
    nodes = [{"name": f"c{i}", "type": "conv2d", "params": {"out_channels": 512, "kernel_size": 3, "padding": 1},
              "inputs": [f"c{i - 1}" if i else "input"]} for i in range(4)]
    nodes += [{"name": "f", "type": "flatten", "inputs": ["c3"]}, {"name": "l", "type": "linear",
               "params": {"out_features": 4}, "inputs": ["f"]}, {"name": "s", "type": "log_softmax", "inputs": ["l"]}]
    with open("slow.json", "w", encoding="utf-8") as file:
        json.dump({"name": "slow", "inputs": [{"name": "input", "shape": [512, 28, 28]}], "nodes": nodes}, file)
    process = start("launch", "-n", 2, "--threads", 1, "--", "train", "slow.json", "--batch", 64,
                    "--data", "synthetic(count=64,shape=[512,28,28],classes=4)",
                    "--precision", "fp32_exact", "--checkpoint", "saved", "--log", "log.jsonl")
    wait_for_events("log.jsonl", "start", 1)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    equal(process.returncode, 130)
    check(b"cancelled before iteration 1: nothing was trained" in err, err)
    equal(os.listdir("saved") if os.path.isdir("saved") else [], [])


@case
def a_killed_rank_ends_all():
    for rank in (2, 0):
        process = start("launch", "-n", 3, "--", *LONG, "--epochs", 1000000, "--log", f"log{rank}.jsonl")
        pids = ranks_of(process)
        wait_for_steps(f"log{rank}.jsonl")
        os.kill(pids[rank], signal.SIGKILL)
        begin = time.monotonic()
        err = process.communicate(timeout=60)[1].decode()
        check(time.monotonic() - begin < 30, "took too long")
        equal(process.returncode, 1 if rank else 137)
        check(f"rank {rank} was killed by signal 9" in err, err)
        check(f"rank {rank}" in err.replace(f"rank {rank} was killed", ""), "the others name the rank that is lost:", err)
        check(not any(os.path.exists(f"/proc/{pid}") for pid in pids), "ranks are left")


@case
def ranks_that_cannot_be_started_end_the_launch():
    silent, held = os.pipe()  # an input that neither gives anything nor ends
    result = bdl("launch", "-n", 8, "--", *LONG, code=1, stdin=silent,
                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (14, 14)))
    os.close(silent)
    os.close(held)
    check("cannot make a pipe: Too many open files" in result.err, result)


@case
def wrong_use_is_told():
    err = refused("launch", "--", "train", code=2, says="needs -n")
    check("bdl launch --help" in err, err)
    refused("launch", "-n", "0", "--", "train", code=2, says=["-n needs a number", "'0'"])
    refused("launch", "-n", "2", "--", "eval", code=2, says="train")
    refused("launch", "-n", "2", "--", "train", "lenet", "--data", "digits(count=100)", "--bath", "5", code=2, says="batch")
    refused("launch", "-n", "3", "--", "train", "lenet", "--data", "digits(count=100)", "--batch", "20", "--quiet",
            says=["a batch of 20 samples has 2 shards", "3 ranks", "at least 48"])
    refused("launch", "-n", "2", "--", "train", "lenet", "--data", "mnist:nowhere", "--quiet", says="nowhere")
    check("ranks" in bdl("launch", "--help").out)


main()
