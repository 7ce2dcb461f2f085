#!/usr/bin/python3
"""The checker proves itself: a clean world passes, and each planted fault is found, by the rule that is meant for it.

The worlds are one that a reference implementation of its own makes, and one that a real fleet leaves behind (where there are
servers: under tests/run.sh, or with the environment of deploy/local.sh env)."""
import copy
import json
import os
import sys
import time
from dataclasses import replace

from checks import forms
from checks.check import check
from checks.synthetic import clean_world
from lib.tap import Tap

FAULTS = []


def fault(name, *rules):
    """A planted fault: the function spoils a world, or returns False when the world has nothing to spoil."""
    def register(function):
        FAULTS.append((name, set(rules), function))
        return function
    return register


# ---- finding a victim ----

def rows(world, wanted):
    return [(shard, row) for shard in world.shards for row in shard.ledger if wanted(row)]


def first(world, wanted):
    return next(iter(rows(world, wanted)), (None, None))


def result_of(shard, row):
    return next(record for record in shard.results.records if record.header("ce_ledgersequence") == str(row.sequence).encode())


def rechain(world, shard):
    """Makes chain and published answers agree again, so that only the fault itself is left to be found."""
    old = {str(row.sequence).encode(): row for row in shard.ledger}
    previous = forms.genesis(world.installation, shard.number)
    for number, row in enumerate(shard.ledger, 1):
        row.sequence = number
        row.input_digest, row.decision_digest = forms.sha256(row.input), forms.sha256(row.decision)
        row.hash = previous = forms.ledger_hash(row, previous)
    shard.row.sequence, shard.row.head_hash = len(shard.ledger), previous
    for log in (shard.results, shard.dead_letters):
        for record in log.records:
            row = old.get(record.header("ce_ledgersequence"))
            if row is None:
                continue
            new = {"ce_ledgersequence": str(row.sequence), "ce_ledgerhash": forms.digest_text(row.hash),
                   "ce_id": f"{row.shard}-{row.sequence}"}
            record.headers = [(name, new[name].encode() if name in new else value) for name, value in record.headers]
            if log is shard.results:
                record.value = row.decision


def edit(world, shard, row, change):
    """Changes a decision everywhere: in the ledger, in the chain and in what was published."""
    body = json.loads(row.decision)
    change(body)
    row.decision = json.dumps(body, separators=(",", ":")).encode()
    rechain(world, shard)


# ---- the faults ----

@fault("a ledger row is dropped", "chain", "lost", "orphan")
def drop_row(world):
    shard, row = first(world, lambda one: one.kind == forms.PROMOTED and one.topic)
    shard.ledger.remove(row)


@fault("an input has no ledger row, and the chain is closed over it", "lost")
def drop_row_and_rechain(world):
    shard, row = first(world, lambda one: one.kind == forms.REFUSED)
    shard.results.records.remove(result_of(shard, row))
    shard.ledger.remove(row)
    rechain(world, shard)


@fault("a result is published twice", "once")
def double_result(world):
    shard, row = first(world, lambda one: one.kind == forms.PROMOTED)
    record = result_of(shard, row)
    at = shard.results.records.index(record)
    shard.results.records.insert(at + 1, replace(record, offset=record.offset + 1))


@fault("two results are swapped", "order")
def swap_results(world):
    records = max((shard.results.records for shard in world.shards), key=len)
    records[0], records[1] = records[1], records[0]


@fault("two ledger rows are swapped, and the chain is closed again", "order")
def swap_rows(world):
    for shard in world.shards:
        for i in range(len(shard.ledger) - 1):
            a, b = shard.ledger[i], shard.ledger[i + 1]
            if a.topic == b.topic != 0:
                shard.ledger[i], shard.ledger[i + 1] = b, a
                a.at, b.at = b.at, a.at
                rechain(world, shard)
                return True
    return False


@fault("a row's hash is changed", "chain")
def change_hash(world):
    _, row = first(world, lambda one: one.kind == forms.WAITING)
    row.hash = bytes(31) + b"\1"


@fault("a published hash is changed", "answer")
def change_published_hash(world):
    shard, row = first(world, lambda one: one.kind == forms.PROMOTED)
    record = result_of(shard, row)
    record.headers = [(name, b"sha256:" + b"0" * 64 if name == "ce_ledgerhash" else value) for name, value in record.headers]


@fault("published data is not the decision", "answer")
def change_published_data(world):
    shard, row = first(world, lambda one: one.kind == forms.PROMOTED)
    result_of(shard, row).value += b" "


@fault("an input digest is wrong", "digest")
def wrong_input_digest(world):
    _, row = first(world, lambda one: one.topic)
    row.input_digest = bytes(32)


