# SPDX-License-Identifier: Apache-2.0
"""Makes the goldens: what PyTorch computes for small nets, layers, criterions, optimizers, schedules.

    make_goldens.py --out DIR           makes all files
    make_goldens.py --compare A B       compares two folders within the stated bounds
    make_goldens.py --search NET        finds a seed for a net of net_specs.py

Truth is PyTorch in float64; inputs and initial weights are exact in float32. See README.md for what the
files hold.
"""
import argparse
import json
import os
import sys

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

import layer_goldens
import net_specs
import rule_goldens
import torch_net

N_STEPS = 10
N_NOISE_RUNS = 8
UNIT = 2.0 ** -24  # float32's rounding error
GUARD = 16         # decisions must not change under this many units of noise


def bell(rng, shape):
    """About normal (0, 1), rounded to float32; from sums and products alone, so every CPU agrees."""
    total = sum(rng.random(shape) for _ in range(3))
    return ((total - 1.5) * 2.0).astype(np.float32)


def make_data(spec, seed):
    """Inputs, labels and initial weights (PyTorch's default bounds; batch norm's made uneven)."""
    rng = np.random.default_rng(seed)
    n = max(start + count for start, count in spec["batches"])
    data = {"input": bell(rng, [n] + spec["shape"]),
            "target": rng.integers(0, spec["classes"], n)}
    norms = {node["name"] for node in spec["graph"]["nodes"] if node["type"] == "batch_norm"}
    modules = torch_net.Net(spec)
    for name, tensor in modules.named():
        node, kind = name.rsplit(".", 1)
        shape = tuple(tensor.shape)
        if node in norms:
            low, high = {"weight": (0.5, 1.5), "bias": (-0.3, 0.3), "running_mean": (0.0, 0.0),
                         "running_var": (1.0, 1.0)}[kind]
        else:
            fan_in = int(np.prod(getattr(modules, "m_" + node).weight.shape[1:]))
            low, high = -fan_in ** -0.5, fan_in ** -0.5
        values = low + (high - low) * rng.random(shape)
        data["init." + name] = values.astype(np.float32)
    return data


def unit_errors(spec, data, truth):
    """Largest deviation of each result under noise of one unit: a number, or for losses one a step."""
    errors = {name: np.zeros(N_STEPS) if name == "losses" else 0.0 for name in truth}
    for seed in range(N_NOISE_RUNS):
        noisy, _ = torch_net.run(spec, data, N_STEPS, noise=UNIT, noise_seed=seed)
        for name, values in noisy.items():
            difference = np.abs(values - truth[name])
            errors[name] = np.maximum(errors[name],
                                      difference if name == "losses" else difference.max())
    return {name: [float(f"{e:.2e}") for e in np.atleast_1d(error)] for name, error in errors.items()}


def is_steady(spec, data, decisions):
    """Whether no kink is crossed under GUARD units of noise."""
    return all(torch_net.run(spec, data, N_STEPS, noise=GUARD * UNIT, noise_seed=seed)[1] == decisions
               for seed in range(N_NOISE_RUNS))


def search(name):
    """Prints the first seeds of a net that are steady."""
    spec = net_specs.NETS[name][0]()
    found = 0
    for seed in range(1, 3000):
        data = make_data(spec, seed)
        _, decisions = torch_net.run(spec, data, N_STEPS)
        if is_steady(spec, data, decisions):
            print(name, seed, flush=True)
            found += 1
            if found == 3:
                return


def make_net(name, folder):
    make_spec, seed = net_specs.NETS[name]
    spec = make_spec()
    data = make_data(spec, seed)
    truth, decisions = torch_net.run(spec, data, N_STEPS)
    if not is_steady(spec, data, decisions):
        raise SystemExit(f"{name}: seed {seed} leaves a kink too close; run --search {name}")
    errors = unit_errors(spec, data, truth)
    longest = torch_net.Net(spec).longest
    in_f32, _ = torch_net.run(spec, data, N_STEPS, dtype=torch.float32)
    worst = max((np.abs(in_f32[key] - truth[key]) / (np.array(errors[key]) * longest ** 0.5)).max()
                for key in truth)
    if worst > 2.0:
        raise SystemExit(f"{name}: PyTorch's own float32 is {worst:.2f} times the bound's unit away")
    description = {"name": name, "seed": seed, "n_steps": N_STEPS, **spec, "longest_sum": longest,
                   "unit_error": errors}
    write_json(os.path.join(folder, f"net_{name}.json"), description)
    save_file({key: np.ascontiguousarray(value) for key, value in {**data, **truth}.items()},
              os.path.join(folder, f"net_{name}.safetensors"))
    print(f"net {name}: {sum(v.nbytes for v in truth.values()) // 1024} KiB of results, float32 within "
          f"{worst:.2f} of sqrt({longest}) units")


