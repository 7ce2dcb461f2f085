"""How long a shard gives no answer when its lane, or its lane's host, is killed under a steady load."""
import collections
import math
import os
import signal
import threading
import time
import uuid
from datetime import datetime, timezone
from functools import partial

from . import kafka, process
from .table import Row
from .workload import request

EVERY = 0.002        # seconds between two requests
SESSION_TIMEOUT = 10  # seconds; the worker's default: how long the group waits for a member that says nothing
KILL_REACH = 1


class Traffic:
    """Sends requests all the time and notes when each was sent, to which partition, and when its result could be read."""

    def __init__(self, world, load):
        self.world, self.releases = world, list(load.releases())
        self.sent, self.partition, self.arrived = {}, {}, {}
        self.ending = threading.Event()
        self.broken = None  # what has ended one of the threads
        self.threads = [threading.Thread(target=self._run, args=(work,), daemon=True) for work in (self._send, self._read)]
        for thread in self.threads:
            thread.start()

    def _run(self, work):
        try:
            work()
        except Exception as error:  # pylint: disable=broad-except
            self.broken = error

    def must_run(self):
        """What the harness could not send or read is no missing answer."""
        if self.broken:
            raise RuntimeError(f"the load of the faults has ended: {self.broken}") from self.broken

    def _send(self):
        sender = kafka.Sender(self.world.bench.servers.brokers, **{"linger.ms": 0})

        def delivered(identity, message):
            self.partition[identity] = message.partition()

        number = 0
        while not self.ending.is_set():
            project, sha = self.releases[number % len(self.releases)]
            identity = str(uuid.uuid4())
            at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self.sent[identity] = time.monotonic()
            sender.produce(self.world.topics.requests, project, request(project, sha, identity, at), partial(delivered, identity))
            sender.pump()
            number += 1
            time.sleep(EVERY)
        sender.flush(30)

    def _read(self):
        topics = self.world.topics
        reader = kafka.reader(self.world.bench.servers.brokers, **{"fetch.wait.max.ms": 20})
        reader.assign([kafka.TopicPartition(topics.results, partition, 0) for partition in range(topics.partitions)])
        while not self.ending.is_set():
            for message in reader.consume(500, 0.02):
                if not message.error():
                    for found in kafka.ID.findall(message.value()):
                        self.arrived.setdefault(found.decode(), time.monotonic())
        reader.close()

    def shard_waits(self, shard, since):
        """Seconds from `since` to the first result of the shard for a request that was sent after it; None when there is none."""
        arrivals = [self.arrived[identity] for identity, sent in list(self.sent.items())
                    if sent > since and self.partition.get(identity) == shard and identity in self.arrived]
        return min(arrivals) - since if arrivals else None

    def end(self):
        """Stops sending, waits for the rest, and says whether each request was answered exactly once."""
        self.ending.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                raise RuntimeError("the load of the faults does not end")
        self.must_run()
        topics, brokers = self.world.topics, self.world.bench.servers.brokers
        until = time.monotonic() + 60
        while True:
            records, exact, _ = kafka.read_results(brokers, topics.results, topics.partitions, self.sent)
            if exact == len(self.sent) or time.monotonic() > until:
                return {"complete": records == exact == len(self.sent), "results": records, "exactly_once": exact, "sent": len(self.sent)}


def _shards(world):
    """(epoch, owner, is somebody listed to write for it) by shard."""
    rows = world.bench.servers.sql("SELECT shard, epoch, owner, fence_ids <> '{}' FROM sluice.shard", world.sluice.database, fetch=True)
    return {row[0]: row[1:] for row in rows}


