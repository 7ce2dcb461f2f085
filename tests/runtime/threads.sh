#!/bin/bash
# time-limit: 3600
# tests-full-only
# ThreadSanitizer over what has threads: what the lane's two threads share (unit), the clients of Kafka and of registries
# (component), and whole workers (system). Not test_supervisor: it forks out of a process that has threads, without exec, and there
# ThreadSanitizer itself stands still; the supervisor runs in the system test.
set -uo pipefail
cd "$(dirname "$0")/../.."
mkdir -p build
export SLUICE_TESTS_PRESET=tsan SLUICE_TESTS_PATIENCE=5
# Without randomisation: ThreadSanitizer of gcc 12 knows no layout with more than 28 random bits.
export SLUICE_TESTS_UNDER="setarch -R"
reports=$PWD/build/tsan-reports
export TSAN_OPTIONS="suppressions=$PWD/tests/runtime/threads.supp:exitcode=66:log_path=$reports/report:second_deadlock_stack=1:die_after_fork=0"
# librdkafka starts its threads by a function of C11 that ThreadSanitizer of gcc 12 does not know.
shim=$PWD/build/c11_threads.so
gcc -std=c17 -D_GNU_SOURCE -O1 -g -shared -fPIC -o "$shim" tests/runtime/c11_threads.c -lpthread || exit 2
deploy/build.sh tsan || exit 2
number=0 failed=0
runs=("unit test_" "component test_kafka" "component test_registry" "system contract/promotions" "system faults_kills")
echo "1..${#runs[@]}"

# A worker that is killed has no exit status of its own: every report is a file.
for run in "${runs[@]}"; do
    number=$((number + 1))
    rm -rf "$reports"
    mkdir -p "$reports"
    # shellcheck disable=SC2086 # words on purpose
    LD_PRELOAD=$shim setarch -R tests/run.sh $run >"build/tsan-$number.log" 2>&1
    status=$?
    if [ $status = 0 ] && [ -z "$(ls -A "$reports")" ]; then
        echo "ok $number - ThreadSanitizer finds nothing: $run ($(tail -n 1 "build/tsan-$number.log"))"
        continue
    fi
    echo "not ok $number - ThreadSanitizer, $run: exit status $status, $(find "$reports" -type f | wc -l) reports"
    { cat "$reports"/*; tail -n 40 "build/tsan-$number.log"; } 2>/dev/null | head -n 150 | sed 's/^/# /'
    failed=1
done
exit $failed
