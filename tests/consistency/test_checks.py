#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checks of tools/ find what they are for: each case is a small tree with one fault."""
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get("BDL_SOURCE_DIR") or pathlib.Path(__file__).parents[2])
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
GOOD = SPDX + "static int f(int n)\n{\n    return n; /* strcpy(a, b) */\n}\n"
LONG = SPDX + "static int f(int n)\n{\n" + "    n++;\n" * 78 + "    return n;\n}\n"

# (script, {path: text}, part of the complaint or None for a clean tree)
CASES = [
    ("style", {"src/base/a.c": GOOD}, None),
    ("style", {"src/base/a.c": "int x;\n"}, "[spdx]"),
    ("style", {"src/dnnl/one_thread/a.c": "int x;\n"}, "[spdx]"),
    ("style", {"src/base/a.c": LONG}, "f has 82 lines"),
    ("style", {"src/base/a.c": SPDX + "\n" * 800}, "[file-length]"),
    ("style", {"src/base/a.c": SPDX + "int x = atoi(y);\n"}, "atoi is banned"),
    ("style", {"src/base/a.c": SPDX + "int x = bdl__atoi(y), z = s.rand(y);\n"}, None),
    ("style", {"src/base/a.c": SPDX + 'const char *x = "atoi(";\n'}, None),
    ("style", {"src/base/a.c": SPDX + "#pragma omp parallel for\n"}, "[openmp]"),
    ("style", {"src/base/a.c": SPDX + "#pragma omp simd\n"}, None),
    ("style", {"src/layers/a.c": SPDX + "#include <immintrin.h>\n"}, "[intrinsics]"),
    ("style", {"src/layers/a.c": SPDX + "x = _mm512_add_ps(a, b);\n"}, "[intrinsics]"),
    ("style", {"src/kernels/real.h": SPDX + "#include <immintrin.h>\n"}, None),
    ("style", {"src/kernels/conv_bf16_avx512.c": SPDX + "#include <immintrin.h>\n"}, None),
    ("style", {"src/kernels/a.c": SPDX + "x = expf(y);\n"}, "[libm]"),
    ("style", {"include/bdl/bdl.h": SPDX + "\nBDL_API int bdl_x(void);\n"}, "[documented]"),
    ("style", {"include/bdl/bdl.h": SPDX + "/** What it does. */\nBDL_API int bdl_x(void);\n"}, None),
    ("includes", {"src/base/a.c": '#include "base/b.h"\n#include <bdl/bdl.h>\n#include <stdio.h>\n'}, None),
    ("includes", {"src/base/a.c": '#include "tensor/b.h"\n'}, "src/base may include"),
    ("includes", {"src/kernels/a.c": '#include "tensor/b.h"\n'}, "src/kernels may include"),
    ("includes", {"src/layers/a.c": '#include "plan/plan.h"\n'}, "src/layers may include"),
    ("includes", {"src/layers/a.c": "\nBDL_LAYER_FAMILY(a)\n", "src/layers/b.c": '#include "layers/a.h"\n'}, "each other"),
    ("includes", {"src/layers/a.c": "\nBDL_LAYER_FAMILY(a)\n#include \"layers/layer.h\"\n"}, None),
    ("includes", {"src/graph/a.c": '#include "layers/conv.h"\n'}, "src/graph may include"),
    ("includes", {"src/graph/a.c": '#include "layers/layer.h"\n'}, None),
    ("includes", {"src/train/a.c": '#include "api/a.h"\n'}, "src/train may include"),
    ("includes", {"cli/a.c": '#include "base/a.h"\n'}, "<bdl/bdl.h>"),
    ("includes", {"src/plan/a.c": "#include <dnnl.h>\n"}, "belongs to src/dnnl"),
    ("includes", {"src/exec/a.c": "#include <sys/socket.h>\n"}, "belongs to src/dist"),
    ("includes", {"src/other/a.c": "\n"}, "not in the table"),
]


def run(script, files, expected):
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            file = pathlib.Path(folder, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        command = [sys.executable, ROOT / f"tools/check_{script}.py", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    is_clean = done.returncode == 0 and "1 passed, 0 failed" in done.stdout
    ok = is_clean if expected is None else done.returncode == 1 and expected in done.stdout
    if not ok:
        print(f"FAIL {script} {files}: expected {expected or 'no complaint'}, got:\n{done.stdout}{done.stderr}")
    return ok


def main():
    n_passed = sum(run(*case) for case in CASES)
    print(f"{n_passed} passed, {len(CASES) - n_passed} failed")
    return n_passed != len(CASES)


if __name__ == "__main__":
    sys.exit(main())
