#!/bin/bash
# time-limit: 900
# time-limit-full: 7200
# The benchmark in its quick form, and in a full run in its own. It fails when a run did not answer each request exactly once, never
# because of time; the table is for people to read. Where Go or Node cannot be had, their rows are left out and say so.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo 1..3
form=(--quick)
[ "${SLUICE_TESTS_FULL-no}" = no ] || form=()
"$here/run.sh" "${form[@]}" --json "$work/table.json" >"$work/out" 2>"$work/err"
status=$?
sed 's/^/# /' "$work/err"
# What tests/run.sh shows of a program that has passed.
sed -n '/^This machine/,$p' "$work/out" | sed 's/^/#> /'
failed=0
if [ $status = 0 ] && [ -s "$work/table.json" ]; then
    echo "ok 1 - every run answered each request exactly once"
else
    sed 's/^/# /' "$work/out"
    echo "not ok 1 - every run answered each request exactly once"
    failed=1
fi
number=1
for peer in Go Node; do
    number=$((number + 1))
    why=$(sed -n "s/^Without the $peer peer: //p" "$work/out" | head -n 1)
    if [ -n "$why" ]; then
        echo "ok $number - Sluice beside the $peer peer # SKIP it cannot be had: ${why:0:200}"
    elif grep -q "\"against\": \"$peer peer\"" "$work/table.json" 2>/dev/null; then
        echo "ok $number - Sluice beside the $peer peer"
    else
        echo "not ok $number - Sluice beside the $peer peer"
        failed=1
    fi
done
exit $failed
