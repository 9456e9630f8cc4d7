# SPDX-License-Identifier: Apache-2.0
"""mypy --strict finds nothing to complain about in bdl.spark, with pyspark's types."""

import os
import pathlib
import subprocess
import sys

PACKAGES = pathlib.Path(__file__).resolve().parents[2]


def test_the_package_is_strictly_typed():
    build = os.environ.get("BDL_BUILD_DIR") or PACKAGES.parents[1] / "build"
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(pathlib.Path(build, "mypy-spark")),
                           "-p", "bdl.spark"], capture_output=True, text=True, check=False, cwd=PACKAGES)
    assert done.returncode == 0, done.stdout
