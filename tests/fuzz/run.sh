#!/bin/bash
# Fuzzes every parser of bytes from outside: tests/run.sh fuzz [--seconds N] [--target NAME]... [--jobs J] [--no-coverage]
#   --seconds N     each target runs so long (60)
#   --target NAME   only this one, as json; may be repeated
#   --jobs J        so many targets at once (the processors)
#   --no-coverage   do not measure which lines of the parsers were reached
#   --fresh         begin with the seeds alone, not with what earlier runs have found to be new, and leave that as it is
#   --tap           print TAP, for short.sh
# A finding is kept, with how to repeat it. Fails when there is one, or when less than 90% of a parser's lines were reached.
# Ends with "N passed, N failed, N skipped"; exit status 0 none failed, 1 some did, 2 it could not be run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$root/build/fuzz programs=$root/build/fuzz/tests/fuzz corpora=$root/build/fuzz/corpus
python=/usr/bin/python3
wanted_percent=90
length_max=16384 # of what the fuzzer makes; seeds may be longer

fail() { echo "run.sh: $*" >&2; exit 2; }

seconds=60 jobs=$(nproc) coverage=yes fresh=no tap=no targets=()
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) [[ ${2-} =~ ^[1-9][0-9]*$ ]] || fail "--seconds takes a number"; seconds=$2; shift ;;
    --jobs) [[ ${2-} =~ ^[1-9][0-9]*$ ]] || fail "--jobs takes a number"; jobs=$2; shift ;;
    --target) [ -e "$here/fuzz_${2-}.c" ] || fail "there is no target '${2-}'; there are: $(cd "$here" && echo fuzz_*.c | sed 's/fuzz_//g; s/\.c//g')"
        targets+=("$2"); shift ;;
    --no-coverage) coverage=no ;;
    --fresh) fresh=yes corpora=$build/corpus-fresh ;;
    --tap) tap=yes ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit ;;
    *) fail "unknown option '$1'; see tests/run.sh fuzz --help" ;;
    esac
    shift
done
if [ ${#targets[@]} = 0 ]; then
    for source in "$here"/fuzz_*.c; do source=${source##*/fuzz_}; targets+=("${source%.c}"); done
fi

"$root/deploy/packages.sh" build fuzz
"$root/deploy/build.sh" fuzz
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
export SLUICE_VECTORS=${SLUICE_VECTORS:-$root/../shared/vectors}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
mkdir -p "$corpora" "$build/seeds" "$build/findings" "$build/logs"

children=()
finish() {
    local child
    trap '' INT TERM HUP
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

passed=0 failed=0 count=0
say() { # ok|"not ok" text
    count=$((count + 1))
    if [ "$1" = ok ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    if [ $tap = yes ]; then echo "$1 $count - $2"; elif [ "$1" = ok ]; then echo "  $2"; else echo "  FAILED $2"; fi
}
note() { if [ $tap = yes ]; then sed 's/^/# /'; else sed 's/^/    /'; fi; }

# First every seed as it is, then what the fuzzer makes of them.
fuzz() { # target
    local target=$1 program=$programs/fuzz_$1 corpus=$corpora/$1 seeds=$build/seeds/$1 dictionary=$build/seeds/$1.dict
    # The time-out is of the wall: on a busy machine a process may stand still for most of a minute.
    local options=(-artifact_prefix="$build/findings/$target-" -timeout=120 -rss_limit_mb=3000 -print_final_stats=1 -verbosity=1)
    rm -rf "$seeds"
    if [ $fresh = yes ]; then rm -rf "$corpus"; fi
    mkdir -p "$corpus"
    "$python" "$here/seeds.py" "$target" "$seeds" "$dictionary" || return
    "$program" "${options[@]}" -runs=0 -max_len=4000000 "$seeds" >/dev/null || return
    exec "$program" "${options[@]}" -max_total_time="$seconds" -max_len=$length_max -reload=0 -dict="$dictionary" "$corpus" "$seeds"
}

report() { # target status
    local log=$build/logs/$1.log runs rate finding
    runs=$(grep -oP 'stat::number_of_executed_units: *\K[0-9]+' "$log" | tail -n1) || true
    rate=$(grep -oP 'stat::average_exec_per_sec: *\K[0-9]+' "$log" | tail -n1) || true
    if [ "$2" = 0 ]; then
        say ok "$(printf '%-18s %11s inputs in %s s, %s a second, none of them a finding' "$1" "${runs:-0}" "$seconds" "${rate:-0}")"
        return
    fi
    say "not ok" "$1: a finding"
    finding=$(grep -oP 'Test unit written to \K.*' "$log" | tail -n1) || true
    { grep -E -A12 'does not hold|ERROR: |runtime error:|would be printed|breaks its schema' "$log" || tail -n 20 "$log"; } | head -n 30 | note
    { echo "repeat: $programs/fuzz_$1 ${finding:-}"; echo "log: $log"; } | note
}

declare -A target_of=()
if [ $tap = yes ]; then echo "1..$((${#targets[@]} * (1 + ($([ $coverage = yes ] && echo 1 || echo 0)))))"; fi
reap() { # waits for one of them
    local status=0 pid
    wait -n -p pid "${!target_of[@]}" || status=$?
    report "${target_of[$pid]}" $status
    unset "target_of[$pid]"
}
for target in "${targets[@]}"; do
    grep -q '^ \* Covers: ' "$here/fuzz_$target.c" || fail "fuzz_$target.c has no line that says what it covers"
    while [ ${#target_of[@]} -ge "$jobs" ]; do reap; done
    fuzz "$target" >"$build/logs/$target.log" 2>&1 &
    target_of[$!]=$target
    children+=($!)
done
while [ ${#target_of[@]} -gt 0 ]; do reap; done
children=()

# ---- which lines were reached ----

if [ $coverage = yes ]; then
    "$root/deploy/build.sh" fuzz-coverage
    for target in "${targets[@]}"; do
        program=$root/build/fuzz-coverage/tests/fuzz/fuzz_$target profile=$build/logs/$target
        status=0
        LLVM_PROFILE_FILE=$profile.profraw "$program" -runs=0 -max_len=4000000 "$corpora/$target" "$build/seeds/$target" \
            >"$profile.coverage.log" 2>&1 || { say "not ok" "$target: the inputs could not be run again; see $profile.coverage.log"; continue; }
        llvm-profdata merge -sparse "$profile.profraw" -o "$profile.profdata"
        rm -f "$profile.profraw"
        read -r -a sources < <(grep -oP '^ \* Covers: \K[^*]+' "$here/fuzz_$target.c")
        llvm-cov export -format=lcov -instr-profile="$profile.profdata" "$program" "${sources[@]/#/$root/}" >"$profile.lcov"
        "$python" "$here/lines.py" "$root" $wanted_percent "$profile.lcov" >"$profile.lines" || status=$?
        say "$([ $status = 0 ] && echo ok || echo "not ok")" "$(printf '%-18s %s' "$target" "$(head -n1 "$profile.lines")")"
        tail -n +2 "$profile.lines" | note
    done
fi

if [ $tap = no ]; then echo "$passed passed, $failed failed, 0 skipped"; fi
[ $failed = 0 ]
