#!/usr/bin/python3
"""A worker's clock is set back by a day while no broker is there, and stays so: it finds the broker again and answers.

librdkafka's threads wait until times of that clock: those of before would come in a day."""
import sys
import time
from pathlib import Path

from lib import events
from lib.installation import Installation
from lib.tap import Tap, equal

sys.path.append(str(Path(__file__).resolve().parents[1] / "faults"))
from clock import Clock, clock_waits, find_faketime  # pylint: disable=wrong-import-position

DAY = 86400


def main():
    tap = Tap()
    library = find_faketime()
    if not library:
        tap.skip("a worker's clock is set back", "there is no libfaketime here")
        return tap.end()
    with Installation() as sluice:
        clock = Clock(sluice.folder / "clock")
        clock.set(0)
        worker = sluice.worker(lanes=2, start=False)
        worker.environment |= clock.environment([library, clock_waits(sluice.folder)], sluice.stack.worker)
        worker.start()
        release = events.fresh_sha()
        first = events.promote("acme/clock", release, "dev")
        sluice.send(first)
        equal(sluice.follower.answer(first).data["outcome"], "waiting", "the outcome before")
        sluice.stack.stop_server("kafka")
        clock.set(-DAY)
        time.sleep(3)  # the clock's file is read every second, and the supervisor looks twice a second
        sluice.stack.start_server("kafka")
        with tap.case("it finds the broker again"):
            worker.wait_ready(40)
        with tap.case("and answers"):
            second = events.promote("acme/clock", release, "staging")
            sluice.send(second)
            equal(sluice.follower.answer(second).data["outcome"], "waiting", "the outcome afterwards")
        with tap.case("its log says why the lanes were started anew"):
            equal(worker.log_text().count("event=clock-set-back"), 1, "times that it is told")
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
