#!/usr/bin/python3
"""A lane is killed at each named point of its work, beside a second worker and under traffic; then nothing may be lost, doubled
or out of order. Three points in each run, all of them under `tests/run.sh full`.

time-limit: 900"""
import sys
import time
from pathlib import Path

from lib.installation import Installation
from lib.stack import FULL
from lib.tap import Tap, true
from lib.traffic import Traffic

# The point, and the how manieth time it is passed: some work lies behind it by then.
POINTS = (("after-consume", 5), ("before-commit", 5), ("after-commit", 5), ("during-publish", 5), ("before-end-transaction", 5),
          ("after-end-transaction", 5), ("take-init", 1), ("take-update", 1), ("take-fence", 1), ("take-drop-ids", 1), ("take-tail", 1),
          ("take-ready", 1))
ALWAYS = ("after-commit", "before-end-transaction", "take-fence")
RECOVERY = 20  # seconds from the kill until answers flow again on every shard


def wait(what, found, seconds):
    deadline = time.monotonic() + seconds
    while not found():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def kill_at(tap, sluice, point, number):
    """Both workers run; the first dies as a whole and comes back with the fault, so that its takeover finds ids to fence."""
    mark = sluice.folder / "fault"
    first, second = sluice.worker("w1"), sluice.worker("w2")
    with Traffic(sluice) as traffic:
        wait("an answer", lambda: sluice.rows("SELECT count(*) FROM ledger")[0][0] > 50, 20)
        first.kill()
        first.start(ready=False, SLUICE_FAULT=f"{point}:{number}", SLUICE_FAULT_FILE=str(mark))
        with tap.case(f"{point}: a lane was killed there"):
            wait(f"a lane reaches {point}\n{first.tail()}", mark.exists, 40)
        time.sleep(2)
        first.wait_ready()
        traffic.stop()
    with tap.case(f"{point}: the supervisor runs on, with two lanes again"):
        wait("two lanes in each worker", lambda: len(first.lanes()) == 2 and len(second.lanes()) == 2, RECOVERY)
        true(first.running() and second.running(), "a worker has ended")
    sluice.check(tap, f"{point}: the independent checker finds nothing in {traffic.sent} events")


def main():
    tap = Tap()
    chosen = [one for one in POINTS if FULL or one[0] in ALWAYS or one[0] in sys.argv[1:]]
    for point, number in chosen:
        with Installation(shards=6) as sluice:
            failed = tap.failed
            with tap.case(f"{point}: ran to its end", quiet=True):
                kill_at(tap, sluice, point, number)
            if tap.failed > failed:
                for worker in sluice.workers:
                    tap.note(f"--- {Path(worker.log).name}\n{worker.tail(15)}")
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
