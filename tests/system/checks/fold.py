"""The state that the ledger's decisions add up to, row by row, and then the tables against it.

Each row is held against the state before it: what an event claims, which answer a promotion may get next, and (gates.py)
whether the policy allowed it."""
from dataclasses import dataclass

from . import forms, gates
from .forms import (ABORTED, DEAD_LETTER, DUPLICATE, EVALUATED, EXPIRED, PROMOTED, REFUSED, REJECTED, RELEASE_REJECTED, RESUMED,
                    SUPERSEDED, VERIFIED, WAITING)

PROMOTION_KINDS = (WAITING, PROMOTED, REJECTED, SUPERSEDED, ABORTED, EXPIRED)
BUILD_TYPE = "dev.sluice.build.complete.v1"
REQUEST_TYPE = "dev.sluice.promotion.requested.v1"
OVERDUE = 60_000_000  # how long a wake-up may be late before the checker says so


@dataclass(slots=True)
class Claim:
    type: str
    content: bytes | None  # SHA-256(type 0x00 data)
    sequence: int
    last: tuple  # of its last answer: sequence, kind, code


@dataclass(slots=True)
class Open:
    """A promotion as the ledger's answers tell it."""
    key: bytes
    triple: tuple  # project, environment, git sha
    requester: str | None
    source: str
    event_id: str
    opened_at: int
    opened_sequence: int
    expires_at: int | None
    kind: int = WAITING
    revision: int = 0
    conditions: list | None = None
    answered_sequence: int = 0
    decided_sequence: int | None = None


def content_of(event):
    return forms.sha256(event.type.encode() + b"\0" + event.data) if event and event.type and event.data is not None else None


def standing(conditions):
    return [(c.get("type"), c.get("subject"), c.get("status"), c.get("code")) for c in conditions]


