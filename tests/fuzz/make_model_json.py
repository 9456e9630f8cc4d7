#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the corpus of the model.json fuzzer: graphs and saved models' documents, good ones and bad ones."""
import json
import pathlib


def node(name, kind, inputs, **rest):
    return {"name": name, "type": kind, "inputs": inputs, **rest}


def graph(nodes, shape=(4,), **rest):
    return {"name": "net", "inputs": [{"name": "x", "shape": list(shape)}], "nodes": nodes, **rest}


def document(content, **rest):
    return {"format": "bdl-model", "format_version": 1, "bdl_version": "0.1.0", "graph": content,
            "dtype": "float32", **rest}


def cases():
    linear = node("fc", "linear", ["x"], params={"out_features": 3})
    small = graph([linear, node("out", "log_softmax", ["fc"])])
    yield "small", small
    yield "conv", graph([
        node("c", "conv2d", ["x"], params={"out_channels": 2, "kernel_size": 3, "padding": [1, 1], "groups": 1}),
        node("n", "batch_norm", ["c"], params={"eps": 0.001, "momentum": 0.1}), node("r", "relu", ["n"]),
        node("p", "max_pool2d", ["r"], params={"kernel_size": [2, 2], "ceil_mode": True}),
        node("d", "dropout", ["p"], params={"p": 0.5}), node("f", "flatten", ["d"]),
        node("fc", "linear", ["f"], params={"out_features": 2, "weight_init": "normal(std=0.01)"})], (1, 6, 6))
    yield "branches", graph([
        node("s", "split", ["x"], params={"axis": 1, "sizes": [1, 3]}), node("a", "relu", ["s:1"]),
        node("j", "concat", ["s", "a"], params={"axis": 1}), node("t", "add", ["j", "x"])], outputs=["t", "s:1"])
    yield "shared", graph([
        node("a", "linear", ["x"], params={"out_features": 4}, lr_scale=0.5, decay_scale=0),
        node("b", "linear", ["a"], params={"out_features": 4}, share="a", frozen=True)])
    yield "saved", document(
        small, preprocessing=[{"type": "normalize", "params": {"mean": [0.5], "std": [0.25]}}],
        classes=["cat", "dog", "owl"], loss="nll", weights={"file": "weights.safetensors", "sha256": "0" * 64})
    yield "axes", graph([node("a", "relu", ["x"])], (1, 1, 1, 1, 1, 1, 2))
    yield "ports", graph([linear, node("out", "tanh", ["fc:0"])], outputs=["out:0"])
    yield "huge", graph([node("fc", "linear", ["x"], params={"out_features": 1 << 30})])
    yield "unknown", graph([node("a", "no_such_layer", ["x"])])
    yield "cycle", graph([node("a", "relu", ["b"]), node("b", "relu", ["a"])])
    yield "kinds", graph([node("a", "linear", ["x"], params={"out_features": "4", "bias": 1})])
    yield "version", document(small, **{"format_version": 2})
    yield "number", 1e308


def main():
    folder = pathlib.Path(__file__).parent / "corpus" / "model_json"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in cases():
        (folder / name).write_text(json.dumps(content))
    (folder / "broken").write_text('{"inputs": [{"name": "x", "shape": [4]}], "nodes": [{')


main()
