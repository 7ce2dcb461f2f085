#!/bin/bash
# A local container registry (Debian's docker-registry) for trying Sluice and for its tests, on loopback, plain HTTP.
#
#   registry.sh start DIR [PORT]  starts a registry that keeps everything below DIR, waits until it serves, prints host:port;
#                                 without a PORT, or with 0, the last one of DIR or a free one. Does nothing if it runs already
#   registry.sh status DIR        prints host:port and exits 0 if it runs, 1 if not
#   registry.sh stop DIR          stops it and waits until it is gone; the data stays
#
# DIR holds pid, port, config.yml, server.log and data/.
set -euo pipefail
. "$(dirname "$0")/server.sh"

fail() { echo "registry.sh: $*" >&2; exit 1; }

running() { living "$1/pid" "serve $1/config.yml"; }

attempt() { # DIR port
    local pid
    cat >"$1/config.yml" <<CONFIGURATION
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: "$1/data"}
  delete: {enabled: true}
http: {addr: "127.0.0.1:$2"}
CONFIGURATION
    setsid docker-registry serve "$1/config.yml" >"$1/server.log" 2>&1 </dev/null 8>&- 9>&- &
    pid=$!
    echo "$pid" >"$1/pid"
    for _ in {1..200}; do
        kill -0 "$pid" 2>/dev/null || return 1
        if [ "$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' --max-time 5 "http://127.0.0.1:$2/v2/")" = 200 ]; then return 0; fi
        sleep 0.05
    done
    end_session "$pid" KILL 1
    return 1
}

start() { # DIR port
    local dir=$1 port
    command -v docker-registry >/dev/null || fail "there is no docker-registry; install the package of that name"
    for _ in 1 2 3; do
        port=$2
        if [ "$port" = 0 ] && [ -f "$dir/port" ]; then port=$(cat "$dir/port"); fi
        if [ "$port" = 0 ]; then port=$(free_port); fi
        if listens "$port"; then
            rm -f "$dir/port"
            if [ "$2" = 0 ]; then continue; fi
            fail "port $port of 127.0.0.1 is taken; choose another"
        fi
        if attempt "$dir" "$port"; then
            echo "$port" >"$dir/port"
            echo "127.0.0.1:$port"
            return
        fi
    done
    tail -n 20 "$dir/server.log" >&2
    fail "docker-registry did not start; see $dir/server.log"
}

halt() { # DIR
    local pid
    if pid=$(running "$1"); then end_session "$pid" TERM 10; fi
    rm -f "$1/pid"
}

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }
absolute() { mkdir -p "$1" && (cd "$1" && pwd -P); }

case "${1:-}:$#" in
    start:2 | start:3)
        dir=$(absolute "$2")
        if running "$dir" >/dev/null; then echo "127.0.0.1:$(cat "$dir/port")"; exit; fi
        start "$dir" "${3:-0}"
        ;;
    status:2) [ -d "$2" ] && dir=$(absolute "$2") && running "$dir" >/dev/null && echo "127.0.0.1:$(cat "$dir/port")" ;;
    stop:2) if [ -d "$2" ]; then halt "$(absolute "$2")"; fi ;;
    -h:1 | --help:1) usage ;;
    *) usage >&2; exit 2 ;;
esac
