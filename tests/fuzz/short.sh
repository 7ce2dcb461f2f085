#!/bin/bash
# Every fuzz target for 15 s, from the seeds alone; in a full run 15 minutes each, and whether it reaches the lines of its parser.
# time-limit: 2400
# time-limit-full: 18000
set -euo pipefail
run=$(dirname "$0")/run.sh
if [ "${SLUICE_TESTS_FULL-no}" = yes ]; then exec "$run" --tap --fresh --seconds 900; fi
exec "$run" --tap --fresh --seconds 15 --no-coverage
