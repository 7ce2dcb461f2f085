"""sluice shard resume against a real Kafka and Postgres: what an operator accepts stands in the ledger, and nothing else moves."""
import json
import os
import subprocess
import uuid

import psycopg2
from confluent_kafka import Producer

name = "resume" + uuid.uuid4().hex[:8]
environment = dict(os.environ, SLUICE_DATABASE_SCHEMA=name, SLUICE_TOPIC_PREFIX=name + ".")
database = psycopg2.connect(os.environ["SLUICE_DATABASE_URL"])
database.autocommit = True
tests = []


def test(function):
    tests.append(function)
    return function


def sluice(*arguments):
    done = subprocess.run(["sluice", *arguments], env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def sql(text, *values):
    with database.cursor() as cursor:
        cursor.execute(f'SET search_path = "{name}"')
        cursor.execute(text, values)
        return cursor.fetchall() if cursor.description else None


def publish(partition, sequence):
    producer = Producer({"bootstrap.servers": os.environ["SLUICE_KAFKA_BOOTSTRAP_SERVERS"]})
    headers = [("ce_ledgersequence", str(sequence)), ("ce_ledgerhash", "sha256:" + "ab" * 32)]
    producer.produce(name + ".results", b"{}", b"key", partition=partition, headers=headers)
    assert producer.flush(20) == 0


@test
def a_shard_that_runs_is_not_resumed():
    status, _, errors = sluice("shard", "resume", "0", "--accept-loss", "no")
    assert status == 1 and "not stopped" in errors, (status, errors)
    assert sql("SELECT count(*) FROM ledger") == [(0,)]


@test
def a_reason_is_required():
    sql("UPDATE shard SET stopped = 'x' WHERE shard = 0")
    assert sluice("shard", "resume", "0")[0] == 2
    assert sluice("shard", "list")[0] == 1
    assert sql("SELECT stopped FROM shard WHERE shard = 0") == [("x",)]


@test
def a_position_outside_the_log_moves_to_its_start():
    sql("UPDATE shard SET stopped = 'position 7 of builds is not in the log', builds_position = 7 WHERE shard = 0")
    status, output, errors = sluice("shard", "resume", "0", "--accept-loss", "the topic was made anew", "--json")
    assert status == 0, errors
    said = json.loads(output)
    assert (said["sequence"], said["buildsPosition"], said["resultsForgotten"]) == (1, 0, False), said
    assert sql("SELECT stopped, epoch, sequence, builds_position, results_settled FROM shard WHERE shard = 0") == [(None, 1, 1, 0, 0)]
    ((kind, topic, offset, decision),) = sql("SELECT kind, topic, kafka_offset, convert_from(decision, 'UTF8') FROM ledger")
    assert (kind, topic, offset) == (13, 0, 0)
    assert json.loads(decision)["reason"] == "the topic was made anew"
    assert sql("SELECT l.hash = s.head_hash FROM ledger l JOIN shard s USING (shard, sequence)") == [(True,)]


@test
def results_that_the_ledger_does_not_know_are_settled():
    for sequence in range(1, 4):
        publish(1, sequence)
    sql("UPDATE shard SET stopped = 'a tail is ahead' WHERE shard = 1")
    status, output, errors = sluice("shard", "resume", "1", "--accept-loss", "restored from Monday", "--json")
    assert status == 0 and json.loads(output)["resultsForgotten"] is True, (output, errors)
    assert sql("SELECT results_settled, results_settled_offset, dead_letters_settled FROM shard WHERE shard = 1") == [(1, 3, 0)]


assert sluice("db", "migrate", "--shards", "2")[0] == 0
assert sluice("topics", "create")[0] == 0
print(f"1..{len(tests)}")
for number, function in enumerate(tests, 1):
    title = function.__name__.replace("_", " ")
    try:
        function()
        print(f"ok {number} - {title}")
    except Exception as problem:  # every failure is one failed test
        print(f"not ok {number} - {title}\n# {problem!r}")
sql(f'DROP SCHEMA "{name}" CASCADE')
