#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes docs/reference, the manual page and the shell completion from `bdl schema --json` and the verbs' --help.

usage: tools/gen_reference.py BDL [--check]

BDL is the built command. With --check nothing is written: the committed files are compared, and a difference fails.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERB = re.compile(r"  ([a-z]+) {2,}\S")
OWN_OPTION = re.compile(r"  (--?)([a-z]+)(?: ([A-Z]+))?  +(\S.*)")


def verbs_of(program):
    """In the order of `bdl --help`, which has a line for each."""
    text = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    return [m[1] for m in map(VERB.match, text.splitlines()) if m]


def commands(program, schema):
    """Each verb with its usage line, the fields of its table, and the command's own options as its help lists them."""
    fields = {c["name"]: c["fields"] for c in schema["commands"]}
    for verb in verbs_of(program):
        text = subprocess.run([program, verb, "--help"], check=True, capture_output=True, text=True).stdout
        own = [{"name": m[2] if m[1] == "--" else m[1] + m[2], "type": m[3] or "bool", "default": None, "doc": m[4]}
               for m in map(OWN_OPTION.fullmatch, text.splitlines()) if m]
        yield {"name": verb, "usage": text.splitlines()[0].removeprefix("usage: "), "fields": fields.get(verb, []),
               "own": own}


def default_of(field):
    if field.get("required"):
        return "required"
    value = field.get("default")
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(str(v) for v in value) or "none"
    return str(value)


def cell(text):
    return " ".join(str(text).split()).replace("|", "\\|")


def table(fields):
    if not fields:
        return ["No parameters.", ""]
    rows = ["| parameter | type | default | meaning |", "|---|---|---|---|"]
    for f in fields:
        kind = " / ".join(f["choices"]) if f.get("choices") else f["type"]
        rows.append(f"| `{f['name']}` | {cell(kind)} | {cell(default_of(f))} | {cell(f.get('doc', ''))} |")
    return rows + [""]


def entry(e, extra=()):
    lines = [f"## {e['name']}", ""]
    if e.get("summary"):
        lines += [cell(e["summary"]), ""]
    if e.get("doc") and e["doc"] != e.get("summary"):
        lines += [cell(e["doc"]), ""]
    lines += list(extra)
    return lines + table(e["fields"])


def layer_names(e):
    known = [(label, e.get(key)) for label, key in (("PyTorch", "pytorch"), ("Torch", "torch"), ("Keras", "keras"))]
    words = [f"{label} `{name}`" for label, name in known if name]
    return [f"Inputs: `{e['ports']}`." + (f" Elsewhere: {', '.join(words)}." if words else ""), ""]


def page(title, intro, entries, extra=lambda e: ()):
    lines = ["<!-- Made by tools/gen_reference.py from the field tables; do not edit. -->", f"# {title}", "", intro, ""]
    for e in entries:
        lines += entry(e, extra(e))
    return "\n".join(lines).rstrip() + "\n"


def pages(schema, verbs):
    layers = schema["layers"]

    def of(kind):
        return [e for e in layers if e["kind"] == kind]

    yield "layers.md", page("Layers", "Shapes are those of one sample; axis 0 is the batch.", of("layer"), layer_names)
    yield "criterions.md", page("Criterions", "For `--loss`.", of("criterion"), layer_names)
    yield "metrics.md", page("Metrics", "For `--metrics`.", of("metric"), layer_names)
    yield "optimizers.md", page("Optimization methods", "For `--optim`.", schema["optimizers"])
    yield "schedules.md", page("Learning-rate schedules", "For `--schedule`; parts are joined by `then`.",
                               schema["schedules"])
    yield "data.md", page("Data", "For `--data` and `--val`: `name[:source][(parameters)]`.", schema["readers"])
    yield "transforms.md", page("Transforms", "For `--transform`: a list, applied in order.", schema["transforms"])
    yield "initializers.md", page("Initializers", "For layers' `weight_init` and `bias_init`.", schema["initializers"])
    yield "models.md", page("Ready-made models", "For `bdl train MODEL`: `name(parameters)`.", schema["models"])
    yield "commands.md", page("Commands", "Options are `--name value` or `--name=value`; those of type bool are switches: "
                              "`--name`.", [{**v, "fields": v["fields"] + v["own"]} for v in verbs],
                              lambda v: [f"`{v['usage']}`", ""])


def roff(text):
    return cell(text).replace("\\|", "|").replace("\\", "\\e").replace("-", "\\-")


