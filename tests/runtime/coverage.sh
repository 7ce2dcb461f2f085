#!/bin/bash
# What the tests reach of the sources: builds with --coverage, runs them, and prints lines and branches of each file:
#   tests/run.sh coverage [--unit] [--system]    --unit: not the component tests; --system: the system tests too, half an hour more
# Assertions are not counted: they state what never happens. Fails when less than 95% of a core file's branches are reached. The branches
# that are missing stand in build/coverage/report/*.html.
set -uo pipefail
cd "$(dirname "$0")/../.."
kinds=(unit component torture sim)
core=(worker/decide.c worker/gates.c worker/shard.c worker/publish.c worker/process.c worker/lane.c worker/answer.c worker/result.c
      worker/commit.c worker/load.c worker/decode.c common/ledger.c)
case ${1-} in
-h | --help) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit ;;
--unit) kinds=(unit torture sim) ;;
--system) kinds+=(system) ;;
"") ;;
*) echo "coverage: unknown option '$1'; see tests/run.sh coverage --help" >&2; exit 2 ;;
esac

build=build/coverage
deploy/packages.sh build test lint run && deploy/build.sh coverage || exit 2
find $build -name '*.gcda' -delete
mkdir -p $build/report
status=0

# Programs of the other proofs that go through the worker's code in one process, where they are.
run_proof() { # kind
    case $1 in
    torture)
        for program in $build/tests/torture/test_*; do
            [ ! -x "$program" ] || timeout 600 "$program" >"$build/report/$(basename "$program").log" 2>&1 || { echo "$program fails"; status=1; }
        done
        ;;
    sim)
        [ ! -x $build/tests/sim/sluice-sim ] || timeout 1200 $build/tests/sim/sluice-sim --seeds 1-100 >"$build/report/sim.log" 2>&1 ||
            { echo "sluice-sim fails"; status=1; }
        ;;
    *) SLUICE_TESTS_PRESET=coverage SLUICE_TESTS_PATIENCE=3 tests/run.sh "$1" >"$build/report/$1.log" 2>&1 ||
        { grep -E ' failed' "$build/report/$1.log" >&2; status=1; } ;;
    esac
}
for kind in "${kinds[@]}"; do run_proof "$kind"; done

gcovr --root . --object-directory $build $build --filter 'common/.*' --filter 'worker/.*' --filter 'producer/.*' -j "$(nproc)" \
    --exclude-branches-by-pattern '.*\bassert\(.*' --exclude-unreachable-branches \
    --json-summary $build/report/summary.json --html-details $build/report/index.html >$build/report/gcovr.log 2>&1 ||
    { tail -n 20 $build/report/gcovr.log >&2; exit 2; }

/usr/bin/python3 - $build/report/summary.json "${core[@]}" <<'PYTHON' || status=1
import json, sys
REACH = 95.0
summary, core = json.load(open(sys.argv[1])), sys.argv[2:]
files = {f["filename"]: f for f in summary["files"]}
short = [name for name in core if name not in files or (files[name]["branch_total"] and files[name]["branch_percent"] < REACH)]

def line(name, f):
    print(f"{name:<34} {f['line_percent'] or 0:6.1f}% of {f['line_total']:>5} lines {f['branch_percent'] or 0:6.1f}% of "
          f"{f['branch_total']:>5} branches{'  <- below %.0f%%' % REACH if name in short else ''}")

for name in sorted(set(files) - set(core)):
    line(name, files[name])
print("The core:")
for name in core:
    line(name, files[name]) if name in files else print(f"{name:<34} was not reached at all")
total = {k: sum(files[n][k] for n in core if n in files) for k in ("line_covered", "line_total", "branch_covered", "branch_total")}
print(f"{'all of the core':<34} {100 * total['line_covered'] / total['line_total']:6.1f}% of {total['line_total']:>5} lines "
      f"{100 * total['branch_covered'] / total['branch_total']:6.1f}% of {total['branch_total']:>5} branches")
print(f"{len(core) - len(short)} passed, {len(short)} failed, 0 skipped")
sys.exit(1 if short else 0)
PYTHON
exit $status
