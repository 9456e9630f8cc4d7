#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the corpus of the checkpoint fuzzer: files ('F') with their checksums, and documents ('D')."""
import hashlib
import json
import pathlib
import struct

SHAPES = {"fc1.weight": (3, 4), "fc1.bias": (3,), "fc2.weight": (2, 3), "fc2.bias": (2,)}


def document(**changes):
    content = {
        "format": "bdl-checkpoint", "format_version": 1, "bdl_version": "0.1.0", "target": "avx2", "model": "mlp",
        "position": {"epoch": 1, "step": 2, "iteration": 12, "epoch_loss": 0.5, "epoch_divisor": 32, "validation_due": False,
                     "results_key": 7, "results": [0.25, None, 1]},
        "method": "adam", "optim": "adam", "states": 2,
        "schedule": [{"name": "warmup"}, {"name": "plateau", "best": None, "bad": 0, "cooldown": 0, "scale": 1}],
        "settings": json.dumps({"batch": 16, "data": "digits"})}
    return json.dumps({**content, **changes})


def tensors():
    """Weights, and two state vectors of adam."""
    for prefix in ("weights", "state0", "state1"):
        for name, shape in SHAPES.items():
            yield f"{prefix}/{name}", shape


def image(text, checksum=None):
    header = {}
    data = b""
    digest = hashlib.sha256(text.encode() + b"\0")
    for name, shape in tensors():
        n = 1
        for dim in shape:
            n *= dim
        values = struct.pack(f"<{n}f", *(0.25 * i for i in range(n)))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(values)]}
        data += values
        digest.update(name.encode() + b"\0F32\0" + "x".join(map(str, shape)).encode() + b"\0" + values)
    header["__metadata__"] = {"bdl": text, "sha256": checksum or digest.hexdigest()}
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + data


def cases():
    yield "file", b"F" + image(document())
    yield "file_checksum", b"F" + image(document(), "0" * 64)
    yield "file_cut", b"F" + image(document())[:-5]
    yield "file_position", b"F" + image(document(position={"epoch": -1}))
    yield "document", b"D" + document().encode()
    yield "settings", b"D" + document(settings='{"batch": 32, "data": "digits"}').encode()
    yield "settings_kind", b"D" + document(settings="[1]").encode()
    yield "method", b"D" + document(method="sgd", optim="sgd(momentum=0.9)", states=1).encode()
    yield "target", b"D" + document(target="avx512").encode()
    yield "schedule", b"D" + document(schedule=[{"name": "cosine"}]).encode()
    yield "best", b"D" + document(schedule=[{"name": "warmup"}, {
        "name": "plateau", "best": 0.5, "bad": 1, "cooldown": 2, "scale": 0.1}]).encode()
    yield "unknown", b"D" + document(more=1).encode()


def main():
    folder = pathlib.Path(__file__).parent / "corpus" / "checkpoint"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in cases():
        (folder / name).write_bytes(content)


main()