def manual(schema, verbs):
    lines = [
        '.\\" Made by tools/gen_reference.py from the field tables; do not edit.',
        f'.TH BDL 1 "" "bdl {schema["version"]}" "User Commands"',
        ".SH NAME", "bdl \\- deep learning on CPUs",
        ".SH SYNOPSIS", ".B bdl", "\\fIVERB\\fR [\\fIarguments\\fR]",
        ".SH DESCRIPTION",
        "Trains, measures and uses neural networks on the processors of this machine. Verbs: "
        + ", ".join(v["name"] for v in verbs) + ". Progress goes to standard error; with \\fB\\-\\-json\\fR one JSON object a line goes to "
        "standard output.",
    ]
    for verb in verbs:
        lines += [f".SH {verb['name'].upper()}", f".B {roff(verb['usage'])}"]
        for f in verb["fields"] + verb["own"]:
            name = f["name"] if f["name"].startswith("-") else "--" + f["name"]
            value = "" if f["type"] == "bool" else f" \\fI{f['type'].upper()}\\fR"
            default = default_of(f)
            note = "" if default in ("none", "false") else f" ({'required' if default == 'required' else 'default ' + default})"
            lines += [".TP", f"\\fB{roff(name)}\\fR{value}", roff(f.get("doc", "") + note)]
    lines += [
        ".SH TRAINING TOGETHER", "\\fBbdl launch \\-n\\fR \\fIN\\fR [\\fB\\-\\-threads\\fR \\fIT\\fR] \\fB\\-\\- train\\fR \\fIMODEL\\fR ...",
        "trains on N local processes (ranks), each with T workers, that share every batch. The result is that of \\fBbdl "
        "train\\fR to the last bit. A batch of B samples has B/16 shards, rounded up, or as many as \\fB\\-\\-shards\\fR says; "
        "there can be at most as many ranks. "
        "Output is that of rank 0; lines of the others are prefixed. When one rank fails, all end; an interrupt ends all "
        "after the same iteration.",
        ".SH EXIT STATUS",
        "0 fine; 1 failed, with one line on standard error; 2 wrong usage; 130 and 143 after an interrupt or a "
        "termination signal, with a checkpoint where \\fB\\-\\-checkpoint\\fR asks for them and an iteration was trained.",
        ".SH ENVIRONMENT", ".TP", ".B BDL_TARGET", "Kernels to use: sse4, avx2, avx512 or neon.",
        ".SH EXAMPLE", ".nf", "bdl train lenet \\-\\-data digits \\-\\-val digits \\-\\-epochs 3 \\-\\-save model",
        "bdl eval model \\-\\-data digits", ".fi",
    ]
    return "\n".join(lines) + "\n"


def completion(schema, verbs):
    models = " ".join(m["name"] for m in schema["models"])
    layers = " ".join(e["name"] for e in schema["layers"])
    readers = " ".join(r["name"] for r in schema["readers"])
    lines = [
        "# Made by tools/gen_reference.py from the field tables; do not edit.",
        "# bash completion for bdl",
        "_bdl() {",
        '    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} words=""',
        "    if [ \"$COMP_CWORD\" -eq 1 ]; then",
        f'        words="{" ".join(v["name"] for v in verbs)} --help --version"',
        "    elif [ \"$before\" = --data ] || [ \"$before\" = --val ]; then",
        f'        words="{readers}"',
        "    elif [ \"$before\" = --precision ]; then",
        '        words="fp32 fp32_exact bf16 f64"',
        "    elif [ \"$before\" = --format ]; then",
        '        words="table csv jsonl"',
        "    elif [[ $word == --* ]]; then",
        "        case $verb in",
    ]
    for verb in verbs:
        names = [f["name"] for f in verb["fields"] + verb["own"] if f["name"] != "model"]
        options = " ".join(name if name.startswith("-") else "--" + name for name in names)
        extra = " -- train" if verb["name"] == "launch" else ""
        lines.append(f'        {verb["name"]}) words="{options}{extra}" ;;')
    lines += [
        "        esac",
        "    elif [ \"$verb\" = layers ]; then",
        f'        words="{layers}"',
        "    elif [ \"$COMP_CWORD\" -eq 2 ]; then",
        f'        words="{models}"',
        "    fi",
        '    mapfile -t COMPREPLY < <(compgen -W "$words" -f -- "$word")',
        "}",
        "complete -o filenames -F _bdl bdl",
    ]
    return "\n".join(lines) + "\n"


def outputs(schema, verbs):
    for name, text in pages(schema, verbs):
        yield ROOT / "docs/reference" / name, text
    yield ROOT / "docs/man/bdl.1", manual(schema, verbs)
    yield ROOT / "tools/completion/bdl.bash", completion(schema, verbs)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    check = "--check" in sys.argv[2:]
    schema = json.loads(subprocess.run([sys.argv[1], "schema", "--json"], check=True, capture_output=True).stdout)
    stale = []
    for path, text in outputs(schema, list(commands(sys.argv[1], schema))):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path.relative_to(ROOT)))
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in stale:
        print(f"{name}: {'differs from the field tables: run make reference' if check else 'written'}")
    if check:
        print(f"{0 if stale else 1} passed, {1 if stale else 0} failed")
        sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
