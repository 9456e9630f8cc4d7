# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Which schema the generated classes were made from."""

SCHEMA_SHA256 = "f3692a066f9927206d232beeed4c6546947e2c2f67c6587796a5b4955673f87d"
VERSION = "0.1.0"
