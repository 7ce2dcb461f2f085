#!/bin/bash
# Explores the protocol of takeover, publishing and release as a model (README.md beside this file):
#   tests/run.sh model [--seconds N] [configuration...]   every configuration of the table, or those; N seconds of processor time each (120)
#   tests/run.sh model --deviations [name...]             the protocol with one thing wrong: each must break a promise; prints how
#   tests/run.sh model --short                            four configurations and all deviations, as every change has them
#   tests/run.sh model --all                              all configurations and all deviations
#   tests/run.sh model --list                             names of configurations, faults and deviations
#   tests/run.sh model -- option...                       the model's program itself; -- --help says its options
# A configuration that has more states than the time allows and shows no violation counts as skipped.
# Ends with "N passed, N failed, N skipped"; exit status 0 none failed, 1 some did, 2 they could not be run.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
model=$root/build/dev/tests/sluice-model

fail() { echo "model: $*" >&2; exit 2; }

# name|options
configurations=(
    "one-row|--rows 1"
    "two-rows|"
    "two-rows-merged|--merge"
    "two-rows-two-topics|--topics 2 --safety"
    "three-rows-two-topics|--rows 3 --topics 2 --merge --safety"
    "one-lane|--lanes 1 --rows 6 --topics 2"
    "one-lane-two-shards|--lanes 1 --shards 2 --rows 3 --topics 2"
    "two-shards-some-faults|--shards 2 --rows 1 --rebalances 2 --without lost-answer,timeout,forget --merge --safety"
    "two-shards|--shards 2 --rows 1 --merge --safety"
    "three-lanes|--lanes 3 --rows 1 --merge --safety"
    "late-commit|--with late-commit --merge"
    "retention|--with retention --merge"
    "former-leader|--with former-leader --merge"
    "former-leader-one-row|--with former-leader --rows 1 --merge"
    "former-leader-two-topics|--with former-leader --topics 2 --merge --safety"
)
short=(one-row one-lane two-rows-merged former-leader-one-row)

passed=0 failed=0 skipped=0 number=0

verdict() { # ok|skip|bad name comment
    number=$((number + 1))
    case $1 in
    ok) passed=$((passed + 1)); echo "ok $number - $2" ;;
    skip) skipped=$((skipped + 1)); echo "ok $number - $2 # SKIP $3" ;;
    bad) failed=$((failed + 1)); echo "not ok $number - $2: $3" ;;
    esac
}

run_configuration() { # name options
    local status=0
    # shellcheck disable=SC2086 # words on purpose
    "$model" --seconds "$seconds" $2 || status=$?
    case $status in
    0) verdict ok "$1: every state is safe" ;;
    1) verdict bad "$1" "a promise is broken; the steps above lead there" ;;
    3) verdict skip "$1: no violation" "more states than $seconds s of processor time allow" ;;
    *) verdict bad "$1" "exit status $status" ;;
    esac
}

run_deviation() { # name options what
    local status=0
    # shellcheck disable=SC2086 # words on purpose
    "$model" --seconds "$seconds" --merge $2 --deviation "$1" || status=$?
    case $status in
    1) verdict ok "$1 is found: $3" ;;
    0 | 3) verdict bad "$1" "nothing is found, so the model does not prove what it should" ;;
    *) verdict bad "$1" "exit status $status" ;;
    esac
}

run_configurations() { # [name...]
    local row name options wanted
    for wanted in "$@"; do
        [[ " ${configurations[*]%%|*} " == *" $wanted "* ]] || fail "no configuration '$wanted'; see tests/run.sh model --list"
    done
    for row in "${configurations[@]}"; do
        IFS='|' read -r name options <<<"$row"
        [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
        run_configuration "$name" "$options"
    done
}

run_deviations() { # [name...]
    local name options what known
    known=$("$model" --list | tail -n +2 | cut -f1)
    for name in "$@"; do grep -qxF -e "$name" <<<"$known" || fail "no deviation '$name'; see tests/run.sh model --list"; done
    while IFS=$'\t' read -r name options what; do
        [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
        run_deviation "$name" "$options" "$what"
    done < <("$model" --list | tail -n +2)
}

case ${1-} in -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit ;; esac
"$root/deploy/packages.sh" build test && "$root/deploy/build.sh" dev sluice-model || exit 2

seconds=120
if [ "${1-}" = --seconds ]; then
    [[ ${2-} =~ ^[1-9][0-9]{0,5}$ ]] || fail "--seconds takes a number"
    seconds=$2
    shift 2
fi
case ${1-} in
--) exec "$model" "${@:2}" ;;
--list)
    echo "configurations:$(printf ' %s' "${configurations[@]%%|*}")"
    exec "$model" --list
    ;;
--deviations) run_deviations "${@:2}" ;;
--short)
    run_configurations "${short[@]}"
    run_deviations
    echo "1..$number"
    ;;
--all)
    run_configurations
    run_deviations
    echo "1..$number"
    ;;
-*) fail "unknown option '$1'; see tests/run.sh model --help" ;;
*) run_configurations "$@" ;;
esac
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
