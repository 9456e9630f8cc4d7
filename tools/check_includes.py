#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: checks every #include of the project against the table below.

    tools/check_includes.py [ROOT]

The table is the directed acyclic graph of the architecture, written out in full (arrows are transitive). A folder may
include itself. Everyone in src may include <bdl/bdl.h> for public types. A value with a slash is a single header.
"""
import pathlib
import re
import sys

BASE = ["base", "schema", "tensor", "kernels"]
LAYERS = BASE + ["dnnl"]
GRAPH = LAYERS + ["layers/layer.h"]
PLAN = GRAPH + ["graph"]
EXEC = PLAN + ["plan"]
MODELS = GRAPH + ["graph"]
TRAIN = EXEC + ["exec", "optim", "data", "dist", "formats", "zoo"]

MAY_INCLUDE = {
    "src/base": [],
    "src/schema": ["base"],
    "src/tensor": ["base", "schema", "dlpack.h"],
    "src/kernels": ["base"],
    "src/dnnl": ["base", "schema", "tensor"],
    "src/layers": LAYERS,
    "src/graph": GRAPH,
    "src/plan": PLAN,
    "src/exec": EXEC,
    "src/optim": BASE,
    "src/data": BASE,
    "src/formats": MODELS,
    "src/zoo": MODELS,
    "src/dist": ["base"],
    "src/train": TRAIN,
    "src/api": TRAIN + ["train"],
    "cli": [],
    "tests/api": [],
    "examples/c": [],
}
LIST_HEADERS = {"families_gen.inc": "src/layers", "optims_gen.inc": "src/optim", "readers_gen.inc": "src/data",
                "transforms_gen.inc": "src/data", "zoo_gen.inc": "src/zoo"}
ONLY_IN = {r"oneapi/dnnl/.*|dnnl[^/]*\.h": "src/dnnl", r"sys/socket\.h|netinet/.*|arpa/inet\.h|netdb\.h": "src/dist"}


def complaint(folder, file, name, in_quotes):
    """Why `file` of `folder` may not include `name`, or None."""
    for pattern, owner in ONLY_IN.items():
        if re.fullmatch(pattern, name) and folder != owner:
            return f"<{name}> belongs to {owner}"
    if name in LIST_HEADERS:
        return None if folder == LIST_HEADERS[name] else f"{name} belongs to {LIST_HEADERS[name]}"
    if name.startswith("bdl/"):
        return None if not in_quotes else "write <bdl/bdl.h>"
    if not in_quotes:
        return None
    if not folder.startswith("src/"):
        is_own = name == "test.h" or (file.parent / name).exists()
        return None if is_own else "may include <bdl/bdl.h> and its own headers only"
    own = folder.removeprefix("src/")
    target = name.split("/")[0]
    if "/" not in name and name not in MAY_INCLUDE[folder]:
        return 'write "folder/file"'
    if target == own:
        other = (file.parent.parent / name).with_suffix(".c")
        is_family = own == "layers" and other.exists() and "\nBDL_LAYER_FAMILY(" in other.read_text()
        return "layers do not see each other" if is_family and other.stem != file.stem else None
    allowed = MAY_INCLUDE[folder]
    if target in allowed or name in allowed:
        return None
    return f"{folder} may include: {', '.join(allowed) or 'nothing else'}"


def main(root):
    n_files, complaints = 0, []
    for folder in MAY_INCLUDE:
        for file in sorted((root / folder).glob("*.[ch]")):
            n_files += 1
            for number, line in enumerate(file.read_text().splitlines(), 1):
                found = re.match(r'\s*#\s*include\s*([<"])([^">]+)[>"]', line)
                why = found and complaint(folder, file, found[2], found[1] == '"')
                if why:
                    complaints.append(f"{file.relative_to(root)}:{number}: {line.strip()}: {why}")
    for path in sorted((root / "src").glob("*")):
        if path.is_dir() and f"src/{path.name}" not in MAY_INCLUDE:
            complaints.append(f"src/{path.name}: not in the table of tools/check_includes.py")
    print(*complaints, f"{n_files} files, {len(complaints)} complaints", sep="\n")
    print(f"{int(not complaints)} passed, {int(bool(complaints))} failed")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)))
