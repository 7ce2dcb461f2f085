"""A small installation that never ran: a reference implementation that answers events one at a time, for the self-test.

It decides with plain dictionaries and a registry that has everything; the world that it leaves is what a right fleet would
have left behind in Kafka and Postgres."""
import json

from . import forms
from .world import Control, Environment, Log, Promotion, Record, Release, Row, Shard, ShardRow, World

START = 1_767_225_600_000_000
LIMIT = 7 * 86_400_000_000
INSTALLATION = bytes(range(16))
POLICY = b"""version: 1
registries:
  reg.example: {}
projects:
- match: "acme/*"
  unsigned: allow
  environments:
    dev: {}
    staging: {after: [dev]}
    prod: {after: [staging]}
"""
PATH = {"dev": (), "staging": ("dev",), "prod": ("staging",)}


def compact(document):
    return json.dumps(document, separators=(",", ":")).encode()


class Installation:
    def __init__(self, shards=2):
        digest = forms.sha256(POLICY)
        self.control = [Control(1, "policy", POLICY, digest, bytes(32))]
        self.policy = {"version": 1, "digest": forms.digest_text(digest)}
        self.now = START
        self.shards = [Shard(n, {forms.BUILDS: Log(), forms.REQUESTS: Log()}, Log(), Log(), [],
                             ShardRow(0, 0, 0, forms.genesis(INSTALLATION, n), 0, None), {}, {}, {}, {}, {})
                       for n in range(shards)]
        self.claims, self.last, self.promoted, self.names = {}, {}, set(), {}
        self.world = World(INSTALLATION, shards, self.control, 0, self.shards)

    def finish(self):
        for shard in self.shards:
            for log in (*shard.inputs.values(), shard.results, shard.dead_letters):
                log.stable = log.high = log.records[-1].offset + 1 if log.records else 0
            shard.row.builds_position = shard.inputs[forms.BUILDS].high
            shard.row.requests_position = shard.inputs[forms.REQUESTS].high
            shard.row.sequence, shard.row.now_at = len(shard.ledger), self.now
            if shard.ledger:
                shard.row.head_hash = shard.ledger[-1].hash
        self.world.now = self.now
        return self.world

    # ---- in ----

    def send(self, topic, shard, headers, value, key=b"acme/shop"):
        log = shard.inputs[topic]
        record = Record(len(log.records), key, headers, value)
        log.records.append(record)
        self.now += 1_000
        return record

    def structured(self, topic, kind, project, event_id, data, **extensions):
        shard = self.shards[forms.murmur2(project.encode()) % len(self.shards)]
        source = "/test/run"
        value = compact({"specversion": "1.0", "id": event_id, "source": source, "type": kind, "subject": project,
                         "time": forms.instant_text(self.now), **extensions, "data": data})
        record = self.send(topic, shard, [("content-type", b"application/cloudevents+json; charset=utf-8")], value, project.encode())
        request = {"source": source, "id": event_id, "type": kind}
        key, content = forms.event_key(project, source, event_id), forms.sha256(kind.encode() + b"\0" + compact(data))
        if key in self.claims:
            self.used(shard, topic, record, project, request, key, content)
            return None
        self.claims[key] = content
        shard.seen[key] = (len(shard.ledger) + 1, content)
        return shard, record, request, key, extensions.get("traceparent")

    def build(self, project, event_id, git_sha, digest):
        text = json.dumps({"schemaVersion": "1.0", "gitSha": git_sha, "artifacts": [
            {"name": "image", "type": "docker-image", "digest": digest, "uri": "reg.example/app@" + digest}],
            "attestation": {"status": "disabled", "issueLink": "https://example.com/1"}}, indent=2)
        accepted = self.structured(forms.BUILDS, "dev.sluice.build.complete.v1", project, event_id, {"manifest": text})
        if not accepted:
            return
        shard, record, request, key, trace = accepted
        raw = text.encode()
        artifacts = [{"name": "image", "type": "docker-image", "digest": digest, "uri": "reg.example/app@" + digest}]
        sequence = self.answer(shard, forms.VERIFIED, forms.BUILDS, record, project, {
            "project": project, "release": {"gitSha": git_sha, "manifestDigest": forms.digest_text(forms.sha256(raw))},
            "outcome": "verified", "code": "verified", "message": "verified", "final": True, "request": request,
            "artifacts": artifacts,
        }, trace)
        self.last[key] = (sequence, forms.VERIFIED, "verified")
        shard.releases[(project, git_sha)] = Release(forms.sha256(raw), raw, artifacts, sequence, self.now)
        shard.artifacts[(project, git_sha, "image")] = ("docker-image", digest, "reg.example/app@" + digest)
        self.look_again(shard, project, git_sha)

    def promote(self, project, event_id, git_sha, environment, dry_run=False, trace=None):
        data = {"releaseRef": git_sha, "targetEnv": environment, "requester": "github:1"} | ({"dryRun": True} if dry_run else {})
        accepted = self.structured(forms.REQUESTS, "dev.sluice.promotion.requested.v1", project, event_id, data,
                                   **({"traceparent": trace} if trace else {}))
        if not accepted:
            return
        shard, record, request, key, trace = accepted
        request |= {"requester": "github:1", "verified": False}
        conditions = self.conditions(shard, project, git_sha, environment)
        if dry_run:
            would_be = "promoted" if all(one["status"] == "met" for one in conditions) else "waiting"
            body = self.body(shard, project, git_sha, environment, request, conditions, forms.EVALUATED)
            sequence = self.answer(shard, forms.EVALUATED, forms.REQUESTS, record, project, body | {"wouldBe": would_be}, trace)
            self.last[key] = (sequence, forms.EVALUATED, None)
            return
        for other, row in shard.promotions.items():
            if (row.project, row.git_sha, row.environment, row.outcome) == (project, git_sha, environment, "waiting"):
                self.conclude(shard, other, forms.SUPERSEDED, row.conditions)
        shard.seen[key] = (len(shard.ledger) + 1, shard.seen[key][1])
        shard.promotions[key] = Promotion(project, git_sha, environment, "waiting", 0, "github:1", request["source"], event_id,
                                          None, len(shard.ledger) + 1, 0, None, self.now + LIMIT, None)
        self.names[key] = request
        self.judge(shard, key, forms.REQUESTS, record, trace)

    def refuse(self, project, event_id, code):
        shard = self.shards[forms.murmur2(project.encode()) % len(self.shards)]
        headers = [("ce_specversion", b"1.0"), ("ce_id", event_id.encode()), ("ce_source", b"/test/run"),
                   ("ce_subject", project.encode()), ("content-type", b"application/json")]
        record = self.send(forms.REQUESTS, shard, headers, b"{]", project.encode())
        self.answer(shard, forms.REFUSED, forms.REQUESTS, record, project, {
            "project": project, "code": code, "message": "refused", "final": True,
            "request": {"source": "/test/run", "id": event_id}})

    def rubbish(self, shard, value):
        record = self.send(forms.BUILDS, shard, [("x", None)], value, None)
        decision = compact({"code": "not-cloudevent", "message": "rubbish", "topic": "release.builds", "partition": shard.number,
                            "offset": record.offset, "at": forms.instant_text(self.now)})
        row = self.append(shard, forms.DEAD_LETTER, forms.BUILDS, record, decision)
        ours = [("sluice_error", decision), ("ce_ledgershard", str(shard.number).encode()),
                ("ce_ledgersequence", str(row.sequence).encode()), ("ce_ledgerhash", forms.digest_text(row.hash).encode())]
        records = shard.dead_letters.records
        records.append(Record(len(records) * 2, record.key, record.headers + ours, record.value))

    # ---- decided ----

    def used(self, shard, topic, record, project, request, key, content):
        sequence, kind, code = self.last[key]
        if self.claims[key] != content:
            self.answer(shard, forms.REFUSED, topic, record, project, {
                "project": project, "code": "event-id-conflict", "message": "the id was used", "final": True, "request": request})
            return
        original = {"shard": shard.number, "sequence": sequence, "type": forms.TYPES[kind], "outcome": forms.OUTCOMES[kind],
                    "final": kind != forms.WAITING} | ({"code": code} if code else {})
        body = {"project": project, "final": True, "request": request, "original": original}
        if topic == forms.REQUESTS:
            body["promotionId"] = forms.base32(key)
        self.answer(shard, forms.DUPLICATE, topic, record, project, body)

    def conditions(self, shard, project, git_sha, environment):
        def condition(kind, subject, code, status="met", **facts):
            return {"type": kind, "subject": subject, "status": status, "code": code, "message": f"{subject}: {code}",
                    "since": forms.instant_text(self.now)} | ({"facts": facts} if facts else {})
        release = shard.releases.get((project, git_sha))
        found = [condition("policy", environment, "allowed"),
                 condition("release", git_sha, "verified") if release
                 else condition("release", git_sha, "not-built-yet", "unmet")]
        for before in PATH[environment]:
            found.append(condition("after", before, "promoted") if (project, before, git_sha) in self.promoted
                         else condition("after", before, "not-promoted-yet", "unmet"))
        if release:
            digest = shard.artifacts[(project, git_sha, "image")][1]
            found.append(condition("signature", "manifest", "unsigned-allowed"))
            found.append(condition("artifact", "image", "found", status="met") | {
                "facts": {"status": 200, "digest": digest, "checkedAt": forms.instant_text(self.now)}})
        return found

    def body(self, shard, project, git_sha, environment, request, conditions, kind):
        known = shard.releases.get((project, git_sha))
        release = {"gitSha": git_sha} | ({"manifestDigest": forms.digest_text(known.manifest_digest)} if known else {})
        return {"project": project, "release": release, "environment": environment, "outcome": forms.OUTCOMES[kind],
                "final": kind != forms.WAITING, "request": request, "conditions": conditions, "policy": self.policy}

    def judge(self, shard, key, topic=0, record=None, trace=None):
        row = shard.promotions[key]
        conditions = self.conditions(shard, row.project, row.git_sha, row.environment)
        met = all(one["status"] == "met" for one in conditions)
        current = shard.environments.get((row.project, row.environment))
        again = met and current is not None and current.git_sha == row.git_sha
        self.conclude(shard, key, forms.PROMOTED if met else forms.WAITING, conditions, topic, record, trace,
                      {"code": "already-promoted"} if again else {})
        if met and not again:
            shard.environments[(row.project, row.environment)] = Environment(row.git_sha, key, self.now, row.decided_sequence)
            self.promoted.add((row.project, row.environment, row.git_sha))
            self.look_again(shard, row.project, row.git_sha)

    def conclude(self, shard, key, kind, conditions, topic=0, record=None, trace=None, more=None):
        row = shard.promotions[key]
        row.revision, row.outcome = row.revision + 1, forms.OUTCOMES[kind]
        body = self.body(shard, row.project, row.git_sha, row.environment, self.names[key], conditions, kind)
        body |= {"promotionId": forms.base32(key), "revision": row.revision, "expiresAt": forms.instant_text(row.expires_at)}
        sequence = self.answer(shard, kind, topic, record, row.project, body | (more or {}), trace)
        row.conditions = conditions if kind == forms.WAITING else None
        row.wake_at = self.now + 600_000_000 if kind == forms.WAITING else None
        row.answered_sequence = sequence
        row.decided_sequence = None if kind == forms.WAITING else sequence
        self.last[key] = (sequence, kind, (more or {}).get("code"))

    def look_again(self, shard, project, git_sha):
        for key, row in shard.promotions.items():
            if (row.project, row.git_sha, row.outcome) != (project, git_sha, "waiting"):
                continue
            before = [(one["type"], one["subject"], one["code"]) for one in row.conditions]
            now = self.conditions(shard, project, git_sha, row.environment)
            if before != [(one["type"], one["subject"], one["code"]) for one in now]:
                self.judge(shard, key)

    # ---- out ----

    def append(self, shard, kind, topic, record, decision):
        data = forms.input_form(record) if record else b""
        row = Row(shard.number, len(shard.ledger) + 1, self.now, kind, topic, record.offset if record else 0, 1, 1, data,
                  forms.sha256(data), decision, forms.sha256(decision), b"")
        row.hash = forms.ledger_hash(row, shard.ledger[-1].hash if shard.ledger else forms.genesis(INSTALLATION, shard.number))
        shard.ledger.append(row)
        return row

    def answer(self, shard, kind, topic, record, project, body, trace=None):
        body["decidedAt"] = forms.instant_text(self.now)
        row = self.append(shard, kind, topic, record, compact(body))
        shard.results.records.append(Record(len(shard.results.records) * 2, project.encode(),
                                            self.headers(row, project, body, trace), row.decision))
        return row.sequence

    def headers(self, row, project, body, trace):
        headers = [("ce_specversion", "1.0"), ("ce_id", f"{row.shard}-{row.sequence}"), ("ce_source", self.world.source()),
                   ("ce_type", forms.TYPES[row.kind]), ("ce_subject", project), ("ce_time", body["decidedAt"])]
        headers += [("ce_" + name, body[name]) for name in ("environment", "outcome") if name in body]
        headers += [("ce_traceparent", trace)] if trace else []
        headers += [("ce_ledgershard", str(row.shard)), ("ce_ledgersequence", str(row.sequence)),
                    ("ce_ledgerhash", forms.digest_text(row.hash)), ("content-type", "application/json")]
        return [(name, value.encode()) for name, value in headers]


