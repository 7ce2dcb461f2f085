#!/bin/bash
# time-limit: 3600
# tests-full-only
# What the analyzers of gcc and clang find on the paths through the C sources. A finding is mended, or suppressed where it stands with
# its reason.
set -uo pipefail
cd "$(dirname "$0")/../.."
build=$PWD/build/analyzers
number=0 failed=0
echo 1..2

configure() { # compiler flags
    CC=$1 cmake --preset dev -G Ninja -B "$build-$1" -DSLUICE_TESTS=OFF -DSLUICE_WERROR=OFF -DCMAKE_C_FLAGS="$2" >/dev/null
}

# gcc analyzes what it compiles. Not its search for leaks: that of gcc 12 follows no ownership into lists or into a struct whose first
# member is handed out, and finds only such; clang's (in clang-tidy), LeakSanitizer and valgrind look for leaks instead.
gcc_analyzes() {
    configure gcc "-fanalyzer -Wno-analyzer-malloc-leak" && cmake --build "$build-gcc" --clean-first >"$build-gcc.log" 2>&1 || { tail -n 30 "$build-gcc.log"; return 1; }
    ! grep -A12 -E '\[-Wanalyzer' "$build-gcc.log"
}

# clang analyzes instead of compiling; its checkers beyond those that clang-tidy runs.
clang_analyzes() {
    configure clang "" && cmake --build "$build-clang" >"$build-clang.log" 2>&1 || { tail -n 30 "$build-clang.log"; return 1; }
    /usr/bin/python3 - "$build-clang/compile_commands.json" <<'PYTHON' |
import json, shlex, sys
for entry in json.load(open(sys.argv[1])):
    words = shlex.split(entry["command"])
    at = words.index("-o")
    print(shlex.join([words[0], "--analyze", "-Xanalyzer", "-analyzer-output=text", "-Xanalyzer",
                      "-analyzer-checker=optin.portability,optin.performance.GCDAntipattern,nullability,valist,security.FloatLoopCounter",
                      *words[1:at], *words[at + 2:]]))
PYTHON
        xargs -d '\n' -P "$(nproc)" -n 1 sh -c >"$build-clang.analysis" 2>&1 || { tail -n 30 "$build-clang.analysis"; return 1; }
    ! grep -A6 -E 'warning:|error:' "$build-clang.analysis"
}

check() { # name function
    local output
    number=$((number + 1))
    if output=$("$2" 2>&1); then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        sed -e "s#$PWD/##g" -e 's/^/# /' <<<"$output" | head -n 200
        failed=1
    fi
}

mkdir -p build
check "gcc's analyzer, leaks apart, finds nothing in the programs" gcc_analyzes
check "clang's analyzer finds nothing in the programs" clang_analyzes
exit $failed
