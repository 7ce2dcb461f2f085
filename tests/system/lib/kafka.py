"""Sends events and follows the answers, as a client would: acks=all, idempotent, murmur2; read_committed."""
import json
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition


class Sender:
    def __init__(self, brokers, prefix, idempotent=True, **settings):
        self.prefix = prefix
        self.producer = Producer({"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": idempotent,
                                  "max.in.flight.requests.per.connection": 5 if idempotent else 1,
                                  "partitioner": "murmur2_random", "linger.ms": 1, "message.max.bytes": 8_000_000} | settings)
        self.failed = []
        self.nowhere = []  # acknowledged without an offset, and perhaps not in the log

    def _delivered(self, error, message, sent, to):
        if error:
            self.failed.append(error)
        elif message.offset() is None:
            self.nowhere.append((sent, to))
        elif to is not None:
            to.append((message.partition(), message.offset()))

    def _produce(self, sent, to):
        """Does not wait for the acknowledgement, but for room."""
        topic, key, headers, value, partition = sent
        where = {} if partition is None else {"partition": partition}
        while True:
            try:
                self.producer.produce(self.prefix + topic, value=value, key=key, headers=headers,
                                      on_delivery=lambda error, message: self._delivered(error, message, sent, to), **where)
                return
            except BufferError:
                self.producer.poll(0.1)

    def send_raw(self, topic, key, headers, value, partition=None):
        """(partition, offset) once acknowledged."""
        where = []
        self._produce((topic, key, headers, value, partition), where)
        self.flush()
        return where[0]

    def send(self, event, topic=None):
        return self.send_raw(topic or event.topic, *event.record(), event.partition)

    def produce(self, topic, key, headers, value, partition=None):
        self._produce((topic, key, headers, value, partition), None)

    def send_all(self, events):
        """Many, in order, but for what is nowhere at first; returns their number when all are acknowledged."""
        count = 0
        for event in events:
            self.produce(event.topic, *event.record(), event.partition)
            count += 1
            if count % 1000 == 0:
                self.producer.poll(0)
        self.flush()
        return count

    def flush(self, seconds=60):
        while True:
            self.producer.flush(seconds)
            if self.failed or len(self.producer):
                raise RuntimeError(f"Kafka did not acknowledge: {self.failed[:3]}, {len(self.producer)} still waiting")
            again, self.nowhere = self.nowhere, []
            if not again:
                return
            for sent, to in again:
                self._produce(sent, to)


class Answer:
    """One record of results or dead-letter."""

    def __init__(self, message):
        self.topic, self.partition, self.offset = message.topic(), message.partition(), message.offset()
        self.key, self.value, self.header_list = message.key(), message.value(), message.headers() or []
        self.headers = {name: None if value is None else value.decode("utf-8", "replace") for name, value in self.header_list}
        self.is_dead_letter = self.topic.endswith("dead-letter")
        self.data = None if self.is_dead_letter else json.loads(self.value)
        self.error = json.loads(self.headers["sluice_error"]) if self.is_dead_letter else None

    @property
    def type(self):
        return self.headers.get("ce_type")

    @property
    def identity(self):
        request = self.data.get("request", {})
        return self.data.get("project"), request.get("source"), request.get("id")

    def condition(self, kind, subject=None):
        """(status, code) of the one condition of that type and subject, or None."""
        found = [(one["status"], one["code"]) for one in self.data.get("conditions", ())
                 if one["type"] == kind and subject in (None, one["subject"])]
        return found[0] if len(found) == 1 else found or None

    def __repr__(self):
        return f"{self.type or 'dead letter'} {json.dumps(self.data or self.error)}"


class Follower:
    """All committed answers from the beginning."""

    def __init__(self, brokers, prefix, partitions):
        self.consumer = Consumer({"bootstrap.servers": brokers, "group.id": "follower", "isolation.level": "read_committed",
                                  "enable.auto.commit": False, "auto.offset.reset": "error", "fetch.wait.max.ms": 50,
                                  "reconnect.backoff.max.ms": 500})
        self.consumer.assign([TopicPartition(prefix + topic, number, 0) for topic in ("results", "dead-letter")
                              for number in range(partitions)])
        self.count, self.by_identity, self.by_origin = 0, {}, {}
        self.by_partition, self.last_at = {}, {}

    def poll(self, seconds=0.1):
        """Takes what is there; the number of new answers."""
        taken = 0
        for message in self.consumer.consume(2000, seconds):
            error = message.error()
            if error and (error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN)):
                continue
            if error:
                raise KafkaException(error)
            self._add(Answer(message))
            taken += 1
        return taken

    def _add(self, answer):
        self.count += 1
        self.by_partition[answer.partition] = self.by_partition.get(answer.partition, 0) + 1
        self.last_at[answer.partition] = time.monotonic()
        if answer.is_dead_letter:
            self.by_origin[(answer.error.get("topic"), answer.error.get("partition"), answer.error.get("offset"))] = answer
        else:
            self.by_identity.setdefault(answer.identity, []).append(answer)

    def answers(self, event):
        return self.by_identity.get((event.project, event.source, event.id), [])

    def wait(self, what, found, timeout=20):
        """Polls until found() is true, and returns that; `what` is a text or a function that makes one."""
        deadline = time.monotonic() + timeout
        while not (value := found()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {what() if callable(what) else what} within {timeout} s")
            self.poll(0.05)
        return value

    def answer(self, event, number=1, timeout=20):
        """The event's n-th answer."""
        return self.wait(lambda: f"answer {number} to {event.id}; so far {self.answers(event)}",
                         lambda: self.answers(event)[number - 1:number], timeout)[0]

    def final(self, event, timeout=20):
        return self.wait(lambda: f"final answer to {event.id}; so far {self.answers(event)}",
                         lambda: [one for one in self.answers(event) if one.data["final"]], timeout)[0]

    def dead_letter(self, topic, partition, offset, timeout=20):
        return self.wait(f"dead letter of {topic}@{partition}/{offset}", lambda: self.by_origin.get((topic, partition, offset)),
                         timeout)

    def close(self):
        self.consumer.close()
