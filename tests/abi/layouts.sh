#!/usr/bin/env bash
# layouts.sh TORCH_INCLUDES [--record]: holds the public headers to tests/abi/layouts.txt, which records for the plugin ABI
# it names: the size, alignment and virtual table of every class, and the text of every header without its comments.
# A test runs it; `--record` writes the file anew, once PEFTLAB_ABI in plugin.h is what it must be.
set -euo pipefail
torch=$1
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
recorded=tests/abi/layouts.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

headers=$(cd core/include && find peftlab -name '*.h' ! -path '*/testing/*' | sort)
for header in $headers; do echo "#include <$header>"; done >"$work/all.cpp"
g++ -std=c++20 -S -o /dev/null -fdump-lang-class="$work/classes" -I core/include -isystem "$torch" \
  -isystem "$torch/torch/csrc/api/include" "$work/all.cpp"
{
  sed -n 's/^#define PEFTLAB_ABI \([0-9]*\)$/abi \1/p' core/include/peftlab/plugin.h
  # "class NAME size=S align=A", and "virtual NAME N" for the entries of its table of virtual functions.
  awk '
    /^Class / { name = $2; next }
    /^   size=/ { if (name ~ /^peftlab::/) print "class " name " " $1 " " $2; name = ""; next }
    /^Vtable for / { table = $3; next }
    /^$/ { table = ""; next }
    table ~ /^peftlab::/ && / entries$/ { print "virtual " table " " $(NF - 1) }
  ' "$work/classes" | LC_ALL=C sort -u
  for header in $headers; do
    echo "header $header $(grep -v '^#pragma once' "core/include/$header" | g++ -fpreprocessed -dD -E -P -x c++ - | tr -d ' \n' | sha256sum | cut -c 1-16)"
  done
} >"$work/found"

if [ "${2:-}" = --record ]; then
  cp "$work/found" "$recorded"
  exit 0
fi
cmp -s "$recorded" "$work/found" && exit 0
diff "$recorded" "$work/found" || true
if [ "$(head -1 "$recorded")" != "$(head -1 "$work/found")" ]; then
  echo "PEFTLAB_ABI is another: record its layouts with tests/abi/layouts.sh TORCH_INCLUDES --record" >&2
elif ! diff -q <(grep -v ^header "$recorded") <(grep -v ^header "$work/found") >/dev/null; then
  echo "classes that plugins were built with have another layout: raise PEFTLAB_ABI in plugin.h, then record" >&2
else
  echo "public headers say something else. If a plugin built before would not survive it (the order of members or of" \
    "virtual functions, what a function does that is compiled into plugins), raise PEFTLAB_ABI in plugin.h; then record" >&2
fi
exit 1
