# Shared by the tests here: . lib.sh BUILD

set -euo pipefail
build=$1
installed=$build/installed
PATH=$installed/bin:$PATH
# Nothing of the tree: what is found must be found in what was installed.
unset PEFTLAB_BINARY_DIR PEFTLAB_SOURCE_DIR CMAKE_PREFIX_PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export PEFTLAB_STORE=$work/peftlab.store
# Where ccache is, the same text in another temporary folder is the same to it.
export CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

# make_plugin FOLDER: configures and builds it, and runs its tests; what they print is shown where they fail.
make_plugin() {
  local launcher=()
  if command -v ccache >/dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  {
    cmake -S "$1" -B "$work/build/$(basename "$1")" -DCMAKE_PREFIX_PATH="$installed" "${launcher[@]}" &&
      cmake --build "$work/build/$(basename "$1")" --parallel 2 &&
      ctest --test-dir "$work/build/$(basename "$1")" --no-tests=error --output-on-failure
  } >"$work/log" 2>&1 || {
    cat "$work/log"
    fail "$1 does not build, or does not pass its tests"
  }
}
