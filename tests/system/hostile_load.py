#!/usr/bin/python3
"""Load that means harm, and what it does to the neighbours: junk, a project that sends a hundred times what the others do, manifests
as large as may be, promotions that wait for a registry that never answers. A lane's memory stays bounded, everything is answered
exactly once, and the neighbours' p99 stays within twice what it is without, measured in the same run; in a flood, which is more than
the machine can take, within half a second. Memory is judged in the longer forms only, which run the release build, as sanitizers change it;
p99 strictly in a full run only, which has enough answers for one, give or take 15 ms; both are printed always. A full run also sends
a fifth of each load to topics that nobody reads: what sender and broker alone take from the neighbours on the same processors.

With names of cases as arguments only these. SLUICE_TESTS_HOSTILE=full takes the long forms, as a full run does; medium is a
measurement of four minutes for a quiet machine.

time-limit: 2400"""
import os
import random
import socket
import sys
import threading
import time

from checks.load import Kafka
from lib import events, registry
from lib.installation import Installation
from lib.kafka import Sender
from lib.neighbours import Aside, Neighbours, percentile, project_on
from lib.stack import FULL, ROOT, script
from lib.tap import Tap
from lib.worker import resident_mib

SIZE = os.environ.get("SLUICE_TESTS_HOSTILE") or ("full" if FULL else "short")
SHARDS = 4
HARMED = (0, 2)    # one of each lane's two (the group gives 0 and 1 to one of them): neighbours are on these, behind it, and on the others
RATE = 40          # of the neighbours, events a second
# Seconds to warm up, quiet seconds before each of the others, seconds of the greedy project, junk events, large manifests, promotions,
# seconds from when they wait.
WARM, QUIET, GREEDY, JUNK, LARGE, HANGING, HANG_LOOK = {
    "short": (0, 1.5, 3, 15_000, 12, 200, 4),
    "medium": (25, 6, 15, 100_000, 150, 3_000, 45),
    "full": (120, 15, 60, 1_000_000, 1_000, 10_000, 90)}[SIZE]
JUNK_RATE, LARGE_RATE = 2_000, 10  # a second: what leaves two processors some time; a flood is as fast as Kafka takes it
NOBODY = "nobody."  # ends the prefix of topics that no worker reads
MEMORY_LIMIT = 96  # MiB of a lane, without sanitizers: 40 at its busiest, and some 25 times a megabyte where records are so large
POLICY = """version: 1
registries:
  "{registry}": {{plain-http: true, allow-private: true}}
  "{hanging}": {{plain-http: true, allow-private: true}}
projects:
- match: "acme/*"
  unsigned: allow
  environments:
    dev: {{}}
    staging: {{after: [dev]}}
"""


# ---- the harm, each in a process of its own ----

class Pace:
    """So many a second, or as fast as Kafka takes it."""

    def __init__(self, rate):
        self.rate, self.started, self.count = rate, time.monotonic(), 0

    def wait(self, sender):
        self.count += 1
        sender.producer.poll(0)
        while self.rate and self.count > (time.monotonic() - self.started) * self.rate:
            sender.producer.poll(0.002)


