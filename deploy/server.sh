# What the scripts that run a local server share; sourced, not run. A server lives in a folder with the file "pid".

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() { # below the range from which the system itself takes ports
    local port
    for _ in {1..200}; do
        port=$((10000 + (RANDOM * 32768 + RANDOM) % 20000))
        if ! listens "$port"; then echo "$port"; return; fi
    done
    echo "$(basename "$0"): found no free port on 127.0.0.1" >&2
    return 1
}

# The pid in a file, if that process is alive and has the words in its command line: a pid that another process has taken
# over since (after a reboot, say) is never ours.
living() { # pid file, words
    local pid
    [ -r "$1" ] || return 1
    read -r pid _ <"$1" || true
    [[ $pid =~ ^[0-9]+$ ]] || return 1
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -e "$2" && echo "$pid"
}

# Ends a process and all that belong to its session (setsid made it the leader of one): the signal, then SIGKILL for those
# that are still there after so many seconds.
end_session() { # pid, signal, seconds
    local pid=$1 tenths=$(($3 * 10)) member
    kill -s "$2" "$pid" 2>/dev/null || true
    while [ $((tenths--)) -gt 0 ]; do
        pgrep -s "$pid" >/dev/null || return 0
        sleep 0.1
    done
    # While a member lives the kernel gives the session's number to nobody else.
    for member in $(pgrep -s "$pid"); do kill -s KILL "$member" 2>/dev/null || true; done
    for _ in {1..50}; do
        pgrep -s "$pid" >/dev/null || return 0
        sleep 0.1
    done
    echo "$(basename "$0"): process $pid does not end" >&2
    return 1
}
