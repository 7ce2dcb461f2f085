#!/usr/bin/python3
"""Real faults, by seed: see README.md; run.sh is the way to call it."""
import argparse
import collections
import json
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
from lib.stack import end_when_asked  # noqa: E402  pylint: disable=wrong-import-position


ENOUGH, WHOLE = 10, 60  # how often each kind must be injected in a run of so many seeds
ONCE = 3                # planned so often in fewer seeds, it must be injected once


def span(text):
    first, _, last = text.partition("-")
    first, last = int(first), int(last or first)
    if not 1 <= first <= last:
        raise ValueError
    return range(first, last + 1)


class Totals:
    """What came of each seed: of this run and, with a file, of all runs that were given the same one. A seed counts once, as it ended the
    last time."""

    def __init__(self, file, allow_skipped):
        self.file, self.allow_skipped = file, allow_skipped
        self.seeds = json.loads(file.read_text()) if file and file.exists() else {}
        self.save()

    def save(self):
        if self.file:
            new = self.file.with_name(self.file.name + ".new")
            new.write_text(json.dumps(self.seeds) + "\n")
            new.replace(self.file)

    def add(self, number, outcome):
        self.seeds[str(number)] = {"passed": not outcome.problems, "planned": [one.kind for one in schedule.plan(number)],
                                   "injected": outcome.met, "without_effect": outcome.missed}
        self.save()

    def count(self, what):
        return collections.Counter(kind for seed in self.seeds.values() for kind in seed[what])

    def missed(self):
        return collections.Counter((kind, why) for seed in self.seeds.values() for kind, why in seed["without_effect"])

    def failed(self):
        return [number for number, seed in self.seeds.items() if not seed["passed"]]

    def skipped(self):
        """Kinds that could not be tried at all here."""
        met = self.count("injected")
        return sorted({(kind, why) for kind, why in self.missed() if why.endswith(" here") and not met[kind]})

    def too_seldom(self):
        """What to say of each kind that was not injected often enough to have shown anything. That it cannot be tried here excuses it in
        a few seeds; in a whole run only when the caller has said so."""
        planned, met, skipped, whole = self.count("planned"), self.count("injected"), dict(self.skipped()), len(self.seeds) >= WHOLE
        for kind in KINDS:
            least = ENOUGH if whole else int(planned[kind] >= ONCE)
            if met[kind] >= least or kind in skipped and (self.allow_skipped or not whole):
                continue
            why = f" ({skipped[kind]}; --allow-skipped accepts that)" if kind in skipped else ""
            yield f"{kind}: planned {planned[kind]} times, injected {met[kind]} times, at least {least} are wanted{why}"

    def show(self):
        planned, met = self.count("planned"), self.count("injected")
        print(f"\n{'fault':<28} {'planned':>8} {'injected':>8}")
        for kind in KINDS:
            if planned[kind]:
                print(f"{kind:<28} {planned[kind]:>8} {met[kind]:>8}")
        print(f"{'all':<28} {planned.total():>8} {met.total():>8}")
        for (kind, why), count in sorted(self.missed().items()):
            print(f"without effect: {kind}, {count} times: {why}")
        for kind, why in self.skipped():
            print(f"skipped: {kind}: {why}")
        for seldom in self.too_seldom():
            print(f"too seldom: {seldom}")
        failed = self.failed()
        if failed:
            print(f"failed: seed {', '.join(failed)}")
        print(f"{len(self.seeds) - len(failed)} passed, {len(failed)} failed, {len(self.skipped())} skipped")


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
    parser.add_argument("--allow-skipped", action="store_true", help="60 seeds may pass without the kinds that cannot be tried here")
    parser.add_argument("--totals", type=Path, metavar="FILE", help="add up the parts of a longer run there, and judge all of it")
    options = parser.parse_args()
    end_when_asked()
    if options.plan:
        planned = collections.Counter()
        for number in options.seeds:
            planned.update(one.kind for one in schedule.plan(number))
            print(f"seed {number}: " + ", ".join(f"{one.kind} at {one.at:.1f}" for one in schedule.plan(number)))
        for kind in KINDS:
            print(f"{kind:<28} {planned[kind]:>8}")
        return 0
    try:
        totals = Totals(options.totals, options.allow_skipped)
    except (OSError, ValueError) as error:
        parser.error(f"--totals {options.totals}: {error}")
    try:
        run_all(list(options.seeds), totals, options.keep)
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        totals.show()
        return 2
    totals.show()
    return 1 if totals.failed() or any(totals.too_seldom()) else 0


if __name__ == "__main__":
    sys.exit(main())
