#!/bin/bash
# time-limit: 1800
# What other tools than gcc say of the C sources: clang-format, clang with warnings as errors, cppcheck, all three of the tests' too, and
# clang-tidy of the programs' alone.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=$PWD/build/clang
number=0 failed=0
echo 1..4

check() { # name command...
    local name=$1 output
    shift
    number=$((number + 1))
    if output=$("$@" 2>&1); then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed -e "s#$PWD/##g" -e 's/^/# /' <<<"$output" | head -n 100
        failed=1
    fi
}

formatted() { find common worker producer tests -name '*.[ch]' -exec clang-format --dry-run -Werror {} +; }

clang_builds() {
    CC=clang cmake --preset dev -G Ninja -B "$build" >/dev/null && cmake --build "$build" >"$build.log" || { grep -E 'error:|warning:' "$build.log"; return 1; }
}

tidy() {
    run-clang-tidy -p "$build" -quiet "$PWD/(common|worker|producer)/" 2>/dev/null >"$build.tidy" ||
        { sed 's/\x1b\[[0-9;]*m//g' "$build.tidy" | grep -E '(warning|error):' | sort -u; return 1; }
}

cpp_check() {
    cppcheck -q --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -I common -I worker -I producer \
        -I tests/sim -I tests/torture --suppress=missingIncludeSystem common worker producer tests
}

check "the sources are formatted as .clang-format says" formatted
check "clang builds everything without a warning" clang_builds
check "clang-tidy finds nothing in the programs" tidy
check "cppcheck finds nothing" cpp_check
exit $failed
