#!/bin/bash
# A local Apache Kafka for trying Sluice and for its tests: one KRaft node on loopback, without authentication.
#
#   kafka.sh fetch             fetches Kafka's jars from Maven Central into the cache, once (54 MB; needs Java 17 and Maven)
#   kafka.sh start DIR [PORT]  starts a broker that keeps everything below DIR, waits until it serves, prints host:port;
#                              without a PORT, or with 0, the last one of DIR or a free one. Does nothing if it runs already
#   kafka.sh status DIR        prints host:port and exits 0 if it runs, 1 if not
#   kafka.sh stop DIR          stops it and waits until it is gone; the data stays
#
# DIR holds pid, port, server.properties, server.log and data/; what stands in a file extra.properties there overrides our
# own settings. Environment: SLUICE_CACHE (default ${XDG_CACHE_HOME:-$HOME/.cache}/sluice), SLUICE_KAFKA_HEAP (512m),
# SLUICE_KAFKA_CLUSTER_ID (22 characters, the same for all nodes of a cluster; default a new one), JAVA_HOME.
set -euo pipefail

version=4.1.1
. "$(dirname "$0")/server.sh"
home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
cache=${SLUICE_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/sluice}/kafka-$version
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

fail() { printf 'kafka.sh: %s\n' "$1" >&2; exit 1; }
need() { command -v "$1" >/dev/null || fail "there is no '$1'; install ${2:-$1}"; }

class_path() { printf '%s:' "$cache"/lib/*.jar; }

# What every JVM here has in common: start quickly, stay small. The archive of loaded classes halves the time to start.
jvm_flags() {
    printf '%s\n' -Xms64m "-Xmx${SLUICE_KAFKA_HEAP:-512m}" -XX:+UseSerialGC -XX:-UsePerfData -Xlog:disable -Xlog:all=error:stderr
    if [ -f "$cache/classes.jsa" ]; then printf '%s\n' -Xshare:auto "-XX:SharedArchiveFile=$cache/classes.jsa"; fi
}

# ---- fetch ----

write_pom() {
    cat >"$1" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.24.3</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.24.3</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-1.2-api</artifactId><version>2.24.3</version></dependency>
  </dependencies>
</project>
POM
}

fetch_jars() {
    [ -d "$cache/lib" ] && return
    need mvn maven
    echo "kafka.sh: fetching Apache Kafka $version from Maven Central (54 MB, once)" >&2
    local work=$cache/fetch.$$
    rm -rf "$cache"/fetch.*
    mkdir -p "$work/lib"
    write_pom "$work/pom.xml"
    mvn -B -q -f "$work/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
        -DincludeScope=runtime "-DoutputDirectory=$work/lib" >"$cache/fetch.log" 2>&1 ||
        { tail -n 20 "$cache/fetch.log" >&2; fail "Maven could not fetch Kafka; see $cache/fetch.log"; }
    mv "$work/lib" "$cache/lib"
    rm -rf "$work"
}

# Runs a broker once and lets the JVM write down which classes it loaded. Without the archive all works, only slower.
archive_classes() {
    [ -f "$cache/classes.jsa" ] && return
    local dir=$cache/archive.$$
    rm -rf "$cache"/archive.*
    if (launch "$dir" 0 "-XX:ArchiveClassesAtExit=$dir/classes.jsa") >/dev/null; then
        halt "$dir"
        if [ -f "$dir/classes.jsa" ]; then mv "$dir/classes.jsa" "$cache/classes.jsa"; fi
    fi
    rm -rf "$dir"
}

fetch() {
    need "$java" openjdk-17-jre-headless
    mkdir -p "$cache"
    exec 8>"$cache/lock"
    flock 8
    fetch_jars
    archive_classes
    exec 8>&-
}

# ---- start, status, stop ----

running() { living "$1/pid" "kafka.Kafka $1/server.properties"; }

write_configuration() { # folder, port, controller port
    cat >"$1/server.properties" <<CONFIGURATION
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=$1/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=100
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=4194304
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
CONFIGURATION
    # A group's first rebalance waits for the lanes of one worker: one that begins without them has them join a second later.
    # Of two lines with one key the last counts.
    if [ -f "$1/extra.properties" ]; then cat "$1/extra.properties" >>"$1/server.properties"; fi
    cat >"$1/log4j2.properties" <<CONFIGURATION
rootLogger.level=WARN
rootLogger.appenderRef.file.ref=file
logger.started.name=kafka.server.KafkaRaftServer
logger.started.level=INFO
appender.file.type=File
appender.file.name=file
appender.file.fileName=$1/server.log
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %c{1}: %m%n
CONFIGURATION
}

# A broker on these ports, ready; 1 when it died before. The log's own line says when it serves.
attempt() { # folder, port, controller port, JVM flags...
    local dir=$1 port=$2 flags pid
    write_configuration "$dir" "$port" "$3"
    mapfile -t flags < <(jvm_flags; shift 3; [ $# = 0 ] || printf '%s\n' "$@")
    if [ ! -f "$dir/data/meta.properties" ]; then
        "$java" "${flags[@]/*ArchiveClassesAtExit*/-Xshare:auto}" -cp "$(class_path)" kafka.tools.StorageTool format \
            -t "${SLUICE_KAFKA_CLUSTER_ID:-$(head -c 16 /dev/urandom | base64 | tr '+/' 'AB' | cut -c 1-22)}" -c "$dir/server.properties" >"$dir/format.log" 2>&1 ||
            { cat "$dir/format.log" >&2; fail "Kafka could not format $dir/data"; }
    fi
    : >"$dir/server.log"
    setsid "$java" "${flags[@]}" "-Dlog4j2.configurationFile=$dir/log4j2.properties" -cp "$(class_path)" \
        kafka.Kafka "$dir/server.properties" >"$dir/output.log" 2>&1 </dev/null 8>&- 9>&- &
    pid=$!
    echo "$pid" >"$dir/pid"
    for _ in {1..600}; do
        if grep -q 'Kafka Server started' "$dir/server.log"; then echo "$port" >"$dir/port"; return 0; fi
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.1
    done
    kill -9 "$pid" || true
    return 1
}

