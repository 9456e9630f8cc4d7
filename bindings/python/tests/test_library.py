# SPDX-License-Identifier: Apache-2.0
"""Loading: the declared functions are the header's, importing does nothing, and mistakes are explained."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import bdl
from bdl import _lib, errors, nn
from conftest import ROOT

HEADER = (ROOT / "include/bdl/bdl.h").read_text() + (ROOT / "include/bdl/tensor.h").read_text()


def test_error_classes_are_the_status_codes_of_the_header():
    codes = {int(n): name for name, n in re.findall(r"X\(BDL_(?:ERR_)?(\w+), (\d+),", HEADER) if n != "0"}
    assert set(codes) == set(errors.BY_CODE)
    for code, name in codes.items():
        expected = "bdl" + name.replace("_", "").lower() + "error"
        assert errors.BY_CODE[code].__name__.lower() == expected


def test_declared_functions_have_the_arguments_of_the_header():
    for name, (result, arguments) in _lib.SIGNATURES.items():
        found = re.search(rf"BDL_API ([\w ]+\*? ?\*?){name}\(([^;]*)\);", HEADER)
        assert found, name
        parameters = [] if found[2].strip() == "void" else found[2].split(",")
        assert len(parameters) == len(arguments), name
        assert (found[1].strip() == "bdl_status") == (result == "status"), name


def test_import_is_free_of_side_effects(child):
    done = child(
        "import os, threading\n"
        "before = dict(os.environ)\n"
        "import bdl, sys\n"
        "from bdl import _lib, _context\n"
        "assert dict(os.environ) == before\n"
        "assert threading.active_count() == 1\n"
        "assert _lib._library is None and _context._context is None\n"
        "assert 'libbdl' not in open('/proc/self/maps').read()\n"
        "heavy = {'asyncio', 'multiprocessing', 'torch', 'pandas', 'pyspark', 'subprocess'}\n"
        "import numpy\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert done.returncode == 0, done.stderr
    alone = subprocess.run([sys.executable, "-c", "import numpy, sys; heavy = {'asyncio', 'multiprocessing', 'torch', "
                            "'pandas', 'pyspark', 'subprocess'}; print(sorted(heavy & set(sys.modules)))"],
                           capture_output=True, text=True, check=True)
    assert done.stdout == alone.stdout


def test_a_missing_library_is_named(child):
    done = child("import bdl\nbdl.models.lenet()", BDL_LIBRARY="/nowhere/libbdl.so")
    assert "BdlNotFoundError" in done.stderr and "/nowhere/libbdl.so" in done.stderr and "BDL_LIBRARY" in done.stderr


def test_spark_without_pyspark_says_what_to_install(child):
    done = child("import sys\nsys.modules['pyspark'] = sys.modules['pyarrow'] = None\nimport bdl\nimport bdl.spark")
    assert "ImportError: bdl.spark needs pyspark (4.0.1 or newer) and pyarrow: pip install 'bdl[spark]'" in done.stderr


def test_another_schema_is_refused(child):
    done = child("from bdl import _context\n_context.SCHEMA_SHA256 = 'f' * 64\nimport bdl\nbdl.models.lenet()")
    assert "BdlStateError" in done.stderr and "different versions" in done.stderr and "ffffffffffff" in done.stderr


def test_version_is_the_librarys():
    assert _lib.library().bdl_version().decode() == bdl.__version__
    assert bdl.__version__ == pathlib.Path(ROOT / "VERSION").read_text().strip()


def test_library_in_use_is_the_one_that_was_asked_for():
    assert _lib.library()._name == os.environ["BDL_LIBRARY"]


def test_texts_and_numbers_that_ctypes_would_change_are_refused(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), input_shape=(2,))
    with pytest.raises(errors.BdlInvalidArgumentError, match="NUL"):
        model.save(f"{tmp_path}/some\0thing")
    assert not list(tmp_path.iterdir())
    with pytest.raises(errors.BdlInvalidArgumentError, match="32 bits"):
        bdl.Tensor([[1.0, 2.0]]).sum(2**40)
    with pytest.raises(errors.BdlInvalidArgumentError, match="64 bits"):
        nn.Sequential(nn.Linear(2, 2), input_shape=(2,), seed=-1).state_dict()
