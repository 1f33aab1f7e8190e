#!/usr/bin/env bash
# What `peftlab plugins new` writes builds outside the tree, passes its tests and all laws, and runs its comparison.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh" "$1"

for kind in method model dataset metric; do
  peftlab plugins new "my_$kind" --kind $kind
  make_plugin "my_$kind"
  export PEFTLAB_PLUGIN_PATH=$work/build/my_$kind
  peftlab plugins show "my_$kind" | grep "kind  *$kind" >/dev/null || fail "plugins show does not know my_$kind"
  # The README's table is what the plugin declares.
  while IFS= read -r option; do
    grep -qF "| \`$option\` |" "my_$kind/README.md" || fail "my_$kind/README.md has no row for $option"
  done < <(peftlab plugins show "my_$kind" --format csv | tail -n +2 | cut -d, -f1)
  peftlab run "my_$kind/experiment/compare.toml" 2>progress >table || { cat progress; fail "the comparison of my_$kind"; }
  grep -q '^lora-r4 ' table || fail "the comparison of my_$kind has no LoRA: $(cat table)"
  unset PEFTLAB_PLUGIN_PATH
done
PEFTLAB_PLUGIN_PATH=$work/build/my_method peftlab compare my_method-comparison --format csv | grep "my_method" >/dev/null ||
  fail "the new method is not in its comparison"

! peftlab plugins new my_method 2>message || fail "an existing folder was written over"
grep -q 'my_method' message || fail "the refusal does not name the folder: $(cat message)"
! peftlab plugins new Bad-Name 2>message || fail "Bad-Name was taken for a name"
grep -q 'small letters' message || fail "the refusal does not say what a name is: $(cat message)"
! peftlab plugins new other --kind metod 2>message || fail "metod was taken for a kind"
grep -q 'Did you mean "method"' message || fail "the refusal does not help: $(cat message)"
