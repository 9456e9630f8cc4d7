#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The symbols that libbdl.so exports, compared with the committed list or written to it.

    tools/dump_symbols.py --check|--write LIBRARY LIST
"""
import re
import subprocess
import sys


def exported(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    symbols = (line.split()[1:] for line in out.splitlines())
    return sorted(name for kind, name in symbols if kind != "A")


def main(arguments):
    if len(arguments) != 3 or arguments[0] not in ("--check", "--write"):
        print(__doc__, file=sys.stderr)
        return 2
    mode, library, path = arguments
    symbols = exported(library)
    bad = [name for name in symbols if not re.fullmatch(r"bdl_[a-z0-9][a-z0-9_]*@@BDL_\d+", name)]
    for name in bad:
        print(f"{name}: an exported name is bdl_<noun>_<verb> with a version BDL_<n>")
    if mode == "--write":
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(name + "\n" for name in symbols)
        print(f"{len(symbols)} symbols written to {path}")
        return bool(bad)
    with open(path, encoding="utf-8") as committed:
        expected = committed.read().split()
    for name in sorted(set(expected) - set(symbols)):
        print(f"{name}: in the list, not exported")
    for name in sorted(set(symbols) - set(expected)):
        print(f"{name}: exported, not in the list (tools/dump_symbols.py --write {library} {path})")
    ok = not bad and expected == symbols
    print(f"{int(ok)} passed, {int(not ok)} failed")
    return not ok


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
