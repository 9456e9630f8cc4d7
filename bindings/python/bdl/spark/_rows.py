# SPDX-License-Identifier: Apache-2.0
"""The rows that Spark moves for bdl: blocks of samples on their way to the ranks, and what a leg gives back.

Each is (part, kind, number, bytes). `part` decides by Spark's hash which rank gets it; `kind` says what the bytes are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa

from bdl.spark._blocks import Rows
from bdl.spark._columns import SLICE_BYTES, Columns, Place, read_indicator, read_rows, slices

SCHEMA = "part int, kind string, number long, bytes binary"
ARROW_SCHEMA = pa.schema([("part", pa.int32()), ("kind", pa.string()), ("number", pa.int64()), ("bytes", pa.binary())])
PIECE_BYTES = 16 << 20  # most bytes of a row that is cut from a file

TRAINING, VALIDATION = "training", "validation"

_MASK = 0xFFFFFFFF


def _rotate(x: int, n: int) -> int:
    return (x << n | x >> (32 - n)) & _MASK


def spark_hash(value: int) -> int:
    """What Spark's function hash gives for an int: MurmurHash3 (32 bits) of its four bytes, seed 42."""
    k = _rotate(value * 0xCC9E2D51 & _MASK, 15) * 0x1B873593 & _MASK
    h = (_rotate(42 ^ k, 13) * 5 + 0xE6546B64) & _MASK
    h ^= 4
    h = (h ^ h >> 16) * 0x85EBCA6B & _MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & _MASK
    h ^= h >> 16
    return h - (1 << 32) if h >> 31 else h


def parts_of(n: int) -> list[int]:
    """For each of n ranks a value of `part` that `repartition(n, "part")` sends to it."""
    found: dict[int, int] = {}
    value = 0
    while len(found) < n:
        found.setdefault(spark_hash(value) % n, value)
        value += 1
    return [found[rank] for rank in range(n)]


def batch_of(parts: list[int], kinds: list[str], numbers: list[int], blocks: pa.Array) -> pa.RecordBatch:
    """A record batch of rows."""
    return pa.RecordBatch.from_arrays(
        [pa.array(parts, pa.int32()), pa.array(kinds, pa.string()), pa.array(numbers, pa.int64()), blocks],
        schema=ARROW_SCHEMA,
    )


def pieces(kind: str, data: bytes, part: int = 0) -> Iterator[pa.RecordBatch]:
    """Bytes as rows of a kind, numbered from 0; for no bytes one empty row."""
    for number, at in enumerate(range(0, max(1, len(data)), PIECE_BYTES)):
        piece = pa.py_buffer(memoryview(data)[at : at + PIECE_BYTES])
        offsets = pa.py_buffer(np.array([0, piece.size], np.int32))
        yield batch_of([part], [kind], [number], pa.Array.from_buffers(pa.binary(), 1, [None, offsets, piece]))


def join(found: dict[int, bytes], what: str) -> bytes:
    """The bytes that `pieces` cut."""
    missing = next((i for i in range(max(1, len(found))) if i not in found), None)
    if missing is not None:
        raise ValueError(f"{what}: number {missing} of its pieces is missing")
    return b"".join(found[i] for i in range(len(found)))


def _blocks_array(rows: list[Rows]) -> pa.Array:
    """Blocks as one Arrow array, written in place."""
    ends = np.cumsum([0, *[r.encoded_size() for r in rows]])
    data = np.empty(int(ends[-1]), np.uint8)
    for r, begin, end in zip(rows, ends[:-1], ends[1:]):
        r.encode_into(data[begin:end])
    offsets = pa.py_buffer(ends.astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(rows), [None, offsets, pa.py_buffer(data)])


def _split(batch: pa.RecordBatch, columns: Columns, place: Place) -> Iterable[tuple[str, Rows]]:
    rows = read_rows(batch, columns, place)
    if columns.validation is None:
        return [(TRAINING, rows)]
    flags = read_indicator(batch, columns.validation, place)
    return [(TRAINING, rows.take(~flags)), (VALIDATION, rows.take(flags))]


def _blocks(batch: pa.RecordBatch, columns: Columns, place: Place) -> Iterator[list[tuple[str, Rows]]]:
    """The blocks of a record batch, few at once: what Arrow and Spark hold of them stays small."""
    for at, part in slices(batch, columns, place, batch.num_rows):
        found: list[tuple[str, Rows]] = []
        size = 0
        for kind, rows in _split(part, columns, at):
            for piece in rows.cut():
                if found and size + piece.encoded_size() > SLICE_BYTES:
                    yield found
                    found, size = [], 0
                found.append((kind, piece))
                size += piece.encoded_size()
        yield found


def block_maker(columns: Columns, parts: list[int]) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The function of the map stage: record batches of the input's columns to rows that hold blocks. The blocks of each
    task go to the ranks in turn, starting with another rank in each task."""

    def make_blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        context = TaskContext.get()
        partition = context.partitionId() if context is not None else 0
        turn, number, first = partition, 0, 0
        for batch in batches:
            if batch.num_rows == 0:
                continue
            for blocks in _blocks(batch.rename_columns(columns.names), columns, Place(partition, first)):
                n = len(blocks)
                chosen = [parts[(turn + i) % len(parts)] for i in range(n)]
                array = _blocks_array([rows for _, rows in blocks])
                yield batch_of(chosen, [kind for kind, _ in blocks], list(range(number, number + n)), array)
                turn, number = turn + n, number + n
            first += batch.num_rows

    return make_blocks
