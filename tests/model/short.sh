#!/bin/bash
# time-limit: 300
# time-limit-full: 3600
# The model as every change has it, some 40 seconds: four worlds in which every state is safe and leads on, and every deviation is found.
# In a full run every world, each as far as two minutes of processor time go.
run=$(dirname "$0")/run.sh
if [ "${SLUICE_TESTS_FULL-no}" = yes ]; then exec "$run" --all; fi
exec "$run" --short