def sha(number):
    return f"{number:040x}"


def digest(number):
    return "sha256:" + f"{number:064x}"


def clean_world():
    """Every kind of answer, on two shards."""
    at = Installation()
    for project in ("acme/shop", "acme/blog", "acme/api", "acme/web"):
        at.build(project, "b1", sha(1), digest(1))
        at.promote(project, "p1", sha(1), "dev", trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        at.promote(project, "p2", sha(1), "prod")     # waits for staging
        at.promote(project, "p1", sha(1), "dev")      # the same event again
        at.promote(project, "p3", sha(1), "staging")  # and prod goes through
        at.promote(project, "p2", sha(1), "prod")     # a duplicate of what was promoted meanwhile
        at.promote(project, "p4", sha(2), "dev")      # not built yet
        at.promote(project, "p5", sha(2), "dev")      # supersedes p4
        at.build(project, "b2", sha(2), digest(2))
        at.promote(project, "p1", sha(2), "dev")      # the id was used
        at.promote(project, "p6", sha(2), "dev")      # already there
        at.promote(project, "p7", sha(2), "prod", dry_run=True)
        at.refuse(project, "x1", "not-json")
        at.promote(project, "p8", sha(2), "prod")     # still waits at the end
        at.build(project, "b2", sha(2), digest(2))    # the same build event again
    for shard in at.shards:
        at.rubbish(shard, b"\xff\x00")
    return at.finish()
