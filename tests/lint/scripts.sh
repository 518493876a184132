#!/bin/sh
# usage: scripts.sh TOP
# Every shell script parses, carries the run bit, and shellcheck has no complaint when it is there.
set -eu
cd "$1"
for script in scripts/setup scripts/build scripts/test scripts/demo scripts/format scripts/lint \
  .ci/run; do
  [ -x "$script" ] || {
    echo "$script: missing, or no run bit"
    exit 1
  }
  bash -n "$script"
done
if command -v shellcheck >/dev/null; then
  shellcheck -x scripts/setup scripts/build scripts/test scripts/demo scripts/format scripts/lint \
    scripts/common.sh .ci/run tests/lint/*.sh
else
  echo "no shellcheck here: only parsed"
fi
