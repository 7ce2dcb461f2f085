"""The load of a seed, and two who watch it: what Kafka acknowledged, what a read_committed consumer saw while things went wrong,
and whether a position ever went back."""
import collections
import contextlib
import http.client
import itertools
import threading
import time
import traceback

import psycopg2
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from checks import forms
from lib import events, registry
from lib.traffic import Traffic


AHEAD = 60      # images that wait for a release
PATIENCE = 400  # events that wait for their acknowledgement, until which new ones are sent
SILENCE_S = 35  # without an acknowledgement, after which a producer is replaced: longer than it keeps an event


class Load(Traffic):
    """The mixed stream of lib.traffic through the producers' link. Releases are of ever new images, so that the registry is
    asked all the time. An event that was not acknowledged is sent again, as a client would do it; one without an offset was not,
    whatever librdkafka says."""

    def __init__(self, sluice, brokers, seed, rate=150):
        super().__init__(sluice, rate=rate, seed=seed)
        self.brokers, self.seed = brokers, seed
        self.acknowledged = {}  # (topic, partition) -> {offset: value}
        self.refused, self.resent, self.replaced = [], 0, 0
        self.waiting, self.numbers, self.retired = {}, itertools.count(), []
        self.images = collections.deque()
        self.heard = time.monotonic()  # when there was an acknowledgement, or nothing to wait for
        self.producer = self.make_producer()
        threading.Thread(target=self.push_images, daemon=True).start()

    def make_producer(self):
        return Producer({"bootstrap.servers": self.brokers, "acks": "all", "enable.idempotence": True, "partitioner": "murmur2_random",
                         "linger.ms": 1, "message.timeout.ms": 30000, "socket.timeout.ms": 10000, "reconnect.backoff.max.ms": 500,
                         "log_level": 0})

    def serve(self, seconds=0):
        """Delivery reports; a fatal error comes as an exception. After two controllers were killed a producer of librdkafka 2.0.2 was
        seen to send nothing ever again: one that is silent for long is replaced too."""
        for producer in self.retired:
            with contextlib.suppress(KafkaException):
                producer.poll(0)
        try:
            self.producer.poll(seconds)
        except KafkaException:
            self.replace_producer()
        if not self.waiting and not self.refused:
            self.heard = time.monotonic()
        elif time.monotonic() - self.heard > SILENCE_S:
            self.replace_producer()

    def push_images(self):
        try:
            self.push_ahead()
        except Exception:  # pylint: disable=broad-except
            self.error = traceback.format_exc()

    def push_ahead(self):
        """Straight to the registry, some ahead; a push that fails leaves its digest unknown there, and a release may name such a one."""
        for number in itertools.count():
            while len(self.images) > AHEAD and not self.ended.is_set():
                time.sleep(0.05)
            if self.ended.wait(0.03):
                return
            try:
                self.images.append(registry.push(self.sluice.stack.images.address, "acme/shop", f"{self.sluice.schema}/{number}"))
            except (OSError, ValueError, http.client.HTTPException):
                self.images.append(registry.image_bytes(f"{self.sluice.schema}/{number}")[2])

    def build(self, project, sha):
        if self.images and self.random.random() < 0.3:
            self.image = self.images.popleft()
        artifact = events.artifact(digest=self.image, uri=f"{self.sluice.stack.registry}/acme/shop:1")
        return events.build(project, events.manifest(sha, [artifact], indent=None))

    def delivered(self, error, message, number, sent):
        known = self.waiting.pop(number, None)
        if not error:
            self.heard = time.monotonic()
        if not error and message.offset() is not None:
            place = message.topic().removeprefix(self.sluice.prefix), message.partition()
            self.acknowledged.setdefault(place, {})[message.offset()] = sent[3]
        elif known:
            self.refused.append(sent)

    def produce(self, topic, key, headers, value, partition):
        sent, number = (topic, key, headers, value, partition), next(self.numbers)
        where = {} if partition is None else {"partition": partition}
        while True:
            try:
                self.producer.produce(self.sluice.prefix + topic, value=value, key=key, headers=headers,
                                      on_delivery=lambda error, message: self.delivered(error, message, number, sent), **where)
                self.waiting[number] = sent
                return
            except BufferError:
                self.serve(0.1)
            except KafkaException:
                self.replace_producer()

    def replace_producer(self):
        """After a fatal error or a long silence; what it still held is sent again, whatever becomes of it there."""
        self.replaced += 1
        self.heard = time.monotonic()
        self.retired.append(self.producer)
        self.producer = self.make_producer()
        self.refused.extend(self.waiting.values())
        self.waiting.clear()

    def send_again(self):
        again, self.refused = self.refused, []
        for sent in again:
            self.resent += 1
            self.produce(*sent)

    def run(self):
        try:
            started, count = time.monotonic(), 0
            while not self.ended.is_set():
                self.serve()
                self.send_again()
                if len(self.waiting) > PATIENCE:  # Kafka is away
                    time.sleep(0.05)
                    continue
                for event in self.step():
                    if event is None:
                        self.produce("requests", b"x", [], b"rubbish", self.random.randrange(self.sluice.shards))
                    else:
                        self.produce(event.topic, *event.record(), event.partition)
                        self.old = (self.old + [event])[-200:]
                    count += 1
                ahead = count / self.rate - (time.monotonic() - started)
                if ahead > 0:
                    time.sleep(ahead)
                elif ahead < -1:  # Kafka was away: no flood afterwards
                    started = time.monotonic() - count / self.rate
            deadline = time.monotonic() + 120
            while (self.waiting or self.refused) and time.monotonic() < deadline:
                self.serve(0.2)
                self.send_again()
            if self.waiting or self.refused:
                raise TimeoutError(f"{len(self.waiting) + len(self.refused)} events were not acknowledged within 120 s")
            self.sent = count
        except Exception:  # pylint: disable=broad-except
            self.error = traceback.format_exc()

    def missing(self, shard):
        """Acknowledged records that a shard's input topics do not hold."""
        for topic, log in ((forms.BUILDS, shard.inputs[forms.BUILDS]), (forms.REQUESTS, shard.inputs[forms.REQUESTS])):
            name = "builds" if topic == forms.BUILDS else "requests"
            found = {record.offset: record.value for record in log.records}
            for offset, value in self.acknowledged.get((name, shard.number), {}).items():
                if found.get(offset) != value:
                    yield f"{name}@{shard.number}/{offset} was acknowledged and is not there"


