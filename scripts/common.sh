# shellcheck shell=bash
# What the scripts beside this file share. Sourced, not run.

# shellcheck disable=SC2034  # for the scripts that source this
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
  say "$*"
  exit 1
}
usage_error() {
  say "$*"
  exit 2
}

# check_preset NAME: ends the script unless CMakePresets.json is for it.
check_preset() {
  case $1 in
    dev | release | asan | tsan | fuzz) ;;
    *) usage_error "no preset '$1': dev, release, asan, tsan or fuzz" ;;
  esac
}

# Memory that this process may use, MiB: the machine's, or its control group's when that is less.
memory_mib() {
  local mib limit file
  mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [ -r "$file" ] || continue
    limit=$(cat "$file")
    case $limit in
      *[!0-9]* | '') ;;  # "max": none
      *) [ $((limit / 1048576)) -ge "$mib" ] || mib=$((limit / 1048576)) ;;
    esac
  done
  echo "$mib"
}

# jobs_for PRESET: all cores, as far as the memory reaches. A sanitized translation unit that
# instantiates Beast takes 1.3 GB, any other one under 0.8 GB.
jobs_for() {
  local per jobs
  if [ -n "${CMAKE_BUILD_PARALLEL_LEVEL:-}" ]; then
    echo "$CMAKE_BUILD_PARALLEL_LEVEL"
    return
  fi
  case $1 in
    asan | tsan | fuzz) per=1400 ;;
    *) per=900 ;;
  esac
  jobs=$(($(memory_mib) / per))
  [ "$jobs" -le "$(nproc)" ] || jobs=$(nproc)
  [ "$jobs" -ge 1 ] || jobs=1
  echo "$jobs"
}
