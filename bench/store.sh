#!/usr/bin/env bash
# bench/store.sh [FOLDER]: how long the program takes to answer from a store of 10,000 runs with 10 million points, and for
# the page of 1,000 runs. Medians of five, of whole processes; `peftlab --version` says what starting alone takes.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=${1:-$(mktemp -d)}
cmake --build build/release --target bench_generated_store peftlab >&2
large=$folder/large.store page=$folder/page.store
[ -e "$large" ] || time build/release/bench_generated_store "$large" 10 1000
[ -e "$page" ] || build/release/bench_generated_store "$page" 1 200
export PEFTLAB_STORE=$large
run=$(build/release/peftlab query "SELECT run_uuid FROM v_runs LIMIT 1 OFFSET 7777" --format csv | tail -1)

# median COMMAND...: seconds
median() {
  for _ in 1 2 3 4 5; do
    local start end
    start=$(date +%s%N)
    "$@" >/dev/null 2>&1
    end=$(date +%s%N)
    echo $((end - start))
  done | sort -n | sed -n 3p | awk '{printf "%.3f s\n", $1 / 1e9}'
}

du -h "$large/store.db" | cut -f1
cat /proc/loadavg
echo "--version: $(median build/release/peftlab --version)"
echo "list: $(median build/release/peftlab list)"
echo "list experiment-3: $(median build/release/peftlab list experiment-3)"
echo "compare experiment-3: $(median build/release/peftlab compare experiment-3)"
echo "show RUN: $(median build/release/peftlab show "$run")"
echo "show RUN --series train/loss: $(median build/release/peftlab show "$run" --series train/loss)"
echo "report of 1,000 runs: $(median build/release/peftlab report --store "$page" -o "$folder/page.html")"
