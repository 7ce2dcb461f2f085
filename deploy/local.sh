#!/bin/bash
# A whole Sluice on this machine, on free loopback ports and below one folder: Kafka, PostgreSQL, a registry and a worker.
#
#   local.sh up [--shards N] [--no-worker | --servers]
#                       builds, starts what does not run, migrates, creates the topics; N shards (8), fixed from then on;
#                       without the worker, or with nothing of Sluice's: only the three servers
#   local.sh status     what runs, and where; exit 0 if all of it does, 1 if not
#   local.sh down       stops all of it; the data stays.    down --purge: nor does the data
#   local.sh env        for a shell: eval "$(deploy/local.sh env)" points sluice at this stack
#
# Environment: SLUICE_LOCAL_DIR (the folder; .local in the repository), SLUICE_BUILD_DIR (use the programs of this build
# instead of building build/release).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
. "$here/server.sh"

fail() { echo "local.sh: $*" >&2; exit 2; }
usage() { sed -n '2,13s/^# \{0,1\}//p' "$0"; }

# ---- what is remembered between two calls, in the file "stack" ----

recall() {
    shards= worker=yes build=$root/build/release listen=
    [ ! -r "$dir/stack" ] || . "$dir/stack"
}

remember() {
    local name
    for name in shards worker build listen; do printf '%s=%q\n' "$name" "${!name}"; done >"$dir/stack.new"
    mv "$dir/stack.new" "$dir/stack"
}

worker_pid() { living "$dir/pids/worker" "--config $dir/sluice.yaml"; }

# ---- up ----

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }'; }

say() { printf '%-10s %s\n' "$1" "$2"; }

declare -A job_pid
begin() { # name command...: in the background
    local name=$1
    shift
    (
        started=$EPOCHREALTIME
        "$@" >"$dir/start-$name.out" 2>"$dir/start-$name.err"
        seconds_since "$started" >"$dir/start-$name.time"
    ) 9>&- &
    job_pid[$name]=$!
}

without_password() { echo "${1/\/\/*@///}"; }

await() { # name: its last line of output is the address
    local address
    if ! wait "${job_pid[$1]}"; then
        cat "$dir/start-$1.err" >&2
        fail "$1 did not start; the reason is above"
    fi
    unset "job_pid[$1]"
    address=$(tail -n1 "$dir/start-$1.out")
    say "$1" "$(without_password "$address") ($(cat "$dir/start-$1.time"))"
    rm -f "$dir/start-$1".{out,err,time}
}

stop_jobs() {
    local pid
    for pid in "${job_pid[@]}"; do kill "$pid" 2>/dev/null || true; done
}

publish_pids() {
    local name
    mkdir -p "$dir/pids"
    for name in kafka postgres registry; do
        cp "$dir/$name/pid" "$dir/pids/$name.new"
        mv "$dir/pids/$name.new" "$dir/pids/$name"
    done
}

start_servers() {
    begin kafka "$here/kafka.sh" start "$dir/kafka"
    begin postgres "$here/postgres.sh" start "$dir/postgres"
    begin registry "$here/registry.sh" start "$dir/registry"
}

write_configuration() {
    if [ -z "$listen" ] || { ! worker_pid >/dev/null && listens "${listen##*:}"; }; then listen=127.0.0.1:$(free_port); fi
    (umask 077 && cat >"$dir/sluice.yaml.new") <<CONFIGURATION
# Written by deploy/local.sh up, again each time.
kafka:
  bootstrap-servers: "127.0.0.1:$(cat "$dir/kafka/port")"
database:
  url: "$(cat "$dir/postgres/url")"
worker:
  listen: "$listen"
CONFIGURATION
    mv "$dir/sluice.yaml.new" "$dir/sluice.yaml"
}

sluice() { "$build/producer/sluice" "$@" --config "$dir/sluice.yaml"; }

prepare() { # what Sluice needs in the database and in Kafka
    local started=$EPOCHREALTIME
    sluice db migrate --shards "$shards" >"$dir/migrate.log" 2>&1 || { cat "$dir/migrate.log" >&2; fail "could not migrate the database"; }
    sluice topics create >"$dir/topics.log" 2>&1 || { cat "$dir/topics.log" >&2; fail "could not create the topics"; }
    say sluice "$shards shards, topics release.* ($(seconds_since "$started"))"
}

start_worker() {
    local pid started=$EPOCHREALTIME
    if pid=$(worker_pid); then
        if [[ $(readlink "/proc/$pid/exe") != *"(deleted)" ]]; then
            say worker "http://$listen"
            return
        fi
        end_session "$pid" TERM 30 # it was built anew since
    fi
    setsid "$build/worker/sluice-worker" --config "$dir/sluice.yaml" >>"$dir/worker.log" 2>&1 </dev/null 9>&- &
    pid=$!
    disown
    echo "$pid" >"$dir/pids/worker"
    for _ in {1..600}; do
        if ! kill -0 "$pid" 2>/dev/null; then
            tail -n 10 "$dir/worker.log" >&2
            fail "the worker ended at once; see $dir/worker.log"
        fi
        if curl -sf -o /dev/null --noproxy '*' --max-time 5 "http://$listen/readyz"; then
            say worker "http://$listen ($(seconds_since "$started"))"
            return
        fi
        sleep 0.1
    done
    fail "the worker is not ready after a minute; see $dir/worker.log and http://$listen/readyz"
}

