# SPDX-License-Identifier: Apache-2.0
"""Columns to rows, rows to blocks and back, without Spark: against NumPy and pyspark's own values."""

import decimal

import numpy as np
import pyarrow as pa
import pytest

from bdl.errors import BdlError, BdlFormatError, BdlInvalidArgumentError, BdlNumericError, BdlShapeError
from bdl.spark._blocks import Rows, decode
from bdl.spark._columns import ARRAY, ENCODED, IMAGE, SCALARS, VECTOR, Columns, Place, kind_of, read_rows
from bdl.spark._native import _for_c
from bdl.spark._rows import _blocks_array, block_maker, join, parts_of, pieces, spark_hash

PLACE = Place(partition=3, first=100)


def batch(**columns):
    return pa.RecordBatch.from_pydict(columns)


def vectors(rows):
    """The Arrow form of pyspark.ml's vectors; a row is a list (dense) or (size, {index: value})."""
    records = []
    for row in rows:
        if isinstance(row, list):
            records.append({"type": 1, "size": None, "indices": None, "values": row})
        else:
            records.append({"type": 0, "size": row[0], "indices": list(row[1]), "values": list(row[1].values())})
    form = pa.struct([("type", pa.int8()), ("size", pa.int32()), ("indices", pa.list_(pa.int32())),
                      ("values", pa.list_(pa.float64()))])
    return pa.array(records, form)


# ---- blocks ------------------------------------------------------------------------------------------------------


def encoded(rows):
    block = np.empty(rows.encoded_size(), np.uint8)
    rows.encode_into(block)
    return block.tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("n", [1, 7])
def test_a_block_gives_back_its_rows(dtype, n):
    values = np.arange(n * 12).reshape(n, 12).astype(dtype)
    labels = np.arange(n * 2).reshape(n, 2) / 3
    found = decode(encoded(Rows((3, 4), labels, values)))
    assert found.shape == (3, 4)
    assert found.values.dtype == dtype
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.labels, labels)


def test_a_block_of_encoded_images_gives_back_its_files():
    files = [b"first", b"2", b"the third"]
    rows = Rows((1,), np.zeros((3, 1)), np.frombuffer(b"".join(files), np.uint8), np.array([5, 1, 9]))
    found = decode(encoded(rows))
    ends = np.cumsum(found.sizes)
    assert [found.values[e - s : e].tobytes() for e, s in zip(ends, found.sizes)] == files
    assert [len(c) for c in rows.cut(6)] == [2, 1]
    assert encoded(rows.take(np.array([True, False, True]))).endswith(b"firstthe third")


def test_cutting_keeps_every_row_once():
    rows = Rows((5,), np.arange(10.0).reshape(10, 1), np.arange(50, dtype=np.float32).reshape(10, 5))
    cut = rows.cut(45)
    assert [len(c) for c in cut] == [2] * 5
    np.testing.assert_array_equal(np.concatenate([c.values for c in cut]), rows.values)
    sizes = np.array([3, 50, 1, 1, 1, 90, 2])
    many = Rows((3,), np.zeros((7, 0)), np.arange(sizes.sum(), dtype=np.uint8), sizes)
    cut = many.cut(40)
    np.testing.assert_array_equal(np.concatenate([c.sizes for c in cut]), sizes)
    np.testing.assert_array_equal(np.concatenate([c.values for c in cut]), many.values)


def test_damaged_blocks_are_refused():
    good = encoded(Rows((4,), np.zeros((3, 1)), np.zeros((3, 4), np.float32)))
    for bad in (b"", good[:40], b"XXXX" + good[4:], good[:-1], good + b"x", good[:4] + b"\x02" + good[5:]):
        with pytest.raises(BdlFormatError):
            decode(bad)
    files = encoded(Rows((1,), np.zeros((2, 0)), np.zeros(6, np.uint8), np.array([2, 4])))
    with pytest.raises(BdlFormatError):
        decode(files[:-1])


# ---- features ----------------------------------------------------------------------------------------------------


def read(columns, **data):
    return read_rows(batch(**data), columns, PLACE)


