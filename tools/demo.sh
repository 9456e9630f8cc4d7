#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demonstration behind `make demo`: LeNet learns to read digits that bdl draws itself, is saved, measured,
# and used for a prediction. Everything it makes lies in build/demo.
set -euo pipefail
cd "$(dirname "$0")/.."
bdl=build/release/bin/bdl
out=build/demo
rm -rf "$out"
mkdir -p "$out"

show() {
    printf '\n$ bdl'
    printf ' %q' "$@"
    printf '\n'
    "$bdl" "$@"
}

show doctor
show train lenet --data digits --val digits --epochs 3 --save "$out/model" --log "$out/train.jsonl"
show eval "$out/model" --data digits
echo
echo "\$ bdl predict $out/model --data digits --top 3 | head -n 8"
"$bdl" predict "$out/model" --data digits --top 3 --out "$out/predictions.txt"
head -n 8 "$out/predictions.txt"
printf '\nfiles:\n'
ls -l "$out" "$out/model"
