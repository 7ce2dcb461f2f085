#!/bin/bash
# Builds with AddressSanitizer and UndefinedBehaviorSanitizer and runs the tests:
#   tests/run.sh [unit|component|system|full|lint|runtime] [filter]
#   tests/run.sh coverage [option...]     what the tests reach of the sources, by file; fails when the core is not reached enough
#   tests/run.sh model|sim|torture|fuzz|faults|bench [option...]    one proof alone, at any length; --help says how
# Without an argument: lint, unit, component and system, and a short form of each proof. full, which takes hours: these, every test that
# is too long for each change, and a long form of each proof. lint: what compilers and analyzers say of the sources. runtime: what
# valgrind and ThreadSanitizer say of the programs, and whether the tests reach enough of the core.
# filter: only programs whose name (as printed) contains it. Ends with the line "N passed, N failed, N skipped";
# exit status 0 when none failed, 1 when one did, 2 when the tests could not be run. README.md beside this file says more.
# SLUICE_TESTS_PRESET=tsan: another build. SLUICE_TESTS_UNDER=valgrind: before each C program. SLUICE_TESTS_PATIENCE=10: time limits times 10.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
preset=${SLUICE_TESTS_PRESET:-asan}
build=$root/build/$preset
logs=$build/test-logs
python=/usr/bin/python3 # the one that Debian's packages belong to

fail() { echo "run.sh: $*" >&2; exit 2; }

proofs=(model sim torture fuzz faults bench) # each has a folder with run.sh, which takes options, and short.sh, which is TAP and calls it
kinds=(lint unit component system "${proofs[@]}")
full=no
case ${1-} in
unit | component | system) kinds=("$1"); shift ;;
lint | runtime) kinds=("$1") full=yes; shift ;;
full) full=yes kinds+=(runtime); shift ;;
coverage) exec "$root/tests/runtime/coverage.sh" "${@:2}" ;;
model | sim | torture | fuzz | faults | bench) exec "$root/tests/$1/run.sh" "${@:2}" ;;
-h | --help) ;;
-*) fail "unknown option '$1'; see tests/run.sh --help" ;;
esac
for argument; do
    case $argument in -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit ;; esac
