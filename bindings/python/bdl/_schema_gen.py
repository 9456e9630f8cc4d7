# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Which schema the generated classes were made from."""

SCHEMA_SHA256 = "3492afc665129fa49fea748a6ce8f529c152d7dda7bfafecbc8a62d4e5b3f06d"
VERSION = "0.1.0"
