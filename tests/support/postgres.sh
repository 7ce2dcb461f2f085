#!/bin/bash
# A PostgreSQL cluster for one test, thrown away afterwards.
#
#   postgres.sh start DIR PORT    makes it in DIR (which must not exist or be empty), starts it, prints its URL (a superuser's)
#   postgres.sh stop DIR          stops it at once and removes DIR
#
# It listens on 127.0.0.1:PORT and on a unix socket in DIR, trusts everybody who reaches either, and keeps fsync off: what is tested
# is the program, not the disk. As root it runs as the user postgres. SLUICE_POSTGRES_BIN names the folder of initdb and pg_ctl.
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }

bin=${SLUICE_POSTGRES_BIN:-}
if [ -z "$bin" ]; then
    for candidate in /usr/lib/postgresql/*/bin; do [ -x "$candidate/initdb" ] && bin=$candidate; done
    [ -n "$bin" ] || bin=$(dirname "$(command -v initdb || echo /missing/initdb)")
fi
[ -x "$bin/initdb" ] || { echo "postgres.sh: no initdb found; install postgresql or set SLUICE_POSTGRES_BIN" >&2; exit 2; }

as_server() {
    if [ "$(id -u)" = 0 ]; then (cd / && exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"); else "$@"; fi
}

start() {
    local dir=$1 port=$2
    mkdir -p "$dir"
    [ "$(id -u)" != 0 ] || chown postgres: "$dir"
    chmod 700 "$dir"
    as_server "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C -N >"$dir/initdb.log" 2>&1 || {
        cat "$dir/initdb.log" >&2
        exit 1
    }
    cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$dir'
fsync = off
full_page_writes = off
max_connections = 60
shared_buffers = 64MB
log_line_prefix = '%m [%p] %a %e '
CONF
    # The server must not keep the caller's descriptors open: a test harness waits for their end.
    as_server "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -t 30 start >/dev/null 2>&1 </dev/null || {
        cat "$dir/server.log" >&2
        exit 1
    }
    echo "postgresql://postgres@127.0.0.1:$port/postgres"
}

stop() {
    local dir=$1
    [ -d "$dir/data" ] || return 0
    [ ! -f "$dir/data/postmaster.pid" ] || as_server "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}

case "${1:-} $#" in
    "start 3") start "$2" "$3" ;;
    "stop 2") stop "$2" ;;
    *) usage ;;
esac