class Watcher(threading.Thread):
    """One who looks on. Who died, hangs or never saw anything has watched nothing, and the seed has shown nothing."""
    what = None

    def __init__(self):
        super().__init__(daemon=True)
        self.ended, self.looks, self.error, self.trouble = threading.Event(), 0, None, "no trouble was met"

    def run(self):
        try:
            self.watch()
        except Exception:  # pylint: disable=broad-except
            self.error = traceback.format_exc()

    def watch(self):
        """Until `ended`; counts what it saw in `looks`, and keeps in `trouble` why it saw nothing."""
        raise NotImplementedError

    def stop(self):
        """What was wrong, with the watching too."""
        self.ended.set()
        self.join(30)
        if self.error:
            return [f"who watches {self.what} died: {self.error}"]
        if self.is_alive():
            return [f"who watches {self.what} does not end"]
        return [] if self.looks else [f"who watches {self.what} never saw anything: {self.trouble}"]


class Witness(Watcher):
    """Reads the answers as they are committed, all the time, past the proxies. A broker that led once and does not know yet that it no
    longer does may say that its log ends before what is asked for; librdkafka then reads that partition no more, so the witness asks
    for it anew, from where it was."""
    what = "the answers"

    def __init__(self, sluice):
        super().__init__()
        self.prefix, self.seen = sluice.prefix, {}
        self.consumer = Consumer({"bootstrap.servers": sluice.stack.brokers, "group.id": "witness", "isolation.level": "read_committed",
                                  "enable.auto.commit": False, "auto.offset.reset": "error", "reconnect.backoff.max.ms": 500,
                                  "log_level": 0})
        self.places = [(topic, number) for topic in ("results", "dead-letter") for number in range(sluice.shards)]
        self.read_on()

    def read_on(self):
        """Every partition, from after what was seen of it."""
        after = {place: seen[-1][0] + 1 for place, seen in self.seen.items()}
        self.consumer.assign([TopicPartition(self.prefix + topic, number, after.get((topic, number), 0)) for topic, number in self.places])

    def watch(self):
        while not self.ended.is_set():
            stopped = False
            for message in self.consumer.consume(500, 0.2):
                if message.error():
                    self.trouble = f"{message.topic()}@{message.partition()}/{message.offset()}: {message.error().str()}"
                    stopped |= message.error().code() == KafkaError._AUTO_OFFSET_RESET  # pylint: disable=protected-access
                    continue  # a broker is away; what matters is compared at the end
                self.looks += 1
                headers = dict(message.headers() or [])
                self.seen.setdefault((message.topic().removeprefix(self.prefix), message.partition()), []).append(
                    (message.offset(), int(headers["ce_ledgersequence"]), headers["ce_ledgerhash"]))
            if stopped:
                self.read_on()

    def last(self, topic, partition):
        """The sequence of the last answer there."""
        seen = self.seen.get((topic, partition))
        return seen[-1][1] if seen else 0

    def stop(self):
        problems = super().stop()
        if not self.is_alive():
            self.consumer.close()
        return problems

    def differences(self, shard):
        """What it saw and what is not, or no longer, so."""
        for topic, log in (("results", shard.results), ("dead-letter", shard.dead_letters)):
            final = {record.offset: (int(record.header("ce_ledgersequence")), record.header("ce_ledgerhash")) for record in log.records}
            last = 0
            for offset, sequence, digest in self.seen.get((topic, shard.number), []):
                if sequence <= last:
                    yield f"{topic}@{shard.number}/{offset}: sequence {sequence} was read after {last}"
                last = sequence
                if final.get(offset) != (sequence, digest):
                    yield f"{topic}@{shard.number}/{offset}: sequence {sequence} was read as committed; now it is {final.get(offset)}"


