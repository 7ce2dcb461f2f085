#!/bin/bash
# Real faults, by seed, against real servers; README.md beside this file says what and how:
#   tests/run.sh faults [--seeds A-B] [--totals FILE] [--allow-skipped] [--plan] [--keep]
# --seeds   which (1-2); odd ones have one broker, even ones three; each takes some 40 s
# --totals  add up the parts of a longer run in this file: the table and the judgement are of all seeds in it,
#           each as it ended the last time
# --allow-skipped   60 seeds or more may pass without the kinds that cannot be tried here (no disk may be mounted, no libfaketime)
# --plan    only print what would go wrong in each, and how often each kind of fault
# --keep    keep the logs of every seed, not only of those that fail
# Ends with a table of the faults that were injected and the line "N passed, N failed, N skipped" (seeds; kinds that cannot be tried
# here); exit status 0 when none failed, 1 when one did or a kind was injected too seldom, 2 when it could not run.
# Environment: SLUICE_BUILD_DIR (use the programs of this build instead of building build/release).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
here=$root/tests/faults

for argument; do
    case $argument in -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit ;; esac
done
for argument; do
    [ "$argument" = --plan ] || continue
    /usr/bin/python3 -c "import confluent_kafka, psycopg2" 2>/dev/null ||
        { echo "run.sh: --plan needs Python packages; 'deploy/packages.sh test' installs them" >&2; exit 2; }
    PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 "$here/faults.py" "$@"
done

if [ "${1-}" != --inside ]; then
    "$root/deploy/packages.sh" build run test faults
    if [ -z "${SLUICE_BUILD_DIR-}" ]; then
        "$root/deploy/build.sh" release
        export SLUICE_BUILD_DIR=$root/build/release
    fi
    export PATH=$SLUICE_BUILD_DIR/producer:$SLUICE_BUILD_DIR/worker:$PATH
    export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
    # Where the kernel permits it, everything happens in name spaces of our own: no process and no mount outlives this one.
    apart=(unshare --mount --pid --fork --kill-child=KILL --mount-proc)
    if "${apart[@]}" true 2>/dev/null; then exec "${apart[@]}" "$BASH" "$0" --inside "$@"; fi
    exec "$BASH" "$0" --inside "$@"
fi
shift
status=0
/usr/bin/python3 "$here/faults.py" "$@" || status=$? # not exec: the shell, as the first process, takes in orphans
exit $status