@fault("the decision in the ledger is changed after the fact", "digest", "chain")
def tamper_decision(world):
    _, row = first(world, lambda one: one.kind == forms.WAITING)
    row.decision = row.decision.replace(b"waiting", b"skating")


@fault("the ledger's input is not the record's bytes", "input")
def tamper_input(world):
    shard, row = first(world, lambda one: one.kind == forms.PROMOTED and one.topic)
    row.input = row.input[:-1] + b" "
    rechain(world, shard)


@fault("promoted although a condition is unmet", "gate")
def promote_unmet(world):
    def change(body):
        body["conditions"][-1].update(status="unmet", code="registry-unreachable")
    edit(world, *first(world, lambda one: one.kind == forms.PROMOTED), change)


@fault("promoted without the condition that the policy asks for", "gate")
def promote_without_condition(world):
    def change(body):
        body["conditions"] = [one for one in body["conditions"] if one["type"] != "after"]
    target = first(world, lambda one: one.kind == forms.PROMOTED and b'"after"' in one.decision)
    return edit(world, *target, change) if target[0] else False


@fault("promoted to prod before staging, with a condition that lies", "gate")
def promote_against_order(world):
    for shard, row in rows(world, lambda one: one.kind == forms.WAITING and b'"not-promoted-yet"' in one.decision):
        def change(body):
            for one in body["conditions"]:
                if one["status"] != "met":
                    one.update(status="met", code="promoted")
        row.kind = forms.PROMOTED
        edit(world, shard, row, change)
        return True
    return False


@fault("promoted with another digest found than the manifest's", "gate")
def promote_other_digest(world):
    def change(body):
        artifact = next(one for one in body["conditions"] if one["type"] == "artifact")
        artifact["facts"]["digest"] = "sha256:" + "ee" * 32
    edit(world, *first(world, lambda one: one.kind == forms.PROMOTED and b'"found"' in one.decision), change)


@fault("promoted into an environment that the policy does not have", "gate", "policy")
def promote_unknown_environment(world):
    control = world.control[-1]
    if b"dev:" not in control.body:
        return False
    control.body = control.body.replace(b"dev:", b"developers:")
    control.digest = forms.sha256(control.body)
    return True


@fault("a policy is changed in the control log", "control")
def tamper_control(world):
    world.control[0].body += b" "


@fault("a position is stale", "position")
def stale_position(world):
    shard = next(one for one in world.shards if one.row.requests_position)
    shard.row.requests_position -= 1


@fault("a final answer is missing from the results", "unanswered")
def drop_final_result(world):
    shard, row = first(world, lambda one: one.kind == forms.PROMOTED)
    shard.results.records.remove(result_of(shard, row))


@fault("a promotion was never decided although everything arrived", "final")
def never_decided(world):
    for shard, row in rows(world, lambda one: one.kind == forms.PROMOTED and one.topic == 0):
        body = json.loads(row.decision)
        promotion = shard.promotions[forms.unbase32(body["promotionId"])]
        if any(body["promotionId"].encode() in one.decision for one in shard.ledger if one.sequence > row.sequence):
            continue
        shard.results.records.remove(result_of(shard, row))
        shard.ledger.remove(row)
        rechain(world, shard)
        promotion.outcome, promotion.decided_sequence, promotion.revision = "waiting", None, promotion.revision - 1
        return True
    return False


@fault("a promotion has two final answers", "once")
def two_finals(world):
    shard, row = first(world, lambda one: one.kind == forms.PROMOTED)
    again = replace(row, topic=0, offset=0, input=b"", at=shard.ledger[-1].at)
    shard.ledger.append(again)
    record = result_of(shard, row)
    shard.results.records.append(replace(record, offset=shard.results.records[-1].offset + 1,
                                         headers=[(name, b"-1" if name == "ce_ledgersequence" else value)
                                                  for name, value in record.headers]))
    again.sequence = -1
    rechain(world, shard)


@fault("a waiting answer repeats the one before it", "promotion")
def repeated_waiting(world):
    shard, row = first(world, lambda one: one.kind == forms.WAITING)
    shard.ledger.append(replace(row, topic=0, offset=0, input=b"", at=shard.ledger[-1].at))
    rechain(world, shard)


@fault("a duplicate is applied", "twice")
def apply_duplicate(world):
    shard, row = first(world, lambda one: one.kind == forms.DUPLICATE and b"promotionId" in one.decision)
    if shard is None:
        return False
    original = next(one for one in shard.ledger if one.sequence == json.loads(row.decision)["original"]["sequence"])
    row.kind, row.decision = original.kind, original.decision
    rechain(world, shard)
    return True


@fault("a duplicate names another original", "twice")
def wrong_original(world):
    target = first(world, lambda one: one.kind == forms.DUPLICATE)
    return edit(world, *target, lambda body: body["original"].update(outcome="expired")) if target[0] else False


