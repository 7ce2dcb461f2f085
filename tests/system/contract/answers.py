#!/usr/bin/python3
"""common/README.md, "Answers": headers and data of every answer; and the JSON Schemas say the same."""
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checks import forms
from lib import events, registry
from lib.installation import Installation
from lib.tap import Tap, equal, true

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ALWAYS = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_ledgershard", "ce_ledgersequence",
          "ce_ledgerhash", "content-type"]
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def all_kinds(sluice):
    """One answer of each kind: {type: (answer, the event it answers)}."""
    image = registry.push(sluice.stack.registry, "acme/shop", sluice.schema)
    artifacts = [events.artifact(digest=image, uri=f"{sluice.stack.registry}/acme/shop:1"), events.artifact("tool", "binary")]
    sha, other = events.fresh_sha(), events.fresh_sha()
    trace = {"attributes": {"traceparent": TRACE}}
    sent = [
        events.build("acme/shop", events.manifest(sha, artifacts[:1]), **trace),
        events.build("acme/shop", events.manifest(sha, artifacts), **trace),
        events.promote("acme/shop", sha, "dev", reason="because", **trace),
        events.promote("acme/shop", sha, "dev", dryRun=True, mode="binary", **trace),
        events.promote("acme/shop", sha, "nowhere", **trace),
        events.promote("acme/shop", other, "dev", **trace),
        events.promote("acme/shop", other, "dev"),
        events.promote("acme/shop", other, "staging", expiresAt=events.now(seconds=-1), **trace),
        events.promote("acme/shop", "short", "dev", **trace),
    ]
    sent.append(sent[2])
    for event in sent:
        sluice.send(event)
    found = {}
    sluice.follower.wait("all answers", lambda: len(sluice.follower.answers(sent[5])) >= 2 and len(sluice.follower.answers(sent[2])) >= 2
                         and all(sluice.follower.answers(event) for event in sent))
    for event in sent:
        for answer in sluice.follower.answers(event):
            found.setdefault(answer.type, (answer, event))
    return found


def check_headers(sluice, answer, first):
    headers, data = answer.headers, answer.data
    wanted = list(ALWAYS)
    wanted[6:6] = ["ce_" + name for name in ("environment", "outcome") if name in data]
    if first and answer.type != "dev.sluice.event.refused.v1":
        wanted.insert(-4, "ce_traceparent")
        equal(headers.get("ce_traceparent"), TRACE, "ce_traceparent, passed on")
    names = [name for name, _ in answer.header_list if name != "ce_traceparent" or name in wanted]
    equal(sorted(names), sorted(wanted), "the headers")
    installation = sluice.rows("SELECT id::text FROM installation")[0][0]
    digest, at = sluice.rows("SELECT hash, at FROM ledger WHERE shard = %s AND sequence = %s", int(headers["ce_ledgershard"]),
                             int(headers["ce_ledgersequence"]))[0]
    equal({name: headers[name] for name in ("ce_specversion", "ce_source", "ce_subject", "content-type", "ce_ledgershard")},
          {"ce_specversion": "1.0", "ce_source": f"/sluice/{installation}", "ce_subject": data["project"],
           "content-type": "application/json", "ce_ledgershard": str(answer.partition)}, "the headers")
    equal(headers["ce_id"], f"{headers['ce_ledgershard']}-{headers['ce_ledgersequence']}", "ce_id")
    equal(headers["ce_ledgerhash"], "sha256:" + bytes(digest).hex(), "ce_ledgerhash")
    true(INSTANT.fullmatch(headers["ce_time"]), f"ce_time is {headers['ce_time']}")
    equal(headers["ce_time"], data["decidedAt"], "ce_time")
    equal(headers.get("ce_outcome"), data.get("outcome"), "ce_outcome")
    equal(headers.get("ce_environment"), data.get("environment"), "ce_environment")
    equal(forms.instant(headers["ce_time"]), int(at.timestamp()) * 1_000_000 + at.microsecond, "ce_time in microseconds")


def nulls(value, path=""):
    if value is None:
        yield path
    for name, member in (value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()):
        yield from nulls(member, f"{path}/{name}")


def schema_for(schemas, kind):
    """The built-in schema that describes the data of this type: the one whose name has the type's words."""
    words = kind.removeprefix("dev.sluice.").removesuffix(".v1").replace(".", "-")
    names = [name for name in schemas if words in name or words.split("-")[0] in name]
    exact = [name for name in names if words in name]
    return (exact or names or [None])[0]


def main():
    tap = Tap()
    with Installation() as sluice:
        sluice.worker()
        found = all_kinds(sluice)
        kinds = [text for number, text in forms.TYPES.items() if text and number != forms.ABORTED]
        with tap.case("every kind of answer is there"):
            equal(sorted(found), sorted(kinds), "the types")
        for kind, (answer, event) in sorted(found.items()):
            with tap.case(f"{kind}: headers"):
                check_headers(sluice, answer, sluice.follower.answers(event)[0] is answer and "traceparent" in event.attributes)
            with tap.case(f"{kind}: key, partition and shard are the project's"):
                equal((answer.key, answer.partition), (b"acme/shop", forms.murmur2(b"acme/shop") % sluice.shards), "key and partition")
            with tap.case(f"{kind}: optional members are absent, never null"):
                equal(list(nulls(answer.data)), [], "members that are null")
            with tap.case(f"{kind}: project, request (source, id, type), final, decidedAt"):
                data = answer.data
                equal((data["project"], data["request"]["source"], data["request"]["id"], data["request"]["type"]),
                      ("acme/shop", event.source, event.id, event.attributes["type"]), "project and request")
                equal(data["final"], kind != "dev.sluice.promotion.waiting.v1", "final")
                true(INSTANT.fullmatch(data["decidedAt"]), data["decidedAt"])
        code, schemas = sluice.json("schema", "list")
        names = [one if isinstance(one, str) else one.get("name") for one in schemas] if code == 0 else []
        for kind, (answer, event) in sorted(found.items()):
            with tap.case(f"{kind}: the repository's JSON Schema says the same"):
                name = schema_for(names, kind)
                true(name, f"no schema for it among {names}")
                validate(sluice, name, answer.value)
        for what, event in (("build.complete", found["dev.sluice.release.verified.v1"][1]),
                            ("promotion.requested", found["dev.sluice.promotion.promoted.v1"][1])):
            with tap.case(f"{what}: the repository's JSON Schema says the same"):
                name = schema_for(names, f"dev.sluice.{what}.v1")
                true(name, f"no schema for it among {names}")
                validate(sluice, name, event.data_bytes())
                bad = sluice.folder / "bad.json"
                bad.write_text(json.dumps(event.data | {"unknown": 1}))
                equal(sluice.run("schema", "validate", sluice.folder / "schema.json", bad).returncode, 1, "the exit status, one member more")
        sluice.check(tap)
    return tap.end()


def validate(sluice, name, data):
    schema, instance = sluice.folder / "schema.json", sluice.folder / "instance.json"
    schema.write_text(sluice.must("schema", "print", name))
    instance.write_bytes(data)
    done = sluice.run("schema", "validate", schema, instance)
    equal(done.returncode, 0, f"the exit status of schema validate {name} ({done.stdout}{done.stderr})")


if __name__ == "__main__":
    sys.exit(main())
