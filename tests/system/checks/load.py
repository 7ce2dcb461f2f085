"""Fetches a world from Kafka and Postgres, a shard at a time."""
import json
import time

import psycopg2
import psycopg2.extras
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from . import forms
from .world import Control, Environment, Log, Promotion, Record, Release, Row, Shard, ShardRow, World

TOPICS = ("builds", "requests", "results", "dead-letter")
PROMOTION_OUTCOMES = {1: "waiting", 2: "promoted", 3: "rejected", 4: "superseded", 5: "aborted", 6: "expired"}


class Kafka:
    """Reads partitions whole, committed records only."""

    def __init__(self, brokers, prefix, properties=None):
        common = {"bootstrap.servers": brokers, "group.id": "sluice-checker", "enable.auto.commit": False,
                  "auto.offset.reset": "error", "fetch.wait.max.ms": 20, **(properties or {})}
        self.prefix = prefix
        self.committed = Consumer(common | {"isolation.level": "read_committed", "enable.partition.eof": True})
        self.uncommitted = Consumer(common | {"isolation.level": "read_uncommitted"})

    def close(self):
        self.committed.close()
        self.uncommitted.close()

    def log_of(self, topic, shard):
        at = TopicPartition(topic, shard)
        low, stable = self.committed.get_watermark_offsets(at, timeout=30)
        _, high = self.uncommitted.get_watermark_offsets(at, timeout=30)
        return Log([], low, stable, high)

    def read(self, shard, patience=60):
        """The four logs of a shard."""
        logs = {self.prefix + name: self.log_of(self.prefix + name, shard) for name in TOPICS}
        open_topics = {topic for topic, log in logs.items() if log.stable > log.low}
        self.committed.assign([TopicPartition(topic, shard, logs[topic].low) for topic in open_topics])
        deadline = time.monotonic() + patience
        while open_topics:
            for message in self.committed.consume(5000, 0.1):
                deadline = time.monotonic() + patience
                topic, error = message.topic(), message.error()
                if error and error.code() == KafkaError._PARTITION_EOF:
                    if message.offset() >= logs[topic].stable:
                        open_topics.discard(topic)
                elif error:
                    raise KafkaException(error)
                elif message.offset() < logs[topic].stable:
                    logs[topic].records.append(Record(message.offset(), message.key(), message.headers() or [], message.value()))
            if time.monotonic() > deadline:
                raise TimeoutError(f"shard {shard}: {', '.join(open_topics)} could not be read to the end")
        self.committed.unassign()
        return logs

    def last_sequence(self, topic, shard, log):
        """The ce_ledgersequence of the partition's last committed record; 0 when it has none."""
        reach = 8
        while log.stable > log.low:
            start = max(log.low, log.stable - reach)
            last, done = 0, False
            self.committed.assign([TopicPartition(topic, shard, start)])
            deadline = time.monotonic() + 30
            while not done:
                for message in self.committed.consume(1000, 0.05):
                    if message.error() and message.error().code() == KafkaError._PARTITION_EOF:
                        done = message.offset() >= log.stable
                    elif message.error():
                        raise KafkaException(message.error())
                    else:
                        last = int(dict(message.headers() or [])["ce_ledgersequence"])
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic}/{shard} could not be read to its end")
            self.committed.unassign()
            if last or start == log.low:
                return last
            reach *= 16
        return 0


