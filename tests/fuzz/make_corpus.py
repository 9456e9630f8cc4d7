#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the small corpora of the data readers' fuzzers: tests/fuzz/corpus/{idx,cifar,csv,npy,jpeg,png}.

Needs Pillow for the images; the other files come from the standard library.
"""
import io
import pathlib
import struct


def idx(dims, values, kind=8):
    return struct.pack(">BBBB", 0, 0, kind, len(dims)) + struct.pack(f">{len(dims)}I", *dims) + values


def idx_cases():
    yield "images", idx((2, 2, 3), bytes(range(12)))
    yield "labels", idx((5,), bytes(range(5)))
    yield "short", idx((2, 2, 3), bytes(5))
    yield "huge", idx((0xffffffff,) * 3, b"")
    yield "floats", idx((1,), bytes(4), 13)


def cifar_cases():
    record = bytes(range(256)) * 12
    yield "one", b"\x03" + record
    yield "two", b"\x00" + record + b"\x09" + record
    yield "label", b"\x0a" + record
    yield "short", b"\x01" + record[:-1]


def csv_cases():
    yield "plain", b"\x00" + b"1,2,0\n3,4,1\n"
    yield "header", b"\x03" + b"label,a,b\n0,1,2\n1,3,4\n"
    yield "names", b"\x00" + b"1,\"a\"\"b\"\r\n2,c\r\n3,a\r\n"
    yield "semicolons", b"\x48" + b"1;2.5e3\n-1;inf\n"
    yield "none", b"\x06" + b"a\tb\n1\t2\n"
    yield "open", b"\x00" + b"1,\"open\n2,3"
    yield "missing", b"\x10" + b"a,b\n,1\n"


def npy(header, values, version=1):
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + values


def npy_cases():
    form = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n"
    yield "f4", npy(form % ("<f4", "False", "(2, 3)"), struct.pack("<6f", *range(6)))
    yield "u1", npy(form % ("|u1", "False", "(4,)"), bytes(4), 2)
    yield "i8", npy(form % ("<i8", "False", "()"), bytes(8), 3)
    yield "i4", npy(form % ("<i4", "False", "(2,1)"), bytes(8))
    yield "f8", npy(form % ("<f8", "False", "(1,)"), bytes(8))
    yield "fortran", npy(form % ("<f4", "True", "(1,)"), bytes(4))
    yield "short", npy(form % ("<f8", "False", "(3,)"), bytes(8))
    yield "huge", npy(form % ("<f8", "False", "(9999999999,9999999999)"), bytes(8))


def picture(mode):
    """Wider than high: tests/strength/test_seeded_bugs.py leaves it to the fuzzers to find that height may be more."""
    from PIL import Image
    image = Image.new("RGBA", (13, 9))
    image.putdata([(20 * (i % 13), 15 * (i // 13), 90, 255 - i % 7) for i in range(13 * 9)])
    if mode == "I;16":
        deep = Image.new(mode, image.size)
        deep.putdata([500 * i for i in range(13 * 9)])
        return deep
    return image.convert("RGB").convert(mode) if mode in ("CMYK", "P", "1", "L") else image.convert(mode)


def encoded(mode, kind, **options):
    out = io.BytesIO()
    picture(mode).save(out, kind, **options)
    return out.getvalue()


def jpeg_cases():
    color = encoded("RGB", "JPEG", quality=50)
    yield "color", color
    yield "grey", encoded("L", "JPEG", quality=50)
    yield "cmyk", encoded("CMYK", "JPEG", quality=50)
    yield "progressive", encoded("RGB", "JPEG", quality=50, progressive=True)
    yield "full", encoded("RGB", "JPEG", quality=90, subsampling=0)
    yield "cut", color[:-20]


def png_cases():
    yield "color", encoded("RGB", "PNG")
    yield "alpha", encoded("RGBA", "PNG")
    yield "grey", encoded("L", "PNG")
    yield "palette", encoded("P", "PNG")
    yield "bits", encoded("1", "PNG")
    yield "deep", encoded("I;16", "PNG")
    yield "cut", encoded("RGB", "PNG")[:-20]


def main():
    corpora = {"idx": idx_cases, "cifar": cifar_cases, "csv": csv_cases, "npy": npy_cases, "jpeg": jpeg_cases,
               "png": png_cases}
    for name, cases in corpora.items():
        folder = pathlib.Path(__file__).parent / "corpus" / name
        folder.mkdir(parents=True, exist_ok=True)
        for case, content in cases():
            (folder / case).write_bytes(content)


if __name__ == "__main__":
    main()
