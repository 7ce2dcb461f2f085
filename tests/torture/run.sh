#!/bin/bash
# Exhausted memory and failing ports, one failure at a time:
#   tests/run.sh torture [--all | --short] [--offline] [--tap] [filter]
# --all: every allocation of every program, an hour or more; otherwise the first ones of each and some of the others, drawn from a seed
# that never changes. --short: fewer still. --offline: without what needs Kafka, Postgres and a registry. --tap: as Test Anything
# Protocol. filter: only programs whose name contains it: formats, stages, lane, ports, registry, store, kafka, commands,
# worker. Ends with "N passed, N failed, N skipped"; exit status 0 when none failed, 1 when one did, 2 when it could not be run.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/asan
fail() { echo "torture: $*" >&2; exit 2; }

options=() all= offline=no tap=no filter=
for argument; do
    case $argument in
    --all) all=--all; options+=(--all) ;;
    --short) options+=(--short) ;;
    --offline) offline=yes; options+=(--offline) ;;
    --tap) tap=yes ;;
    -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit ;;
    -*) fail "unknown option '$argument'; see tests/run.sh torture --help" ;;
    *) [ -z "$filter" ] || fail "at most one filter"; filter=$argument ;;
    esac
done

say() { if [ $tap = yes ]; then sed 's/^/# /'; else cat; fi; }
packages=(build test)
[ $offline = yes ] || packages+=(run)
"$root/deploy/packages.sh" "${packages[@]}" | say
"$root/deploy/build.sh" asan 2> >(say >&2)
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export SLUICE_BUILD_DIR=$build PATH=$build/producer:$build/worker:$PATH LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

passed=0 failed=0 skipped=0 programs=0
# A case that was planned and never reported (a crash) has failed; so has a program that ends with an error or without a case.
run() { # name command...
    local name=$1 log status=0 p f s
    shift
    [[ $name == *"$filter"* ]] || return 0
    programs=$((programs + 1))
    log=$(mktemp "${TMPDIR:-/tmp}/sluice-torture-log.XXXXXX")
    "$@" >"$log" 2>&1 || status=$?
    read -r p f s < <(awk -v status="$status" '
        /^1\.\.[0-9]+/ { planned += substr($1, 4) }
        /^ok [0-9]+.*# SKIP/ { skipped++; next }
        /^not ok [0-9]+/ { failed++ }
        /^ok [0-9]+/ { passed++ }
        END {
            reported = passed + failed + skipped
            if (planned > reported) failed += planned - reported
            if (!failed && (status != 0 || !reported)) failed++
            print passed + 0, failed + 0, skipped + 0
        }' "$log")
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    # Numbered through; what a case has to say stands before it.
    awk -v name="$name" -v first=$((passed + failed + skipped - p - f - s)) -v tap="$tap" '
        /^1\.\./ { next }
        /^(not )?ok [0-9]+ - / {
            sub(/ok [0-9]+ - /, "ok " ++first " - " name ": ")
            print
            next
        }
        { print (/^#/ ? "" : "# ") $0 }' "$log"
    [ "$f" = 0 ] || [ "$status" -le 1 ] || echo "not ok $((passed + failed + skipped)) - $name: ended with status $status"
    rm -f "$log"
}

tests=$build/tests/torture
run formats "$tests/test_formats" $all
run stages "$tests/test_stages" $all
run lane "$tests/test_lane" $all
run ports "$tests/test_ports"
run registry "$tests/test_registry" $all
[ $offline = yes ] || run store "$tests/test_store" $all # on a Postgres of its own
[ $offline = yes ] || run kafka "$tests/test_kafka" $all # on a broker of its own
run commands /usr/bin/python3 "$root/tests/torture/commands.py" "${options[@]}"
[ $offline = yes ] || run worker /usr/bin/python3 "$root/tests/torture/worker.py" "${options[@]}"
[ $programs -gt 0 ] || fail "no program matches '$filter'"
if [ $tap = yes ]; then echo "1..$((passed + failed + skipped))"; else echo "$passed passed, $failed failed, $skipped skipped"; fi
[ $failed = 0 ]
