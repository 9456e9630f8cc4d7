# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Which schema the generated classes were made from."""

SCHEMA_SHA256 = "82299ce942cc01d15bc518ce2590f17b97a43ab0cd27cb748c26a15cd21e3b4f"
VERSION = "0.1.0"
