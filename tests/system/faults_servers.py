#!/usr/bin/python3
"""Lanes that stop and wake up beyond every timeout, and servers that go away and come back, under traffic.

time-limit: 900"""
import os
import signal
import sys
import time

import psycopg2

from lib import events, registry
from lib.installation import Installation
from lib.stack import FULL
from lib.tap import Tap, equal, true
from lib.traffic import Traffic

SESSION = 10  # seconds: how long a static member may be silent


def ledger(sluice):
    return sluice.rows("SELECT count(*) FROM ledger")[0][0]


def wait(what, found, seconds):
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def flowing(sluice, seconds=30):
    """New ledger rows on every shard from here on."""
    before = dict(sluice.rows("SELECT shard, sequence FROM shard"))
    wait("new rows on every shard",
         lambda: all(sequence > before[shard] for shard, sequence in sluice.rows("SELECT shard, sequence FROM shard")), seconds)


# ---- what goes wrong ----

def pause_lane(tap, sluice, first, _):
    """One lane stands still past the session's time-out; another takes its shards, and then it wakes up."""
    lane = first.lanes()[0]
    first.pause(lane)
    time.sleep(SESSION + 4)
    with tap.case("SIGSTOP of a lane: its shards go on elsewhere"):
        flowing(sluice)
    first.resume(lane)
    time.sleep(2)
    with tap.case("SIGCONT: it finds that it is fenced, and the fleet goes on"):
        flowing(sluice)


def pause_briefly(tap, sluice, first, second):
    """All lanes stand still for three seconds, within the session."""
    lanes = first.lanes() + second.lanes()
    for lane in lanes:
        first.pause(lane)
    time.sleep(3)
    for lane in lanes:
        first.resume(lane)
    with tap.case("SIGSTOP of all lanes for 3 s: they go on"):
        flowing(sluice)


def pause_worker(tap, sluice, first, second):
    """A whole worker stands still past the session's time-out, its supervisor too."""
    pids = [first.pid, *first.lanes()]
    for pid in pids:
        first.pause(pid)
    time.sleep(SESSION + 8)
    with tap.case("SIGSTOP of a worker: the other one has all shards"):
        flowing(sluice)
    for pid in pids:
        first.resume(pid)
    time.sleep(2)
    with tap.case("SIGCONT of the worker: the fleet goes on"):
        flowing(sluice)
        first.wait_ready()


def restart_kafka(tap, sluice, first, _):
    sluice.stack.stop_server("kafka")
    time.sleep(3)
    with tap.case("Kafka is away: the worker says that it is not ready"):
        equal((first.get("/readyz")[0] == 200, first.running()), (False, True), "ready and running")
    sluice.stack.start_server("kafka")
    with tap.case("Kafka is back: the fleet goes on"):
        flowing(sluice, 60)
        first.wait_ready(60)


def kill_kafka(tap, sluice, *_):
    os.kill(sluice.stack.pid("kafka"), signal.SIGKILL)
    time.sleep(1)
    sluice.stack.start_server("kafka")
    with tap.case("kill -9 of Kafka: the fleet goes on"):
        flowing(sluice, 90)


def pause_kafka(tap, sluice, *_):
    os.kill(sluice.stack.pid("kafka"), signal.SIGSTOP)
    time.sleep(SESSION + 5)
    os.kill(sluice.stack.pid("kafka"), signal.SIGCONT)
    with tap.case("SIGSTOP of Kafka past every session: the fleet goes on"):
        flowing(sluice, 90)


def restart_postgres(tap, sluice, first, _):
    sluice.stack.stop_server("postgres")
    time.sleep(3)
    with tap.case("Postgres is away: the worker says that it is not ready"):
        equal((first.get("/readyz")[0] == 200, first.running()), (False, True), "ready and running")
    sluice.stack.start_server("postgres")
    with tap.case("Postgres is back: the fleet goes on"):
        flowing(sluice, 60)
        first.wait_ready()


def terminate_backends(tap, sluice, *_):
    connection = psycopg2.connect(sluice.stack.database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for _ in range(10):
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                           " AND pid <> pg_backend_pid()")
            time.sleep(0.3)
    connection.close()
    with tap.case("every backend terminated ten times: the fleet goes on"):
        flowing(sluice, 60)


def pause_backends(tap, sluice, *_):
    pids = [pid for pid, in sluice.rows("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                                        " AND pid <> pg_backend_pid() AND application_name LIKE 'sluice%%'")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(SESSION + 5)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    with tap.case(f"SIGSTOP of {len(pids)} Postgres backends past every session: the fleet goes on"):
        true(pids, "no backend names itself sluice (application_name)")
        flowing(sluice, 90)


def registry_away(tap, sluice, *_):
    digest = registry.push(sluice.stack.registry, "acme/later", sluice.schema)
    artifact = events.artifact(digest=digest, uri=f"{sluice.stack.registry}/acme/later:1")
    sha = sluice.released("acme/later", [artifact])
    sluice.stack.stop_server("registry")
    request = events.promote("acme/later", sha, "dev")
    with tap.case("the registry is away: a promotion waits, registry-unreachable"):
        answer = sluice.ask(request)
        equal((answer.data["outcome"], answer.condition("artifact")), ("waiting", ("unmet", "registry-unreachable")), f"it ({answer})")
    with tap.case("the registry is away: the others are not held up"):
        flowing(sluice)
    time.sleep(3)
    sluice.stack.start_server("registry")
    with tap.case("the registry is back: the promotion goes through by itself"):
        equal(sluice.follower.final(request, 40).data["outcome"], "promoted", "the final outcome")


ALWAYS = (pause_lane, restart_kafka, restart_postgres, registry_away)
UNDER_FULL = (pause_briefly, pause_worker, kill_kafka, pause_kafka, terminate_backends, pause_backends)


def main():
    tap = Tap()
    named = [one for one in ALWAYS + UNDER_FULL if one.__name__ in sys.argv[1:]]
    for fault in named or ALWAYS + (UNDER_FULL if FULL else ()):
        with Installation(shards=4) as sluice:
            failed = tap.failed
            with tap.case(f"{fault.__name__}: ran to its end", quiet=True):
                first, second = sluice.worker("w1"), sluice.worker("w2")
                with Traffic(sluice) as traffic:
                    wait("the first rows", lambda: ledger(sluice) > 50, 20)
                    flowing(sluice)
                    fault(tap, sluice, first, second)
                    traffic.stop()
                sluice.check(tap, f"{fault.__name__}: the independent checker finds nothing in {traffic.sent} events", 90)
            if tap.failed > failed:
                for worker in sluice.workers:
                    tap.note(f"--- {worker.name}\n{worker.tail(15)}")
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
