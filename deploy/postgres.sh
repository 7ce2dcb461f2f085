#!/bin/bash
# A local PostgreSQL for trying Sluice and for its tests: a cluster of its own on loopback, with a password of its own.
#
#   postgres.sh start DIR [PORT]  makes the cluster below DIR, starts it, waits until it serves, prints its URL;
#                                 without a PORT, or with 0, the last one of DIR or a free one. Does nothing if it runs already
#   postgres.sh status DIR        prints the URL and exits 0 if it runs, 1 if not
#   postgres.sh stop DIR          stops it and waits until it is gone; the data stays
#   postgres.sh purge DIR         stops it and removes the data
#   postgres.sh standby DIR PRIMARY [PORT]  makes a streaming standby of the server in the folder PRIMARY, anew each time, and
#                                 starts it; its application_name is the last part of DIR
#   postgres.sh promote DIR       makes a standby the primary
#
# DIR holds pid, url (database and superuser "sluice"), server.log and data/. PostgreSQL refuses to run as root: for root it
# runs as the user "postgres", and when that user cannot enter DIR, data/ is a link to a folder of its own in /var/tmp.
# Environment: SLUICE_POSTGRES_BIN (default: the newest of /usr/lib/postgresql/*/bin, else PATH), SLUICE_POSTGRES_VOLUME (a
# folder, on a disk of its own say, below which the data shall lie), SLUICE_POSTGRES_INITDB (further options for initdb).
set -euo pipefail
. "$(dirname "$0")/server.sh"

fail() { echo "postgres.sh: $*" >&2; exit 1; }

find_programs() {
    local candidate
    programs=${SLUICE_POSTGRES_BIN-}
    if [ -z "$programs" ]; then
        for candidate in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V -r); do
            [ ! -x "$candidate/postgres" ] || { programs=$candidate; break; }
        done
    fi
    if [ -z "$programs" ] && command -v pg_ctl >/dev/null; then programs=$(dirname "$(command -v pg_ctl)"); fi
    [ -x "$programs/initdb" ] || fail "there is no PostgreSQL server; install postgresql, or say where it is in SLUICE_POSTGRES_BIN"
}

as_server() { # command...
    if [ "$(id -u)" != 0 ]; then "$@"; else setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; fi
}

make_data_folder() { # DIR
    local elsewhere
    if [ -n "${SLUICE_POSTGRES_VOLUME-}" ]; then
        rm -rf "$SLUICE_POSTGRES_VOLUME/data"
        mkdir -m 700 "$SLUICE_POSTGRES_VOLUME/data"
        if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$SLUICE_POSTGRES_VOLUME/data"; fi
        ln -s "$SLUICE_POSTGRES_VOLUME/data" "$1/data"
    elif [ "$(id -u)" != 0 ]; then
        mkdir -m 700 "$1/data"
    elif as_server test -x "$1"; then
        install -d -m 700 -o postgres -g postgres "$1/data"
    else
        elsewhere=$(mktemp -d /var/tmp/sluice-postgres.XXXXXX)
        chown postgres:postgres "$elsewhere"
        ln -s "$elsewhere" "$1/data"
    fi
}

make_cluster() { # DIR
    local password_file
    remove_data "$1" # of an attempt that did not get to its end
    make_data_folder "$1"
    (umask 077 && head -c 18 /dev/urandom | base64 | tr '+/' 'xy' >"$1/password")
    password_file=$(mktemp) # initdb, as another user, cannot enter every DIR
    cat "$1/password" >"$password_file"
    if [ "$(id -u)" = 0 ]; then chown postgres "$password_file"; fi
    # The caller's own working directory may be closed to that user as well.
    (cd / && as_server "$programs/initdb" -D "$(data_of "$1")" -U sluice --pwfile="$password_file" -A scram-sha-256 \
        -E UTF8 --locale=C.UTF-8 --no-sync ${SLUICE_POSTGRES_INITDB-}) >"$1/initdb.log" 2>&1 ||
        { rm -f "$password_file"; cat "$1/initdb.log" >&2; fail "initdb could not make a cluster in $1/data"; }
    rm -f "$password_file"
    cat >>"$1/data/postgresql.conf" <<CONFIGURATION
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = '256MB'
max_wal_size = '4GB'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a %e '
CONFIGURATION
    touch "$1/made"
}

make_standby() { # DIR PRIMARY
    local port
    port=$(cat "$2/port")
    remove_data "$1"
    make_data_folder "$1"
    cp "$2/password" "$1/password"
    (cd / && PGPASSWORD=$(cat "$1/password") as_server "$programs/pg_basebackup" -D "$(data_of "$1")" -X stream -c fast --no-sync -R \
        -d "host=127.0.0.1 port=$port user=sluice application_name=$(basename "$1")") >"$1/basebackup.log" 2>&1 ||
        { cat "$1/basebackup.log" >&2; fail "pg_basebackup could not copy the server on port $port"; }
    touch "$1/made" "$1/database"
}

