#!/usr/bin/env bash
# install.sh BUILD: installs into BUILD/installed, by way of another folder: nothing of it may know where it was put.
set -euo pipefail
build=$1
rm -rf "$build/installed" "$build/installed.first"
cmake --install "$build" --prefix "$build/installed.first" >/dev/null
mv "$build/installed.first" "$build/installed"
if grep -rlE "$build|installed\.first" "$build/installed/share" "$build/installed/include"; then
  echo "these files name the folder they were built or installed in" >&2
  exit 1
fi
"$build/installed/bin/peftlab" --version
