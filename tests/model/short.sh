#!/bin/bash
# time-limit: 300
# The model as every change has it, some 20 seconds: one world in which every state is safe and leads on, and every deviation is found.
exec "$(dirname "$0")/run.sh" --short