@fault("a promotion id belongs to another event", "promotion-id")
def wrong_promotion_id(world):
    edit(world, *first(world, lambda one: one.kind == forms.PROMOTED and one.topic),
         lambda body: body.update(promotionId="a" * 26))


@fault("a result without a ledger row", "orphan")
def orphan_result(world):
    shard = next(one for one in world.shards if one.results.records)
    last = shard.results.records[-1]
    shard.results.records.append(replace(last, offset=last.offset + 1, headers=[
        (name, b"999999999" if name == "ce_ledgersequence" else value) for name, value in last.headers]))


@fault("a header is missing", "headers")
def missing_header(world):
    shard, row = first(world, lambda one: one.kind == forms.PROMOTED)
    record = result_of(shard, row)
    record.headers = [pair for pair in record.headers if pair[0] != "ce_environment"]


@fault("a dead letter lost a byte of its original", "dead-letter")
def cut_dead_letter(world):
    shard = next((one for one in world.shards if one.dead_letters.records), None)
    if shard is None:
        return False
    record = shard.dead_letters.records[0]
    record.value = (record.value or b"")[:-1]
    return True


@fault("an event is dead-lettered although it has an identity", "dead-letter", "answer")
def dead_letter_an_event(world):
    _, row = first(world, lambda one: one.kind == forms.REFUSED)
    row.kind, row.decision = forms.DEAD_LETTER, b'{"code":"not-cloudevent"}'


@fault("the environment table says something else", "state")
def tamper_environment(world):
    shard = next(one for one in world.shards if one.environments)
    next(iter(shard.environments.values())).git_sha = "f" * 40


@fault("a promotion's row says something else", "state")
def tamper_promotion(world):
    shard = next(one for one in world.shards if one.promotions)
    next(iter(shard.promotions.values())).outcome = "aborted"


@fault("an artifact's digest is changed in its release", "state")
def tamper_release_artifact(world):
    shard = next(one for one in world.shards if one.releases)
    release = next(iter(shard.releases.values()))
    release.artifacts = [release.artifacts[0] | {"digest": "sha256:" + "ab" * 32}, *release.artifacts[1:]]


@fault("an artifact's digest is changed in its table", "state")
def tamper_artifact(world):
    shard = next(one for one in world.shards if one.artifacts)
    name, (kind, _, uri) = next(iter(shard.artifacts.items()))
    shard.artifacts[name] = (kind, "sha256:" + "ab" * 32, uri)


@fault("a deduplication key is forgotten", "state")
def forget_key(world):
    shard = next(one for one in world.shards if one.seen)
    shard.seen.pop(next(iter(shard.seen)))


@fault("the head of a shard is not its ledger's", "state")
def tamper_head(world):
    next(one for one in world.shards if one.ledger).row.head_hash = bytes(32)


@fault("records above the last stable offset", "stable")
def open_transaction(world):
    world.shards[0].results.high += 1


@fault("the last row and its answer are lost together", "lost", "position", "final", "state")
def lose_tail(world):
    shard = max(world.shards, key=lambda one: len(one.ledger))
    row = shard.ledger.pop()
    for log in (shard.results, shard.dead_letters):
        log.records = [one for one in log.records if one.header("ce_ledgersequence") != str(row.sequence).encode()]


def run(tap, title, world):
    report = check(copy.deepcopy(world))
    tap.check(f"{title}: a clean world passes", not report.count, "\n".join(map(str, report.violations[:20])))
    for name, rules, plant in FAULTS:
        spoiled = copy.deepcopy(world)
        try:
            planted = plant(spoiled)
        except (StopIteration, AttributeError, TypeError):
            planted = False  # nothing of that kind happened in this world
        if planted is False:
            tap.skip(f"{title}: {name}", "nothing to spoil")
            continue
        found = check(spoiled)
        tap.check(f"{title}: {name}", bool(rules & found.rules()),
                  f"expected one of {sorted(rules)}, found {sorted(found.rules())}")


def real_world():
    """What a worker leaves behind after some seconds of everything."""
    from checks.load import Database, Kafka, read_world
    from lib.installation import Installation
    from lib.traffic import Traffic
    with Installation() as sluice:
        sluice.worker()
        with Traffic(sluice, rate=200) as traffic:
            time.sleep(4)
            traffic.stop()
        sluice.settle()
        world = read_world(Database(sluice.stack.database_url, sluice.schema), Kafka(sluice.stack.brokers, sluice.prefix))
        world.shards = list(world.shards)
        return world


def main():
    tap = Tap()
    run(tap, "reference", clean_world())
    if "SLUICE_LOCAL_REGISTRY" in os.environ:
        run(tap, "real", real_world())
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
