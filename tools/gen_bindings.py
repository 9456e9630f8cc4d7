#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the generated parts of the Python package from `bdl schema --json`.

usage: tools/gen_bindings.py BDL [--check]

BDL is the built command. With --check nothing is written: the committed files are compared, and a difference fails.
"""

import hashlib
import json
import keyword
import pathlib
import re
import subprocess
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "bindings/python/bdl"
HEADER = "# SPDX-License-Identifier: Apache-2.0\n# Made by tools/gen_bindings.py from the field tables; do not edit.\n"
WIDTH = 116
PYTHON_TYPES = {"bool": "bool", "int": "int", "float": "float", "string": "Text", "ints": "Ints", "floats": "Floats"}
# PyTorch's classes with an argument inplace. bdl computes in place wherever that changes no result, whatever is asked for.
INPLACE = {"Dropout", "Dropout2d", "ELU", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SELU",
           "SiLU", "Threshold"}
TORCH_DEFAULTS = {("lrn", "alpha"): 1e-4}  # where PyTorch's default is not that of the schema (here BigDL's)


class Argument:
    """An argument of a generated function: one field of the schema, or a few that form a tuple ("betas[0]")."""

    def __init__(self, name, fields, torch_default=None):
        self.name = name + "_" if keyword.iskeyword(name) else name
        self.fields = fields
        self.torch_default = torch_default
        self.is_tuple = len(fields) > 1
        self.required = any(f.get("required") for f in fields)
        self.inferred = any(f.get("inferred") for f in fields)

    def type(self):
        f = self.fields[0]
        if self.is_tuple:
            return "tuple[" + ", ".join("float" for _ in self.fields) + "]"
        if f["type"] == "choice":
            return "Literal[" + ", ".join(json.dumps(c) for c in f["choices"]) + "]"
        return PYTHON_TYPES[f["type"]]

    def default(self):
        """The default as Python source, or None where the argument may be left out."""
        if self.torch_default is not None:
            return repr(self.torch_default)
        if self.is_tuple:
            return repr(tuple(f["default"] for f in self.fields))
        value = self.fields[0].get("default")
        if self.inferred or value is None or value == [] or (value == "" and self.fields[0]["type"] == "string"):
            return "None"
        if isinstance(value, list):
            return repr(value[0]) if len(value) == 1 else repr(tuple(value))
        if isinstance(value, str):
            return json.dumps(value)
        return repr(float(value)) if self.fields[0]["type"] == "float" else repr(value)

    def declaration(self, optional=False):
        if self.required and not optional:
            return f"{self.name}: {self.type()}"
        default = "None" if optional else self.default()
        return f"{self.name}: {self.type()}{' | None' if default == 'None' else ''} = {default}"

    def entries(self):
        """Items of the dictionary of parameters."""
        for i, f in enumerate(self.fields):
            value = f"{self.name}[{i}]" if self.is_tuple else self.name
            yield f'"{f["name"]}": ' + (f"joined({value})" if f["type"] == "string" else value)

    def defaults(self):
        """Items of the dictionary of defaults, by the schema's names."""
        default = "None" if self.required else self.default()
        for f in self.fields if default != "None" else ():
            yield f'"{f["name"]}": ' + (repr(f["default"]) if self.is_tuple or self.torch_default is not None else default)

    def doc(self):
        return " ".join(" ".join(f.get("doc", "").split()) for f in self.fields)


def arguments_of(entry):
    grouped = {}
    for f in entry["fields"]:
        name = re.sub(r"\[\d+\]$", "", f.get("torch_name") or f["name"])
        grouped.setdefault(name, []).append(f)
    return [Argument(name, fields, TORCH_DEFAULTS.get((entry["name"], fields[0]["name"]))) for name, fields in grouped.items()]


def class_name(entry):
    name = entry.get("pytorch") or ""
    return name if name[:1].isupper() else "".join(part.capitalize() for part in entry["name"].split("_"))


def ordered(arguments):
    """Required ones first, as Python wants it, except behind an inferred one, where all are optional."""
    if shifts(arguments):
        return arguments
    return [a for a in arguments if a.required] + [a for a in arguments if not a.required]


