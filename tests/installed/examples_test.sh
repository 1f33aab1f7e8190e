#!/usr/bin/env bash
# Every example builds with what is installed, passes its own tests, and keeps every law of its kind.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

for folder in "$2"/examples/*/; do
  cp -r "$folder" .
  make_plugin "$(basename "$folder")"
  echo "$(basename "$folder"): $(grep -c Passed log) of its tests passed"
done
