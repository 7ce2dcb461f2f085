"""The ledger against itself and against the input topics: chain, digests, one row for every acknowledged record, positions."""
from . import forms

TOPIC_NAMES = {forms.BUILDS: "builds", forms.REQUESTS: "requests"}


def check_chain(world, shard, report):
    previous = forms.genesis(world.installation, shard.number)
    expected, last_at, last_control = 1, 0, 0
    if shard.checkpoint:
        expected, previous = shard.checkpoint[0] + 1, shard.checkpoint[1]
    for row in shard.ledger:
        say = report.at(shard.number, row.sequence)
        if row.sequence != expected:
            say("chain", f"sequence {expected} should be here")
        if row.kind not in forms.TYPES or row.topic not in (0, forms.BUILDS, forms.REQUESTS):
            say("chain", f"kind {row.kind} with topic {row.topic} is none")
        if forms.sha256(row.decision) != row.decision_digest:
            say("digest", "decision_digest is not the SHA-256 of the decision")
        if row.topic and not row.input:
            report.redacted += 1
        elif forms.sha256(row.input) != row.input_digest:
            say("digest", "input_digest is not the SHA-256 of the input")
        if forms.ledger_hash(row, previous) != row.hash:
            say("chain", "the hash is not that of the row and its predecessor")
        if row.at < last_at:
            say("time", "`at` goes back")
        if row.control_version < last_control or row.control_version > world.control_highest():
            say("control", f"control version {row.control_version} after {last_control}, of {world.control_highest()}")
        expected, previous, last_at, last_control = row.sequence + 1, row.hash, row.at, row.control_version
    say = report.at(shard.number)
    if shard.row.sequence != expected - 1 or shard.row.head_hash != previous:
        say("state", f"the shard's row stands at sequence {shard.row.sequence}, its ledger at {expected - 1}"
            + ("" if shard.row.sequence != expected - 1 else ", with another hash"))
    if shard.row.now_at < last_at:
        say("time", "the shard's now_at is before its last ledger row")
    if shard.row.stopped is not None:
        say("stopped", f"the shard is stopped: {shard.row.stopped}")


def check_inputs(shard, report):
    """Every committed input record has exactly one row, in order, with its very bytes."""
    for topic, log in shard.inputs.items():
        rows = [row for row in shard.ledger if row.topic == topic]
        records = {record.offset: record for record in log.records}
        covered = set()
        last = -1
        for row in rows:
            say = report.at(shard.number, row.sequence)
            name = f"{TOPIC_NAMES[topic]}@{row.offset}"
            if row.offset < last:
                say("order", f"{name} comes after offset {last}")
            last = max(last, row.offset)
            record = records.get(row.offset)
            if row.offset in covered:
                say("once", f"{name} has a second row")
            covered.add(row.offset)
            if record is None:
                if row.offset >= log.low:
                    say("input", f"{name} is not in Kafka")
            elif row.input and forms.input_form(record) != row.input:
                say("input", f"{name} is not the bytes of the ledger's input")
        below = shard.checkpoint is not None
        for offset in records.keys() - covered:
            if not below or offset > last:
                report.add("lost", f"{TOPIC_NAMES[topic]}@{offset} was acknowledged and has no ledger row", shard.number)
        position = shard.row.builds_position if topic == forms.BUILDS else shard.row.requests_position
        next_offset = log.records[-1].offset + 1 if log.records else log.low
        if not min(next_offset, log.stable) <= position <= log.high:
            report.add("position", f"{TOPIC_NAMES[topic]}: position {position}, the log ends at {log.high}", shard.number)
        if log.stable != log.high:
            report.add("stable", f"{TOPIC_NAMES[topic]}: last stable offset {log.stable}, high watermark {log.high}", shard.number)
    for row in shard.ledger:
        if row.topic == 0 and (row.offset or row.input):
            report.add("input", "a row that no record caused has an offset or an input", shard.number, row.sequence)
