#!/bin/sh
# usage: install.sh BUILD_DIR PREFIX SYSCONFDIR
# `cmake --install` puts everything where a package would, the unit starts the program that was
# installed, and that program takes the config that was installed.
set -eu
build=$1
prefix=$2
sysconfdir=$3
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
DESTDIR=$root cmake --install "$build" >"$root/log" || {
  cat "$root/log"
  exit 1
}
bad=0
for file in "$prefix/bin/anomalyd" "$prefix/bin/anomalyctl" \
  "$prefix/lib/systemd/system/anomalyd.service" "$sysconfdir/anomalyd/anomalyd.toml" \
  "$prefix/share/anomalyd/openapi.json" "$prefix/share/anomalyd/prometheus/anomalyd.rules.yml" \
  "$prefix/share/anomalyd/grafana/dashboards/anomalyd.json" \
  "$prefix/share/doc/anomalyd/README.md" "$prefix/share/doc/anomalyd/runbook.md"; do
  [ -s "$root$file" ] || {
    echo "$file: not installed, or empty"
    bad=1
  }
done
[ "$bad" -eq 0 ] || exit 1

start=$(sed -n 's/^ExecStart=//p' "$root$prefix/lib/systemd/system/anomalyd.service")
[ "$start" = "$prefix/bin/anomalyd --config $sysconfdir/anomalyd/anomalyd.toml" ] || {
  echo "the unit starts: $start"
  exit 1
}
STATE_DIRECTORY=$root/state "$root$prefix/bin/anomalyd" \
  --config "$root$sysconfdir/anomalyd/anomalyd.toml" --check-config
