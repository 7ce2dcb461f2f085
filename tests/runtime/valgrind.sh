#!/bin/bash
# time-limit: 3600
# tests-full-only
# The unit tests under valgrind: no byte is read that nobody wrote, none beyond its end, none is lost.
set -uo pipefail
cd "$(dirname "$0")/../.."
log=build/valgrind.log
mkdir -p build
echo 1..1
export SLUICE_TESTS_PRESET=dev SLUICE_TESTS_PATIENCE=20
export SLUICE_TESTS_UNDER="valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible \
--suppressions=$PWD/tests/runtime/valgrind.supp"
if tests/run.sh unit test_ >"$log" 2>&1; then
    echo "ok 1 - valgrind finds nothing in $(tail -n 1 "$log" | cut -d' ' -f1) unit tests"
    exit
fi
echo "not ok 1 - valgrind finds something in the unit tests; build/valgrind.log"
tail -n 100 "$log" | sed 's/^/# /'
exit 1
