# SPDX-License-Identifier: Apache-2.0
"""Names the wheel: no code is compiled for a version of Python, but the libraries inside are for x86-64 and glibc 2.28."""
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TagHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-manylinux_2_28_x86_64"
