#!/usr/bin/python3
"""The witness of the real faults (tests/faults/load.py) reads on after a broker has said that its log ends before what is asked for.

One that led once and does not know yet that it no longer does says so. Here the witness has seen an answer that the log gets later."""
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

from confluent_kafka.admin import AdminClient, NewTopic

from lib.kafka import Sender
from lib.stack import stack
from lib.tap import Tap, equal

sys.path.append(str(Path(__file__).resolve().parents[1] / "faults"))
from load import Witness  # pylint: disable=wrong-import-position


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def main():
    tap, prefix = Tap(), f"witness{uuid.uuid4().hex[:8]}."
    admin = AdminClient({"bootstrap.servers": stack().brokers})
    for made in admin.create_topics([NewTopic(prefix + topic, 2, 1) for topic in ("results", "dead-letter")]).values():
        made.result(30)
    sender = Sender(stack().brokers, prefix)

    def answers(partition, sequences):
        for sequence in sequences:
            sender.send_raw("results", b"k", [("ce_ledgersequence", str(sequence)), ("ce_ledgerhash", f"h{sequence}")], b"{}", partition)

    answers(0, (1, 2))
    answers(1, (1, 2, 3))
    witness = Witness(SimpleNamespace(prefix=prefix, shards=2, stack=stack()))
    witness.seen["results", 0] = [(3, 4, b"h4")]
    witness.read_on()
    witness.start()
    until(lambda: "results@0" in witness.trouble and witness.last("results", 1) == 3)
    tap.check("it was told of a place outside the log", "results@0/4" in witness.trouble, witness.trouble)
    with tap.case("its other partitions are read once"):
        equal(witness.seen["results", 1], [(0, 1, b"h1"), (1, 2, b"h2"), (2, 3, b"h3")])
    answers(0, (3, 4, 5, 6))
    answers(1, (4,))
    until(lambda: witness.last("results", 0) == 6 and witness.last("results", 1) == 4)
    with tap.case("it reads on after what it had seen"):
        equal(witness.seen["results", 0], [(3, 4, b"h4"), (4, 5, b"h5"), (5, 6, b"h6")])
    with tap.case("and the others too, each once"):
        equal([sequence for _, sequence, _ in witness.seen["results", 1]], [1, 2, 3, 4])
    with tap.case("nobody died of it"):
        equal(witness.stop(), [])
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
