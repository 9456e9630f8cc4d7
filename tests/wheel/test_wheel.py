# SPDX-License-Identifier: Apache-2.0
# ctest: timeout=900 serial
"""The wheel that tools/make_wheel has built (build/wheel/dist): what it asks of a system, what it holds, that it works in a
fresh environment with an empty PATH and computes what the build under test computes, and that its bits follow from its sources.
"""
import hashlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(os.environ.get("BDL_SOURCE_DIR", pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(ROOT / "tests/e2e"))
from e2e import Skip, bdl, case, check, equal, image_set, main  # noqa: E402 the folder is named above

WORK = ROOT / "build/wheel"
TAG = "py3-none-manylinux_2_28_x86_64"
SYSTEM = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "libgcc_s.so.1", "libstdc++.so.6", "ld-linux-x86-64.so.2"}
home = {}  # the environment that the wheel was installed in


def wheel():
    found = sorted((WORK / "dist").glob("*.whl"))
    check(len(found) == 1, "expected one wheel in", WORK / "dist", "found", found)
    return found[0]


def run(*command, **kwargs):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600, check=False, **kwargs)
    check(done.returncode == 0, f"{command} ended with {done.returncode}:", done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


def unpacked():
    folder = pathlib.Path("wheel")
    if not folder.exists():
        zipfile.ZipFile(wheel()).extractall(folder)
    return folder


def native_files(folder):
    return sorted([*(folder / "bdl/lib").iterdir(), *(folder / "bdl/bin").iterdir()])


def installed():
    """Python of a fresh environment that has the wheel and what it asks for."""
    if not home:
        place = WORK / "test-venv"
        shutil.rmtree(place, ignore_errors=True)
        run(sys.executable, "-m", "venv", place)
        run(place / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel())
        home["bin"] = place / "bin"
    return home["bin"] / "python"


def alone(*command):
    """Runs a command of the fresh environment where no other program can be found."""
    return run(*command, env={"PATH": ""})


@case
def one_wheel_for_old_systems():
    equal(wheel().name.split("-", 2)[2], TAG + ".whl")
    text = run(WORK / "venv/bin/auditwheel", "show", wheel())
    granted = re.search(r'platform tag:\s+"manylinux_(\d+)_(\d+)_x86_64"', text)
    check(granted, "no manylinux tag in:", text)
    check(tuple(map(int, granted.groups())) <= (2, 28), "auditwheel grants only", granted.group(0))
    for file in native_files(unpacked()):
        symbols = run("objdump", "-T", file)
        versions = {tuple(map(int, v.split("."))) for v in re.findall(r"\(?GLIBC_([0-9.]+)", symbols)}
        check(max(versions, default=(0,)) <= (2, 28), file.name, "needs glibc", max(versions, default=None))


@case
def needs_nothing_but_the_system_and_numpy():
    files = native_files(unpacked())
    names = {f.name for f in files}
    equal(names, {"bdl", "libbdl.so", "libbdl_dnnl.so", "libbdl_onednn.so.3", "libbdl_openmp.so"})
    for file in files:
        text = run("readelf", "-d", file)
        needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))
        check(needed <= SYSTEM | names, file.name, "needs", needed - SYSTEM - names)
        for path in re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", text):
            check(path in ("$ORIGIN", "$ORIGIN/../lib"), file.name, "looks in", path)
    metadata = next(unpacked().glob("*.dist-info/METADATA")).read_text()
    needed = [r for r in re.findall(r"^Requires-Dist: (.*)$", metadata, re.M) if "extra ==" not in r]
    check(len(needed) == 1 and needed[0].startswith("numpy"), needed)
    check("Requires-Python: >=3.10" in metadata, metadata)


@case
def exports_the_listed_symbols_only():
    """zlib, PNG, JPEG, JSON and OpenSSL are inside, and nobody else sees them."""
    lists = ROOT / "tests/consistency/symbols.txt"
    run(sys.executable, ROOT / "tools/dump_symbols.py", "--check", unpacked() / "bdl/lib/libbdl.so", lists)
    openmp = run("nm", "-D", "--defined-only", unpacked() / "bdl/lib/libbdl_openmp.so").splitlines()
    asked = run("nm", "-D", "--undefined-only", unpacked() / "bdl/lib/libbdl_onednn.so.3").split()
    equal({line.split()[2] for line in openmp if " A " not in line},
          {name.replace("@", "@@") for name in asked if re.match(r"(omp|GOMP)_.*@", name)})


