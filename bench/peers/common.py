# SPDX-License-Identifier: Apache-2.0
"""What the peer scripts share: timing, the one-line JSON report, and readers of the real data.

Nothing here imports a framework, so that each script's resident memory is its own framework's.
"""
import gzip
import json
import os
import resource
import statistics
import tempfile
import time

import numpy as np

# Mean and standard deviation of the training parts; used for the test parts as well.
MNIST_MEAN, MNIST_STD = 0.13066047740239506, 0.3081078
CIFAR_MEAN = (0.4913996898739353, 0.4821584196221302, 0.44653092422369434)
CIFAR_STD = (0.24703223517429462, 0.2434851308749409, 0.26158784442034005)


def peak_rss_mib():
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def percentile(values, share):
    """Nearest-rank percentile; `share` in [0, 1]."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(peer, case, rates, **extra):
    """Prints the result line: rates are images/s of equally long stretches of work."""
    line = {
        "peer": peer, "case": case, "unit": "images/s",
        "median": round(statistics.median(rates), 1),
        "p10": round(percentile(rates, 0.1), 1), "p90": round(percentile(rates, 0.9), 1),
        "peak_rss_mib": round(peak_rss_mib(), 1),
    }
    line.update(extra)
    print(json.dumps(line), flush=True)


def measure(step, batch, seconds, warm_up=3):
    """Calls step() for `seconds` after a warm-up; gives images/s of stretches of about 0.2 s.

    One call is timed first, so that a stretch holds as many calls as fit, and at least one.
    """
    for _ in range(warm_up):
        step()
    start = time.perf_counter()
    step()
    one = time.perf_counter() - start
    calls = max(1, int(0.2 / max(one, 1e-9)))
    rates = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(rates) < 3:
        start = time.perf_counter()
        for _ in range(calls):
            step()
        rates.append(batch * calls / (time.perf_counter() - start))
    return rates


def read_idx(path):
    """An idx file of bytes, plain or gzipped, as an array."""
    if not os.path.exists(path) and os.path.exists(path + ".gz"):
        path += ".gz"
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as file:
        data = file.read()
    rank = data[3]
    if data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * rank:
        raise SystemExit(f"{path}: not an idx file of bytes")
    shape = np.frombuffer(data, ">i4", rank, 4)
    return np.frombuffer(data, np.uint8, int(np.prod(shape)), 4 + 4 * rank).reshape(shape)


def mnist(folder):
    """((x, y), (x, y)) of the training and test part: x float32 (n, 1, 28, 28) normalised, y int64."""
    parts = []
    for part in ("train", "t10k"):
        x = read_idx(os.path.join(folder, f"{part}-images-idx3-ubyte"))
        y = read_idx(os.path.join(folder, f"{part}-labels-idx1-ubyte"))
        x = (x.astype(np.float32) / 255.0 - MNIST_MEAN) / MNIST_STD
        parts.append((x.reshape(-1, 1, 28, 28).astype(np.float32), y.astype(np.int64)))
    return parts


def decode_folder(folder):
    """A folder of images per class, decoded once: (n, 3, 32, 32) bytes and labels in order of name."""
    from PIL import Image
    images, labels = [], []
    for label, name in enumerate(sorted(os.listdir(folder))):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            with Image.open(os.path.join(folder, name, file)) as image:
                images.append(np.asarray(image.convert("RGB")).transpose(2, 0, 1))
            labels.append(label)
    return np.stack(images), np.array(labels, np.int64)


def cifar10_jpeg(folder):
    """Parts of the CIFAR-10 JPEG folders as mnist() gives them; decoded bytes are cached in TMPDIR."""
    mean = np.array(CIFAR_MEAN, np.float32).reshape(1, 3, 1, 1)
    std = np.array(CIFAR_STD, np.float32).reshape(1, 3, 1, 1)
    parts = []
    for part in ("train", "test"):
        source = os.path.join(folder, part)
        key = f"{os.path.abspath(source)}-{os.stat(source).st_mtime_ns}".replace("/", "_")
        cache = os.path.join(tempfile.gettempdir(), f"bdl-peers{key}.npz")
        if not os.path.exists(cache):
            images, labels = decode_folder(source)
            scratch = f"{cache}.{os.getpid()}.npz"
            np.savez(scratch, images=images, labels=labels)
            os.replace(scratch, cache)
        with np.load(cache) as stored:
            x = (stored["images"].astype(np.float32) / np.float32(255) - mean) / std
            parts.append((x, stored["labels"]))
    return parts
