#!/usr/bin/env bash
# Every example builds with what is installed, passes its own tests, and keeps every law of its kind; the methods also on
# the example's model, where they find it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

for folder in "$2"/examples/*/; do
  [ -e "$folder/CMakeLists.txt" ] || continue
  cp -r "$folder" .
  make_plugin "$(basename "$folder")"
  echo "$(basename "$folder"): $(grep -c Passed log) of its tests passed"
done

PEFTLAB_PLUGIN_PATH=$work/build/gru_lm peftlab plugins check build/krona/krona.so --format csv >report ||
  fail "krona breaks a law beside gru_lm: $(grep ,broken, report | cut -d, -f1-4)"
grep -q '^gru_lm,5,learns,holds' report || fail "krona was not tried on gru_lm"