class Positions(Watcher):
    """Looks at the shards' rows while things go wrong, and once more at the end: nothing in them ever goes back."""
    what = "the positions"

    def __init__(self, sluice):
        super().__init__()
        self.sluice, self.last, self.back = sluice, {}, []

    def watch(self):
        end = False
        while not end:
            end = self.ended.wait(1)
            try:
                rows = self.look()
            except psycopg2.Error as error:
                self.trouble = str(error)
                continue
            self.looks += bool(rows)
            for shard, *now in rows:
                before = self.last.get(shard, now)
                if any(new < old for new, old in zip(now, before)):
                    self.back.append(f"shard {shard}: epoch, sequence and positions went from {before} to {now}")
                self.last[shard] = now

    def look(self):
        """The rows, once they are on the standby too: a commit that waited for it when its backend or the server was ended can be read,
        and may be lost with the primary. The commit of a message to nobody waits for what was written before it."""
        with contextlib.closing(psycopg2.connect(self.sluice.stack.database_url, connect_timeout=5)) as connection:
            with connection, connection.cursor() as cursor:
                cursor.execute(f'SELECT shard, epoch, sequence, builds_position, requests_position FROM "{self.sluice.schema}".shard')
                rows = cursor.fetchall()
                cursor.execute("SELECT pg_logical_emit_message(true, 'faults', '')")
        return rows

    def stop(self):
        return super().stop() + self.back