launch() { # folder, port or 0, JVM flags...
    local dir=$1 asked=$2 port
    shift 2
    mkdir -p "$dir"
    for _ in 1 2 3; do
        port=$asked
        if [ "$port" = 0 ] && [ -f "$dir/port" ]; then port=$(cat "$dir/port"); fi
        if [ "$port" = 0 ]; then port=$(free_port); fi
        listens "$port" && fail "port $port of 127.0.0.1 is taken; choose another"
        if attempt "$dir" "$port" "$(free_port)" "$@"; then echo "127.0.0.1:$port"; return; fi
    done
    tail -n 20 "$dir/output.log" "$dir/server.log" >&2
    fail "Kafka did not start; see $dir/server.log"
}

halt() {
    local pid
    if pid=$(running "$1"); then end_session "$pid" TERM 30; fi
    rm -f "$1/pid"
}

usage() { sed -n '2,12s/^# \{0,1\}//p' "$0"; }
absolute() { mkdir -p "$1" && (cd "$1" && pwd); }

case "${1:-}:$#" in
    fetch:1) fetch ;;
    start:2 | start:3)
        dir=$(absolute "$2")
        if running "$dir" >/dev/null; then echo "127.0.0.1:$(cat "$dir/port")"; exit; fi
        fetch
        launch "$dir" "${3:-0}"
        ;;
    status:2) [ -d "$2" ] && dir=$(absolute "$2") && running "$dir" >/dev/null && echo "127.0.0.1:$(cat "$dir/port")" ;;
    stop:2) if [ -d "$2" ]; then halt "$(absolute "$2")"; fi ;;
    -h:1 | --help:1) usage ;;
    *) usage >&2; exit 2 ;;
esac
