#!/usr/bin/python3
"""kill -9 of a random lane every two seconds while a preload of promotions is worked off by two lanes on eight shards: each is
answered exactly once, and no shard stands still for longer than five seconds.

SLUICE_TESTS_PROMOTIONS says how many (5,000; under `tests/run.sh full` 200,000), SLUICE_TESTS_SHARDS how many shards (8).

time-limit: 1800"""
import os
import random
import sys
import time
from pathlib import Path

from checks.load import Kafka
from lib.installation import Installation
from lib.stack import FULL
from lib.tap import Tap, true
from lib.traffic import Preload
from lib.worker import kill, resident_mib

COUNT = int(os.environ.get("SLUICE_TESTS_PROMOTIONS") or (200_000 if FULL else 5_000))
SHARDS = int(os.environ.get("SLUICE_TESTS_SHARDS") or 8)
EVERY = 2       # seconds between kills
FIRST = 0.3     # seconds until the first: the small load is done in little more than one
GAP_LIMIT = 5   # seconds without progress of a shard that has something to do
MEMORY_LIMIT = 40  # MiB of a lane, without sanitizers


class Progress:
    """How far each shard's committed results are, and how long it stood still while it had something to do."""

    def __init__(self, sluice):
        self.kafka, self.prefix, self.shards = Kafka(sluice.stack.brokers, sluice.prefix), sluice.prefix, sluice.shards
        self.ends = {shard: self.kafka.log_of(self.prefix + "requests", shard).stable for shard in range(sluice.shards)}
        self.sluice, self.last, self.gap, self.seen = sluice, {}, {shard: 0.0 for shard in self.ends}, {}

    def start(self):
        self.last = {shard: time.monotonic() for shard in self.ends}

    def look(self):
        """True when every shard is at its end."""
        rows = dict(self.sluice.rows("SELECT shard, requests_position FROM shard"))
        done = True
        for shard, end in self.ends.items():
            at = self.kafka.log_of(self.prefix + "results", shard).stable
            now = time.monotonic()
            if at != self.seen.get(shard):
                self.seen[shard], self.last[shard] = at, now
            if rows[shard] < end:
                done = False
                self.gap[shard] = max(self.gap[shard], now - self.last[shard])
        return done


def has_sanitizer(pid):
    maps = Path(f"/proc/{pid}/maps").read_text()
    return "libasan" in maps or "libtsan" in maps


def check_memory(tap, lanes):
    sizes = [resident_mib(lane) or 0.0 for lane in lanes]
    if not any(has_sanitizer(lane) for lane in lanes):
        tap.check(f"after that a lane takes at most {MEMORY_LIMIT} MiB", sizes and max(sizes) <= MEMORY_LIMIT, f"MiB: {sizes}")
    else:
        tap.note(f"a lane's memory is not judged: the program is built with a sanitizer; MiB: {sizes}")


def main():
    tap = Tap()
    randomness = random.Random(11)
    with Installation(shards=SHARDS) as sluice:
        load = Preload(sluice, COUNT, each=50 if COUNT < 50_000 else 200)
        first, second = sluice.worker("w1", lanes=1), sluice.worker("w2", lanes=1)
        started = time.monotonic()
        sluice.sender.send_all(load.builds())
        sluice.settle(600)
        tap.note(f"{COUNT} builds verified in {time.monotonic() - started:.1f} s")
        for worker in (first, second):
            worker.stop()
        sluice.sender.send_all(load.promotions())
        progress = Progress(sluice)
        for worker in (first, second):
            worker.start(ready=False)
        for worker in (first, second):
            worker.wait_ready(60)
        progress.start()
        started, kills, next_kill, memory = time.monotonic(), 0, time.monotonic() + FIRST, 0.0
        with tap.case(f"{COUNT} promotions are worked off while lanes are killed"):
            while not progress.look():
                if time.monotonic() > started + 1200:
                    raise TimeoutError(f"not done after 1200 s: {progress.seen} of {progress.ends}\n{first.tail(5)}\n{second.tail(5)}")
                lanes = first.lanes() + second.lanes()
                memory = max([memory, *(size for size in map(resident_mib, lanes) if size)])
                if time.monotonic() >= next_kill:
                    next_kill += EVERY
                    kills += bool(lanes) and kill(randomness.choice(lanes))
                time.sleep(0.05)
        seconds = time.monotonic() - started
        tap.note(f"{seconds:.1f} s, {COUNT / seconds:.0f} promotions/s, {kills} kills; a lane's memory at most {memory:.0f} MiB meanwhile; "
                 f"longest gap a shard: {' '.join(f'{gap:.1f}' for gap in progress.gap.values())} s")
        tap.check("lanes were killed meanwhile", kills > 0, "all was done before the first kill; take more promotions")
        with tap.case(f"no shard without progress for longer than {GAP_LIMIT} s"):
            true(max(progress.gap.values()) <= GAP_LIMIT, f"{max(progress.gap.values()):.1f} s")
        check_memory(tap, first.lanes() + second.lanes())
        with tap.case("every promotion has one answer, promoted"):
            sluice.settle(120)
            counts = dict(sluice.rows("SELECT kind, count(*) FROM ledger WHERE topic = 2 GROUP BY kind"))
            true(counts == {4: COUNT}, f"ledger rows by kind: {counts}")
        sluice.check(tap, timeout=120)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