def send_junk(brokers, prefix, count, rate):
    """What no decoder takes, of many kinds."""
    sender, dice, pace = Sender(brokers, prefix), random.Random(3), Pace(rate)
    structured = [("content-type", events.STRUCTURED)]
    kinds = [([], dice.randbytes(200)), ([], b""), (structured, b"{"), (structured, b"[" * 300),
             (structured, b'{"specversion":"1.0","id":"","source":"/x","subject":"acme/junk"}'),
             (structured, b'{"id":"1","id":"2","source":"/x","subject":"acme/junk","data":{}}'),
             ([("content-type", b"application/cloudevents-batch+json")], b"[]"), ([("ce_id", b"\xff\xfe")], b"{}"), ([], None)]
    for number in range(count):
        headers, value = kinds[number % len(kinds)]
        if number % 3 == 0:  # one with an address, which is refused and answered
            event = events.promote(project_on(HARMED[number % 2], SHARDS, "junk") if number < 6 else "acme/junk", "no-sha", "dev")
            headers, value = event.record()[1:]
        pace.wait(sender)
        sender.produce(("builds", "requests")[number % 2], b"junk", headers, value, HARMED[number // 2 % 2])
    sender.flush(300)


def send_greedily(brokers, prefix, project, shas, rate, seconds):
    sender, pace = Sender(brokers, prefix), Pace(rate)
    for number in range(int(rate * seconds)):
        pace.wait(sender)
        event = events.promote(project, shas[number % len(shas)], "dev", dryRun=True)
        sender.produce(event.topic, *event.record())
    sender.flush(300)


def large_manifest(sha, artifact):
    """An event of it is just below a megabyte."""
    entry = {"environment": "dev", "timestamp": "2026-03-01T10:00:00Z", "actor": "ci", "notes": "x" * 950}
    size = len(events.build("acme/large", events.manifest(sha, [artifact], indent=None, promotionHistory=[entry])).record()[2])
    each = len(events.build("acme/large", events.manifest(sha, [artifact], indent=None, promotionHistory=[entry] * 2)).record()[2]) - size
    return events.manifest(sha, [artifact], indent=None, promotionHistory=[entry] * ((985_000 - size) // each))


def send_large(brokers, prefix, count, rate, project, artifact):
    sender, sha = Sender(brokers, prefix), events.fresh_sha()
    event = events.build(project, large_manifest(sha, artifact))
    pace = Pace(rate)
    key, headers, value = event.record()
    for _ in range(count):  # each another event of another release, but not printed anew
        fresh = value.replace(sha.encode(), events.fresh_sha().encode()).replace(event.id.encode(), events.fresh_id().encode())
        pace.wait(sender)
        sender.produce(event.topic, key, headers, fresh)
    sender.flush(300)


def send_hanging(brokers, prefix, projects, host, count):
    """Releases whose images, each another, are in a registry that takes connections and says nothing."""
    sender = Sender(brokers, prefix)
    releases = [(projects[number % len(projects)], events.fresh_sha()) for number in range(count)]
    for project, sha in releases:
        artifact = events.artifact(digest=events.sha256(sha), uri=f"{host}/acme/hanging:1")
        event = events.build(project, events.manifest(sha, [artifact], indent=None))
        sender.produce(event.topic, *event.record())
    sender.flush(300)
    for project, sha in releases:
        event = events.promote(project, sha, "dev")
        sender.produce(event.topic, *event.record())
    sender.flush(300)


class Memory(threading.Thread):
    """The most that any lane has in memory while it is watched."""

    def __init__(self, worker):
        super().__init__(daemon=True)
        self.worker, self.most, self.ended = worker, 0.0, threading.Event()

    def run(self):
        while not self.ended.wait(0.1):
            self.most = max([self.most, *(size for size in map(resident_mib, self.worker.lanes()) if size)])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.join()


class Hostile:
    def __init__(self, tap, sluice, worker, hanging):
        self.tap, self.sluice, self.worker, self.hanging = tap, sluice, worker, hanging
        self.image = registry.push(sluice.stack.registry, "acme/shop", sluice.schema)
        self.artifact = events.artifact(digest=self.image, uri=f"{sluice.stack.registry}/acme/shop:1")
        self.builds = [events.build(project_on(shard, SHARDS, f"neighbour{number}-"),
                                    events.manifest(events.fresh_sha(), [self.artifact], indent=None))
                       for number in range(3) for shard in range(SHARDS)]
        self.greedy, self.greedy_shas = project_on(HARMED[0], SHARDS, "greedy"), [events.fresh_sha() for _ in range(20)]
        self.builds += [events.build(self.greedy, events.manifest(sha, [self.artifact], indent=None)) for sha in self.greedy_shas]
        sluice.sender.send_all(self.builds)
        sluice.settle()
        large = (send_large, project_on(HARMED[1], SHARDS, "large"), self.artifact)
        self.loads = {"junk": (JUNK, JUNK_RATE, send_junk), "a_flood_of_junk": (JUNK, None, send_junk),
                      "large_manifests": (LARGE, LARGE_RATE, *large), "a_flood_of_large_manifests": (LARGE, None, *large)}
        self.releases = [(one.project, events.json.loads(one.data["manifest"])["gitSha"]) for one in self.builds[:3 * SHARDS]]
        self.kafka = Kafka(*self.where())
        self.base = []

    def work_off(self, seconds):
        """Waits until all that is there now is in the ledger; the neighbours go on meanwhile."""
        ends = {(topic, shard): self.kafka.log_of(self.sluice.prefix + topic, shard).stable
                for topic in ("builds", "requests") for shard in range(SHARDS)}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            rows = self.sluice.rows("SELECT shard, builds_position, requests_position FROM shard")
            if all(builds >= ends["builds", shard] and requests >= ends["requests", shard] for shard, builds, requests in rows):
                return
            time.sleep(0.2)
        raise TimeoutError(f"not worked off within {seconds} s\n{self.worker.tail(5)}")

    def where(self):
        return self.sluice.stack.brokers, self.sluice.prefix

    # ---- the cases: each returns when its harm is done ----

    def warm_up(self):
        """A broker that has just begun compiles itself for two minutes, the first of them with a processor."""
        with Neighbours(self.sluice, self.releases, RATE):
            time.sleep(QUIET)
            if WARM:
                self.load("junk", JUNK_RATE * WARM)
                self.load("large_manifests", LARGE_RATE * 10)

    def quiet(self):
        time.sleep(QUIET)

    def load(self, name, count=None):
        whole, rate, send, *more = self.loads[name]
        count, before = count or whole, self.releases_there()
        Aside(send, *self.where(), count, rate, *more).wait(900)
        self.work_off(900)
        if send is send_large:
            verified = self.releases_there() - before
            self.tap.check(f"{count} large manifests are verified", verified == count, f"{verified} are")

    def load_of_nobody(self, name):
        """A fifth of it, where no worker reads it."""
        whole, rate, send, *more = self.loads[name]
        with Neighbours(self.sluice, self.releases, RATE) as them:
            Aside(send, self.sluice.stack.brokers, self.sluice.prefix + NOBODY, whole // 5, rate, *more).wait(900)
        p50, p99 = (percentile(them.answered, part, set(range(SHARDS))) for part in (0.5, 0.99))
        self.tap.note(f"{name.replace('_', ' ')}, where nobody reads it: neighbours' p50 {p50:.1f} ms, p99 {p99:.1f} ms")

    def a_greedy_project(self):
        each = RATE / len(self.releases)
        Aside(send_greedily, *self.where(), self.greedy, self.greedy_shas, 100 * each, GREEDY).wait(GREEDY + 300)
        self.work_off(300)

    def releases_there(self):
        return self.sluice.rows("SELECT count(*) FROM release")[0][0]

    def before_a_registry_that_hangs(self):
        """They are sent before it is measured what they do while they wait."""
        projects = [project_on(shard, SHARDS, f"hanging{number}-") for number in range(5) for shard in HARMED]
        Aside(send_hanging, *self.where(), projects, self.hanging, HANGING).wait(900)
        self.work_off(900)

    def a_registry_that_hangs(self):
        time.sleep(HANG_LOOK)
        waiting = self.sluice.rows("SELECT count(*) FROM promotion WHERE outcome = 1")[0][0]
        rows = self.sluice.rows("SELECT count(*) FROM ledger WHERE kind = 3")[0][0]
        self.tap.check(f"{HANGING} promotions wait for the registry", waiting == HANGING, f"{waiting} wait")
        self.tap.note(f"they were told so {rows / HANGING:.2f} times each")

    # ---- what must hold ----

    def run(self, name):
        if SIZE == "full" and name in self.loads:
            self.load_of_nobody(name)
        getattr(self, "before_" + name, lambda: None)()
        began = time.monotonic()
        with Memory(self.worker) as memory, Neighbours(self.sluice, self.releases, RATE) as them:
            self.load(name) if name in self.loads else getattr(self, name)()
        words, others = name.replace("_", " "), set(range(SHARDS)) - set(HARMED)
        if name == "quiet":
            self.base += them.answered
            them.answered = self.base
        self.tap.note(f"{words}: {time.monotonic() - began:.0f} s; a lane's memory at most {memory.most:.0f} MiB; {len(them.answered)} answers "
                      f"to neighbours")
        for kind, shards in (("on other shards", others), ("on the same shards", set(HARMED))):
            times = [percentile(them.answered, part, shards) for part in (0.5, 0.99, 1)]
            self.tap.note(f"  {kind}: p50 {times[0]:.1f} ms, p99 {times[1]:.1f} ms, longest {times[2]:.1f} ms; p99 is "
                          f"{times[1] / percentile(self.base, 0.99, shards):.2f} times that of the quiet")
        self.tap.check(f"{words}: every neighbour is answered", them.missing == 0 and them.answered, f"{them.missing} are not")
        if name == "quiet":
            return
        p99, base = percentile(them.answered, 0.99, others), percentile(self.base, 0.99, others)
        if SIZE == "full":
            # What is more than the machine can take fills the lane's queue, behind which its other shards wait: a bounded time.
            limit = 500 if "flood" in name else 2 * base + 15
        else:
            limit = 20 * base + 3000  # a busy machine, and a few answers only: nobody is forgotten, no more is said
        self.tap.check(f"{words}: the neighbours' p99 on other shards stays within its limit", p99 <= limit, f"{p99:.1f} ms, not {limit:.1f}")
        if SIZE != "short":
            self.tap.check(f"{words}: a lane takes at most {MEMORY_LIMIT} MiB", memory.most <= MEMORY_LIMIT, f"{memory.most:.0f} MiB")


CASES = ("junk", "a_flood_of_junk", "a_greedy_project", "large_manifests", "a_flood_of_large_manifests", "a_registry_that_hangs")


def take_release_build():
    script("build.sh", "release")
    build = ROOT / "build" / "release"
    os.environ |= {"SLUICE_BUILD_DIR": str(build), "PATH": f"{build}/producer:{build}/worker:{os.environ['PATH']}"}


def main():
    tap = Tap()
    if SIZE != "short":
        take_release_build()
    wanted = sys.argv[1:] or CASES
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as silent, Installation(shards=SHARDS, policy=None) as sluice:
        hanging = f"127.0.0.1:{silent.getsockname()[1]}"
        sluice.apply_policy(POLICY, hanging=hanging)
        if SIZE == "full":
            sluice.must("topics", "create", SLUICE_TOPIC_PREFIX=sluice.prefix + NOBODY)
        worker = sluice.worker(lanes=2)
        hostile = Hostile(tap, sluice, worker, hanging)
        hostile.warm_up()
        for name in wanted:
            hostile.run("quiet")
            hostile.run(name)
        sluice.settle(300)
        worker.stop(60)  # what waits goes on being answered, and the checker wants rest
        sluice.check(tap, timeout=60)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
