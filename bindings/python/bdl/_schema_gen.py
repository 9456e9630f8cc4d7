# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Which schema the generated classes were made from."""

SCHEMA_SHA256 = "a0737c064872f7a8af6a057e596b9ade649632dfb41dd32487d28870da089a38"
VERSION = "0.1.0"
