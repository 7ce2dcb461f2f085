#!/bin/bash
# time-limit: 3600
# tests-full-only
# The unit tests, and the store's tests against a real Postgres, under valgrind: no byte is read that nobody wrote, none beyond its
# end, none is lost.
set -uo pipefail
cd "$(dirname "$0")/../.."
mkdir -p build
export SLUICE_TESTS_PRESET=dev SLUICE_TESTS_PATIENCE=20
export SLUICE_TESTS_UNDER="valgrind --quiet --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect,possible \
--suppressions=$PWD/tests/runtime/valgrind.supp"
number=0 failed=0
runs=("unit test_" "component test_store")
echo "1..${#runs[@]}"

for run in "${runs[@]}"; do
    number=$((number + 1))
    log=build/valgrind-$number.log
    # shellcheck disable=SC2086 # words on purpose
    if tests/run.sh $run >"$log" 2>&1; then
        echo "ok $number - valgrind finds nothing: $run ($(tail -n 1 "$log"))"
        continue
    fi
    echo "not ok $number - valgrind, $run; $log"
    tail -n 100 "$log" | sed 's/^/# /'
    failed=1
done
exit $failed
