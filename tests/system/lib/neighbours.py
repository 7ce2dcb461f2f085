"""Those who do nothing wrong while somebody else does: a process of its own asks for promotions at an even pace and takes the time
from asking to the committed answer, as a client sees it."""
import json
import multiprocessing
import os
import queue
import time

from confluent_kafka import Consumer, TopicPartition

from checks.forms import murmur2

from . import events
from .kafka import Sender

MARK = "neighbour-"
PATIENCE = 120  # seconds for the last answers


def shard_of(project, shards):
    return murmur2(project.encode()) % shards


def project_on(shard, shards, name):
    """A project of that shard."""
    return next(project for number in range(10_000) if shard_of(project := f"acme/{name}{number}", shards) == shard)


def _consumer(brokers, prefix, shards):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "neighbours", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "fetch.wait.max.ms": 5})
    places = []
    for shard in range(shards):
        place = TopicPartition(prefix + "results", shard)
        place.offset = consumer.get_watermark_offsets(place, timeout=20)[1]
        places.append(place)
    consumer.assign(places)
    return consumer


def _ask(brokers, prefix, shards, releases, rate, ready, ended, out):  # pylint: disable=too-many-arguments
    """Until `ended`: [(shard, milliseconds), ...], and how many answers never came."""
    sender, consumer = Sender(brokers, prefix), _consumer(brokers, prefix, shards)
    asked, answered, number, started = {}, [], 0, time.monotonic()
    last, warm = None, False
    while True:
        now = time.monotonic()
        if not warm and len(answered) == len(releases):  # both clients are connected: what comes from here on counts
            answered, number, started, warm = [], 0, now, True
            ready.set()
        if ended.is_set():
            last = last or now
            if not asked or now > last + PATIENCE:
                break
        elif number < len(releases) if not warm else now >= started + number / rate:
            project, sha = releases[number % len(releases)]
            event = events.promote(project, sha, "dev", dryRun=True, id=f"{MARK}{started}-{number}")
            asked[event.id] = (shard_of(project, shards), time.monotonic())
            sender.produce(event.topic, *event.record())
            number += 1
        sender.producer.poll(0)
        for message in consumer.consume(1000, 0.002):
            if message.error() or MARK.encode() not in (message.value() or b""):
                continue
            shard, since = asked.pop(json.loads(message.value())["request"]["id"], (None, None))
            if since:
                answered.append((shard, (time.monotonic() - since) * 1000))
    consumer.close()
    out.put((answered, len(asked)))


def percentile(answered, part, shards):
    times = sorted(ms for shard, ms in answered if shard in shards)
    return times[min(len(times) - 1, int(len(times) * part))] if times else float("nan")


class Neighbours:
    """with Neighbours(...) as them: what somebody else does; then them.answered is [(shard, milliseconds), ...]."""

    def __init__(self, sluice, releases, rate):
        context = multiprocessing.get_context("spawn")
        self.ready, self.ended, self.out = context.Event(), context.Event(), context.Queue()
        self.process = context.Process(target=_ask, daemon=True, args=(
            sluice.stack.brokers, sluice.prefix, sluice.shards, releases, rate, self.ready, self.ended, self.out))
        self.answered, self.missing = [], 0

    def __enter__(self):
        self.process.start()
        if not self.ready.wait(60):
            raise TimeoutError("the neighbours have no answers even while nobody does them harm")
        return self

    def __exit__(self, *_):
        self.ended.set()
        try:
            self.answered, self.missing = self.out.get(timeout=PATIENCE + 60)
        except queue.Empty:
            self.missing = -1
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()


def _do_nicely(function, arguments):
    os.nice(10)
    function(*arguments)


class Aside:
    """A function in a process of its own, which takes only what those leave that are measured: elsewhere it has its own machine."""

    def __init__(self, function, *arguments):
        self.process = multiprocessing.get_context("spawn").Process(target=_do_nicely, args=(function, arguments), daemon=True)
        self.process.start()

    def wait(self, seconds):
        self.process.join(seconds)
        if self.process.exitcode != 0:
            self.process.kill()
            raise RuntimeError(f"{self.process} did not get through: exit status {self.process.exitcode}")
