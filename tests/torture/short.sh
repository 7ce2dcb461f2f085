#!/bin/bash
# The short form, for every change: no server, the first allocations and some of the others.
# time-limit: 600
exec "$(dirname "$0")/run.sh" --short --offline --tap
