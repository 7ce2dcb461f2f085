"""Topics, and what a benchmark sends to them and reads from them."""
import os
import re
import time
from functools import partial

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from .workload import STRUCTURED

ID = re.compile(rb'"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"')
PROMOTED = b'"outcome":"promoted"'  # in Sluice's results and in the peers'


def remove_topics(brokers, names):
    """Removes topics and waits until they are gone: one of the same name can then be made."""
    admin = AdminClient({"bootstrap.servers": brokers})
    there = set(admin.list_topics(timeout=20).topics) & set(names)
    for future in admin.delete_topics(sorted(there), operation_timeout=30).values() if there else ():
        future.result()
    until = time.monotonic() + 30
    while set(admin.list_topics(timeout=20).topics) & there:
        if time.monotonic() > until:
            raise RuntimeError(f"Kafka does not remove {sorted(there)}")
        time.sleep(0.05)
    time.sleep(0.3)


class Sender:
    """A producer whose records are all acknowledged, or which raises. librdkafka 2.0.2 acknowledges some that are nowhere, as a
    partition just made refuses a request and takes the next; they have no offset, and are sent again, by pump() and by flush(): what
    runs inside of a poll only takes notes."""

    def __init__(self, brokers, **more):
        self.producer = Producer({"bootstrap.servers": brokers, "partitioner": "murmur2_random", "acks": "all", "enable.idempotence": True,
                                  "queue.buffering.max.messages": 500000, "queue.buffering.max.kbytes": 500000} | more)
        self.failed, self.nowhere = [], []

    def produce(self, topic, key, value, where=None):
        """`where` gets the message once it is in the log. Waits for room, not for the acknowledgement."""
        sent = (topic, key, value, where)
        while True:
            try:
                return self.producer.produce(topic, value, key, headers=STRUCTURED, on_delivery=partial(self._delivered, sent))
            except BufferError:
                self.producer.poll(0.05)

    def _delivered(self, sent, error, message):
        if error:
            self.failed.append(error)
        elif message.offset() is None:
            self.nowhere.append(sent)
        elif sent[-1]:
            sent[-1](message)

    def pump(self):
        """Hears what has been acknowledged, and sends again what is nowhere; does not wait."""
        self.producer.poll(0)
        self._raise()
        again, self.nowhere = self.nowhere, []
        for sent in again:
            self.produce(*sent)
        return len(again)

    def flush(self, seconds):
        """Until all is in the log."""
        while True:
            left = self.producer.flush(seconds)
            self._raise()
            if left:
                raise RuntimeError(f"Kafka did not acknowledge {left} records within {seconds} s")
            if not self.pump():
                return

    def _raise(self):
        if self.failed:
            raise RuntimeError(f"Kafka did not take {len(self.failed)} records: {self.failed[0]}")


def send(brokers, topic, records):
    """Sends (key, value) to the partitions that Java clients choose; returns how many, all acknowledged."""
    sender, sent = Sender(brokers, **{"linger.ms": 20}), 0
    for key, value in records:
        sender.produce(topic, key, value)
        sent += 1
        if sent % 1000 == 0:
            sender.pump()
    sender.flush(300)
    return sent


def reader(brokers, **more):
    return Consumer({"bootstrap.servers": brokers, "group.id": "bench", "enable.auto.commit": False,
                     "isolation.level": "read_committed", "auto.offset.reset": "earliest"} | more)


class Growth:
    """How many bytes a topic's partitions have on the broker's disk, markers of transactions included: asking the file system costs
    the broker nothing, however many partitions there are. The last byte of a transaction is the marker that commits it."""

    def __init__(self, data, topic, partitions):
        self.folders = [os.path.join(data, f"{topic}-{partition}") for partition in range(partitions)]
        self.listed, self.files = 0, []
        until = time.monotonic() + 30
        while not all(map(os.path.isdir, self.folders)) and time.monotonic() < until:
            time.sleep(0.05)  # a topic is made before its folders are

    def bytes(self):
        if time.monotonic() - self.listed > 1:
            self.files = [os.path.join(folder, name) for folder in self.folders for name in os.listdir(folder) if name.endswith(".log")]
            self.listed = time.monotonic()
        return sum(os.stat(file).st_size for file in self.files)


def stable_offsets(brokers, topic, partitions):
    """The sum of the last stable offsets; it counts the markers of transactions too."""
    consumer = reader(brokers)
    try:
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1] for partition in range(partitions))
    finally:
        consumer.close()


def read_results(brokers, topic, partitions, wanted):
    """Every committed final result: how many, how many of the wanted ids have exactly one and were promoted by it, bytes of values. A
    promotion that waited has answers that are not final before it."""
    consumer = reader(brokers, **{"fetch.wait.max.ms": 50, "enable.partition.eof": True})
    counts, promoted = dict.fromkeys(wanted, 0), set()
    ends = {}
    for partition in range(partitions):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        if high > low:
            ends[partition] = high
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    records = size = 0
    until = time.monotonic() + 120
    while ends and time.monotonic() < until:
        for message in consumer.consume(10000, 0.1):
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF and message.offset() >= ends.get(message.partition(), 0):
                    ends.pop(message.partition(), None)
                continue
            value = message.value()
            if b'"final":false' in value:
                continue
            records += 1
            size += len(value)
            for found in set(ID.findall(value)):
                name = found.decode()
                if name in counts:
                    counts[name] += 1
                    if PROMOTED in value:
                        promoted.add(name)
    consumer.close()
    return records, sum(1 for name in promoted if counts[name] == 1), size
