#!/bin/sh
# usage: grafana_files.sh DIR
# The dashboard is JSON with a query in every panel that Prometheus can parse, and the
# provisioning files are there. That the queries find data is an integration test's matter.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$1"
if ! command -v jq >/dev/null || ! command -v promtool >/dev/null; then
  echo "skipped: no jq or no promtool here (packages jq, prometheus)"
  exit 77
fi
dashboard=dashboards/anomalyd.json
fail() {
  echo "$dashboard: $1"
  exit 1
}
jq -e '.uid == "anomalyd" and (.title | length > 0)' $dashboard >/dev/null || fail "no uid or title"
jq -e '[.panels[].id] | length == (unique | length)' $dashboard >/dev/null || fail "an id twice"
empty=$(jq -r '.panels[] | select(.type != "row") |
  select(([.targets[]? | select((.expr // "") != "")] | length) == 0) | .title' $dashboard)
[ -z "$empty" ] || fail "no query in: $empty"
sources=$(jq -r '[.panels[] | select(.type != "row") | .datasource.uid, .targets[].datasource.uid]
  | unique | join(" ")' $dashboard)
# shellcheck disable=SC2016  # Grafana's variable, not the shell's
[ "$sources" = '${datasource}' ] || fail "a panel is bound to one data source: $sources"

rules=$(mktemp)
trap 'rm -f "$rules"' EXIT
echo 'groups: [{name: panels, rules: [' >"$rules"
sh "$here/dashboard_queries.sh" $dashboard |
  jq -R -c '{record: "panel:query", labels: {line: (input_line_number | tostring)}, expr: .}' |
  sed 's/$/,/' >>"$rules"
echo ']}]' >>"$rules"
promtool check rules "$rules" || fail "a query does not parse"

for file in provisioning/datasources/anomalyd.yaml provisioning/dashboards/anomalyd.yaml; do
  grep -q '^apiVersion: 1$' "$file" || {
    echo "$file: no apiVersion: 1"
    exit 1
  }
done
