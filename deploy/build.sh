#!/bin/bash
# Builds one preset of CMakePresets.json into build/PRESET: deploy/build.sh release|dev|asan|tsan|sim|fuzz|coverage [TARGET]
# Only what is newer than the last build is compiled. Says nothing when it is done within a moment.
set -euo pipefail
preset=${1:?say which preset: release, dev, asan, tsan, sim, fuzz or coverage}
root=$(cd "$(dirname "$0")/.." && pwd)
if [ "$preset" = -h ] || [ "$preset" = --help ]; then sed -n '2,3s/^# \{0,1\}//p' "$0"; exit; fi
if ! grep -qF "\"configurePreset\": \"$preset\"" "$root/CMakePresets.json"; then
    echo "build.sh: CMakePresets.json has no preset '$preset'; release is the one to use, dev the one to work with" >&2
    exit 2
fi
build=$root/build/$preset
mkdir -p "$build"

fail() { echo "build.sh: $*" >&2; exit 2; }
exec 9>"$root/build/$preset.lock"
flock 9 # of two at once the second waits and then finds everything built

log=$build/build.log
cd "$root"
since=$SECONDS
generator=()
if [ ! -e "$build/build.ninja" ] && [ ! -e "$build/Makefile" ]; then
    echo "Building ($preset) ..." >&2
    generator=(-G Ninja)
fi
if [ ${#generator[@]} -gt 0 ] || [ ! -e "$build/configured" ] || [ CMakePresets.json -nt "$build/configured" ]; then
    cmake --preset "$preset" "${generator[@]}" >"$log" 2>&1 9>&- || { cat "$log" >&2; fail "cmake could not configure $preset; the cause is above"; }
    touch "$build/configured" # CMake leaves its cache as old as it is when nothing has changed in it
fi
if ! cmake --build "$build" ${2:+--target "$2"} >"$log" 2>&1 9>&-; then
    grep -E 'error|warning|undefined reference|FAILED|ninja:' "$log" | head -n 30 >&2
    fail "the $preset build failed; all of it is in $log"
fi
[ $((SECONDS - since)) -lt 3 ] || echo "Built ($preset) in $((SECONDS - since)) s" >&2
