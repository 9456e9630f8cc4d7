#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# ctest: long timeout=7200
"""Flips one sign at a time in everything that a layer's backward reaches, and expects a test to fail each time.

    tests/strength/test_flip_signs.py [--work DIR] [--only TEXT] [--list]

A copy of the source is built once in which each sign can be turned around by a number in the environment: `x - y` becomes
`x - FLIP(17) * y`, and FLIP(17) is 1, or -1 where BDL_FLIP is 17. Signs are looked for in the functions of src/layers and
src/kernels that can be reached from a function called *backward*; where a factor does not compile (an index, a pointer)
there is no sign to flip. The run fails if a flip survives all tests, and if a layer with a gradient has no flip that its
own cases in tests/layers notice: a new layer is covered without being named here, or fails.
Two processors take about twenty minutes. The copy and the build are in build/strength.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("src/kernels", "src/layers")
LANGUAGE = ("real.h", "real_math.h", "real_wide.h")  # what kernels are written in; tests/unit/kernels_math.c
COPIED = ("src", "include", "cmake", "tests", "bindings", "third_party", "CMakeLists.txt", "CMakePresets.json", "VERSION",
          "tools")
ROUNDS = 12
TIMEOUT = 600  # seconds, as that of the longest of these tests in tests/layers

# What is run against a flip, in this order, until something fails: for which files, small or not (BDL_TEST_SMALL keeps to the
# first case of each layer), program and arguments. OWN stands for the layers of the file, which notice most flips.
OWN = "OWN"
TESTS = (
    ("winograd", False, "layers/generic", "--check", "targets", "--case", OWN),
    (".", False, "layers/generic", "--check", "gradient", "--case", OWN),
    (".", False, "layers/generic", "--check", "targets", "--case", OWN),
    (".", False, "layers/generic", "--check", "adding", "--case", OWN),
    ("loss", False, "unit/layers_loss"),
    ("norm", False, "layers/norm"),
    ("pool", False, "layers/pool"),
    ("shape", False, "layers/pad"),
    ("dropout", False, "layers/dropout"),
    (".", True, "layers/generic", "--check", "gradient"),
    (".", True, "layers/generic", "--check", "reference"),
    (".", True, "layers/generic", "--check", "adding"),
    (".", False, "golden/layers"),
    (".", False, "layers/generic", "--check", "gradient"),
    (".", False, "layers/generic", "--check", "targets"),
    ("linear|features|tile", False, "unit/kernels_linear"),
    ("conv|winograd|features|lanes|tile", False, "unit/kernels_conv"),
    (".", False, "golden/nets"),
    (".", False, "layers/generic"),
)

# Flips that change no value that anybody may rely on: (file, part of the line) -> why.
HARMLESS = {}

# Layers whose gradient is 0, which has no sign.
FLAT = {"floor"}

HEADER = """/* Made by tests/strength/test_flip_signs.py. */
extern float bdl_flips[];
#ifdef BDL_TARGET_F64
#define FLIP(i) ((double)bdl_flips[i])
#else
#define FLIP(i) (bdl_flips[i])
#endif
"""

SOURCE = """/* Made by tests/strength/test_flip_signs.py. */
#include <stdlib.h>
float bdl_flips[%(n)d];
__attribute__((constructor)) static void fill(void)
{
    const char *flipped = getenv("BDL_FLIP");
    for (int i = 0; i < %(n)d; i++) {
        bdl_flips[i] = 1;
    }
    if (flipped) {
        bdl_flips[atoi(flipped)] = -1;
    }
}
"""


# ---- functions and what they reach


class Function:
    """A function of a source file, or the part of a macro that makes backward functions."""

    def __init__(self, path, name, begin, end, head):
        self.path, self.name, self.begin, self.end, self.head = path, name, begin, end, head
        self.calls = set()


def blank(text):
    """The text without comments and strings, everything else in its place."""
    pattern = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def functions_of(path, text):
    """The functions that begin at column 0."""
    found = []
    for m in re.finditer(r"^(?![#{}\s/])([^;{}#]*?)\n\{\n(.*?)^\}", text, re.M | re.S):
        head = m.group(1)
        name = re.search(r"\bK\((\w+)\)\(", head) or re.search(r"\b([FD]\(\w+\))", head) or re.search(r"(\w+)\(", head)
        if name:
            short = name.group(1).replace("F(", "f_").replace("D(", "d_").rstrip(")")
            found.append(Function(path, short, m.start(2), m.end(2), head))
    for m in re.finditer(r"^#define (?:.*\\\n)+.*", text, re.M):
        begin = m.group().find("backward_##")
        if begin >= 0:
            found.append(Function(path, "backward_##", m.start() + begin, m.end(), ""))
    return found


def reached(texts):
    """The functions that can be reached from one that is called *backward*."""
    functions = [f for path, text in texts.items() for f in functions_of(path, text)]
    by_name = {}
    for f in functions:
        by_name.setdefault(f.name, []).append(f)
    todo = [f for f in functions if "backward" in f.name]
    seen = set(todo)
    while todo:
        f = todo.pop()
        body = texts[f.path][f.begin : f.end]
        # d_##name stands for all that such a macro makes.
        prefixes = re.findall(r"\b(\w+_)##", body)
        names = set(re.findall(r"\w+", body)) | {n for n in by_name if n.startswith(tuple(prefixes or ["##"]))}
        for name in names & set(by_name):
            same = [g for g in by_name[name] if g.path == f.path]
            for g in same or by_name[name]:
                if g not in seen:
                    seen.add(g)
                    todo.append(g)
    return [f for f in functions if f in seen]


# ---- signs


class Site:
    def __init__(self, path, line, last_line, insertions, text):
        self.path, self.line, self.last_line, self.insertions, self.text = path, line, last_line, insertions, text
        self.i = None


def closing(text, at, stops):
    """The first place from `at` on, outside parentheses, of one of these characters, or of a parenthesis too many."""
    depth = 0
    for i in range(at, len(text)):
        c = text[i]
        if depth == 0 and c in stops:
            return i
        depth += (c in "([{") - (c in ")]}")
        if depth < 0:
            return i
    return len(text)


def nesting(body):
    """For each character, how many parentheses and brackets are open before it."""
    depth, depths = [0, 0], []
    for c in body:
        depths.append(tuple(depth))
        if c in "()":
            depth[0] += 1 if c == "(" else -1
        elif c in "[]":
            depth[1] += 1 if c == "[" else -1
    return depths


def is_zero(expression):
    return re.fullmatch(r"\s*(\(void\)\w+, )*(R\()?0\)?\s*", expression) is not None


def sites_of(f, text):
    """[(where it begins and ends, insertions)] of a function; an insertion is (where, text)."""
    body = text[f.begin : f.end]
    depths = nesting(body)
    found, places = [], []

    def add(begin, end=None):
        if end is None:
            found.append((begin, closing(body, begin, ",;"), [(begin, "FLIP(@) * ")]))
        elif not is_zero(body[begin:end]):
            found.append((begin, end, [(begin, "FLIP(@) * ("), (end, ")")]))

    for m in re.finditer(r"\br_fma\(", body):
        add(m.end())
    for m in re.finditer(r"\b(?:store|put)\(", body):  # (place, value, whether it adds)
        begin = closing(body, m.end(), ",") + 2
        places.append(range(m.end(), begin))
        add(begin, closing(body, begin, ","))
    if not re.search(r"\b(bool|r_mask)\b[^(]*\(", f.head):
        for m in re.finditer(r"\breturn ", body):
            begin, end = m.end(), closing(body, m.end(), ";")
            if not re.search(r"\bBDL__[A-Z0-9_]+\b(?!\()", body[begin:end]):  # a choice has no sign
                add(begin, end)
    for m in re.finditer(r"[+-]= ", body):
        if depths[m.start()] == (0, 0):
            add(m.end(), closing(body, m.end(), ";"))
    for m in re.finditer(r"(?<=[\]\)\w]) = ", body):
        before = body[: m.start()].rsplit(";", 1)[-1].rsplit("{", 1)[-1].rsplit("}", 1)[-1].strip(" \\\n")
        if depths[m.start()] == (0, 0) and re.match(r"\*\w+(\+\+)?$|[\w>.-]+\[[^=]*\]$", before):
            add(m.end(), closing(body, m.end(), ";"))
    for m in re.finditer(r"(?<=[\w\])]) [+-] (?=\S)", body):
        line = body[body.rfind("\n", 0, m.start()) + 1 : m.start()]
        is_place = any(m.start() in place for place in places)
        if depths[m.start()][1] == 0 and not is_place and not re.match(r"\s*(\} else )?(for|if|while|switch)\b", line):
            add(m.end())
    return [(f.begin + at, f.begin + end, [(f.begin + where, what) for where, what in insertions])
            for at, end, insertions in found]


def find_sites(sources):
    texts = {path: blank(text) for path, text in sources.items()}
    sites = []
    for f in reached(texts):
        for at, end, insertions in sites_of(f, texts[f.path]):
            line = sources[f.path].count("\n", 0, at) + 1
            last_line = sources[f.path].count("\n", 0, end) + 1
            shown = sources[f.path].splitlines()[line - 1].strip(" \\")
            sites.append(Site(f.path, line, last_line, insertions, shown))
    for i, site in enumerate(sites):
        site.i = i
    return sites


# ---- the build


def write_if_changed(path, text):
    if not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)


def copy_source(there):
    """Copies what is newer or not there."""
    for name in COPIED:
        source = os.path.join(ROOT, name)
        paths = [source] if os.path.isfile(source) else [os.path.join(d, f) for d, _, files in os.walk(source) for f in files]
        for path in paths:
            target = os.path.join(there, os.path.relpath(path, ROOT))
            if os.path.dirname(os.path.relpath(path, ROOT)) in FOLDERS and os.path.basename(path) not in LANGUAGE:
                continue
            if not os.path.exists(target) or os.path.getmtime(path) > os.path.getmtime(target):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copy(path, target)


def write_flips(there, sources, sites):
    """Writes the files with those flips that are still sites."""
    for path, text in sources.items():
        insertions = [(where, site.i, what) for site in sites if site.path == path for where, what in site.insertions]
        # Behind one place the later ones go in first, so that what closes goes before what opens.
        for where, i, what in sorted(insertions, key=lambda x: (x[0], not x[2].startswith(")"), x[1]), reverse=True):
            text = text[:where] + what.replace("@", str(i)) + text[where:]
        write_if_changed(os.path.join(there, path), text)


def compile_all(there, build, targets):
    command = ["cmake", "--build", build, "--target", *targets, "--", "-k", "0"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def drop_refused(there, build, sites, output):
    """Takes out the sites at which the compiler complained. Lines stay as they were, because nothing adds one."""
    complaints = re.findall(r"^(\S+?):(\d+):\d+: (?:error|note|warning)", output, re.M)
    lines = {(os.path.relpath(os.path.join(build, path), there), int(line)) for path, line in complaints}
    return [s for s in sites if not any((s.path, i) in lines for i in range(s.line, s.last_line + 1))]


def build_flips(work, sources, sites):
    """Builds the copy; returns the sites that compile."""
    there, build = os.path.join(work, "source"), os.path.join(work, "build")
    targets = sorted({"test_" + t[2].replace("/", "_") for t in TESTS})
    n = len(sites)
    copy_source(there)
    compiler = open(os.path.join(ROOT, "cmake/compiler.cmake"), encoding="utf-8").read()
    if "-O3)" not in compiler:
        sys.exit("test_flip_signs: cmake/compiler.cmake no longer sets -O3 for kernels")
    write_if_changed(os.path.join(there, "cmake/compiler.cmake"), compiler.replace("-O3)", "-O1)"))
    write_if_changed(os.path.join(there, "flips.h"), HEADER)
    write_if_changed(os.path.join(there, "src/base/flips.c"), SOURCE % {"n": max(n, 1)})
    write_flips(there, sources, sites)
    subprocess.run(
        ["cmake", "-S", there, "-B", build, "-G", "Ninja", "-DBDL_ONEDNN=OFF", "-DBDL_IMAGES=OFF", "-DBDL_WERROR=ON",
         "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_C_FLAGS=-O1 -include {there}/flips.h"],
        check=True, stdout=subprocess.DEVNULL)
    for _ in range(ROUNDS):
        result = compile_all(there, build, targets)
        if result.returncode == 0:
            return sites
        kept = drop_refused(there, build, sites, result.stdout)
        if len(kept) == len(sites):
            break
        sites = kept
        write_flips(there, sources, sites)
    print(result.stdout[-4000:])
    sys.exit("test_flip_signs: the copy with flips does not compile")


# ---- the runs


class Undecided(Exception):
    """A test neither passed nor failed in time."""


def run_test(build, test, flip):
    """(whether it failed, the layers whose cases failed); a slow machine and a flip that hangs look alike"""
    _, is_small, program, *arguments = test
    if program == "layers/generic":
        arguments.append("--brief")
    environment = dict(os.environ, BDL_SOURCE_DIR=ROOT, BDL_BUILD_DIR=build, BDL_TEST_SMALL=str(int(is_small)))
    if flip is not None:
        environment["BDL_FLIP"] = str(flip)
    try:
        result = subprocess.run([os.path.join(build, "tests", program), *arguments], env=environment, timeout=TIMEOUT,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    except subprocess.TimeoutExpired as error:
        raise Undecided(f"{name_of(test)} took more than {TIMEOUT} s") from error
    return result.returncode != 0, set(re.findall(r"^FAIL (\w+)", result.stdout, re.M))


def name_of(test):
    return " ".join(test[2:]) + (" (small)" if test[1] else "")


def users_of(header):
    """The files of src/layers that include a header, also by way of a header there."""
    users = []
    for name in sorted(os.listdir(os.path.join(ROOT, "src/layers"))):
        if f'#include "{header}"' in open(os.path.join(ROOT, "src/layers", name), encoding="utf-8").read():
            users += [name] if name.endswith(".c") else users_of("layers/" + name)
    return users


def own_layers(path, layers):
    """The layers of a file, or those whose files use a kernel's header: "relu,elu"; other kernels are those of products."""
    stem = os.path.splitext(os.path.basename(path))[0]
    files = [stem + ".c"] if path.startswith("src/layers") else users_of(f"kernels/{stem}.h")
    text = "".join(open(os.path.join(ROOT, "src/layers", name), encoding="utf-8").read() for name in files)
    own = [layer for layer in sorted(layers) if f'"{layer}"' in text]
    return ",".join(own or ["conv2d", "linear"])


