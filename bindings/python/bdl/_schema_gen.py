# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Which schema the generated classes were made from."""

SCHEMA_SHA256 = "53b7f4713bf7316cf8c8dac7b2b8e8c45e710b10bd2f842abd2b23f80a0010fa"
VERSION = "0.1.0"