def shifts(arguments):
    """Whether the first argument is inferred from the input, and others behind it are required."""
    return bool(arguments) and arguments[0].inferred and any(a.required for a in arguments)


def wrapped(text, indent):
    return textwrap.wrap(" ".join(text.split()), WIDTH - indent, break_long_words=False)


def docstring(entry, arguments, indent, extra=(), last=()):
    first = (entry.get("summary") or entry["doc"]).rstrip(".") + "."
    lines = wrapped(first, indent + 3)
    if entry.get("summary") and entry.get("doc"):
        lines += [""] + wrapped(entry["doc"], indent)
    if arguments or extra or last:
        lines += ["", "Args:"]
        for name, doc in [*extra, *((a.name, a.doc()) for a in arguments), *last]:
            first, *rest = wrapped(f"{name}: {doc}", indent + 8)
            lines += ["    " + first] + ["        " + line for line in rest]
    text = "\n".join(lines).replace("\\", "\\\\")
    pad = " " * indent
    body = "\n".join(pad + line if line else "" for line in text.split("\n")).lstrip()
    return f'{pad}"""{body}' + (f'\n{pad}"""' if "\n" in text else '"""')


def signature(head, parts, result):
    """A def line, one argument a line where it is long."""
    line = f"{head}({', '.join(parts)}) -> {result}:"
    if len(line) <= WIDTH:
        return [line]
    pad = " " * (len(head) - len(head.lstrip()))
    return [f"{head}("] + [f"{pad}    {part}," for part in parts] + [f"{pad}) -> {result}:"]


def dictionary(items, indent):
    line = "{" + ", ".join(items) + "}"
    if len(line) + indent <= WIDTH - 30:
        return line
    pad = " " * indent
    return "{\n" + "".join(f"{pad}    {item},\n" for item in items) + pad + "}"


def described_class(entry, base, before=(), call="", keywords_after=None):
    """A class with an __init__; `before` are (declaration, doc) of arguments that are not in the schema, of which
    `call` passes on; after so many arguments, all are given by keyword only."""
    arguments = ordered(arguments_of(entry))
    has_shift = shifts(arguments)
    parts = ["self", *(d for d, _ in before[:1] if base == "Reader")]
    declared = [a.declaration(optional=has_shift and a.required) for a in arguments]
    if keywords_after is not None and len(declared) > keywords_after:
        declared.insert(keywords_after, "*")
    parts += declared
    extra = [(d.split(":")[0], doc) for d, doc in before]
    if base == "Layer":
        parts += ([] if "*" in parts else ["*"]) + ["name: str | None = None"]
    name = class_name(entry)
    last = [("inplace", "For PyTorch's sake: bdl computes in place by itself where it can.")] if name in INPLACE else []
    if last:
        parts.insert(len(parts) - 2, "inplace: bool = False")
    lines = [f"class {name}({base}):", docstring(entry, arguments, 4, extra, last), "", f'    _type = "{entry["name"]}"']
    if entry.get("ports", "input") != "input" and base == "Layer":
        lines.append(f'    _ports = "{entry["ports"]}"')
    defaults = [item for a in arguments for item in a.defaults()]
    if defaults:
        lines.append(f"    _defaults = {dictionary(defaults, 4)}")
    if arguments or before or last:
        lines += ["", *signature("    def __init__", parts, "None")]
        if has_shift:
            count = max(i for i, a in enumerate(arguments) if a.required) + 1
            names = [a.name for a in arguments[:count]]
            required = ", ".join(f'"{n}"' for n in names[1:]) + ("," if count == 2 else "")
            lines += [f"        {', '.join(names)} = shifted(",
                      f'            "{name}", ({required}), ({", ".join(names)})', "        )"]
        lines.append(f"        super().__init__({call}{dictionary([i for a in arguments for i in a.entries()], 8)})")
    elif base != "Layer":
        lines += ["", "    def __init__(self) -> None:", "        super().__init__({})"]
    else:
        lines += ["", "    def __init__(self, *, name: str | None = None) -> None:", "        super().__init__(name, {})"]
    return "\n".join(lines) + "\n"


