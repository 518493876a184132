#!/bin/sh
# usage: unit_file.sh UNIT BINARY
# The unit has no word that systemd does not know, and its exposure is at most 1.2 of 10.
set -eu
unit=$1
binary=$2
if ! command -v systemd-analyze >/dev/null; then
  echo "skipped: no systemd-analyze here (package systemd)"
  exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# --threshold counts in tenths: a unit of 1.3 fails it.
systemd-analyze security --offline=true --threshold=12 --no-pager "$unit" >"$dir/score" || {
  cat "$dir/score"
  echo "$unit: exposure above 1.2"
  exit 1
}
tail -n 1 "$dir/score"

# `verify` ends with 0 on an unknown key and only says so.
sed "s|^ExecStart=/usr/bin/anomalyd |ExecStart=$binary |" "$unit" >"$dir/anomalyd.service"
grep -q "^ExecStart=$binary " "$dir/anomalyd.service" || {
  echo "$unit: ExecStart= does not start /usr/bin/anomalyd"
  exit 1
}
systemd-analyze verify --man=no "$dir/anomalyd.service" 2>"$dir/said" || {
  cat "$dir/said"
  exit 1
}
if [ -s "$dir/said" ]; then
  cat "$dir/said"
  exit 1
fi
