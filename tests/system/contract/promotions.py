#!/usr/bin/python3
"""common/README.md, "Answers": the life of a promotion."""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checks import forms
from lib import events, registry
from lib.installation import Installation
from lib.tap import Tap, equal, true

POLICY = """version: 1
registries:
  "{registry}": {{plain-http: true, allow-private: true}}
projects:
- match: "acme/*"
  unsigned: allow
  environments:
    dev: {{}}
    staging: {{after: [dev]}}
    prod: {{after: [staging, dev]}}
- match: "brief/*"
  unsigned: allow
  waiting-limit: 2s
  environments: {{dev: {{}}}}
"""
TYPE = "dev.sluice.promotion.%s.v1"


def outcome(answer):
    return answer.type.split(".")[3], answer.data["outcome"], answer.data["final"], answer.data["revision"]


class Lifecycle:
    def __init__(self, tap, sluice):
        self.tap, self.sluice, self.follower = tap, sluice, sluice.follower
        self.image = registry.push(sluice.stack.registry, "acme/shop", sluice.schema)

    def artifacts(self):
        return [events.artifact(digest=self.image, uri=f"{self.sluice.stack.registry}/acme/shop:1")]

    def release(self, project="acme/shop", sha=None):
        return self.sluice.released(project, self.artifacts(), sha)

    def promote(self, sha, environment="dev", project="acme/shop", **options):
        event = events.promote(project, sha, environment, **options)
        return event, self.sluice.ask(event)

    def current(self, environment, project="acme/shop"):
        rows = self.sluice.rows("SELECT git_sha FROM environment WHERE project = %s AND environment = %s", project, environment)
        return rows[0][0] if rows else None

    # ---- the lines ----

    def straight(self):
        with self.tap.case("all met: promoted at once, revision 1, final"):
            sha = self.release()
            event, answer = self.promote(sha, reason="because", requester="github:7")
            equal(outcome(answer), ("promoted", "promoted", True, 1), "the answer")
            equal(self.current("dev"), sha, "dev's release")
            equal(answer.data["request"], {"source": event.source, "id": event.id, "type": events.REQUEST, "requester": "github:7",
                                           "verified": False}, "request")
            equal(answer.data["promotionId"], forms.base32(forms.event_key("acme/shop", event.source, event.id)), "promotionId")
        with self.tap.case("for the environment's current release: promoted, already-promoted, state unchanged"):
            before = self.sluice.rows("SELECT * FROM environment WHERE project = 'acme/shop'")
            _, again = self.promote(sha)
            equal(outcome(again) + (again.data.get("code"),), ("promoted", "promoted", True, 1, "already-promoted"), "the answer")
            equal(self.sluice.rows("SELECT * FROM environment WHERE project = 'acme/shop'"), before, "the environment")
            true("code" not in answer.data, "the first one has a code")
        with self.tap.case("an older release may come back: promoted, and current again"):
            other = self.release()
            equal(outcome(self.promote(other)[1])[:2], ("promoted", "promoted"), "the other one")
            back = self.promote(sha)[1]
            equal((outcome(back)[:2], back.data.get("code"), self.current("dev")), (("promoted", "promoted"), None, sha), "the old one")

    def waits(self):
        sha = events.fresh_sha()
        with self.tap.case("not built yet: waiting, revision 1, not final"):
            event, answer = self.promote(sha, "prod")
            equal(outcome(answer), ("waiting", "waiting", False, 1), "the answer")
            equal(answer.condition("release", sha), ("unmet", "not-built-yet"), "release")
            equal(answer.condition("after", "staging"), ("unmet", "not-promoted-yet"), "after staging")
            equal([one["type"] for one in answer.data["conditions"]], ["policy", "release", "after", "after"],
                  "the conditions that can be looked at")
        with self.tap.case("the build arrives: waiting again, revision 2, with what changed and since when"):
            self.release(sha=sha)
            second = self.follower.answer(event, 2)
            equal(outcome(second), ("waiting", "waiting", False, 2), "the answer")
            equal(second.condition("release", sha), ("met", "verified"), "release")
            since = {one["subject"]: one["since"] for one in answer.data["conditions"] if one["type"] == "after"}
            later = {one["subject"]: one["since"] for one in second.data["conditions"] if one["type"] == "after"}
            equal(later, since, "since when the unchanged conditions are so")
        with self.tap.case("one gate of two opens: waiting, revision 3"):
            self.promote(sha, "dev")
            third = self.follower.answer(event, 3)
            equal((outcome(third), third.condition("after", "dev")), (("waiting", "waiting", False, 3), ("met", "promoted")), "it")
        with self.tap.case("the last gate opens: promoted by itself, revision 4, final"):
            self.promote(sha, "staging")
            final = self.follower.answer(event, 4)
            equal(outcome(final), ("promoted", "promoted", True, 4), "the answer")
            true(all(one["status"] == "met" for one in final.data["conditions"]), "not all conditions are met")
            equal(self.current("prod"), sha, "prod's release")
            equal(final.data["request"]["id"], event.id, "whose answer it is")
        with self.tap.case("exactly one final answer"):
            self.sluice.settle()
            self.follower.poll(0.5)
            equal([one.data["final"] for one in self.follower.answers(event)], [False, False, False, True], "final, one after the other")

    def duplicates(self):
        sha = events.fresh_sha()
        event, answer = self.promote(sha)
        with self.tap.case("a duplicate of one that waits: original with its last answer, not final"):
            self.sluice.send(event)
            duplicate = self.follower.answer(event, 2)
            equal(duplicate.type, "dev.sluice.event.duplicate.v1", "the answer's type")
            equal(duplicate.data["promotionId"], answer.data["promotionId"], "promotionId")
            equal(duplicate.data["original"], {"shard": answer.partition, "sequence": int(answer.headers["ce_ledgersequence"]),
                                               "type": TYPE % "waiting", "outcome": "waiting", "final": False}, "original")
            equal(duplicate.data["final"], True, "final")
        with self.tap.case("a duplicate later: what became of it meanwhile"):
            self.release(sha=sha)
            final = self.follower.wait("promoted", lambda: [one for one in self.follower.answers(event) if one.type == TYPE % "promoted"])[0]
            self.sluice.send(event)
            original = self.follower.answer(event, 4).data["original"]
            equal(original, {"shard": answer.partition, "sequence": int(final.headers["ce_ledgersequence"]), "type": TYPE % "promoted",
                             "outcome": "promoted", "final": True}, "original")
        with self.tap.case("a duplicate in the other mode has the same data bytes, so it is one"):
            event.mode = "binary"
            self.sluice.send(event)
            equal(self.follower.answer(event, 5).type, "dev.sluice.event.duplicate.v1", "the answer's type")
        with self.tap.case("ten at once: one promotion, nine duplicates"):
            one = events.promote("acme/shop", self.release(), "dev")
            self.sluice.sender.send_all([one] * 10)
            self.follower.answer(one, 10)
            equal(sorted(answer.type.split(".")[3] for answer in self.follower.answers(one)), ["duplicate"] * 9 + ["promoted"], "answers")

    def supersede(self):
        sha = events.fresh_sha()
        first, _ = self.promote(sha)
        with self.tap.case("a second request for the same open promotion supersedes the first, and both are answered"):
            second, answer = self.promote(sha)
            old = self.follower.final(first)
            equal(outcome(old), ("superseded", "superseded", True, 2), "the first one's final answer")
            equal(outcome(answer), ("waiting", "waiting", False, 1), "the second one's answer")
        with self.tap.case("only the second one is promoted then"):
            self.release(sha=sha)
            equal(outcome(self.follower.final(second))[0], "promoted", "the second one's final answer")
            equal([one.data["outcome"] for one in self.follower.answers(first)], ["waiting", "superseded"], "the first one's answers")
        with self.tap.case("another environment or another release does not supersede"):
            sha = events.fresh_sha()
            kept, _ = self.promote(sha, "dev")
            self.promote(sha, "staging")
            self.promote(events.fresh_sha(), "dev")
            self.promote(sha, "dev", dryRun=True)
            self.sluice.settle()
            equal(len(self.follower.answers(kept)), 1, "the number of answers")
        with self.tap.case("three at once: the last one stays"):
            sha = events.fresh_sha()
            three = [events.promote("acme/shop", sha, "dev") for _ in range(3)]
            self.sluice.sender.send_all(three)
            self.follower.answer(three[2])
            self.sluice.settle()
            self.follower.poll(0.3)
            equal([[answer.data["outcome"] for answer in self.follower.answers(one)] for one in three],
                  [["waiting", "superseded"], ["waiting", "superseded"], ["waiting"]], "the answers")

    def expiry(self):
        with self.tap.case("expiresAt already past: expired at once"):
            _, answer = self.promote(events.fresh_sha(), expiresAt=events.now(seconds=-1))
            equal(outcome(answer), ("expired", "expired", True, 1), "the answer")
        with self.tap.case("expiresAt already past, although everything is met: expired"):
            _, answer = self.promote(self.release(), expiresAt=events.now(hours=-1))
            equal(outcome(answer), ("expired", "expired", True, 1), "the answer")
        with self.tap.case("expiresAt passes: expired by itself"):
            limit = events.now(seconds=2)
            event, answer = self.promote(events.fresh_sha(), expiresAt=limit)
            equal((outcome(answer)[0], forms.instant(answer.data["expiresAt"])), ("waiting", forms.instant(limit)), "the first answer")
            equal(outcome(self.follower.final(event)), ("expired", "expired", True, 2), "the final answer")
            true(forms.instant(self.follower.final(event).data["decidedAt"]) >= forms.instant(limit), "it expired early")
        with self.tap.case("the policy's waiting-limit is less: it counts"):
            event, answer = self.promote(events.fresh_sha(), project="brief/shop", expiresAt=events.now(hours=1))
            equal(forms.instant(answer.data["expiresAt"]) - forms.instant(answer.data["decidedAt"]), 2_000_000, "the limit")
            equal(outcome(self.follower.final(event))[0], "expired", "the final answer")
        with self.tap.case("7 days at most"):
            _, answer = self.promote(events.fresh_sha(), expiresAt=events.now(days=30))
            equal(forms.instant(answer.data["expiresAt"]) - forms.instant(answer.data["decidedAt"]), 7 * 86_400_000_000, "the limit")
        with self.tap.case("what arrives after the limit does not revive it"):
            sha = events.fresh_sha()
            event, _ = self.promote(sha, expiresAt=events.now(seconds=1))
            self.follower.final(event)
            self.release(sha=sha)
            self.sluice.settle()
            self.follower.poll(0.3)
            equal([one.data["outcome"] for one in self.follower.answers(event)], ["waiting", "expired"], "the answers")

    def dry_run(self):
        sha = self.release()
        cases = (("promoted", sha, "dev", {}), ("waiting", sha, "staging", {}), ("waiting", events.fresh_sha(), "dev", {}),
                 ("rejected", sha, "nowhere", {}), ("expired", sha, "dev", {"expiresAt": events.now(seconds=-1)}))
        before = self.sluice.rows("SELECT project, environment, git_sha FROM environment ORDER BY 1, 2")
        promotions = self.sluice.rows("SELECT count(*) FROM promotion")
        for would_be, release, environment, more in cases:
            with self.tap.case(f"a dry run that would be {would_be}: evaluated, with wouldBe, final"):
                _, answer = self.promote(release, environment, dryRun=True, **more)
                equal((answer.type, answer.headers["ce_outcome"]), (TYPE % "evaluated", "evaluated"), "type and ce_outcome")
                equal((answer.data["outcome"], answer.data["wouldBe"], answer.data["final"]), ("evaluated", would_be, True), "it")
                true(answer.data["conditions"], "no conditions")
        with self.tap.case("dry runs change nothing"):
            equal(self.sluice.rows("SELECT project, environment, git_sha FROM environment ORDER BY 1, 2"), before, "environments")
            equal(self.sluice.rows("SELECT count(*) FROM promotion"), promotions, "promotions")
        with self.tap.case("dryRun: false is no dry run"):
            equal(outcome(self.promote(sha, dryRun=False)[1])[0], "promoted", "the answer")

    def policy_changes(self):
        sha = self.release()
        with self.tap.case("an unknown environment is rejected: a new request is needed"):
            _, answer = self.promote(sha, "edge")
            equal((outcome(answer), answer.condition("policy")), (("rejected", "rejected", True, 1), ("failed", "unknown-environment")), "it")
        waiting, _ = self.promote(sha, "prod")
        with self.tap.case("a new control version wakes those that wait: a gate is taken away, and it goes through"):
            self.sluice.apply_policy(POLICY.replace("after: [staging, dev]", "after: []"))
            equal(outcome(self.follower.final(waiting))[0], "promoted", "the final answer")
        with self.tap.case("the answer names the policy that it was decided by"):
            version, digest = self.sluice.rows("SELECT version, digest FROM control ORDER BY version DESC LIMIT 1")[0]
            equal(self.follower.final(waiting).data["policy"], {"version": version, "digest": "sha256:" + bytes(digest).hex()}, "policy")

    def order(self):
        with self.tap.case("500 promotions of one project, sent at once, are answered in order"):
            shas = [events.fresh_sha() for _ in range(20)]
            self.sluice.sender.send_all(events.build("acme/shop", events.manifest(sha, self.artifacts())) for sha in shas)
            many = [events.promote("acme/shop", shas[i % 20], "dev") for i in range(500)]
            self.sluice.sender.send_all(many)
            self.follower.wait("500 answers", lambda: all(self.follower.answers(one) for one in many), 30)
            self.sluice.settle()
            self.follower.poll(0.3)
            sequences = [int(self.follower.answers(one)[0].headers["ce_ledgersequence"]) for one in many]
            equal(sequences, sorted(sequences), "the sequences")
            equal(self.current("dev"), shas[499 % 20], "dev's release")


def main():
    tap = Tap()
    with Installation(policy=POLICY) as sluice:
        sluice.worker()
        life = Lifecycle(tap, sluice)
        started = time.monotonic()
        for part in (life.straight, life.waits, life.duplicates, life.supersede, life.expiry, life.dry_run, life.order,
                     life.policy_changes):
            part()
        tap.note(f"{time.monotonic() - started:.1f} s")
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
