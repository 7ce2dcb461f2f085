#!/bin/bash
# time-limit: 420
# time-limit-full: 3600
# The simulator in short: seeds under the sanitizers and without, the same seed twice, a few broken variants, and whether the patches
# of the others still apply.
# It builds for itself, which counts; once everything is built it takes about a minute. In a full run 20,000 seeds and all variants.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root" || exit 2
variants=(no-fence one-cursor published-before-commit breaker-never-closes wake-of-release-lost no-check)
last=1500
if [ "${SLUICE_TESTS_FULL-no}" = yes ]; then variants=() last=20000; fi # none named: all
number=0 failed=0
echo "1..5"

check() { # name command...
    local name=$1 output
    shift
    number=$((number + 1))
    if output=$("$@" 2>&1); then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        failed=1
    fi
    sed 's/^/# /' <<<"$output"
}

export ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0
deploy/build.sh asan sluice-sim && deploy/build.sh sim sluice-sim || exit 2
fast=$root/build/sim/tests/sim/sluice-sim

# Byte for byte, in another process.
same_twice() {
    local seed one two
    for seed in 3 166 497 4869 8207; do
        one=$("$fast" --seeds "$seed" --trace --brief | sha256sum)
        two=$("$fast" --seeds "$seed" --trace --brief | sha256sum)
        [ "$one" = "$two" ] || { echo "seed $seed gives another run each time: $fast --seeds $seed --trace"; return 1; }
    done
}

# As mutants.py applies them. Only a full run builds them all, and a change should not wait for that to learn which it has made stale.
all_apply() {
    local patch status=0
    for patch in "$here"/mutants/*.patch; do
        patch -p1 --dry-run --force --quiet --fuzz=0 <"$patch" || { echo "$patch does not apply any more"; status=1; }
    done
    return $status
}

check "500 seeds under the sanitizers break no invariant" "$root/build/asan/tests/sim/sluice-sim" --seeds 1-500
check "other seeds, up to $last, break no invariant" "$fast" --seeds "501-$last"
check "a seed gives the same run again, byte for byte" same_twice
check "the patches of all broken variants apply" all_apply
check "broken variants are found" /usr/bin/python3 "$here/mutants.py" "${variants[@]}"
exit $failed