def test_arrays_of_any_number_type():
    expected = np.array([[1, 2], [3, 4]], np.float32)
    for kind in (pa.float32(), pa.float64(), pa.int8(), pa.int32(), pa.int64(), pa.decimal128(5, 2)):
        values = [[1, 2], [3, 4]]
        if pa.types.is_decimal(kind):
            values = [[decimal.Decimal(v) for v in row] for row in values]
        rows = read(Columns(ARRAY, ("x",)), x=pa.array(values, pa.list_(kind)))
        np.testing.assert_array_equal(rows.values, expected)
        assert rows.values.dtype == np.float32 and rows.shape == (2,)


def test_a_slice_of_arrays_is_read_from_its_offset():
    whole = pa.array([[9.0, 9.0], [1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32()))
    rows = read_rows(pa.RecordBatch.from_arrays([whole], ["x"]).slice(1), Columns(ARRAY, ("x",)), PLACE)
    np.testing.assert_array_equal(rows.values, [[1, 2], [3, 4]])


def test_vectors_dense_sparse_and_mixed():
    dense = read(Columns(VECTOR, ("x",)), x=vectors([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
    np.testing.assert_array_equal(dense.values, [[1, 2, 3], [4, 5, 6]])
    mixed = vectors([[9.0, 9.0, 9.0], (3, {1: 7.0}), [1.0, 2.0, 3.0], (3, {}), (3, {0: 4.0, 2: 5.0})])
    expected = [[9, 9, 9], [0, 7, 0], [1, 2, 3], [0, 0, 0], [4, 0, 5]]
    np.testing.assert_array_equal(read(Columns(VECTOR, ("x",)), x=mixed).values, expected)
    part = pa.RecordBatch.from_arrays([mixed], ["x"]).slice(1)
    np.testing.assert_array_equal(read_rows(part, Columns(VECTOR, ("x",)), PLACE).values, expected[1:])


def test_several_columns_become_one_row():
    columns = Columns(SCALARS, ("a", "b", "c"), label="y", label_kind="class")
    rows = read(columns, b=pa.array([3, 4], pa.int16()), a=pa.array([1.5, 2.5]), y=pa.array([0, 1], pa.int8()),
                c=pa.array([decimal.Decimal("0.25"), decimal.Decimal("8")]))
    np.testing.assert_array_equal(rows.values, [[1.5, 3, 0.25], [2.5, 4, 8]])
    np.testing.assert_array_equal(rows.labels, [[0], [1]])


def image(height, width, channels, mode, data):
    return {"origin": "", "height": height, "width": width, "nChannels": channels, "mode": mode, "data": data}


def test_images_become_planes_in_red_green_blue_order():
    pixels = bytes(range(12))  # 1 x 4 pixels of blue, green, red
    rows = read(Columns(IMAGE, ("x",)), x=[image(1, 4, 3, 16, pixels)])
    assert rows.shape == (3, 1, 4)
    np.testing.assert_array_equal(rows.values, [[2, 5, 8, 11, 1, 4, 7, 10, 0, 3, 6, 9]])
    grey = read(Columns(IMAGE, ("x",)), x=[image(2, 2, 1, 0, b"abcd")])
    assert grey.shape == (1, 2, 2) and grey.values.tobytes() == b"abcd"


def test_encoded_images_keep_their_bytes():
    rows = read(Columns(ENCODED, ("x",), channels=1), x=pa.array([b"abc", b"de"], pa.binary()))
    assert rows.shape == (1,) and rows.values.tobytes() == b"abcde" and rows.sizes.tolist() == [3, 2]


@pytest.mark.parametrize(
    "columns, data, error, words",
    [
        (Columns(ARRAY, ("x",)), {"x": [[1.0], None]}, BdlInvalidArgumentError, "column 'x', row 101 of input partition 3: found null"),
        (Columns(ARRAY, ("x",)), {"x": [[1.0, 2.0], [1.0]]}, BdlShapeError, "row 101 of input partition 3: expected 2 values, found 1"),
        (Columns(ARRAY, ("x",)), {"x": [[1.0, 2.0], [None, 1.0]]}, BdlInvalidArgumentError, "row 101 of input partition 3: found null among"),
        (Columns(ARRAY, ("x",)), {"x": [[1.0, 2.0], [0.0, float("nan")]]}, BdlNumericError, "row 101 of input partition 3, value 1: expected a finite number, found nan"),
        (Columns(ARRAY, ("x",), shape=(1, 2)), {"x": [[1.0, 2.0, 3.0]]}, BdlShapeError, "expected 2 values, found 3"),
        (Columns(SCALARS, ("a", "b")), {"a": [1.0], "b": [float("inf")]}, BdlNumericError, "column 'b', row 100 of input partition 3: expected a finite"),
        (Columns(SCALARS, ("a",)), {"a": ["1"]}, BdlError, "column 'a': expected numbers, found"),
        (Columns(VECTOR, ("x",)), {"x": vectors([[1.0], [1.0, 2.0]])}, BdlShapeError, "expected a vector of 1 values, found 2"),
        (Columns(IMAGE, ("x",)), {"x": [image(1, 1, 3, 16, b"abc"), image(1, 2, 3, 16, b"abcdef")]}, BdlShapeError, "row 101 of input partition 3: images of one size"),
        (Columns(IMAGE, ("x",)), {"x": [image(-1, -1, -1, -1, b"")]}, BdlFormatError, "found mode -1"),
        (Columns(IMAGE, ("x",)), {"x": [image(1, 1, 3, 16, b"ab")]}, BdlFormatError, "expected 3 bytes of pixels, found 2"),
        (Columns(ENCODED, ("x",)), {"x": [b"a", b""]}, BdlFormatError, "row 101 of input partition 3: expected an encoded image"),
    ],
)
def test_malformed_features_are_named(columns, data, error, words):
    with pytest.raises(error, match=words.replace("(", r"\(")):
        read(columns, **data)


@pytest.mark.parametrize("label, found", [(float("nan"), "nan"), (-1, "-1"), (0.5, "0.5"), (1e9, "1e\\+09")])
def test_labels_that_are_no_class_are_named(label, found):
    columns = Columns(SCALARS, ("a",), label="y", label_kind="class")
    with pytest.raises(BdlInvalidArgumentError, match=f"column 'y', row 101 of input partition 3: expected a class number from 0, found {found}"):
        read(columns, a=[1.0, 1.0], y=[0.0, label])


def test_labels_beyond_the_classes_are_named():
    columns = Columns(SCALARS, ("a",), label="y", label_kind="class", n_classes=3)
    with pytest.raises(BdlInvalidArgumentError, match="from 0 to 2, found 3"):
        read(columns, a=[1.0], y=[3])


def test_numbers_and_arrays_as_targets():
    columns = Columns(SCALARS, ("a",), label="y", label_kind="floats")
    np.testing.assert_array_equal(read(columns, a=[1.0, 2.0], y=[0.5, -3.0]).labels, [[0.5], [-3]])
    np.testing.assert_array_equal(read(columns, a=[1.0], y=[[1.0, 2.0]]).labels, [[1, 2]])
    np.testing.assert_array_equal(read(columns, a=[1.0], y=vectors([[1.0, 2.0]])).labels, [[1, 2]])
    with pytest.raises(BdlNumericError, match="column 'y', row 100"):
        read(columns, a=[1.0], y=[float("inf")])


def test_forms_follow_from_types():
    types = pytest.importorskip("pyspark.sql.types")
    from pyspark.ml.linalg import VectorUDT

    assert kind_of("x", VectorUDT()) == VECTOR
    assert kind_of("x", types.ArrayType(types.DoubleType())) == ARRAY
    assert kind_of("x", types.ShortType()) == SCALARS
    assert kind_of("x", types.BinaryType()) == ENCODED
    with pytest.raises(BdlError, match="column 'x': expected a vector.*found string"):
        kind_of("x", types.StringType())


# ---- the map stage -----------------------------------------------------------------------------------------------


def test_every_row_is_in_one_block():
    columns = Columns(ARRAY, ("x",), label="y", label_kind="class", validation="v")
    x = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    batches = [batch(x=pa.array(list(part), pa.list_(pa.float32())), y=np.arange(len(part)) % 10, v=np.arange(len(part)) % 4 == 0)
               for part in (x[:600], x[:0], x[600:])]
    out = list(block_maker(columns, parts_of(3))(iter(batches)))
    assert sum(b.num_rows for b in out) == 4
    kinds = [k for b in out for k in b.column("kind").to_pylist()]
    rows = [decode(blob.as_buffer()) for b in out for blob in b.column("bytes")]
    assert sorted(len(r) for r, k in zip(rows, kinds) if k == "validation") == [100, 150]
    np.testing.assert_array_equal(np.sort(np.concatenate([r.values for r in rows]).ravel()), x.ravel())


@pytest.mark.parametrize("sparse_labels", [False, True])
def test_wide_sparse_vectors_are_made_dense_a_few_at_a_time(monkeypatch, sparse_labels):
    made = []
    monkeypatch.setattr("bdl.spark._rows._blocks_array", lambda rows: made.append(sum(r.encoded_size() for r in rows)) or _blocks_array(rows))
    n, width = 100, 1 << 20
    wide = vectors([(width, {i: 1.0 + i, width - 1: 2.0}) for i in range(n)])
    columns = Columns(VECTOR, ("x",), label="y", label_kind="class")
    data = {"x": wide, "y": [0] * n}
    if sparse_labels:
        columns, data = Columns(SCALARS, ("x",), label="y", label_kind="floats"), {"x": [0.0] * n, "y": wide}
    seen = 0
    for out in block_maker(columns, [0])(iter([batch(**data)])):
        for blob in out.column("bytes"):
            rows = decode(blob.as_buffer())
            values = rows.labels if sparse_labels else rows.values
            np.testing.assert_array_equal(values[np.arange(len(rows)), seen + np.arange(len(rows))], 1 + seen + np.arange(len(rows)))
            assert (values[:, -1] == 2).all() and np.count_nonzero(values) == 2 * len(rows)
            seen += len(rows)
    assert seen == n and max(made) < 20 << 20


def test_a_row_that_is_too_wide_is_named():
    columns = Columns(VECTOR, ("x",), label="y", label_kind="class")
    with pytest.raises(BdlShapeError, match="column 'x', row 0 of input partition 0: expected a row of at most 1073741824 bytes .* found 8589934596"):
        list(block_maker(columns, [0])(iter([batch(x=vectors([(2**31 - 1, {})]), y=[0])])))


def test_columns_get_back_the_names_that_errors_use():
    columns = Columns(ARRAY, ("a.b",), label="y", label_kind="class")
    with pytest.raises(BdlNumericError, match="column 'a.b', row 0"):
        list(block_maker(columns, [0])(iter([batch(c0=[[float("nan")]], c1=[0])])))


def test_a_view_of_a_block_at_any_byte_is_aligned_for_c():
    rows = Rows((3,), np.arange(2.0).reshape(2, 1), np.arange(6, dtype=np.float32).reshape(2, 3))
    moved = decode(np.concatenate([np.zeros(1, np.uint8), np.frombuffer(encoded(rows), np.uint8)])[1:])
    assert not moved.values.flags.aligned and not moved.labels.flags.aligned
    for array, same in ((moved.values, rows.values), (moved.labels, rows.labels)):
        found = _for_c(array)
        assert found.flags.aligned and found.flags.c_contiguous
        np.testing.assert_array_equal(found, same)
    assert _for_c(rows.values) is rows.values


def test_files_travel_in_pieces(monkeypatch):
    monkeypatch.setattr("bdl.spark._rows.PIECE_BYTES", 10)
    data = bytes(range(25))
    out = list(pieces("weights", data))
    found = {b.column("number")[0].as_py(): b.column("bytes")[0].as_py() for b in out}
    assert [len(found[i]) for i in range(3)] == [10, 10, 5]
    assert join(found, "weights") == data
    assert join({0: b""}, "nothing") == b""
    del found[1]
    with pytest.raises(ValueError, match="number 1 of its pieces is missing"):
        join(found, "weights")


def test_the_hash_is_sparks():
    """`SELECT hash(0), hash(1), hash(2), hash(42), hash(-1), hash(2147483647)` in Spark 4.3."""
    found = [spark_hash(value) for value in (0, 1, 2, 42, -1, 2**31 - 1)]
    assert found == [933211791, -559580957, 1765031574, 29417773, -1604776387, 133916647]