@case
def brings_the_licences():
    folder = next(unpacked().glob("*.dist-info")) / "licenses/licenses"
    for name in ("bdl", "cjson", "gcc", "libjpeg-turbo", "libpng", "openssl", "zig", "zlib", "onednn/LICENSE",
                 "onednn/THIRD-PARTY-PROGRAMS"):
        text = (folder / name).read_text(encoding="utf-8")
        check(re.search("licen[sc]e|permission", text, re.I) and len(text) > 500, name, "has no licence text")


def hashes(folder):
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(pathlib.Path(folder).iterdir())}


@case
def trains_the_same_weights_as_every_build():
    """From the fresh environment's own command, with an empty PATH: the same files to the last bit."""
    python = installed()
    image_set("images", ["cat", "dog"])
    for i, options in enumerate((["lenet", "--data", "digits(count=1000)", "--epochs", 1],
                                 ["lenet", "--data", "digits(count=1000)", "--epochs", 1, "--precision", "bf16"],
                                 ["mlp", "--data", "images:images", "--epochs", 2])):
        alone(python.parent / "bdl", "train", *options, "--batch", 100, "--save", f"wheel{i}")
        bdl("train", *options, "--batch", 100, "--save", f"build{i}")
        equal(hashes(f"wheel{i}"), hashes(f"build{i}"))


@case
def runs_onednn_without_libgomp():
    doctor = alone(installed().parent / "bdl", "doctor")
    check(re.search(r"^oneDNN +3\.", doctor, re.M), doctor)
    code = ("import bdl, ctypes, pathlib; here = pathlib.Path(bdl.__path__[0]) / 'lib';"
            "ctypes.CDLL(str(here / 'libbdl_dnnl.so')); print(open('/proc/self/maps').read())")
    maps = alone(installed(), "-c", code)
    check("libbdl_onednn" in maps and "libbdl_openmp" in maps, "oneDNN was not loaded:", maps)
    check("libgomp" not in maps, "libgomp was loaded")


@case
def trains_from_python():
    if not (ROOT / "bindings/python/bdl/model.py").exists():
        raise Skip("the Python package is not there yet")
    code = """
import json, numpy, bdl
rng = numpy.random.default_rng(1)
x = rng.normal(size=(256, 4)).astype('float32')
y = (x[:, 0] > x[:, 1]).astype('int64')
model = bdl.Sequential(bdl.nn.Linear(4, 16), bdl.nn.Tanh(), bdl.nn.Linear(16, 2), bdl.nn.LogSoftmax())
model.fit(x, y, epochs=20, batch_size=32)
print(json.dumps(float((model.predict_proba(x).argmax(1) == y).mean())))
"""
    accuracy = json.loads(alone(installed(), "-c", code).splitlines()[-1])
    check(accuracy > 0.9, "accuracy", accuracy)


@case
def importing_is_quick_and_loads_no_onednn():
    code = ("import numpy, time; begin = time.perf_counter(); import bdl; print(time.perf_counter() - begin);"
            "assert 'libbdl_dnnl' not in open('/proc/self/maps').read()")
    seconds = [float(alone(installed(), "-c", code)) for _ in range(5)]
    print(f"import bdl after numpy: median {1000 * statistics.median(seconds):.0f} ms")


@case
def is_reproducible():
    """Built again without a compiler cache, from a copy of the sources in another folder: the same bytes."""
    copy = pathlib.Path("sources")
    files = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / "build/wheel").mkdir(parents=True)
    for fetched in ("wheel/venv", "onednn"):  # checked by SHA-256 when they came
        shutil.copytree(ROOT / "build" / fetched, copy / "build" / fetched, symlinks=True)
    run("bash", "tools/make_wheel", cwd=copy, env={**os.environ, "CCACHE_DISABLE": "1"})
    again = next((copy / "build/wheel/dist").glob("*.whl"))
    if again.read_bytes() == wheel().read_bytes():
        return
    with zipfile.ZipFile(wheel()) as one, zipfile.ZipFile(again) as other:
        equal(other.namelist(), one.namelist())
        differing = [n for n in one.namelist() if one.read(n) != other.read(n)]
        check(False, "these files differ:", differing or "only in how they are packed")


main()
