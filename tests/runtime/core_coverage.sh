#!/bin/bash
# time-limit: 5400
# tests-full-only
# The core's branches that the tests reach: tests/run.sh coverage.
echo 1..1
if output=$("$(dirname "$0")/coverage.sh" 2>&1); then
    echo "ok 1 - the tests reach at least 95% of the branches of each file of the core"
    status=0
else
    echo "not ok 1 - the tests reach less than 95% of the branches of a file of the core, or fail"
    status=1
fi
sed 's/^/# /' <<<"$output"
exit $status
