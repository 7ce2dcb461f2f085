#!/bin/bash
# Installs the Debian packages that are missing: deploy/packages.sh build|run|test|lint|bench|faults|fuzz ...
# The one list of what Sluice needs. Does nothing (and asks for nothing) when all are there.
#   build  compile both programs
#   run    run them here: Kafka, Postgres and a registry on this machine
#   test   build and run the tests
#   lint   tests/run.sh lint, runtime and coverage
#   bench  tests/run.sh bench, in which PyPI's pip fetches toolchains that Debian has too old
#   faults tests/run.sh faults
#   fuzz   tests/run.sh fuzz
# --list prints the names instead, for a Dockerfile or an image of one's own.
set -euo pipefail

build=(gcc libc6-dev cmake ninja-build pkg-config
       librdkafka-dev libjson-c-dev libssl-dev libcurl4-openssl-dev libpq-dev libyaml-dev libmicrohttpd-dev libpcre2-dev)
run=(ca-certificates curl default-jre-headless maven postgresql docker-registry procps util-linux)
test=(libcmocka-dev python3 python3-confluent-kafka python3-psycopg2 python3-yaml)
lint=(clang clang-format clang-tidy cppcheck gcovr valgrind)
bench=(python3-pip)
faults=(faketime)
fuzz=(clang libclang-rt-14-dev llvm python3)

fail() { echo "packages.sh: $*" >&2; exit 2; }

packages=()
list=no
for argument in "$@"; do
    case $argument in
    build) packages+=("${build[@]}") ;;
    run) packages+=("${run[@]}") ;;
    test) packages+=("${test[@]}") ;;
    lint) packages+=("${lint[@]}") ;;
    bench) packages+=("${bench[@]}") ;;
    faults) packages+=("${faults[@]}") ;;
    fuzz) packages+=("${fuzz[@]}") ;;
    --list) list=yes ;;
    *) fail "unknown set '$argument'; say build, run, test, lint, bench, faults or fuzz" ;;
    esac
done
[ ${#packages[@]} -gt 0 ] || fail "say which packages: build, run, test, lint, bench, faults or fuzz"
if [ $list = yes ]; then printf '%s\n' "${packages[@]}"; exit; fi

command -v dpkg-query >/dev/null || fail "this is not Debian; install what answers to: ${packages[*]}"
installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
missing=()
for package in "${packages[@]}"; do installed "$package" || missing+=("$package"); done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "needs root once: apt-get install ${missing[*]}"
    as_root=(sudo)
    [ -t 0 ] || as_root=(sudo -n)
fi

echo "Installing ${#missing[@]} packages: ${missing[*]}" >&2
log=$(mktemp)
# The packages of Postgres and docker-registry would start servers of their own on their usual ports; we start ours elsewhere.
policy=/usr/sbin/policy-rc.d
held_back=no
finish() {
    if [ $held_back = yes ]; then "${as_root[@]}" rm -f $policy; fi
    rm -f "$log"
}
trap finish EXIT
if [ ! -e $policy ] && printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null 2>"$log"; then
    held_back=yes
    "${as_root[@]}" chmod 755 $policy
fi

apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$log" 2>&1; }
# A fresh machine has no package lists and an old one has lists that are no longer true; update only when installing fails.
if ! apt install --no-install-recommends "${missing[@]}"; then
    if ! apt update || ! apt install --no-install-recommends "${missing[@]}"; then
        tail -n 20 "$log" >&2
        fail "apt-get install failed: $(grep -m1 '^E: ' "$log" | tail -n1 || echo 'see above')"
    fi
fi
echo "Installed in $SECONDS s" >&2
