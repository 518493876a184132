#!/bin/sh
# usage: prometheus_files.sh DIR
# The scrape config and the rules are good Prometheus files, the rules pass their tests, and every
# alert has its test and its section of the runbook.
set -eu
cd "$1"
if ! command -v promtool >/dev/null; then
  echo "skipped: no promtool here (package prometheus)"
  exit 77
fi
promtool check config prometheus.yml
promtool check rules anomalyd.rules.yml
promtool test rules anomalyd.rules.test.yml

alerts=$(sed -n 's/^ *- alert: //p' anomalyd.rules.yml)
bad=0
complain() {
  echo "$1"
  bad=1
}
for alert in $alerts; do
  anchor=$(printf '%s' "$alert" | tr '[:upper:]' '[:lower:]')
  grep -q "^## $alert\$" runbook.md || complain "runbook.md has no section $alert"
  grep -q "runbook.md#$anchor\"" anomalyd.rules.yml || complain "$alert: no runbook_url to #$anchor"
  grep -q "$alert" anomalyd.rules.test.yml || complain "$alert: no test"
  printf '%s' "$alert" | grep -Eq '^Anomalyd([A-Z][a-z]+)+$' || complain "$alert is no CamelCase name"
done
exit "$bad"