done
filter=${1-}
[ $# -le 1 ] || fail "at most one filter; see tests/run.sh --help"

export SLUICE_VECTORS=${SLUICE_VECTORS:-$root/../shared/vectors}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export SLUICE_TESTS_FULL=$full
export SLUICE_BUILD_DIR=$build PATH=$build/producer:$build/worker:$PATH
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

colour_bad= colour_off=
if [ -t 1 ]; then colour_bad=$'\e[31m' colour_off=$'\e[0m'; fi

passed=0 failed=0 skipped=0
running= # pid of the test program, while there is one
stack=   # folder of the Kafka, Postgres and registry of this run, while they are up

finish() {
    status=$?
    trap '' INT TERM HUP
    if [ -n "$running" ]; then
        kill "$running" 2>/dev/null || true
        wait "$running" 2>/dev/null || true
    fi
    end_leftovers
    if [ -n "$stack" ]; then
        SLUICE_LOCAL_DIR=$stack "$root/deploy/local.sh" down --purge >"$logs/stack-down.log" 2>&1 ||
            { cat "$logs/stack-down.log" >&2; echo "run.sh: the stack in $stack did not stop" >&2; status=2; }
        rm -rf "$stack"
    fi
    exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Kafka, Postgres and a registry for all programs of this run, each of which uses topics and a schema of its own. Called before
# each: one that was killed while it had Kafka down must not take the next with it.
start_stack() {
    if [ -z "$stack" ]; then
        stack=$(mktemp -d "${TMPDIR:-/tmp}/sluice-tests.XXXXXX")
        chmod 711 "$stack" # the server of Postgres is another user when this one is root
        export SLUICE_LOCAL_DIR=$stack
        echo "Starting Kafka, Postgres and a registry ..."
    fi
    "$root/deploy/local.sh" up --servers >"$logs/stack-up.log" 2>&1 ||
        { tail -n 20 "$logs/stack-up.log" >&2; fail "Kafka, Postgres or the registry did not start; see $logs/stack-up.log"; }
    local exports
    exports=$("$root/deploy/local.sh" env)
    eval "$exports"
}

# Ends what a program that was killed itself has left: programs of this build with this run's mark in their environment.
export TEST_RUN_OF_SLUICE=$$.$EPOCHREALTIME
end_leftovers() {
    local process
    for process in /proc/[0-9]*; do
        [[ $(readlink "$process/exe" 2>/dev/null) == "$build"/* ]] || continue
        if grep -qzxF "TEST_RUN_OF_SLUICE=$TEST_RUN_OF_SLUICE" "$process/environ" 2>/dev/null; then
            kill -s KILL "${process#/proc/}" 2>/dev/null || true
        fi
    done
}

# What a program may take, in seconds: a line with "time-limit: N" near its beginning (in a full run "time-limit-full: N", if there is one), else by
# its kind.
time_limit() { # source kind
    local limit=
    [ $full = no ] || limit=$(head -n 20 "$1" | grep -oE 'time-limit-full: [0-9]+' | head -n1) || true
    [ -n "$limit" ] || limit=$(head -n 20 "$1" | grep -oE 'time-limit: [0-9]+' | head -n1) || true
    case ${limit:-$2} in
    time-limit*) echo "${limit#*: }" ;;
    unit) echo 60 ;;
    component) echo 120 ;;
    *) echo 300 ;;
    esac
}

# Counts the cases of a TAP log (cmocka 1.1 writes a skipped one as "not ok N # SKIP"). A case that was planned and never
# reported (a crash, the time limit) has failed; so has a program that ends with an error or without a case.
count() { # log status
    awk -v status="$2" '
        /^1\.\.[0-9]+/ { planned += substr($1, 4) }
        /^(not )?ok [0-9]+.*# SKIP/ { skipped++; next }
        /^not ok [0-9]+/ { failed++; next }
        /^ok [0-9]+/ { passed++ }
        END {
            reported = passed + failed + skipped
            if (planned > reported) failed += planned - reported
            if (!failed && (status != 0 || !reported)) failed++
            print passed + 0, failed + 0, skipped + 0
        }' "$1"
}

run_program() { # name source command...
    local name=$1 source=$2 kind=${1%%/*} log limit status=0 started p f s verdict
    shift 2
    log=$logs/${name//\//-}.log
    limit=$(($(time_limit "$source" "$kind") * ${SLUICE_TESTS_PATIENCE:-1}))
    started=$EPOCHREALTIME
    [ ! -t 1 ] || printf '%-44s ... ' "$name"
    CMOCKA_MESSAGE_OUTPUT=TAP timeout --kill-after=10 "$limit" "$@" >"$log" 2>&1 </dev/null &
    running=$!
    wait "$running" || status=$?
    running=
    end_leftovers
    read -r p f s < <(count "$log" "$status")
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))

    verdict="$p passed"
    [ "$s" = 0 ] || verdict+=", $s skipped"
    [ "$f" = 0 ] || verdict="${colour_bad}$f failed${colour_off}, $verdict"
    [ ! -t 1 ] || printf '\r'
    printf '%-44s %s (%s s)\n' "$name" "$verdict" "$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')"
    sed -n 's/^#> /    /p' "$log" # what a program wants to be seen in any case
    if [ "$f" = 0 ] && [ "$s" = 0 ]; then rm -f "$log"; return; fi
    grep -E '^(not )?ok [0-9]+.*# SKIP' "$log" | sed -E 's/^(not )?ok [0-9]+ *(- |# SKIP )?/    skipped: /' | head -n 20 || true
    [ "$f" != 0 ] || return 0
    case $status in
    0 | 1) ;;
    124 | 137) echo "    stopped after its time limit of $limit s" ;;
    *) echo "    exit status $status" ;;
    esac
    { grep -A4 -E '^not ok [0-9]+|^=+[0-9]+=+ERROR|runtime error:|^Traceback|^[A-Za-z]*Error:' "$log" | grep -v '# SKIP' ||
        tail -n 15 "$log"; } | head -n 40 | sed 's/^/    /'
    echo "    log: $log"
}

# The programs of a kind: one "name source command" a line.
programs() { # kind
    local source name
    for source in "$root/tests/$1"/test_*.c; do
        [ -e "$source" ] || continue
        name=$(basename "$source" .c)
        printf '%s\t%s\t%s\n' "$1/$name" "$source" "${SLUICE_TESTS_UNDER:+$SLUICE_TESTS_UNDER }$build/tests/$1/$name"
    done
    if [[ " ${proofs[*]} " == *" $1 "* ]]; then
        source=$root/tests/$1/short.sh
        [ ! -e "$source" ] || printf '%s\t%s\t%s\n' "$1/short" "$source" /bin/bash
        return
    fi
    for source in "$root/tests/$1"/*.py "$root/tests/$1"/contract/*.py "$root/tests/$1"/*.sh; do
        [ -e "$source" ] || continue
        name=${source#"$root/tests/"}
        case $(basename "$source") in
        _* | checker.py | fake_registry.py | coverage.sh) continue ;; # what tests use, no test of its own
        esac
        grep -q '^# tests-full-only' "$source" && [ $full = no ] && continue
        case $source in
        *.py) printf '%s\t%s\t%s\n' "${name%.py}" "$source" "$python" ;;
        *) printf '%s\t%s\t%s\n' "${name%.sh}" "$source" "/bin/bash" ;;
        esac
    done
}

run_kind() { # kind
    local name source command needs_stack=yes
    case $1 in component | system) ;; *) needs_stack=no ;; esac
    while IFS=$'\t' read -r name source command <&3; do
        [[ $name == *"$filter"* ]] || continue
        [ $needs_stack = no ] || start_stack
        case $command in
        "$python" | /bin/bash) run_program "$name" "$source" "$command" "$source" ;;
        *) run_program "$name" "$source" $command ;; # words on purpose: SLUICE_TESTS_UNDER has some
        esac
    done 3< <(programs "$1")
}

packages=(build test)
case ${kinds[*]} in
unit) ;;
lint) ;;
*) packages+=(run) ;;
esac
[[ " ${kinds[*]} " != *" lint "* && " ${kinds[*]} " != *" runtime "* ]] || packages+=(lint)
"$root/deploy/packages.sh" "${packages[@]}"
"$root/deploy/build.sh" "$preset"
mkdir -p "$logs"
rm -f "$logs"/*.log

for kind in "${kinds[@]}"; do run_kind "$kind"; done
[ $((passed + failed + skipped)) -gt 0 ] || fail "no test program matches '${filter:-${kinds[*]}}'"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
