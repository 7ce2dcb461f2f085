#!/bin/bash
# Two seeds of the real faults, one of each topology; TAP.
# time-limit: 900
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo 1..2
number=0
for seed in 47 16; do # few of their faults stop a broker, which takes longest to come back
    number=$((number + 1))
    topology="one broker"
    [ $((seed % 2)) = 1 ] || topology="three brokers"
    if "$here/run.sh" --seeds "$seed-$seed" >"$log" 2>&1; then
        echo "ok $number - seed $seed ($topology): $(sed -n 's/^seed .* passed: //p' "$log")"
    else
        echo "not ok $number - seed $seed ($topology)"
        sed 's/^/# /' "$log"
    fi
done
