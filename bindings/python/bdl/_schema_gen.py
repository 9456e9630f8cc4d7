# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Which schema the generated classes were made from."""

SCHEMA_SHA256 = "81238b99d628152584e53b09166e07e6d4c0624b15565bdaafeadbec28057edb"
VERSION = "0.1.0"