up() {
    local asked= sets=(build run) option servers_only=no
    while [ $# -gt 0 ]; do
        option=$1
        shift
        case $option in
        --shards)
            asked=${1-}
            shift || fail "--shards needs a number"
            [[ $asked =~ ^[1-9][0-9]{0,3}$ ]] || fail "--shards needs a number from 1 to 9999, not '$asked'"
            ;;
        --no-worker) no_worker=yes ;;
        --servers) servers_only=yes no_worker=yes ;;
        *) fail "unknown option '$option' of up; see $0 --help" ;;
        esac
    done
    mkdir -p "$dir"
    exec 9>"$dir/lock"
    flock 9 # of two at once the second finds all done
    recall
    [ -z "$shards" ] || [ -z "$asked" ] || [ "$shards" = "$asked" ] ||
        fail "this stack was made with $shards shards and cannot change; $0 down --purge makes room for another"
    shards=${shards:-${asked:-8}}
    worker=yes
    [ "${no_worker-no}" = no ] || worker=no
    if [ -n "${SLUICE_BUILD_DIR-}" ]; then
        build=$(cd "$SLUICE_BUILD_DIR" && pwd)
        sets=(run)
    else
        build=$root/build/release
    fi
    "$here/packages.sh" "${sets[@]}"
    remember

    trap stop_jobs EXIT
    [ -d "$dir/pids" ] || echo "Starting Kafka (fetched once, 54 MB), PostgreSQL and a registry ..."
    start_servers
    if [ -z "${SLUICE_BUILD_DIR-}" ]; then "$here/build.sh" release; fi
    await postgres
    await registry
    await kafka
    publish_pids
    write_configuration
    remember
    [ $servers_only = yes ] || prepare
    [ $worker = no ] || start_worker
}

# ---- status, down, env ----

status() {
    local all=0 name address pid
    recall
    for name in kafka postgres registry; do
        if address=$("$here/$name.sh" status "$dir/$name"); then
            say "$name" "up    $(without_password "$address") (pid $(cat "$dir/$name/pid"))"
        else
            say "$name" down
            all=1
        fi
    done
    if pid=$(worker_pid); then
        if curl -sf -o /dev/null --noproxy '*' --max-time 5 "http://$listen/readyz"; then
            say worker "up    http://$listen (pid $pid)"
        else
            say worker "up, but not ready; see http://$listen/readyz and $dir/worker.log (pid $pid)"
            all=1
        fi
    elif [ "$worker" = yes ]; then
        say worker down
        all=1
    fi
    return $all
}

down() {
    local pid name
    case ${1-} in
    '' | --purge) ;;
    *) fail "unknown option '$1' of down; see $0 --help" ;;
    esac
    [ -d "$dir" ] || return 0
    exec 9>"$dir/lock"
    flock 9
    if pid=$(worker_pid); then end_session "$pid" TERM 30; fi
    for name in registry postgres kafka; do "$here/$name.sh" stop "$dir/$name"; done
    rm -f "$dir"/pids/{worker,registry,postgres,kafka}
    [ "${1-}" = --purge ] || return 0
    "$here/postgres.sh" purge "$dir/postgres"
    # Only what is ours: the folder may be somebody's who keeps other things there.
    rm -rf "$dir"/{kafka,registry,pids,quickstart} "$dir"/{stack,sluice.yaml,lock} "$dir"/{worker,migrate,topics}.log "$dir"/start-*.{out,err,time}
    rmdir "$dir" 2>/dev/null || true
}

quoted() { printf "export %s='%s'\n" "$1" "${2//\'/\'\\\'\'}"; }

env_lines() {
    local ours
    recall
    [ -r "$dir/sluice.yaml" ] || fail "there is no stack in $dir; say first: $0 up"
    ours=$build/producer:$build/worker
    quoted PATH "$ours:${PATH#"$ours:"}"
    quoted SLUICE_CONFIG "$dir/sluice.yaml"
    quoted SLUICE_KAFKA_BOOTSTRAP_SERVERS "127.0.0.1:$(cat "$dir/kafka/port")"
    quoted SLUICE_DATABASE_URL "$(cat "$dir/postgres/url")"
    quoted SLUICE_LOCAL_REGISTRY "127.0.0.1:$(cat "$dir/registry/port")"
    quoted SLUICE_LOCAL_DIR "$dir"
}

dir=$(realpath -m "${SLUICE_LOCAL_DIR:-$root/.local}")
command=${1-}
[ $# = 0 ] || shift
case $command in
up) up "$@" ;;
status) status ;;
down) down "$@" ;;
env) env_lines ;;
-h | --help | help) usage ;;
*) usage >&2; exit 2 ;;
esac
