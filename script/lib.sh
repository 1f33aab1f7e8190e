# What the scripts share; sourced, never run. Leaves the shell in the repository root.

set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
deps=${PEFTLAB_DEPS:-$root/build/deps}
case $deps in /*) ;; *) deps=$root/$deps ;; esac

say() { printf '== %s\n' "$*" >&2; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# usage FIRST LAST: prints those lines of the script's head, which are its manual, and ends.
usage() {
  sed -n "$1,$2s/^# \\{0,1\\}//p" "script/${0##*/}"
  exit 0
}

# as_root COMMAND...: as it is for root, through sudo for others.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing Debian packages needs root, and there is no sudo here: run as root: $*"
  fi
}

# apt_update: fetches the package lists, once however often it is called.
apt_updated=no
apt_update() {
  [ $apt_updated = no ] || return 0
  say "apt-get update"
  as_root apt-get update -q >&2 || die "apt-get update failed: the reason is above"
  apt_updated=yes
}

# build_jobs: one compiler a core, but no more than memory holds at 2.5 GB each (LibTorch's headers are large).
build_jobs() {
  local cores kilobytes limit jobs
  cores=$(nproc)
  kilobytes=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [ "$limit" != max ] && [ $((limit / 1024)) -lt "$kilobytes" ]; then kilobytes=$((limit / 1024)); fi
  jobs=$((kilobytes / 2500000))
  if [ $jobs -gt "$cores" ]; then jobs=$cores; fi
  if [ $jobs -lt 1 ]; then jobs=1; fi
  echo $jobs
}
