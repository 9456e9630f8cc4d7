# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Which schema the generated classes were made from."""

SCHEMA_SHA256 = "f20d0cc1a11b3c854bc5fb84db1bc0d5b92b8ac4c2119a37c7c920df3d8d8e71"
VERSION = "0.1.0"
