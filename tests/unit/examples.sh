#!/bin/bash
# The examples that people start from are right, as the built programs see them.
set -uo pipefail
cd "$(dirname "$0")/../.."
number=0 failed=0
echo 1..2
check() { # name command...
    local name=$1 output
    shift
    number=$((number + 1))
    if output=$("$@" 2>&1); then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' <<<"$output"
        failed=1
    fi
}
unset SLUICE_CONFIG
check "deploy/sluice.example.yaml is a configuration" sluice config --config deploy/sluice.example.yaml
check "deploy/policy.example.yaml is a policy" sluice policy check deploy/policy.example.yaml
exit $failed