def tests_of(path, layers):
    """The tests for flips in a file, with its own layers for OWN."""
    own = own_layers(path, layers)
    return [tuple(own if word == OWN else word for word in test) for test in TESTS if re.search(test[0], path)]


def try_flip(build, site, layers_there):
    """(what became of it, the test that noticed or what there is to say, the layers whose cases noticed)"""
    harmless = [why for (path, part), why in HARMLESS.items() if site.path == path and part in site.text]
    try:
        for test in tests_of(site.path, layers_there):
            failed, layers = run_test(build, test, site.i)
            if failed and harmless:
                return "NOT HARMLESS", name_of(test), set()
            if failed:
                return "ok", name_of(test), layers
    except Undecided as error:
        return "UNDECIDED", str(error), set()
    return ("ok", harmless[0], set()) if harmless else ("SURVIVED", "all tests", set())


def layers_with_gradient(build):
    output = subprocess.run([os.path.join(build, "tests/layers/generic"), "--layers"], stdout=subprocess.PIPE, text=True,
                            check=True).stdout
    return {line.split()[0] for line in output.splitlines() if line.endswith(" backward")} - FLAT


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default=os.path.join(ROOT, "build/strength"))
    parser.add_argument("--only", default="", help="keep to flips whose file:line or text has this")
    parser.add_argument("--list", action="store_true", help="print the flips that there are")
    arguments = parser.parse_args()
    sources = {}
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(ROOT, folder))):
            if name.endswith((".c", ".h")) and name not in LANGUAGE:
                path = f"{folder}/{name}"
                sources[path] = open(os.path.join(ROOT, path), encoding="utf-8").read()
    sites = build_flips(arguments.work, sources, find_sites(sources))
    build = os.path.join(arguments.work, "build")
    sites = [s for s in sites if arguments.only in f"{s.path}:{s.line} {s.text}"]
    if arguments.list:
        for s in sites:
            print(f"{s.i} {s.path}:{s.line}: {s.text}")
        return
    for test in TESTS:
        is_whole = len(test) == 3  # what the others run is a part of these
        if is_whole and any(re.search(test[0], site.path) for site in sites) and run_test(build, test, None)[0]:
            sys.exit(f"test_flip_signs: {name_of(test)} fails without a flip")
    expected = layers_with_gradient(build)
    n_failed, noticing = 0, set()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for site, (outcome, what, layers) in zip(sites, pool.map(lambda s: try_flip(build, s, expected), sites)):
            noticing |= layers
            n_failed += outcome != "ok"
            shown = "" if outcome == "ok" else f" (flip {site.i}): {site.text}"
            print(f"{outcome} {site.path}:{site.line}: {what}{shown}", flush=True)
    n_passed = len(sites) - n_failed
    for layer in sorted(expected - noticing) if not arguments.only else []:
        n_failed += 1
        print(f"FAIL {layer}: no flip that its cases notice")
    print(f"{len(sites)} flips, noticed by cases of {len(expected & noticing)} of {len(expected)} layers:",
          " ".join(sorted(expected & noticing)))
    print(f"{n_passed} passed, {n_failed} failed")
    sys.exit(n_failed > 0)


if __name__ == "__main__":
    main()