class Fold:
    def __init__(self, world, policies, shard, events, decisions, report):
        self.world, self.policies, self.shard, self.report = world, policies, shard, report
        self.events, self.decisions = events, decisions
        self.claims, self.promotions, self.waiting, self.contested, self.opened = {}, {}, {}, {}, set()
        self.releases, self.artifacts, self.environments, self.promoted = {}, {}, {}, set()
        self.release_artifacts = {}

    def run(self):
        for row in self.shard.ledger:
            self.say = self.report.at(self.shard.number, row.sequence)
            data = self.decisions.get(row.sequence)
            if row.kind == RESUMED or not isinstance(data, dict):
                continue
            self.settle_contested(row.at)
            event = self.events.get(row.sequence)
            if row.kind == DEAD_LETTER:
                if event and event.clear and data.get("code") == "not-cloudevent":
                    self.say("dead-letter", "the record is a CloudEvent with a usable id, source and subject")
                continue
            if row.topic:
                self.check_identity(row, event, data)
            self.check_common(row, data)
            self.apply(row, event, data)
        self.settle_contested(None)
        self.check_waiting()
        self.check_tables()

    # ---- one row ----

    def check_identity(self, row, event, data):
        request = data.get("request")
        if not isinstance(request, dict):
            self.say("answer", "no `request`")
        elif event is None:
            if row.offset >= self.shard.inputs[row.topic].low:
                self.say("answer", "the record is no CloudEvent with a usable id, source and subject, but not a dead letter")
        elif event.clear and (request.get("source"), request.get("id"), data.get("project")) != (event.source, event.id,
                                                                                              event.project):
            self.say("answer", f"it answers {request.get('source')} {request.get('id')} of {data.get('project')}, the record is "
                     f"{event.source} {event.id} of {event.project}")

    def check_common(self, row, data):
        if data.get("decidedAt") != forms.instant_text(row.at):
            self.say("answer", f"decidedAt is {data.get('decidedAt')}, the row's time {forms.instant_text(row.at)}")
        if data.get("outcome") != forms.OUTCOMES.get(row.kind):
            self.say("answer", f"outcome {data.get('outcome')} in {forms.TYPES[row.kind]}")
        if data.get("final") is not (row.kind != WAITING):
            self.say("answer", f"final is {data.get('final')} in {forms.TYPES[row.kind]}")
        home = forms.murmur2(str(data.get("project")).encode()) % self.world.shard_count
        if home != self.shard.number and row.kind != REFUSED:  # it may be refused for another reason first
            self.say("foreign", f"{data.get('project')} belongs to shard {home}")
        elif home == self.shard.number and data.get("code") == "foreign-partition":
            self.say("foreign", f"{data.get('project')} is at home here and was refused")

    def apply(self, row, event, data):
        request = data.get("request") or {}
        key = forms.event_key(str(data.get("project")), str(request.get("source")), str(request.get("id")))
        if row.kind == REFUSED:
            self.check_refused(row, event, data, key)
        elif row.kind == DUPLICATE:
            self.check_duplicate(row, event, data, key)
        elif row.kind in (VERIFIED, RELEASE_REJECTED):
            self.claim(row, event, data, key)
            self.release(row, event, data)
        elif row.kind == EVALUATED:
            self.claim(row, event, data, key)
            gates.check_evaluated(self, row, data)
        elif row.kind in PROMOTION_KINDS:
            if row.topic:
                self.claim(row, event, data, key)
            self.promotion(row, event, data, key)

    def claim(self, row, event, data, key):
        if not row.topic:
            self.say("answer", f"{forms.TYPES[row.kind]} without a record")
        if key in self.claims:
            self.say("twice", f"the event of sequence {self.claims[key].sequence} has effect again")
            return
        kind = BUILD_TYPE if row.kind in (VERIFIED, RELEASE_REJECTED) else REQUEST_TYPE
        if event and event.type != kind:
            self.say("answer", f"{forms.TYPES[row.kind]} answers {event.type}")
        self.claims[key] = Claim(kind, content_of(event), row.sequence, (row.sequence, row.kind, data.get("code")))

    def check_refused(self, row, event, data, key):
        if not data.get("code") or not data.get("message"):
            self.say("answer", "a refusal without code or message")
        if data.get("code") == "event-id-conflict":
            claim = self.claims.get(key)
            if not claim:
                self.say("twice", "event-id-conflict, but nothing claimed the id")
            elif claim.content is not None and claim.content == content_of(event):
                self.say("twice", "event-id-conflict for the very same content")

    def check_duplicate(self, row, event, data, key):
        claim, original = self.claims.get(key), data.get("original")
        if not claim or not isinstance(original, dict):
            self.say("twice", "a duplicate of nothing")
            return
        content = content_of(event)
        if claim.content is not None and content is not None and claim.content != content:
            self.say("twice", f"a duplicate of sequence {claim.sequence}, which has other content")
        sequence, kind, code = claim.last
        expected = {"shard": self.shard.number, "sequence": sequence, "type": forms.TYPES[kind],
                    "outcome": forms.OUTCOMES[kind], "final": kind != WAITING}
        if code is not None:
            expected["code"] = code
        if original != expected:
            self.say("twice", f"`original` is {original}, should be {expected}")
        if ("promotionId" in data) != (claim.type == REQUEST_TYPE):
            self.say("answer", "promotionId of a duplicate stands where the original is none, or lacks")
        elif "promotionId" in data and data["promotionId"] != forms.base32(key):
            self.say("promotion-id", f"{data['promotionId']} should be {forms.base32(key)}")

    def release(self, row, event, data):
        ref = data.get("release") or {}
        name = (data.get("project"), ref.get("gitSha"))
        manifest = gates.read_manifest(event)
        if manifest and (ref.get("gitSha") != manifest.git_sha
                         or (ref.get("manifestDigest") != manifest.digest and data.get("code") != "already-built")):
            self.say("release", f"the answer names {ref}, the manifest is {manifest.git_sha} {manifest.digest}")
        known = self.releases.get(name)
        gates.check_release(self, row, data, known, manifest)
        if row.kind != VERIFIED or known:
            return
        artifacts = data.get("artifacts") or []
        self.releases[name] = (ref.get("manifestDigest"), manifest, row.sequence, row.at)
        self.release_artifacts[name] = artifacts
        for one in artifacts:
            self.artifacts[name + (one.get("name"),)] = (one.get("type"), one.get("digest"), one.get("uri"))

    def promotion(self, row, event, data, key):
        if data.get("promotionId") != forms.base32(key):
            self.say("promotion-id", f"{data.get('promotionId')} should be {forms.base32(key)}")
        one = self.promotions.get(key)
        if row.topic:
            if one is None:
                one = self.open(row, event, data, key)
        elif one is None:
            self.say("promotion", "a later answer of a promotion that nobody asked for")
            return
        if one.kind != WAITING:
            self.say("once", f"the promotion had its final answer at sequence {one.decided_sequence}")
        triple = (data.get("project"), data.get("environment"), (data.get("release") or {}).get("gitSha"))
        if triple != one.triple:
            self.say("promotion", f"the answer is about {triple}, the promotion about {one.triple}")
        if data.get("revision") != one.revision + 1:
            self.say("promotion", f"revision {data.get('revision')} after {one.revision}")
        conditions = data.get("conditions")
        if not isinstance(conditions, list):
            self.say("promotion", "no conditions")
            conditions = []
        if row.kind == WAITING and one.revision and one.conditions and standing(one.conditions) == standing(conditions):
            self.say("promotion", "a new waiting answer in which no condition changed")
        gates.check_promotion(self, row, data, one, conditions)
        one.kind, one.revision, one.answered_sequence = row.kind, one.revision + 1, row.sequence
        one.conditions = conditions if row.kind == WAITING else None
        claim = self.claims.get(key)
        if claim:
            claim.last = (row.sequence, row.kind, data.get("code"))
        if row.kind == WAITING:
            return
        one.decided_sequence = row.sequence
        if self.waiting.get(one.triple) is one:
            del self.waiting[one.triple]
        if row.kind == SUPERSEDED:
            self.superseded(row, one)
        if row.kind == PROMOTED:
            self.promote(row, data, one)

    def open(self, row, event, data, key):
        document = event.document() if event else None
        request = document if isinstance(document, dict) else {}
        triple = (data.get("project"), data.get("environment"), (data.get("release") or {}).get("gitSha"))
        if request and (request.get("targetEnv"), request.get("releaseRef")) != triple[1:]:
            self.say("promotion", f"answered for {triple[1:]}, asked for {request.get('targetEnv')} {request.get('releaseRef')}")
        if request.get("dryRun"):
            self.say("promotion", "a dry run is answered as a promotion")
        named = data.get("request") or {}
        requester = request.get("requester", named.get("requester"))
        if named.get("requester") != requester:
            self.say("promotion", f"requester {named.get('requester')}, asked by {requester}")
        if named.get("verified") is not False:
            self.say("promotion", "the requester is only a claim, but `verified` is not false")
        one = Open(key, triple, requester, named.get("source"), named.get("id"), row.at, row.sequence,
                   forms.instant(data.get("expiresAt")))
        gates.check_limit(self, row, one, request)
        self.promotions[key] = one
        self.opened.add((triple, row.at))
        if row.kind == WAITING:
            if triple in self.waiting:
                self.contested[triple] = (self.waiting[triple], row)
            self.waiting[triple] = one
        return one

    def superseded(self, row, one):
        if one.triple in self.contested and self.contested[one.triple][0] is one:
            del self.contested[one.triple]
            return
        # The request that supersedes may be answered after it, or finally in the same batch.
        self.contested[one.triple] = (None, row)

    def settle_contested(self, at):
        """A second request of an open triple supersedes the first, within the same batch, and nothing else does."""
        for triple, (first, row) in list(self.contested.items()):
            if first is None and (triple, row.at) in self.opened:
                del self.contested[triple]
            elif at is None or at > row.at:
                del self.contested[triple]
                self.report.add("promotion", "superseded by no other request" if first is None else
                                f"{triple} has two open promotions", self.shard.number, row.sequence)

    def promote(self, row, data, one):
        project, environment, git_sha = one.triple
        current = self.environments.get((project, environment))
        if data.get("code") == "already-promoted":
            if not current or current[0] != git_sha:
                self.say("promotion", f"already-promoted, but {environment} has {current[0] if current else 'nothing'}")
            return
        if current and current[0] == git_sha:
            self.say("promotion", f"{git_sha} is {environment}'s current release and was promoted again")
        self.environments[(project, environment)] = (git_sha, one.key, row.at, row.sequence)
        self.promoted.add(one.triple)

    # ---- the end ----

    def check_waiting(self):
        for one in self.promotions.values():
            if one.kind != WAITING:
                continue
            self.say = self.report.at(self.shard.number, one.opened_sequence)
            if one.expires_at is not None and one.expires_at + OVERDUE < self.world.now:
                self.say("final", f"{forms.base32(one.key)} waits beyond its limit")
            gates.check_still_waits(self, one)

    def compare(self, name, expected, actual):
        for key in expected.keys() | actual.keys():
            label = key.hex() if isinstance(key, bytes) else " ".join(map(str, key))
            if key not in actual:
                self.say("state", f"{name} {label} is missing from its table")
            elif key not in expected:
                self.say("state", f"{name} {label} stands in its table, but no ledger row made it")
            elif expected[key] != actual[key]:
                self.say("state", f"{name} {label} is {actual[key]}, should be {expected[key]}")

    def check_tables(self):
        self.say = self.report.at(self.shard.number)
        shard = self.shard
        self.compare("seen", {key: claim.sequence for key, claim in self.claims.items()},
                     {key: sequence for key, (sequence, _) in shard.seen.items()})
        for key, (sequence, content) in shard.seen.items():
            claim = self.claims.get(key)
            if claim and claim.content is not None and content != claim.content:
                self.say("state", f"seen {key.hex()} has another content digest than its event")
        self.compare("release",
                     {key: (digest, manifest.text if manifest else None, sequence, at)
                      for key, (digest, manifest, sequence, at) in self.releases.items()},
                     {key: (forms.digest_text(one.manifest_digest),
                            one.manifest if key not in self.releases or self.releases[key][1] else None, one.sequence, one.at)
                      for key, one in shard.releases.items()})
        self.compare("release artifacts", self.release_artifacts, {key: one.artifacts for key, one in shard.releases.items()})
        self.compare("artifact", self.artifacts, shard.artifacts)
        self.compare("environment", self.environments,
                     {key: (one.git_sha, one.promotion, one.since, one.sequence) for key, one in shard.environments.items()})
        self.compare("promotion", {key: self.promotion_row(one) for key, one in self.promotions.items()},
                     {key: (one.project, one.environment, one.git_sha, one.outcome, one.revision, one.requester, one.source,
                            one.event_id, one.conditions, one.opened_sequence, one.answered_sequence, one.decided_sequence,
                            one.expires_at) for key, one in shard.promotions.items()})
        for key, one in shard.promotions.items():
            if (one.outcome == "waiting") != (one.wake_at is not None):
                self.say("state", f"promotion {forms.base32(key)} is {one.outcome} with wake_at {one.wake_at}")
            elif one.wake_at is not None and one.wake_at + OVERDUE < self.world.now:
                self.say("final", f"promotion {forms.base32(key)} should have been looked at long ago")

    @staticmethod
    def promotion_row(one):
        project, environment, git_sha = one.triple
        return (project, environment, git_sha, forms.OUTCOMES[one.kind], one.revision, one.requester, one.source,
                one.event_id, one.conditions, one.opened_sequence, one.answered_sequence, one.decided_sequence, one.expires_at)
