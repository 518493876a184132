#!/bin/sh
# usage: dashboard_queries.sh DASHBOARD.json [INTERVAL]
# Prints the PromQL of every panel, one a line, as Grafana would send it: for all instances, rates
# over INTERVAL (default 5m).
set -eu
jq -r '.panels[] | .targets[]?.expr' "$1" |
  sed "s/\\\$__rate_interval/${2:-5m}/g; s/\\\$instance/.*/g"
