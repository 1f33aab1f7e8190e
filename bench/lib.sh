# What the benches in shell begin with: . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# They go on in the repository's root, with the program in $program and an empty folder $work that goes away at the end.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=build/release/peftlab
[ -x "$program" ] || { echo "bench: no $program: run script/build first" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
