#!/bin/bash
# The short form, for every change: no server, the first allocations and some of the others. In a full run more of them, and the servers.
# time-limit: 600
# time-limit-full: 7200
run=$(dirname "$0")/run.sh
if [ "${SLUICE_TESTS_FULL-no}" = yes ]; then exec "$run" --tap; fi
exec "$run" --short --offline --tap
