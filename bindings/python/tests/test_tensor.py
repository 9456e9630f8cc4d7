# SPDX-License-Identifier: Apache-2.0
"""Tensors against NumPy."""

import copy
import pickle

import numpy as np
import pytest

import bdl
from bdl.errors import BdlInvalidArgumentError, BdlShapeError, BdlUnsupportedError


def test_the_articles_tensor_prints_as_torch_prints_it():
    tensor = bdl.Tensor(2, 2).fill(1.0)
    assert repr(tensor).split() == "1.0 1.0 1.0 1.0 [bdl.DoubleTensor of size 2x2]".split()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
def test_arrays_go_in_and_out(dtype):
    array = (np.arange(24).reshape(2, 3, 4) % 7).astype(dtype)
    tensor = bdl.Tensor(array)
    assert tensor.dtype == dtype and tensor.shape == (2, 3, 4)
    np.testing.assert_array_equal(tensor.numpy(), array)
    tensor.numpy()[0, 0, 0] = 5
    assert np.asarray(tensor)[0, 0, 0] == 5 and array[0, 0, 0] == 0
    assert np.shares_memory(np.from_dlpack(tensor), tensor.numpy())
    np.testing.assert_array_equal(tensor.transpose(0, 2).numpy(), tensor.numpy().transpose(2, 1, 0))


def test_views_keep_the_memory():
    view = bdl.Tensor(np.arange(6.0)).reshape(2, 3).transpose().numpy()
    np.testing.assert_array_equal(view, np.arange(6.0).reshape(2, 3).T)


def test_arithmetic_is_numpys():
    rng = np.random.default_rng(1)
    a, b, row = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)) + 3, rng.normal(size=4)
    x, y, z = bdl.Tensor(a), bdl.Tensor(b), bdl.Tensor(row)
    for found, truth in [
        (x + y, a + b), (x - z, a - row), (x * y, a * b), (x / y, a / b), (x + 2, a + 2), (2 * x, 2 * a),
        (x @ y.transpose(), a @ b.T), (x.sum(0), a.sum(0)), (x.mean(1, True), a.mean(1, keepdims=True)),
    ]:
        np.testing.assert_allclose(found.numpy(), truth, rtol=1e-13)
    assert float(x.sum()) == pytest.approx(a.sum())


def test_misuse_is_named():
    with pytest.raises(BdlShapeError, match=r"3.*4|4.*3"):
        bdl.Tensor(3) + bdl.Tensor(4)
    with pytest.raises(BdlUnsupportedError, match="found float16"):
        bdl.Tensor(np.zeros(3, np.float16))


def test_sizes_and_arguments_that_make_no_tensor_are_named():
    for arguments, error, text in [
        ((), BdlInvalidArgumentError, "expected sizes, .* or one array.*got 0 arguments"),
        ((1, [2]), BdlInvalidArgumentError, "got 2 arguments"),
        ((0, 3), BdlShapeError, "sizes must be at least 1, got 0, 3"),
        (([[1], [2, 3]],), BdlShapeError, "a list whose entries differ in shape"),
        ((None,), BdlUnsupportedError, "found a NoneType"),
    ]:
        with pytest.raises(error, match=text):
            bdl.Tensor(*arguments)
    assert bdl.Tensor(np.int64(3), 2).shape == (3, 2) and bdl.Tensor(2, dtype=np.float32).dtype == "float32"


def test_scalars_and_other_byte_orders_keep_shape_and_values():
    scalar = bdl.Tensor(5.0)
    assert scalar.shape == () and float(scalar) == 5
    np.testing.assert_array_equal(bdl.Tensor(np.arange(3, dtype=">f4")).numpy(), np.arange(3, dtype=np.float32))
    with pytest.raises(BdlShapeError, match=r"one element is a number, found shape \(2, 3\)"):
        float(bdl.Tensor(2, 3))
    with pytest.raises(ValueError, match="need a copy"):
        bdl.Tensor(2, 3).__array__(np.float32, copy=False)


def test_numbers_and_arrays_may_stand_on_either_side():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)) + 5
    x = bdl.Tensor(b)
    for found, truth in [
        (1 - x, 1 - b), (2 / x, 2 / b), (-x, -b), (a - x, a - b), (x - a, b - a), (a / x, a / b), (a @ x.transpose(), a @ b.T),
        (x @ a.T, b @ a.T), (np.float64(2) - x, 2 - b), (1 - bdl.Tensor(2.5), np.array(-1.5)), (x.reshape((3, 2)), b.reshape(3, 2)),
    ]:
        assert isinstance(found, bdl.Tensor) and found.shape == truth.shape
        np.testing.assert_allclose(found.numpy(), truth, rtol=1e-13)
    for wrong in (lambda: x + "1", lambda: None + x, lambda: x @ 2, lambda: x.sum(1.5)):
        with pytest.raises(TypeError):
            wrong()


def test_tensors_are_copied_and_pickled():
    x = bdl.Tensor(np.arange(6.0).reshape(2, 3))
    for other in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert np.array_equal(other.numpy(), x.numpy()) and not np.shares_memory(other.numpy(), x.numpy())
