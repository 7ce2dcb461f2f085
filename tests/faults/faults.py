#!/usr/bin/python3
"""Real faults, by seed: see README.md; run.sh is the way to call it."""
import argparse
import collections
import signal
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "system")]

import schedule  # noqa: E402  pylint: disable=wrong-import-position
import seed as seeds  # noqa: E402  pylint: disable=wrong-import-position
from kinds import KINDS  # noqa: E402  pylint: disable=wrong-import-position
from servers import Servers, wait  # noqa: E402  pylint: disable=wrong-import-position


ENOUGH, WHOLE = 10, 60  # how often each kind must be injected in a run of so many seeds
ONCE = 3                # planned so often in fewer seeds, it must be injected once


def span(text):
    first, _, last = text.partition("-")
    first, last = int(first), int(last or first)
    if not 1 <= first <= last:
        raise ValueError
    return range(first, last + 1)


class Totals:
    def __init__(self):
        self.passed, self.failed = [], []
        self.planned, self.met, self.missed = collections.Counter(), collections.Counter(), collections.Counter()

    def add(self, number, outcome):
        (self.failed if outcome.problems else self.passed).append(number)
        self.planned.update(one.kind for one in schedule.plan(number))
        self.met.update(outcome.met)
        self.missed.update(outcome.missed)

    def skipped(self):
        """Kinds that could not be tried at all here."""
        return sorted({(kind, why) for kind, why in self.missed if why.endswith(" here") and not self.met[kind]})

    def too_seldom(self):
        """(kind, how often at least) of those that could be tried here and were not injected often enough to have shown anything."""
        whole = len(self.passed) + len(self.failed) >= WHOLE
        skipped = {kind for kind, _ in self.skipped()}
        for kind in KINDS:
            least = ENOUGH if whole else int(self.planned[kind] >= ONCE)
            if kind not in skipped and self.met[kind] < least:
                yield kind, least

    def show(self):
        print(f"\n{'fault':<28} {'planned':>8} {'injected':>8}")
        for kind in KINDS:
            if self.planned[kind]:
                print(f"{kind:<28} {self.planned[kind]:>8} {self.met[kind]:>8}")
        print(f"{'all':<28} {self.planned.total():>8} {self.met.total():>8}")
        for (kind, why), count in sorted(self.missed.items()):
            print(f"without effect: {kind}, {count} times: {why}")
        for kind, why in self.skipped():
            print(f"skipped: {kind}: {why}")
        for kind, least in self.too_seldom():
            print(f"too seldom: {kind}: planned {self.planned[kind]} times, injected {self.met[kind]} times, at least {least} are wanted")
        print(f"{len(self.passed)} passed, {len(self.failed)} failed, {len(self.skipped())} skipped")


def run_all(numbers, totals, keep):
    """Seeds of one topology after the other, so that servers are started once."""
    for copies in (1, 3):
        chosen, servers = [number for number in numbers if schedule.copies(number) == copies], None
        try:
            for number in chosen:
                if servers is None:
                    servers = Servers(copies)
                    print(f"starting Kafka ({'one broker' if copies == 1 else 'three brokers'}), Postgres with a standby, a registry"
                          f" in {servers.folder}", flush=True)
                    servers.start()
                wait("all replicas are in sync", servers.kafka.whole, 120)
                if not run_one(servers, number, totals, keep):
                    servers.stop()
                    servers = None
        finally:
            if servers:
                servers.stop(keep=False)


def run_one(servers, number, totals, keep):
    started = time.monotonic()
    print(f"seed {number}: " + ", ".join(f"{one.kind} at {one.at:.1f}" for one in schedule.plan(number)), flush=True)
    outcome, folder = seeds.run(servers, number, keep)
    totals.add(number, outcome)
    verdict = "failed" if outcome.problems else "passed"
    print(f"seed {number} {verdict}: {len(outcome.met)} faults injected, {time.monotonic() - started:.0f} s", flush=True)
    if outcome.problems:
        for problem in outcome.problems:
            print("  ! " + problem.rstrip().replace("\n", "\n    "), flush=True)
        print(f"  logs: {folder}\n  again: tests/run.sh faults --seeds {number}-{number}", flush=True)
    return not outcome.problems


def main():
    parser = argparse.ArgumentParser(prog="tests/run.sh faults", description=__doc__)
    parser.add_argument("--seeds", type=span, default=span("1-2"), metavar="A-B")
    parser.add_argument("--plan", action="store_true", help="only print what would go wrong, and how often each kind")
    parser.add_argument("--keep", action="store_true", help="keep the logs of every seed, not only of those that fail")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    totals = Totals()
    if options.plan:
        for number in options.seeds:
            totals.planned.update(one.kind for one in schedule.plan(number))
            print(f"seed {number}: " + ", ".join(f"{one.kind} at {one.at:.1f}" for one in schedule.plan(number)))
        for kind in KINDS:
            print(f"{kind:<28} {totals.planned[kind]:>8}")
        return 0
    try:
        run_all(list(options.seeds), totals, options.keep)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        totals.show()
        return 2
    totals.show()
    return 1 if totals.failed or any(totals.too_seldom()) else 0


if __name__ == "__main__":
    sys.exit(main())
