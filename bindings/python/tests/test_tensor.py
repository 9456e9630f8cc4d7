# SPDX-License-Identifier: Apache-2.0
"""Tensors against NumPy."""

import numpy as np
import pytest

import bdl
from bdl.errors import BdlShapeError, BdlUnsupportedError


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