def write_json(path, value):
    """JSON with one line per entry of the outer levels: small, and diffs stay readable."""
    def lines(v, depth):
        if isinstance(v, dict) and depth < 2 and v:
            inner = ",\n".join("  " * (depth + 1) + json.dumps(k) + ": " + lines(x, depth + 1)
                               for k, x in v.items())
            return "{\n" + inner + "\n" + "  " * depth + "}"
        if isinstance(v, list) and depth < 2 and v and isinstance(v[0], dict):
            return "[\n" + ",\n".join("  " * (depth + 1) + lines(x, 9) for x in v) + "\n" + \
                "  " * depth + "]"
        return json.dumps(v)
    with open(path, "w", encoding="utf-8") as file:
        file.write(lines(value, 0) + "\n")


def compare_values(where, a, b, bound):
    """Messages of what differs between two JSON values by more than `bound` of their size. Unit errors come
    from noise that amplifies rounding: they need only be alike."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [m for key in a for m in compare_values(
            f"{where}.{key}", a[key], b[key], 0.05 if key == "unit_error" else bound)]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        scale = max([abs(x) for x in a if isinstance(x, float)], default=0.0)
        if scale:
            worst = max(abs(x - y) for x, y in zip(a, b))
            return [] if worst <= bound * scale else [f"{where}: differs by {worst:.2e}"]
        return [m for i, (x, y) in enumerate(zip(a, b))
                for m in compare_values(f"{where}[{i}]", x, y, bound)]
    if isinstance(a, float) and isinstance(b, float):
        return [] if abs(a - b) <= bound * max(abs(a), abs(b)) else [f"{where}: {a!r} and {b!r}"]
    return [] if a == b else [f"{where}: {a!r} and {b!r}"]


def compare_tensors(name, a, b, errors):
    """Messages of tensors that differ: data exactly, results by more than a millionth of their unit error
    (about 500 units of float64), layers by more than 1e-12 of their largest value."""
    if a.keys() != b.keys():
        return [f"{name}: tensors {sorted(a.keys() ^ b.keys())} are in one only"]
    messages = []
    for key in a:
        if a[key].shape != b[key].shape or a[key].dtype != b[key].dtype:
            messages.append(f"{name}: {key} differs in shape or type")
            continue
        if key in errors:
            bound = 1e-6 * np.array(errors[key])
        else:
            exact = a[key].dtype != np.float64
            bound = 0.0 if exact else 1e-12 * np.abs(a[key]).max(initial=0.0)
        worst = np.abs(a[key].astype(np.float64) - b[key].astype(np.float64))
        if (worst > bound).any():
            messages.append(f"{name}: {key} differs by {worst.max():.2e}")
    return messages


def compare(folder_a, folder_b):
    """Compares all goldens of two folders; gives the exit status."""
    messages, n = [], 0
    names = [sorted(f for f in os.listdir(folder) if f.endswith((".json", ".safetensors")))
             for folder in (folder_a, folder_b)]
    if names[0] != names[1]:
        messages.append(f"files differ: {sorted(set(names[0]) ^ set(names[1]))}")
    for name in sorted(set(names[0]) & set(names[1])):
        paths = [os.path.join(folder, name) for folder in (folder_a, folder_b)]
        n += 1
        if name.endswith(".json"):
            a, b = [json.load(open(path, encoding="utf-8")) for path in paths]
            messages += compare_values(name, a, b, 1e-12)
        else:
            with open(paths[0].replace(".safetensors", ".json"), encoding="utf-8") as file:
                errors = json.load(file).get("unit_error", {})
            messages += compare_tensors(name, load_file(paths[0]), load_file(paths[1]), errors)
    for message in messages:
        print(message)
    print(f"{n} files compared, {len(messages)} differences")
    return 1 if messages else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out")
    parser.add_argument("--compare", nargs=2)
    parser.add_argument("--search", choices=net_specs.NETS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.search:
        search(args.search)
    if args.out:
        os.makedirs(args.out, exist_ok=True)
        for name in net_specs.NETS:
            make_net(name, args.out)
        layer_goldens.make(args.out, write_json)
        rule_goldens.make(args.out, write_json)
    if args.compare:
        sys.exit(compare(*args.compare))


if __name__ == "__main__":
    main()