def _wait_owned(world, lanes, seconds=60):
    """Until so many lanes own equally many shards, and nothing has changed for two seconds; the owners by shard."""
    until, known, since = time.monotonic() + seconds, None, 0
    while time.monotonic() < until:
        shards = _shards(world)
        if shards != known:
            known, since = shards, time.monotonic()
        counts = collections.Counter(owner for _, owner, _ in shards.values())
        even = len(counts) == lanes and len(set(counts.values())) == 1
        if even and all(written for _, _, written in shards.values()) and time.monotonic() - since > 2:
            return {shard: owner for shard, (_, owner, _) in shards.items()}
        time.sleep(0.1)
    raise RuntimeError("the shards were not taken over")


def _longest_wait(world, traffic, lost, since, seconds):
    """Seconds from `since` until each lost shard had a result; `lost` says which they are by now."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)
        traffic.must_run()
        waits = [traffic.shard_waits(shard, since) for shard in lost()]
        if waits and all(wait is not None for wait in waits):
            return max(waits)
    raise RuntimeError(f"a shard of the killed had no result within {seconds} s")


def _kill_lanes(bench, world, traffic):
    waits = []
    with world.sluice.start().kept() as worker:
        for _ in range(bench.rounds(2, 6)):
            _wait_owned(world, world.sluice.lanes)
            before = _shards(world)
            lane = max(pid for pid in process.family(worker.pid) if pid != worker.pid)
            since = time.monotonic()
            os.kill(lane, signal.SIGKILL)

            def taken_over():
                """Its restart takes its shards over, which counts their epochs up; nobody else's."""
                moved = [shard for shard, (epoch, *_) in _shards(world).items() if epoch != before[shard][0]]
                return moved if len(moved) >= world.topics.partitions // world.sluice.lanes else []

            waits.append(_longest_wait(world, traffic, taken_over, since, 60))
            bench.say(f"a lane was killed: each of its {len(taken_over())} shards had a result within {waits[-1]:.2f} s")
    return waits, worker.exit_status


def _lose_host(bench, world, traffic):
    """Of two workers in one group one is killed with all its lanes, and is not started again."""
    group = {"SLUICE_WORKER_GROUP": f"hosts-{uuid.uuid4().hex[:8]}"}
    with world.sluice.start(**group).kept() as first:
        lanes = set(_wait_owned(world, world.sluice.lanes).values())
        with world.sluice.start(**group).kept() as second:
            owners = _wait_owned(world, 2 * world.sluice.lanes)
            lost = [shard for shard, owner in owners.items() if owner in lanes]
            since = time.monotonic()
            os.killpg(first.pid, signal.SIGKILL)
            wait = _longest_wait(world, traffic, lambda: lost, since, SESSION_TIMEOUT + 60)
            bench.say(f"a host was lost: each of its {len(lost)} shards had a result within {wait:.2f} s")
    return wait, second.exit_status


def _all_faults(bench, world, traffic):
    """How long each lane and each host was missed; nothing where not all was answered, or a worker ended in an error."""
    waits, status = _kill_lanes(bench, world, traffic)
    losses, statuses = zip(*[_lose_host(bench, world, traffic) for _ in range(bench.rounds(1, 3))])
    with world.sluice.start().kept() as last:  # answers what is left
        _wait_owned(world, world.sluice.lanes)
        result = traffic.end()
    statuses = [status, *statuses, last.exit_status]
    result |= {"complete": result["complete"] and not any(statuses), "exit_statuses": statuses}
    if not bench.check(result, "killed lanes and a lost host")["complete"]:
        return [math.nan for _ in waits], [math.nan for _ in losses]
    return waits, losses


def faults(bench):
    world = bench.world("bench.kill.", n=1000)
    world.sluice.database = world.sluice.prepared
    world.new_topics(world.topics.results, world.topics.dead_letter)
    traffic = Traffic(world, world.slice())
    try:
        waits, losses = _all_faults(bench, world, traffic)
    finally:
        traffic.ending.set()
    world.close()
    return [Row("kill -9 of a lane to the next result of its shards", "a second", waits, ("<=", KILL_REACH), "s"),
            Row("loss of a host to the next result of its shards", "the session timeout, and 1 s", losses,
                ("<=", SESSION_TIMEOUT + 1), "s")]
