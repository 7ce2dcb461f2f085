"""The output topics against the ledger: one committed answer a row, in order, with the decision's bytes and all headers."""
import json

from . import forms
from .decode import decode


def _text(value):
    return None if value is None else value.decode("utf-8", "replace")


def _expected_headers(world, row, data, event):
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{row.shard}-{row.sequence}",
        "ce_source": world.source(),
        "ce_type": forms.TYPES[row.kind],
        "ce_subject": data.get("project"),
        "ce_time": forms.instant_text(row.at),
        "ce_ledgershard": str(row.shard),
        "ce_ledgersequence": str(row.sequence),
        "ce_ledgerhash": forms.digest_text(row.hash),
        "content-type": "application/json",
    }
    if "environment" in data:
        headers["ce_environment"] = data["environment"]
    if "outcome" in data:
        headers["ce_outcome"] = data["outcome"]
    trace = event.attributes.get("traceparent") if event else None
    if isinstance(trace, str) and 0 < len(trace.encode()) <= 255 and row.kind != forms.REFUSED:
        headers["ce_traceparent"] = trace
    return headers


def _check_result(world, row, record, decision, event, say):
    if record.value != row.decision:
        say("answer", "the published data is not the ledger's decision")
    if not isinstance(decision, dict):
        say("answer", "the decision is no JSON object")
        return
    expected = _expected_headers(world, row, decision, event)
    found = {}
    for name, value in record.headers:
        if name in found:
            say("headers", f"{name} stands twice")
        found[name] = _text(value)
    for name in expected.keys() | found.keys():
        if name == "ce_traceparent" and name not in expected and (event is None or row.kind == forms.REFUSED):
            continue  # passed on from the promotion's request
        if expected.get(name) != found.get(name):
            say("headers", f"{name} is {found.get(name)!r}, should be {expected.get(name)!r}")
    if record.key != str(decision.get("project")).encode():
        say("headers", f"the key is {record.key!r}, not the project")


def _check_dead_letter(row, record, original, decision, say):
    if not isinstance(decision, dict) or set(decision) != {"code", "message", "topic", "partition", "offset", "at"}:
        say("dead-letter", "sluice_error lacks a member or has another")
    elif (decision["partition"], decision["offset"]) != (row.shard, row.offset):
        say("dead-letter", f"sluice_error names partition {decision['partition']} offset {decision['offset']}")
    ours = [("sluice_error", row.decision), ("ce_ledgershard", str(row.shard).encode()),
            ("ce_ledgersequence", str(row.sequence).encode()), ("ce_ledgerhash", forms.digest_text(row.hash).encode())]
    if record.headers[-4:] != ours:
        say("headers", f"the last four headers are {record.headers[-4:]!r}")
    if original is not None and (record.key, record.value, record.headers[:-4]) != forms.kept(original):
        say("dead-letter", "it is not the original record")


def _sequence(record):
    try:
        return int(record.header("ce_ledgersequence"))
    except (TypeError, ValueError):
        return None


def check_outputs(world, shard, events, decisions, report):
    """`events` and `decisions` by sequence; an event is None where there is none."""
    originals = {(topic, record.offset): record for topic, log in shard.inputs.items() for record in log.records}
    rows = {row.sequence: row for row in shard.ledger}
    for name, log, dead in (("results", shard.results, False), ("dead-letter", shard.dead_letters, True)):
        last, answered = 0, set()
        for record in log.records:
            sequence = _sequence(record)
            say = report.at(shard.number, sequence)
            row = rows.get(sequence)
            if row is None or (row.kind == forms.DEAD_LETTER) != dead or row.kind == forms.RESUMED:
                if sequence is None or not shard.checkpoint or sequence > shard.checkpoint[0]:
                    say("orphan", f"{name}@{record.offset} has no ledger row")
                continue
            if sequence in answered:
                say("once", f"{name}@{record.offset} is a second answer")
            elif sequence < last:
                say("order", f"{name}@{record.offset} comes after sequence {last}")
            last = max(last, sequence)
            answered.add(sequence)
            if record.header("ce_ledgerhash") != forms.digest_text(row.hash).encode():
                say("answer", f"{name}@{record.offset} has another hash than its row")
            if record.header("ce_ledgershard") != str(shard.number).encode():
                say("answer", f"{name}@{record.offset} names another shard")
            if dead:
                _check_dead_letter(row, record, originals.get((row.topic, row.offset)), decisions.get(sequence), say)
            else:
                _check_result(world, row, record, decisions.get(sequence), events.get(sequence), say)
        oldest = min(answered, default=0) if log.low else 0
        for row in shard.ledger:
            if (row.kind == forms.DEAD_LETTER) == dead and row.kind != forms.RESUMED and row.sequence not in answered \
                    and row.sequence >= oldest:
                report.add("unanswered", f"the row has no committed record on {name}", shard.number, row.sequence)
        if log.stable != log.high:
            report.add("stable", f"{name}: last stable offset {log.stable}, high watermark {log.high}", shard.number)


def read_events(shard):
    """The event of every row that a record caused, by sequence; from Kafka, else None."""
    originals = {(topic, record.offset): record for topic, log in shard.inputs.items() for record in log.records}
    events = {}
    for row in shard.ledger:
        record = originals.get((row.topic, row.offset)) if row.topic else None
        events[row.sequence] = decode(record) if record else None
    return events


def read_decisions(shard, report):
    decisions = {}
    for row in shard.ledger:
        if row.kind == forms.RESUMED:
            continue
        try:
            decisions[row.sequence] = json.loads(row.decision)
        except ValueError:
            report.add("answer", "the decision is not JSON", shard.number, row.sequence)
    return decisions
