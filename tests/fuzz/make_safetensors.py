#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the corpus of the safetensors fuzzer: small files, good ones and bad ones."""
import json
import pathlib
import struct


def image(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def cases():
    yield "empty", image({})
    yield "scalar", image({"a": entry("F32", [], 0, 4)}, struct.pack("<f", 1.5))
    yield "types", image(
        {"__metadata__": {"format": "pt"}, "h": entry("F16", [2], 0, 4), "b": entry("BF16", [1, 2], 4, 8),
         "d": entry("F64", [1], 8, 16), "i": entry("I64", [1], 16, 24), "u": entry("U8", [3], 24, 27),
         "none": entry("F32", [0, 7], 27, 27)}, bytes(range(27)))
    yield "padded", image(json.dumps({"a": entry("U8", [2], 0, 2)}).encode() + b"    ", b"xy")
    yield "beyond", image({"a": entry("F32", [4], 0, 16)}, bytes(4))
    yield "hole", image({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, bytes(3))
    yield "overlap", image({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, bytes(3))
    yield "huge", image({"a": entry("F64", [2**40, 2**40], 0, 8)}, bytes(8))
    yield "twice", image(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
                         b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}')
    yield "length", struct.pack("<Q", 2**63) + b"{}"
    yield "short", b"\x02\x00\x00"


def main():
    folder = pathlib.Path(__file__).parent / "corpus" / "safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in cases():
        (folder / name).write_bytes(content)


main()
