#!/usr/bin/python3
"""One of two workers cannot reach Postgres for longer than a lane waits for it: its shards go to the other, and some come back.

time-limit: 300
# tests-full-only"""
import random
import sys
import time
from pathlib import Path

from psycopg2.extensions import parse_dsn

sys.path.append(str(Path(__file__).resolve().parents[1] / "faults"))
from lib import events
from lib.installation import Installation
from lib.neighbours import project_on
from lib.tap import Tap, true
from proxy import Link, Loop

PATIENCE = 60  # seconds without an answer of Postgres, while brokers answer, after which a lane ends
SESSION = 10   # until the group gives its shards to others


def ask_on_every_shard(sluice):
    asked = [events.promote(project_on(shard, sluice.shards, "cut"), events.fresh_sha(), "dev") for shard in range(sluice.shards)]
    for event in asked:
        sluice.send(event)
    return asked


def main():
    tap = Tap()
    with Installation() as sluice:
        url = sluice.stack.database_url
        there = parse_dsn(url)
        link = Link(Loop(), "worker-postgres", [(there["host"], int(there["port"]))])
        sluice.worker(lanes=1)
        second = sluice.worker(lanes=1, start=False)
        second.start(SLUICE_DATABASE_URL=url.replace(f":{there['port']}/", f":{link.mouths[0].port}/"))
        for event in ask_on_every_shard(sluice):
            sluice.follower.answer(event)
        with tap.case("every shard is answered while one worker cannot reach Postgres"):
            link.start("stall", random)
            began, asked = time.monotonic(), ask_on_every_shard(sluice)
            for event in asked:
                sluice.follower.answer(event, timeout=PATIENCE + SESSION + 90)
            tap.note(f"after {time.monotonic() - began:.0f} s")
        with tap.case("once it can reach it the worker is ready again"):
            link.end()
            second.wait_ready(60)
            true("database-away" in second.log_text(), "its log does not say why the lane ended")
        for event in ask_on_every_shard(sluice):
            sluice.follower.answer(event)
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
