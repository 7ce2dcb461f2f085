#!/bin/bash
# The short form, for every change: no server, the first allocations and some of the others. In a full run, with servers, all of them, but
# of the worker's processes, where each takes seconds, only some: about three quarters of an hour on two busy cores.
# time-limit: 600
# time-limit-full: 10800
run=$(dirname "$0")/run.sh
[ "${SLUICE_TESTS_FULL-no}" = yes ] || exec "$run" --short --offline --tap
status=0
for program in formats stages lane ports registry store kafka commands; do "$run" --all --tap "$program" || status=1; done
"$run" --tap worker || status=1
exit $status
