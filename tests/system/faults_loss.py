#!/usr/bin/python3
"""Kafka and Postgres that do not fit each other: a database brought back to an older state, a position that the log does not
have. Such a shard is stopped and says why, and the others go on."""
import sys
import time

from lib import events
from lib.installation import Installation
from lib.tap import Tap, equal, true
from checks import forms


def wait(what, found, seconds=30):
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.1)


def projects_of(shards):
    """A project at home in each shard."""
    found = {}
    for number in range(1000):
        found.setdefault(forms.murmur2(f"acme/p{number}".encode()) % shards, f"acme/p{number}")
    return [found[shard] for shard in range(shards)]


class Loss:
    def __init__(self, tap, sluice):
        self.tap, self.sluice = tap, sluice
        self.projects = projects_of(sluice.shards)

    def stopped(self):
        return {shard: reason for shard, reason in self.sluice.rows("SELECT shard, stopped FROM shard WHERE stopped IS NOT NULL")}

    def others_go_on(self, stopped):
        for shard, project in enumerate(self.projects):
            if shard != stopped:
                equal(self.sluice.ask(events.promote(project, events.fresh_sha(), "dev"), 40).data["outcome"], "waiting", project)

    def resume(self, shard, worker):
        """What an operator does who has brought the lost rows back."""
        worker.stop()
        self.sluice.rows("UPDATE shard SET stopped = NULL WHERE shard = %s", shard)
        worker.start()

    def older_state(self, worker):
        """The newest row of shard 0 is not there any more."""
        self.sluice.settle()
        worker.stop()
        rows = self.sluice.rows
        rows("CREATE TABLE saved_row AS SELECT * FROM ledger WHERE shard = 0 AND sequence = (SELECT sequence FROM shard WHERE shard = 0)")
        rows("CREATE TABLE saved_shard AS SELECT sequence, head_hash, requests_position FROM shard WHERE shard = 0")
        rows("DELETE FROM ledger USING saved_row s WHERE ledger.shard = 0 AND ledger.sequence = s.sequence")
        rows("UPDATE shard SET sequence = sequence - 1, requests_position = requests_position - 1, results_settled = 0,"
             " results_settled_offset = -1,"
             " head_hash = (SELECT hash FROM ledger l WHERE l.shard = 0 AND l.sequence = shard.sequence - 1) WHERE shard = 0")
        worker.start(ready=False)
        with self.tap.case("Postgres has lost a commit that Kafka knows of: the shard is stopped, and says why"):
            wait("shard 0 is stopped", self.stopped)
            reasons = self.stopped()
            equal(list(reasons), [0], "the stopped shards")
            true(len(reasons[0]) > 20, reasons[0])
            self.tap.note(reasons[0])
        with self.tap.case("the others go on"):
            self.others_go_on(0)
        with self.tap.case("nothing was written or published in it meanwhile"):
            self.sluice.send(events.promote(self.projects[0], events.fresh_sha(), "dev"))
            before = rows("SELECT sequence FROM shard WHERE shard = 0")
            time.sleep(3)
            equal(rows("SELECT sequence FROM shard WHERE shard = 0"), before, "its sequence")
        worker.stop()
        rows("INSERT INTO ledger SELECT * FROM saved_row")
        rows("UPDATE shard SET sequence = s.sequence, head_hash = s.head_hash, requests_position = s.requests_position"
             " FROM saved_shard s WHERE shard = 0")
        self.resume(0, worker)

    def position_beyond(self, worker):
        """Shard 1 stands where the log has nothing."""
        self.sluice.settle()
        worker.stop()
        self.sluice.rows("UPDATE shard SET requests_position = requests_position + 7 WHERE shard = 1")
        worker.start(ready=False)
        with self.tap.case("a position that is not in the log: the shard is stopped, and says why"):
            wait("shard 1 is stopped", self.stopped)
            reasons = self.stopped()
            equal(list(reasons), [1], "the stopped shards")
            self.tap.note(reasons[1])
        with self.tap.case("the others go on"):
            self.others_go_on(1)
        worker.stop()
        self.sluice.rows("UPDATE shard SET requests_position = requests_position - 7 WHERE shard = 1")
        self.resume(1, worker)


def main():
    tap = Tap()
    with Installation(shards=3) as sluice:
        loss = Loss(tap, sluice)
        worker = sluice.worker()
        for project in loss.projects * 5:
            sluice.send(events.promote(project, events.fresh_sha(), "dev"))
        loss.older_state(worker)
        with tap.case("the lost row is brought back: the shard goes on"):
            loss.others_go_on(None)
        loss.position_beyond(worker)
        with tap.case("the position is mended: the shard goes on"):
            loss.others_go_on(None)
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
