# SPDX-License-Identifier: Apache-2.0
# Made by tools/gen_bindings.py from the field tables; do not edit.
"""Which schema the generated classes were made from."""

SCHEMA_SHA256 = "2422a5078a951c15fba120c038e99793a3076f8e5860de6c485b54ed352c8fb3"
VERSION = "0.1.0"
