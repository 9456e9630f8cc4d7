# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: running the command in a folder of its own, small data, and the closing line.

A test file holds functions with @case and ends with main(). Each case gets an empty folder as its working directory.
"""
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib

BDL = os.environ.get("BDL", "build/release/bin/bdl")
DIGITS = "digits(count=1000)"
cases = []
started = []  # processes of the running case


class Skip(Exception):
    """Raised by a case that cannot run here."""


def case(function):
    cases.append(function)
    return function


def check(fact, *what):
    if not fact:
        raise AssertionError(" ".join(str(w) for w in what) or "not so")


def equal(got, want):
    check(got == want, f"got {got!r}, expected {want!r}")


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\nstdout: {self.out[-1500:]}\nstderr: {self.err[-1500:]}"


def start(*arguments, **kwargs):
    """The command as a process whose output can be read."""
    kwargs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **kwargs}
    process = subprocess.Popen([BDL, *map(str, arguments)], **kwargs)
    started.append(process)
    return process


def bdl(*arguments, code=0, **kwargs):
    """Runs the command to its end and checks its exit code."""
    process = start(*arguments, **kwargs)
    out, err = process.communicate(timeout=240)
    result = Result(process.returncode, (out or b"").decode(), (err or b"").decode())
    check(result.code == code, f"bdl {' '.join(map(str, arguments))}: expected exit {code}:", result)
    return result


def refused(*arguments, code=1, says=()):
    """The command fails with one line on stderr that holds all of `says`, and says nothing on stdout."""
    result = bdl(*arguments, code=code)
    lines = result.err.splitlines()
    check(len(lines) == 1 and lines[0].startswith("bdl"), "expected one line on stderr:", result)
    for word in [says] if isinstance(says, str) else says:
        check(word in lines[0], f"expected '{word}' in:", lines[0])
    equal(result.out, "")
    return lines[0]


def png(path, width, height, values, channels=1):
    """Writes 8-bit grey or RGB pixels as a PNG file."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    row = width * channels
    raw = b"".join(b"\0" + bytes(values[y * row:(y + 1) * row]) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) +
                                   chunk(b"IEND", b""))


def npy(path, kind, shape, values):
    """Writes a NumPy file; `kind` is such as '<f4' or '|u1'."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(shape)!r}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    code = {"<f4": "f", "|u1": "B", "<i8": "q"}[kind]
    pathlib.Path(path).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header +
                                   struct.pack(f"<{len(values)}{code}", *values))


def table(path, n=150):
    """Three classes that are easy to tell apart, by name."""
    draw = random.Random(1)
    lines = ["a,b,c,d,species"]
    for i in range(n):
        k = i % 3
        lines.append(",".join(f"{draw.gauss(3 * k - 3, 0.5):.3f}" for _ in range(4)) + "," + ["red", "green", "blue"][k])
    pathlib.Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def image_set(folder, names, n=12):
    """Grey 8x8 images, one folder a class: cats are dark, dogs are bright."""
    draw = random.Random(len(names))
    for name in names:
        middle = 60 if name == "cat" else 180
        for i in range(n):
            png(f"{folder}/{name}/{i:02}.png", 8, 8, [draw.randint(middle - 50, middle + 50) for _ in range(64)])


def main():
    chosen = sys.argv[1:]
    n_failed, skipped = 0, []
    stem = pathlib.Path(sys.argv[0]).stem.replace("test_", "")
    for function in cases:
        name = f"e2e.{stem}.{function.__name__}"
        if chosen and function.__name__ not in chosen:
            continue
        folder = tempfile.mkdtemp(prefix="bdl-e2e-")
        here, begin = os.getcwd(), time.monotonic()
        os.chdir(folder)
        try:
            function()
            print(f"ok   {name}  {time.monotonic() - begin:.1f} s", flush=True)
        except Skip as reason:
            skipped.append(name)
            print(f"SKIP {name}: {reason}", flush=True)
        except Exception:  # every failure of a case is reported, and the next one runs
            n_failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
        finally:
            for process in started:
                if process.poll() is None:
                    process.kill()
                    process.communicate()
            started.clear()
            os.chdir(here)
            shutil.rmtree(folder, ignore_errors=True)
    n = len([f for f in cases if not chosen or f.__name__ in chosen])
    tail = f", {len(skipped)} skipped" if skipped else ""
    print(f"{n - n_failed - len(skipped)} passed, {n_failed} failed{tail}")
    sys.exit(1 if n_failed else 0)