data_of() { readlink -f "$1/data"; } # what the server's command line names

remove_data() { # DIR
    local data
    if [ -L "$1/data" ]; then
        data=$(data_of "$1")
        case $data in /var/tmp/sluice-postgres.*) rm -rf "$data" ;; esac
    fi
    rm -rf "$1/data" "$1/made"
}

running() { [ -e "$1/data" ] && living "$1/pid" "-D $(data_of "$1")"; }

ready() { # DIR: what this very process (a killed one leaves its file behind) says of itself
    [[ "$(sed -n '1p;8p' "$1/data/postmaster.pid" 2>/dev/null | tr -d ' \n')" =~ ^$(cat "$1/pid")(ready|standby)$ ]]
}

attempt() { # DIR port
    local data pid
    data=$(data_of "$1")
    : >"$1/server.log"
    (
        cd /
        exec 8>&- 9>&-
        launch=(setsid "$programs/postgres" -D "$data" -p "$2")
        if [ "$(id -u)" = 0 ]; then launch=(setsid setpriv --reuid=postgres --regid=postgres --init-groups -- "$programs/postgres" -D "$data" -p "$2"); fi
        exec "${launch[@]}"
    ) >>"$1/server.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$1/pid"
    for _ in {1..600}; do
        kill -0 "$pid" 2>/dev/null || return 1
        if ready "$1"; then return 0; fi
        sleep 0.05
    done
    end_session "$pid" QUIT 5
    return 1
}

start() { # DIR port
    local dir=$1 port
    find_programs
    [ -e "$dir/made" ] || make_cluster "$dir"
    for _ in {1..10}; do
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
            (umask 077 && echo "postgresql://sluice:$(cat "$dir/password")@127.0.0.1:$port/sluice" >"$dir/url")
            make_database "$dir" "$port"
            cat "$dir/url"
            return
        fi
        sleep 0.5 # a killed server's last processes may not be gone yet
    done
    tail -n 20 "$dir/server.log" >&2
    fail "PostgreSQL did not start; see $dir/server.log"
}

promote() { # DIR
    find_programs
    (cd / && as_server "$programs/pg_ctl" -D "$(data_of "$1")" -t 60 promote) >"$1/promote.log" 2>&1 ||
        { cat "$1/promote.log" >&2; fail "the server in $1 could not be promoted"; }
}

make_database() { # DIR port
    [ ! -e "$1/database" ] || return 0
    PGPASSWORD=$(cat "$1/password") "$programs/createdb" -h 127.0.0.1 -p "$2" -U sluice sluice 2>"$1/createdb.log" ||
        grep -q 'already exists' "$1/createdb.log" || { cat "$1/createdb.log" >&2; fail "could not create the database"; }
    touch "$1/database"
}

halt() { # DIR
    local pid
    if pid=$(running "$1"); then
        kill -s INT "$pid" # fast: connections are ended, all is written
        for _ in {1..300}; do
            running "$1" >/dev/null || break
            sleep 0.1
        done
        if running "$1" >/dev/null; then kill -s QUIT "$pid"; sleep 1; fi
        if running "$1" >/dev/null; then fail "PostgreSQL (process $pid) does not stop; see $1/server.log"; fi
    fi
    rm -f "$1/pid"
}

usage() { sed -n '2,16s/^# \{0,1\}//p' "$0"; }
absolute() { mkdir -p "$1" && (cd "$1" && pwd -P); }

case "${1:-}:$#" in
    start:2 | start:3)
        dir=$(absolute "$2")
        if running "$dir" >/dev/null && ready "$dir" && [ -e "$dir/url" ]; then cat "$dir/url"; exit; fi
        halt "$dir"
        start "$dir" "${3:-0}"
        ;;
    standby:3 | standby:4)
        dir=$(absolute "$2")
        halt "$dir"
        find_programs
        make_standby "$dir" "$(absolute "$3")"
        start "$dir" "${4:-0}"
        ;;
    promote:2) promote "$(absolute "$2")" ;;
    status:2) [ -d "$2" ] && dir=$(absolute "$2") && running "$dir" >/dev/null && cat "$dir/url" ;;
    stop:2) if [ -d "$2" ]; then halt "$(absolute "$2")"; fi ;;
    purge:2)
        if [ -d "$2" ]; then
            dir=$(absolute "$2")
            halt "$dir"
            remove_data "$dir"
            rm -rf "$dir"
        fi
        ;;
    -h:1 | --help:1) usage ;;
    *) usage >&2; exit 2 ;;
esac
