"""A worker under exhausted memory, against a Sluice of its own: the n-th own allocation of its supervisor fails, alone or with all that
come after it, or the n-th of the first process of its lane.

A supervisor then ends with one line that says so, or runs, is ready, and ends as it is told; nothing stays running. A lane is started
again, and what was sent meanwhile is answered once. Arguments: [--all | --short] [FILTER]."""
import atexit
import sys
import tempfile
import time
from pathlib import Path

from commands import BUILD, CRASHED, SHOWN, UNDEFINED, tap

from lib import events  # commands.py has told where this is
from lib.installation import Installation, free_port
from lib.worker import Worker

WORKER = BUILD / "tests" / "torture" / "sluice-worker-torture"
PROJECT = "acme/shop"
LIMITS = {"all": 10 ** 9, "normal": 40, "short": 10}
LAST = 40  # a supervisor's own come after those of the configuration
STARTS = 60  # seconds
MEMORY = ("memory is exhausted", "Cannot allocate memory")  # our words, and libc's of a file that cannot be opened


def spread(count, limit):
    """Which allocations fail: at most so many, at the same distance from each other."""
    tries = min(limit, count)
    return sorted({1 + i * (count - 1) // max(tries - 1, 1) for i in range(tries)})


def session(pid):
    """The processes that a worker has started, and itself, while they run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(pid) and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


class Bench:
    def __init__(self):
        self.sluice = Installation(shards=2, name="torture")
        atexit.register(self.sluice.close)  # however it ends
        self.listen, self.sent = f"127.0.0.1:{free_port()}", []

    def worker(self, folder, which, kind):
        """Started; of its processes one of that kind gets no memory."""
        environment = self.sluice.environment | {
            "SLUICE_WORKER_LANES": "1", "SLUICE_TORTURE": which, "SLUICE_TORTURE_IN": kind, "SLUICE_TORTURE_REPORT": str(folder / "report"),
            "ASAN_OPTIONS": f"exitcode={CRASHED}:detect_leaks=1", "UBSAN_OPTIONS": f"exitcode={UNDEFINED}"}
        if kind == "lane":
            environment["SLUICE_TORTURE_ONCE"] = str(folder / "once")
        worker = Worker(WORKER, environment, "w1", self.listen, folder / "log")
        self.sluice.workers.append(worker)
        return worker.start(ready=False)

    def attempt(self, which, kind):
        """(what is wrong with it, or None; allocations of the process)"""
        with tempfile.TemporaryDirectory(prefix="sluice-torture.") as name:
            folder = Path(name)
            worker = self.worker(folder, which, kind)
            try:
                wrong = (self.supervisor if kind == "supervisor" else self.lane)(worker, which)
            except (tap.Failed, TimeoutError, RuntimeError) as error:
                wrong = str(error)
            if not wrong and "Sanitizer" in worker.log_text():
                wrong = "crash or leak"
            left = session(worker.pid)
            worker.kill()
            if not wrong and left:
                wrong = f"processes {left} stay"
            self.sluice.workers.remove(worker)
            report = folder / "report"
            counted = int(report.read_text().split()[0]) if report.exists() else 0
            told = "\n".join("  " + line for line in worker.tail(25).splitlines())
        return (f"allocation {which} of the {kind}: {wrong}\n{told}" if wrong else None), counted

    # ---- the supervisor ----

    def supervisor(self, worker, which):
        deadline, codes = time.monotonic() + STARTS, {200, 500} if which.endswith("+") else {200}
        while worker.running() and worker.get("/readyz")[0] not in codes:
            if time.monotonic() > deadline:
                return f"it does not become ready: {worker.get('/readyz')}"
            time.sleep(0.05)
        return self.serves(worker, codes) if worker.running() else self.ended(worker)

    @staticmethod
    def ended(worker):
        lines = worker.log_text().splitlines()
        if worker.process.returncode not in (1, 2) or len(lines) != 1 or not any(words in lines[0] for words in MEMORY):
            return f"it ended with status {worker.process.returncode}"
        return None

    @staticmethod
    def serves(worker, codes):
        """One answer may be missing what it needs, and says so."""
        answers = [worker.get("/metrics") for _ in range(3)]
        told = [code for code, _ in answers]
        if not codes >= set(told) and (sorted(told) != [200, 200, 500]):
            return f"/metrics answers {told}"
        if any(code == 200 and 'sluice_lane_running{lane="0"} 1' not in text for code, text in answers):
            return f"/metrics answers {answers}"
        status = worker.stop(STARTS)
        return f"told to end, it did with status {status}" if status else None

    # ---- a lane ----

    def lane(self, worker, _):
        worker.wait_ready(STARTS)
        event = events.build(PROJECT, events.manifest(events.fresh_sha(), [events.artifact()]))
        self.sluice.ask(event, timeout=STARTS)
        self.sent.append(event)
        status = worker.stop(STARTS)
        return f"told to end, it did with status {status}" if status else None

    def answered_once(self, output):
        worker = self.sluice.worker(lanes=1)
        self.sluice.check(output, "what was sent is answered once, and the independent checker finds nothing")
        worker.stop()
        self.sluice.follower.poll(1)
        counts = {len(self.sluice.follower.answers(event)) for event in self.sent}
        output.check(f"each of {len(self.sent)} events has one answer", counts == {1}, counts)


def numbers(kind, count, limit):
    chosen = spread(count, limit)
    if kind == "lane":
        return [str(n) for n in chosen]
    return [f"{n}{sign}" for n in sorted({*chosen, *range(max(1, count - LAST), count + 1)}) for sign in ("", "+")]


def main():
    mode = "all" if "--all" in sys.argv else "short" if "--short" in sys.argv else "normal"
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    output, bench = tap.Tap(), Bench()
    for kind in ("supervisor", "lane"):
        if words and kind not in words:
            continue
        wrong, count = bench.attempt("0", kind)
        tries = numbers(kind, count, LIMITS[mode]) if count else []
        found = [wrong for wrong, _ in (bench.attempt(which, kind) for which in tries) if wrong]
        found += [f"without a failure: {wrong}"] if wrong or not count else []
        output.check(f"{kind}: {len(tries)} of {count} allocations", not found, "\n".join(found[:SHOWN] + [f"({len(found)} in all)"]))
        if kind == "lane":
            bench.answered_once(output)
    return output.end()


if __name__ == "__main__":
    sys.exit(main())
