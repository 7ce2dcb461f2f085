#!/usr/bin/python3
"""common/README.md, "Events": how a record is read, and which ones are dead letters."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checks import forms
from lib import events
from lib.events import STRUCTURED
from lib.installation import Installation
from lib.kafka import Sender
from lib.tap import Tap, equal, true

PROJECT = "acme/shop"


def request(**options):
    return events.promote(PROJECT, events.fresh_sha(), "dev", **options)


def read_as_events():
    """Each is an event that gets past decode: it is answered `waiting`, as nothing is built."""
    yield "structured: content-type begins with application/cloudevents+json", request()
    yield "structured: parameters and case of the content-type do not matter", with_content_type(
        request(), b"Application/CloudEvents+JSON;charset=utf-8")
    yield "structured: data_base64", request(mode="base64")
    yield "binary: ce_ headers and content-type application/json", request(mode="binary")
    parameters = request(mode="binary")
    parameters.attributes["datacontenttype"] = "application/json; charset=utf-8"
    yield "binary: the content type may have parameters", parameters
    doubled = request(mode="binary", source="https://last.example")
    key, headers, value = doubled.record()
    doubled.record = lambda: (key, [("ce_source", b"https://first.example"), *headers], value)
    yield "binary: of two equal headers the last counts", doubled
    yield "the key only partitions: subject rules", request(key="acme/other", partition=None)
    yield "no key at all", request(key=None)
    yield "unknown extensions are kept and ignored", request(attributes={"dataschema": "https://x.example/s", "tenant": "a"})
    yield "unknown extensions in binary mode", request(mode="binary", attributes={"tenant": "a"})
    yield "an id and a source of 255 bytes", request(id="i" * 255, source="s" * 255)
    yield "an id of one byte", request(id="7", source="https://one.example/" + events.fresh_id())
    yield "a time with an offset", request(time=events.now().replace("Z", "+00:00"))
    yield "a git SHA of 64 digits", events.promote(PROJECT, events.fresh_sha(64), "dev")
    yield "a project of 200 bytes", events.promote("acme/" + "x" * 195, events.fresh_sha(), "dev")
    yield "a project with dots, dashes and underscores, upper case", events.promote("acme/A.b-c_d/9", events.fresh_sha(), "dev")
    yield "29 days old", request(time=events.now(days=-29))
    yield "four minutes ahead", request(time=events.now(minutes=4))


def with_content_type(event, content_type):
    key, _, value = event.record()
    event.record = lambda: (key, [("content-type", content_type)], value)
    return event


def raw_records():
    """Name, key, headers, value: none of them has a usable id, source and subject."""
    structured = [("content-type", STRUCTURED)]
    json_type = ("content-type", b"application/json")
    whole = {"specversion": "1.0", "id": "1", "source": "s", "subject": PROJECT, "type": events.REQUEST, "time": events.now(),
             "data": {}}

    def envelope(**changes):
        return json.dumps({name: value for name, value in (whole | changes).items() if value is not None}).encode()

    def binary(**changes):
        attributes = {"specversion": b"1.0", "id": b"1", "source": b"s", "subject": PROJECT.encode(),
                      "type": events.REQUEST.encode()} | changes
        return [("ce_" + name, value) for name, value in attributes.items() if value is not None] + [json_type]

    yield "a null value", PROJECT, structured, None
    yield "a null value in binary mode", PROJECT, binary(), None
    yield "batched mode", PROJECT, [("content-type", b"application/cloudevents-batch+json")], b"[" + envelope() + b"]"
    yield "neither mode: no headers", None, [], b"hello"
    yield "structured: not JSON", PROJECT, structured, b"{]"
    yield "structured: something after the end", PROJECT, structured, envelope() + b"x"
    yield "structured: not UTF-8", PROJECT, structured, b'{"id":"\xff"}'
    yield "structured: no object", PROJECT, structured, b"[]"
    yield "structured: empty value", PROJECT, structured, b""
    yield "no id", PROJECT, structured, envelope(id=None)
    yield "an empty id", PROJECT, structured, envelope(id="")
    yield "an id that is no text", PROJECT, structured, envelope(id=7)
    yield "an id of 256 bytes", PROJECT, structured, envelope(id="i" * 256)
    yield "no source", PROJECT, structured, envelope(source=None)
    yield "a source of 256 bytes", PROJECT, structured, envelope(source="s" * 256)
    yield "no subject", PROJECT, structured, envelope(subject=None)
    yield "a subject that is no project name", PROJECT, structured, envelope(subject="acme//shop")
    yield "a subject that begins with a slash", PROJECT, structured, envelope(subject="/acme")
    yield "a subject that begins with a dot", PROJECT, structured, envelope(subject=".acme/shop")
    yield "a subject of 201 bytes", PROJECT, structured, envelope(subject="x" * 201)
    yield "binary: no ce_id", PROJECT, binary(id=None), b"{}"
    yield "binary: an empty ce_id", PROJECT, binary(id=b""), b"{}"
    yield "binary: a null ce_source", PROJECT, [("ce_source", None), *binary(source=None)], b"{}"
    yield "binary: no ce_subject", PROJECT, binary(subject=None), b"{}"
    yield "binary: header names are case-sensitive", PROJECT, [("CE_ID", b"1"), *binary(id=None)], b"{}"
    yield "headers of the original keep order, nulls and doubles", b"\x00\xff", \
        [("x", None), ("a", b"1"), ("x", b""), ("a", b"2"), ("sluice_error", b"theirs"), ("ce_ledgershard", b"99")], b"\x00\xff"


def check_dead_letter(sluice, topic, partition, offset, record):
    key, headers, value = record
    answer = sluice.follower.dead_letter(sluice.prefix + topic, partition, offset)
    equal(answer.partition, partition, "the dead letter's partition")
    equal(answer.key, key.encode() if isinstance(key, str) else key, "its key")
    equal(answer.value, value, "its value")
    equal(answer.header_list[:len(headers)], headers, "the original's headers, first")
    equal([name for name, _ in answer.header_list[len(headers):]],
          ["sluice_error", "ce_ledgershard", "ce_ledgersequence", "ce_ledgerhash"], "ours, after them")
    equal(set(answer.error), {"code", "message", "topic", "partition", "offset", "at"}, "sluice_error's members")
    equal(answer.error["code"], "not-cloudevent", "the code")
    true(answer.error["message"] and forms.instant(answer.error["at"]), f"no message or no instant in {answer.error}")
    sequence, digest = sluice.rows("SELECT sequence, hash FROM ledger WHERE shard = %s AND topic = %s AND kafka_offset = %s",
                                   partition, forms.BUILDS if topic == "builds" else forms.REQUESTS, offset)[0]
    equal((answer.headers["ce_ledgershard"], answer.headers["ce_ledgersequence"], answer.headers["ce_ledgerhash"]),
          (str(partition), str(sequence), "sha256:" + bytes(digest).hex()), "the ledger's row")


def larger_than_a_dead_letter(sluice, tap):
    """Kafka measures compressed batches."""
    sender = Sender(sluice.stack.brokers, sluice.prefix, **{"compression.type": "gzip"})
    with tap.case("a record that is larger than a dead letter can be is dead-lettered without its bytes"):
        partition, offset = sender.send_raw("requests", b"key", [("a", b"1")], bytes(5 << 20), 1)
        answer = sluice.follower.dead_letter(sluice.prefix + "requests", partition, offset)
        equal((answer.key, answer.value), (None, None), "key and value")
        true("larger than a dead letter" in answer.error["message"], f"no word of it: {answer.error}")
    with tap.case("an event of that size is too-large, and the shard goes on"):
        event = events.promote(PROJECT, "0" * 40, "dev", reason="x" * (5 << 20))
        sender.send(event)
        equal(sluice.follower.answer(event).data["code"], "too-large", "the code")
        equal(sluice.ask(request()).type, "dev.sluice.promotion.waiting.v1", "the next answer's type")


def main():
    tap = Tap()
    with Installation() as sluice:
        sluice.worker()
        good = list(read_as_events())
        for _, event in good:
            home = forms.murmur2(event.project.encode()) % sluice.shards
            event.partition = home
            sluice.send(event)
        bad = [(name, topic, record, sluice.sender.send_raw(topic, *record, 1))
               for topic in ("requests", "builds") for name, *record in raw_records()]
        for name, event in good:
            with tap.case(name):
                equal(sluice.follower.answer(event).type, "dev.sluice.promotion.waiting.v1", "the answer's type")
        for name, topic, record, (partition, offset) in bad:
            with tap.case(f"dead letter on {topic}: {name}"):
                check_dead_letter(sluice, topic, partition, offset, record)
        with tap.case("a dead letter is that record's one answer"):
            sluice.settle()
            equal(sluice.rows("SELECT count(*) FROM ledger WHERE kind = 12")[0][0], len(bad), "the number of dead letters")
        larger_than_a_dead_letter(sluice, tap)
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
