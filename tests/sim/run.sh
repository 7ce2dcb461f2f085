#!/bin/bash
# Runs fleets of lanes in a simulated world, from a seed each, and looks whether an invariant breaks:
#   tests/run.sh sim [--seeds A-B]          runs (default 1-2000): seeds a second; for a failure the seed, the invariant, a smaller run
#                                           that breaks it too, its story, and the command that repeats it
#   tests/run.sh sim --mutants [NAME...]    builds the broken variants in mutants/ and looks for each within 2,000 seeds
#   tests/run.sh sim --asan ...             the same seeds under AddressSanitizer and UndefinedBehaviorSanitizer
#   tests/run.sh sim --help                 further options of a run
# Ends with the line "N passed, N failed, N skipped"; exit status 0 when none failed, 1 when one did, 2 when it could not be run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
preset=sim

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }

mutants=no seeds=(--seeds 1-2000)
arguments=()
for argument in "$@"; do
    case $argument in
    -h | --help) usage; echo; "$root/deploy/packages.sh" build test; "$root/deploy/build.sh" sim sluice-sim; exec "$root/build/sim/tests/sim/sluice-sim" --help ;;
    --mutants) mutants=yes ;;
    --asan) preset=asan ;;
    --seeds | --seeds=*) seeds=(); arguments+=("$argument") ;;
    *) arguments+=("$argument") ;;
    esac
done

"$root/deploy/packages.sh" build test
"$root/deploy/build.sh" $preset sluice-sim
if [ $mutants = yes ]; then exec /usr/bin/python3 "$here/mutants.py" "${arguments[@]}"; fi

# A crash abandons its threads' stacks wherever they stand, and leaks nothing: its memory is freed by the simulator.
export ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1
status=0
"$root/build/$preset/tests/sim/sluice-sim" "${seeds[@]}" "${arguments[@]}" || status=$?
case $status in
0) echo "1 passed, 0 failed, 0 skipped" ;;
1) echo "0 passed, 1 failed, 0 skipped" ;;
*) exit 2 ;;
esac
exit $status
