#!/bin/bash
# Measures Sluice beside its peers and beside what the machine could do at most, and prints a table:
#   tests/bench/run.sh [--quick] [--json FILE] [--only race,latency,full,curves,faults,backlog,images]
# It installs what is missing, builds the programs, starts a Kafka, a Postgres and a registry of its own, and stops them.
# --quick takes minutes, without it it takes an hour. Exit status: 0 every run answered each request exactly once, 1 one did not, 2 it
# could not measure. Time fails nothing. README.md says how to read the table.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
case ${1-} in -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit ;; esac

"$root/deploy/packages.sh" build run test bench >&2
"$root/deploy/build.sh" release >&2
status=0
PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$here/main.py" "$@" || status=$?
case $status in
0) echo "1 passed, 0 failed, 0 skipped" ;;
1) echo "0 passed, 1 failed, 0 skipped" ;;
*) exit 2 ;;
esac
exit $status
