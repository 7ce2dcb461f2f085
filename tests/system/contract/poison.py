#!/usr/bin/python3
"""common/README.md, "Events", and worker/README.md, "When something fails": `internal-error` and `crashes-worker`, and that the
neighbours of such an event are answered as if it were not there.

Postgres is made to trip over a reason: a trigger refuses one, and is slow at another, during which the lane is killed."""
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import events
from lib.installation import Installation
from lib.tap import Tap, equal, true
from lib.worker import kill

PROJECT = "acme/shop"
TRIGGER = """
CREATE FUNCTION trip() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind <> 10 AND position('refuse-me'::bytea IN NEW.input) > 0 THEN
        RAISE EXCEPTION 'this row is refused' USING ERRCODE = '22000';
    END IF;
    IF NEW.kind <> 12 AND position('kill-me'::bytea IN NEW.input) > 0 THEN
        PERFORM pg_sleep(30);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER trip BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION trip();
"""
SLEEPERS = ("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND EXISTS"
            " (SELECT FROM pg_locks l WHERE l.pid = pg_stat_activity.pid AND l.relation = 'ledger'::regclass)")


def crowd(reason):
    """Fifty requests, one of them with the reason."""
    some = [events.promote(PROJECT, events.fresh_sha(), "dev") for _ in range(50)]
    some[27] = events.promote(PROJECT, events.fresh_sha(), "dev", reason=reason)
    return some


def kill_readers(sluice, worker, done, seconds=90):
    """Kills the lane, with its transaction, as often as it comes to the record that is slow; how often that was."""
    deaths, deadline = 0, time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not dead-lettered after {deaths} deaths within {seconds} s\n{worker.tail(10)}")
        for pid, in sluice.rows(SLEEPERS):
            for lane in worker.lanes():
                os.kill(lane, signal.SIGSTOP)  # it must not see that its backend is gone
            sluice.rows("SELECT pg_terminate_backend(%s)", pid)
            deaths += sum(kill(lane) for lane in worker.lanes())
            while sluice.rows("SELECT FROM pg_stat_activity WHERE pid = %s", pid):
                time.sleep(0.02)
        sluice.follower.poll(0.05)
    return deaths


def main():
    tap = Tap()
    with Installation(shards=2) as sluice:
        sluice.rows(TRIGGER)
        worker = sluice.worker(lanes=1)
        some = crowd("refuse-me")
        sluice.sender.send_all(some)
        with tap.case("Postgres refuses a row: that event alone is refused, internal-error"):
            answer = sluice.follower.answer(some[27], timeout=40)
            equal((answer.type, answer.data["code"]), ("dev.sluice.event.refused.v1", "internal-error"), "the answer")
        with tap.case("its neighbours in the batch are answered as ever"):
            equal({sluice.follower.answer(one).data["outcome"] for one in some if one is not some[27]}, {"waiting"}, "the outcomes")
        with tap.case("and in order"):
            sequences = [int(sluice.follower.answer(one).headers["ce_ledgersequence"]) for one in some]
            equal(sequences, sorted(sequences), "the sequences")

        some = crowd("kill-me")
        sluice.sender.send_all(some)
        with tap.case("lanes die on a record: it is dead-lettered unread, crashes-worker, after a few deaths"):
            deaths = kill_readers(sluice, worker, lambda: sluice.follower.by_origin)
            tap.note(f"{deaths} deaths")
            (_, partition, offset), answer = next(iter(sluice.follower.by_origin.items()))
            equal(answer.error["code"], "crashes-worker", "the code")
            true(3 <= deaths <= 8, f"{deaths} deaths")
            equal((answer.key, answer.value, answer.header_list[:-4]),
                  (PROJECT.encode(), some[27].record()[2], some[27].record()[1]), "the original in it")
        with tap.case("its neighbours are answered as ever"):
            equal({sluice.follower.answer(one, timeout=40).data["outcome"] for one in some if one is not some[27]}, {"waiting"}, "outcomes")
        with tap.case("the shard goes on, in batches again"):
            more = [events.promote(PROJECT, events.fresh_sha(), "dev") for _ in range(300)]
            sluice.sender.send_all(more)
            sluice.follower.wait("300 answers", lambda: all(sluice.follower.answers(one) for one in more), 20)
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
