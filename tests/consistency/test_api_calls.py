#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every public function is called by a test in tests/api, which is compiled as C11 and as C++17."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    headers = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "include/bdl").glob("*.h")))
    tests = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests/api").glob("*.c")))
    functions = re.findall(r"^BDL_API[^;(]*?\b(bdl_\w+)\(", headers, re.MULTILINE)
    missing = [name for name in functions if not re.search(rf"\b{name}\(", tests)]
    for name in missing:
        print(f"FAIL {name}: no test in tests/api calls it")
    print(f"{len(functions) - len(missing)} passed, {len(missing) + (not functions)} failed")
    raise SystemExit(bool(missing) or not functions)


main()
