"""How long a shard gives no answer when its lane, or its lane's host, is killed under a steady load."""
import os
import signal
import threading
import time
import uuid
from datetime import datetime, timezone

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
        self.threads = [threading.Thread(target=self._send, daemon=True), threading.Thread(target=self._read, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        sender = kafka.Producer({"bootstrap.servers": self.world.bench.servers.brokers, "partitioner": "murmur2_random", "linger.ms": 0,
                                 "acks": "all", "enable.idempotence": True})

        def delivered(error, message, identity):
            if error is None:
                self.partition[identity] = message.partition()

        number = 0
        while not self.ending.is_set():
            project, sha = self.releases[number % len(self.releases)]
            identity = str(uuid.uuid4())
            at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self.sent[identity] = time.monotonic()
            sender.produce(self.world.topics.requests, request(project, sha, identity, at), project, headers=kafka.STRUCTURED,
                           on_delivery=lambda error, message, identity=identity: delivered(error, message, identity))
            sender.poll(0)
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
        topics, brokers = self.world.topics, self.world.bench.servers.brokers
        until = time.monotonic() + 60
        while True:
            records, exact, _ = kafka.read_results(brokers, topics.results, topics.partitions, self.sent)
            if exact == len(self.sent) or time.monotonic() > until:
                return {"complete": records == exact == len(self.sent), "results": records, "exactly_once": exact, "sent": len(self.sent)}


def _epochs(world):
    return dict(world.bench.servers.sql("SELECT shard, epoch FROM sluice.shard", world.sluice.database, fetch=True))


def _wait_owned(world, lanes, seconds=60):
    """Until so many lanes own all shards, and nothing has changed for a second."""
    until, known, since = time.monotonic() + seconds, None, 0
    while time.monotonic() < until:
        rows = world.bench.servers.sql("SELECT shard, epoch, owner, fence_ids <> '{}' FROM sluice.shard ORDER BY shard",
                                       world.sluice.database, fetch=True)
        if rows != known:
            known, since = rows, time.monotonic()
        if all(row[3] for row in rows) and len({row[2] for row in rows}) == lanes and time.monotonic() - since > 1:
            return
        time.sleep(0.1)
    raise RuntimeError("the shards were not taken over")


def _longest_wait(world, traffic, killed, since, seconds):
    """The longest wait among the shards that others took over since: epochs are compared with those before."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.05)
        moved = [shard for shard, epoch in _epochs(world).items() if epoch != killed[shard]]
        waits = [traffic.shard_waits(shard, since) for shard in moved]
        # After the first took over, the others of that lane follow within moments.
        if waits and all(wait is not None for wait in waits) and time.monotonic() - since > max(waits) + 1:
            return max(waits), len(moved)
    raise RuntimeError(f"no shard that was taken over had a result within {seconds} s")


def _kill_lanes(bench, world, traffic):
    waits = []
    worker = world.sluice.start()
    _wait_owned(world, world.sluice.lanes)
    for _ in range(bench.rounds(2, 6)):
        lanes = [pid for pid in process.family(worker.pid) if pid != worker.pid]
        before = _epochs(world)
        since = time.monotonic()
        os.kill(lanes[0], signal.SIGKILL)
        wait, shards = _longest_wait(world, traffic, before, since, 30)
        bench.say(f"a lane was killed: the last of its {shards} shards answered after {wait:.2f} s")
        waits.append(wait)
        time.sleep(2)
    worker.stop()
    return waits


def _lose_host(bench, world, traffic):
    """Of two workers in one group one is killed with all its lanes, and is not started again."""
    group = {"SLUICE_WORKER_GROUP": f"hosts-{uuid.uuid4().hex[:8]}"}
    hosts = [world.sluice.start(**group) for _ in range(2)]
    _wait_owned(world, 2 * world.sluice.lanes)
    before = _epochs(world)
    since = time.monotonic()
    os.killpg(hosts[0].pid, signal.SIGKILL)
    wait, shards = _longest_wait(world, traffic, before, since, SESSION_TIMEOUT + 30)
    bench.say(f"a host was lost: the last of {shards} shards answered after {wait:.2f} s")
    hosts[0].ended()
    hosts[1].stop()
    return wait


def faults(bench):
    world = bench.world("bench.kill.", n=1000)
    world.sluice.database = world.sluice.prepared
    world.new_topics(world.topics.results, world.topics.dead_letter)
    rows = []
    traffic = Traffic(world, world.slice())
    waits = _kill_lanes(bench, world, traffic)
    rows.append(Row("kill -9 of a lane to the next result of its shards", "a second", waits, ("<=", KILL_REACH), "s"))
    losses = [_lose_host(bench, world, traffic) for _ in range(bench.rounds(1, 3))]
    rows.append(Row("loss of a host to the next result of its shards", "the session timeout, and 1 s", losses, ("<=", SESSION_TIMEOUT + 1), "s"))
    last = world.sluice.start()  # answers what is left
    _wait_owned(world, world.sluice.lanes)
    bench.check(traffic.end(), "killed lanes and a lost host")
    last.stop()
    world.close()
    return rows