def micros(value):
    """Microseconds of a timestamptz or of a number that is microseconds already."""
    if value is None or isinstance(value, int):
        return value
    whole = int(value.timestamp() // 1)
    return whole * 1_000_000 + value.microsecond


def raw(value):
    return None if value is None else bytes(value)


class Database:
    def __init__(self, url, schema):
        self.connection = psycopg2.connect(url)
        self.connection.set_session(readonly=True, isolation_level="REPEATABLE READ")
        psycopg2.extras.register_uuid(conn_or_curs=self.connection)
        self.schema = schema

    def rows(self, sql, *parameters, streamed=False):
        """The rows of a statement; `{}` is the schema."""
        with self.connection.cursor("checker" if streamed else None) as cursor:
            if streamed:
                cursor.itersize = 5000
            cursor.execute(sql.replace("{}", '"' + self.schema.replace('"', '""') + '"'), parameters)
            yield from cursor

    def one(self, sql, *parameters):
        return next(iter(self.rows(sql, *parameters)), None)


def read_state(database, number, environments):
    """The tables' part of a shard."""
    seen = {key.bytes: (sequence, raw(content)) for key, sequence, content in
            database.rows("SELECT key, sequence, content_digest FROM {}.seen WHERE shard = %s", number, streamed=True)}
    releases = {(project, git_sha): Release(raw(digest), raw(manifest), json.loads(artifacts), sequence, micros(at))
                for project, git_sha, digest, manifest, artifacts, sequence, at in database.rows(
                    "SELECT project, git_sha, manifest_digest, manifest, artifacts, sequence, at FROM {}.release WHERE shard = %s",
                    number, streamed=True)}
    # An artifact without a release is nobody's; it comes up in the first shard, where no ledger row explains it.
    artifacts = {(project, git_sha, name): (kind, digest, uri) for project, git_sha, name, kind, digest, uri in database.rows(
        "SELECT project, git_sha, name, type, digest, uri FROM {}.artifact LEFT JOIN {}.release USING (project, git_sha)"
        " WHERE coalesce(release.shard, 0) = %s", number, streamed=True)}
    promotions = {}
    for row in database.rows(
            "SELECT id, project, git_sha, environment, outcome, revision, requester, source, event_id, conditions, opened_sequence,"
            " answered_sequence, decided_sequence, expires_at, wake_at FROM {}.promotion WHERE shard = %s", number, streamed=True):
        row = list(row)
        row[4] = PROMOTION_OUTCOMES.get(row[4], str(row[4]))
        row[9] = None if row[9] is None else json.loads(row[9])
        row[13], row[14] = micros(row[13]), micros(row[14])
        promotions[row[0].bytes] = Promotion(*row[1:])
    return seen, releases, artifacts, promotions, environments.get(number, {})


def read_shard(database, kafka, number, environments):
    row = database.one("SELECT builds_position, requests_position, sequence, head_hash, now_at, stopped FROM {}.shard"
                       " WHERE shard = %s", number)
    ledger = []
    for (sequence, at, kind, topic, offset, control, engine, *blobs) in database.rows(
            "SELECT sequence, at, kind, topic, kafka_offset, control_version, engine, input, input_digest, decision,"
            " decision_digest, hash FROM {}.ledger WHERE shard = %s ORDER BY sequence", number, streamed=True):
        ledger.append(Row(number, sequence, micros(at), kind, topic, offset, control, engine, *map(raw, blobs)))
    checkpoint = database.one("SELECT sequence, hash FROM {}.checkpoint WHERE shard = %s AND sequence < %s"
                              " ORDER BY sequence DESC LIMIT 1", number, ledger[0].sequence if ledger else 0)
    state = read_state(database, number, environments)
    logs = kafka.read(number)
    builds, requests, results, dead_letters = (logs[kafka.prefix + name] for name in TOPICS)
    return Shard(number, {forms.BUILDS: builds, forms.REQUESTS: requests}, results, dead_letters, ledger,
                 ShardRow(row[0], row[1], row[2], raw(row[3]), micros(row[4]), row[5]), *state,
                 checkpoint=checkpoint and (checkpoint[0], raw(checkpoint[1])))


def read_world(database, kafka):
    installation, shards, now = database.one("SELECT id, shards, now() FROM {}.installation")
    control = [Control(version, kind, raw(body), raw(digest), raw(previous)) for version, kind, body, digest, previous in
               database.rows("SELECT version, kind, body, digest, prev_digest FROM {}.control ORDER BY version")]
    environments = {}
    for project, name, git_sha, promotion, since, sequence in database.rows(
            "SELECT project, environment, git_sha, promotion_id, since, sequence FROM {}.environment"):
        home = forms.murmur2(project.encode()) % shards
        environments.setdefault(home, {})[(project, name)] = Environment(git_sha, promotion.bytes, micros(since), sequence)
    numbers = [number for number, in database.rows("SELECT shard FROM {}.shard ORDER BY shard")]
    strays = list(database.rows("SELECT DISTINCT shard FROM {}.ledger WHERE shard NOT IN (SELECT shard FROM {}.shard)"))
    if strays:
        raise ValueError(f"ledger rows of shards that do not exist: {strays}")
    return World(installation.bytes, shards, control, micros(now),
                 (read_shard(database, kafka, number, environments) for number in numbers))
