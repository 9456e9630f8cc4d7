# SPDX-License-Identifier: Apache-2.0
"""Blocks of rows: what travels between Spark's tasks.

A block is a run of bytes that holds some rows in canonical form, little-endian:

    header   magic "BDLR", version, dtype, rank, rows, labels a row, shape[8]      48 bytes
    labels   float64, rows x labels a row
    values   uint8 or float32, rows x shape; or, of encoded images, int64 sizes of the files, then the files

Decoding makes views of the block and copies nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from bdl.errors import BdlFormatError

Array = np.ndarray[Any, np.dtype[Any]]

MAGIC = b"BDLR"
VERSION = 1
HEADER = struct.Struct("<4sHBBII8I")
MAX_RANK = 8
U8, F32, ENCODED = 0, 1, 2
BLOCK_BYTES = 2 << 20  # of values (or labels) in a block, a row at least: many blocks a task, few rows for Spark to move

_DTYPES: dict[int, np.dtype[Any]] = {U8: np.dtype("u1"), F32: np.dtype("<f4")}


@dataclass
class Rows:
    """Rows of one shape. Of encoded images `shape` is the number of channels, and `values` are all files, one behind
    the other, with their `sizes`."""

    shape: tuple[int, ...]
    labels: Array  # (n, labels a row), float64
    values: Array  # (n, count) uint8 or float32; or (bytes,) uint8
    sizes: Array | None = None  # (n,) int64, of encoded images

    @property
    def dtype(self) -> int:
        """U8, F32 or ENCODED."""
        return ENCODED if self.sizes is not None else U8 if self.values.dtype.itemsize == 1 else F32

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Array) -> Rows:
        """The rows where `chosen` is true."""
        if self.sizes is None:
            return Rows(self.shape, self.labels[chosen], self.values[chosen])
        values = self.values[np.repeat(chosen, self.sizes)]
        return Rows(self.shape, self.labels[chosen], values, self.sizes[chosen])

    def cut(self, size: int = BLOCK_BYTES) -> list[Rows]:
        """The same rows in pieces of about `size` bytes."""
        if len(self) == 0:
            return []
        if self.sizes is None:
            row = max(1, self.values.shape[1] * self.values.itemsize, self.labels.shape[1] * self.labels.itemsize)
            step = max(1, size // row)
            return [Rows(self.shape, self.labels[i : i + step], self.values[i : i + step])
                    for i in range(0, len(self), step)]
        ends = np.cumsum(self.sizes)
        marks = np.searchsorted(ends, np.arange(size, int(ends[-1]), size), side="left") + 1
        bounds = np.unique(np.concatenate([[0], marks, [len(self)]]))
        begins = ends - self.sizes
        return [Rows(self.shape, self.labels[a:b], self.values[begins[a] : ends[b - 1]], self.sizes[a:b])
                for a, b in zip(bounds[:-1], bounds[1:])]

    def encoded_size(self) -> int:
        """Bytes of the block."""
        extra = 0 if self.sizes is None else self.sizes.nbytes
        return HEADER.size + self.labels.nbytes + extra + self.values.nbytes

    def encode_into(self, block: Array) -> None:
        """Writes the block into bytes of that size."""
        n, width = self.labels.shape
        dims = [*self.shape, *[0] * (MAX_RANK - len(self.shape))]
        header = HEADER.pack(MAGIC, VERSION, self.dtype, len(self.shape), n, width, *dims)
        parts = [np.frombuffer(header, np.uint8), self.labels.astype("<f8", copy=False)]
        if self.sizes is not None:
            parts.append(self.sizes.astype("<i8", copy=False))
        parts.append(self.values.astype(self.values.dtype.newbyteorder("<"), copy=False))
        at = 0
        for part in parts:
            # As the part's own type, so that values which do not follow each other are copied once.
            block[at : at + part.nbytes].view(part.dtype).reshape(part.shape)[...] = part
            at += part.nbytes


def decode(block: Any) -> Rows:
    """The rows of a block, as views of it."""
    data = np.frombuffer(block, np.uint8)
    if len(data) < HEADER.size:
        raise BdlFormatError(f"a block of rows has at least {HEADER.size} bytes, found {len(data)}")
    magic, version, dtype, rank, n, width, *dims = HEADER.unpack_from(block)
    if magic != MAGIC or version != VERSION or dtype not in (U8, F32, ENCODED) or rank > MAX_RANK:
        raise BdlFormatError(
            f"expected a block of rows ({MAGIC!r} {VERSION}), found {magic!r} {version}, dtype {dtype}, rank {rank}: is the "
            "same version of bdl installed on all machines?"
        )
    shape = tuple(dims[:rank])
    at = HEADER.size + 8 * n * width
    if dtype == ENCODED:
        values_at = at + 8 * n
        sizes = data[at:values_at].view("<i8") if len(data) >= values_at else np.empty(0, np.int64)
        expected = values_at + int(sizes.sum())
        if len(sizes) != n or (sizes < 0).any() or len(data) != expected:
            raise BdlFormatError(f"a block of {n} encoded images has the wrong size: {len(data)} bytes")
        labels = data[HEADER.size : at].view("<f8").reshape(n, width)
        return Rows(shape, labels, data[values_at:], sizes)
    kind = _DTYPES[dtype]
    count = 1
    for dim in shape:
        count *= dim
    expected = at + n * count * kind.itemsize
    if len(data) != expected:
        raise BdlFormatError(f"a block of {n} rows of shape {shape} has {expected} bytes, found {len(data)}")
    labels = data[HEADER.size : at].view("<f8").reshape(n, width)
    return Rows(shape, labels, data[at:].view(kind).reshape(n, count))
