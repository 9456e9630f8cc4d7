#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The parts of the C style that a script can see: lengths, banned calls, pragmas, intrinsics, first lines, public comments.

    tools/check_style.py [ROOT]

ALLOWED is the reviewed list of exceptions: "path: rule" or "path:function: rule".
"""
import pathlib
import re
import sys

FUNCTION_LINES, FILE_LINES = 80, 800
FOLDERS = ["include/bdl", "src/*", "src/*/*", "cli", "tests", "tests/*", "bench", "examples/c", "bindings/jvm/jni"]

BANNED = set("""strcpy strcat strncpy sprintf vsprintf gets strtok atoi atol atoll atof rand srand random drand48
    system popen alloca setjmp longjmp tmpnam mktemp asctime ctime gmtime localtime""".split())
LIBM = set("""exp exp2 expm1 log log2 log10 log1p pow sqrt cbrt hypot sin cos tan asin acos atan atan2 sinh cosh tanh erf erfc
    tgamma lgamma fma fmod remainder floor ceil round trunc rint nearbyint fabs fmax fmin copysign ldexp frexp""".split())
LIBM |= {name + suffix for name in LIBM for suffix in "fl"}
# These are single instructions or sign bits on every target, exact, and the same in every libm.
LIBM -= {"fabs", "fabsf", "copysign", "copysignf"}

SPDX = "SPDX-License-Identifier: Apache-2.0"
INTRINSICS = re.compile(r"\b(immintrin|arm_neon|x86intrin|emmintrin)\.h\b|\b_mm\d*_\w+|\bv(ld1|st1|add|mul|fma|bsl)q?_f32\b")
CALL = re.compile(r"(?<![\w.>])(\w+)\s*\(")
ALLOWED = set()


def blank(text):
    """The text with comments and literals blanked, line by line."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match[0])
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', spaces, text, flags=re.S)


def functions(lines):
    """(name, first line, length) of each function: a block whose brace closes in column 1."""
    start = name = None
    for i, line in enumerate(lines):
        if start is None and re.match(r"[A-Za-z_].*\(", line):
            header = i
            found = re.findall(r"(\w+)\s*\(", line)
            name = next((n for n in found if n != "__attribute__"), None)
        if start is None and line.rstrip().endswith("{") and not line[:1].isspace() and name is not None:
            if line[0] == "{" or "(" in line or ")" in line:
                start = header
        if line.startswith("}") and start is not None:
            yield name, start + 1, i - start + 1
            start = name = None
        elif line.startswith("}") or line.rstrip().endswith(";") and start is None:
            name = None


def check_lengths(path, lines):
    if len(lines) > FILE_LINES:
        yield path, 1, None, "file-length", f"{len(lines)} lines, at most {FILE_LINES}"
    for name, line, length in functions(lines):
        if length > FUNCTION_LINES:
            yield path, line, name, "function-length", f"{name} has {length} lines, at most {FUNCTION_LINES}"


def check_words(path, lines):
    in_kernels = path.startswith("src/kernels/")
    may_intrinsics = path == "src/kernels/real.h" or re.match(r"src/kernels/.*_(avx512|avx2|sse4|neon|amx)[^/]*$", path)
    for number, line in enumerate(lines, 1):
        for name in CALL.findall(line):
            if name in BANNED:
                yield path, number, None, "banned", f"{name} is banned"
            if in_kernels and name in LIBM:
                yield path, number, None, "libm", f"{name}: kernels call no libm, see real.h"
        if re.match(r"\s*#\s*pragma\s+omp\s+(?!simd\b)", line) or "<omp.h>" in line:
            yield path, number, None, "openmp", "no OpenMP but 'omp simd'"
        if path.startswith(("src/", "cli/", "include/")) and not may_intrinsics and INTRINSICS.search(line):
            yield path, number, None, "intrinsics", "intrinsics only in src/kernels/real.h and files named after the instruction"


def check_public(path, raw):
    """A declaration with BDL_API needs a comment that ends on the line before it."""
    for i, line in enumerate(raw):
        if line.startswith("BDL_API") and not (i and raw[i - 1].rstrip().endswith("*/")):
            yield path, i + 1, None, "documented", "a public function needs a comment directly before it"


def check(path, text):
    raw = text.splitlines()
    lines = blank(text).splitlines()
    if SPDX not in (raw[0] if raw else ""):
        yield path, 1, None, "spdx", f"the first line must be /* {SPDX} */"
    yield from check_lengths(path, lines)
    # Includes are read from the raw text, since <…> and "…" of an include are no literals to blank.
    merged = [r if re.match(r"\s*#\s*include", r) else b for r, b in zip(raw, lines)]
    yield from check_words(path, merged)
    if path.startswith("include/bdl/"):
        yield from check_public(path, raw)


def main(root):
    files = sorted({f for folder in FOLDERS for f in root.glob(folder + "/*.[ch]")})
    n_complaints = 0
    for file in files:
        path = str(file.relative_to(root))
        for where, line, function, rule, why in check(path, file.read_text()):
            if f"{where}: {rule}" in ALLOWED or f"{where}:{function}: {rule}" in ALLOWED:
                continue
            n_complaints += 1
            print(f"{where}:{line}: {why} [{rule}]")
    print(f"{len(files)} files, {n_complaints} complaints")
    print(f"{int(not n_complaints)} passed, {int(bool(n_complaints))} failed")
    return bool(n_complaints)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()))