def module(doc, imports, parts, names):
    body = "\n\n".join(parts)
    used = [w for w in ("Floats", "Ints", "Text", "joined", "shifted") if re.search(rf"\b{w}\b", body)]
    typing = "from typing import Literal\n\n" if "Literal[" in body else ""
    lines = imports.replace("USED", ", ".join(used)).replace(", )", ")").replace("import , ", "import ")
    lines = re.sub(r", *$", "", lines, flags=re.M)
    public = "__all__ = [\n" + "".join(f'    "{n}",\n' for n in names) + "]"
    return f'{HEADER}"""{doc}"""\n\nfrom __future__ import annotations\n\n{typing}{lines}\n\n{public}\n\n\n{body}'


def classes(doc, base, entries, **options):
    parts = [described_class(e, base, **options) for e in entries]
    return module(doc, f"from bdl._described import {base}, USED", parts, [class_name(e) for e in entries])


def layers_module(entries):
    parts = [described_class(e, "Layer", call="name, ") for e in entries]
    imports = "from bdl._described import USED\nfrom bdl._graph import Layer"
    return module("The layers, with PyTorch's names and arguments where it has them.", imports, parts,
                  [class_name(e) for e in entries])


def readers_module(entries):
    parts = []
    for e in entries:
        before, call = (), "None, "
        if e.get("source"):
            kind = "str" if e["needs_source"] else "str | None = None"
            before = ((f"source: {kind}", f"{e['source']}: the file or directory that is read."),)
            call = "source, "
        parts.append(described_class(e, "Reader", before=before, call=call, keywords_after=0))
    return module("Data that the C library reads itself.", "from bdl._described import Reader, USED", parts,
                  [class_name(e) for e in entries])


def models_module(entries):
    parts = []
    for e in entries:
        arguments = ordered(arguments_of(e))
        declared = [a.declaration() for a in arguments] + ["*", "seed: int = 1"]
        lines = signature(f"def {e['name']}", declared, "Model")
        lines.append(docstring(e, arguments, 4, last=[("seed", "Seed of the initial weights.")]))
        lines.append(f'    return ready_made("{e["name"]}", {dictionary([i for a in arguments for i in a.entries()], 4)}, seed)')
        parts.append("\n".join(lines) + "\n")
    return module("Ready-made models.", "from bdl._described import USED\nfrom bdl.model import Model, ready_made", parts,
                  [e["name"] for e in entries])


def outputs(text):
    schema = json.loads(text)

    def of(kind):
        return [e for e in schema["layers"] if e["kind"] == kind]

    digest = hashlib.sha256(text.strip().encode()).hexdigest()
    yield "_schema_gen.py", (f'{HEADER}"""Which schema the generated classes were made from."""\n\n'
                             f'SCHEMA_SHA256 = "{digest}"\nVERSION = "{schema["version"]}"\n')
    yield "nn/_layers_gen.py", layers_module(of("layer"))
    yield "losses.py", classes("Criterions.", "Loss", of("criterion"), keywords_after=0)
    yield "metrics.py", classes("Metrics of validation and evaluation.", "Metric", of("metric"), keywords_after=1)
    yield "optim.py", classes("Optimization methods.", "Optimizer", schema["optimizers"], keywords_after=1)
    yield "schedules.py", classes("Learning-rate schedules; `a.then(b)` joins parts.", "Schedule", schema["schedules"])
    yield "init.py", classes("Initializers of weights.", "Initializer", schema["initializers"])
    yield "transforms.py", classes("Preprocessing of samples.", "Transform", schema["transforms"])
    yield "data/_readers_gen.py", readers_module(schema["readers"])
    yield "models.py", models_module(schema["models"])


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    check = "--check" in sys.argv[2:]
    text = subprocess.run([sys.argv[1], "schema", "--json"], check=True, capture_output=True, text=True).stdout
    stale = []
    for name, content in outputs(text):
        path = PACKAGE / name
        if path.exists() and path.read_text(encoding="utf-8") == content:
            continue
        stale.append(name)
        if not check:
            path.write_text(content, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'differs from the field tables: run make reference' if check else 'written'}")
    if check:
        print(f"{0 if stale else 1} passed, {1 if stale else 0} failed")
        sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
