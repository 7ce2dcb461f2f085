#!/usr/bin/python3
"""common/README.md, "Answers": builds."""
import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checks import forms
from lib import events
from lib.installation import Installation
from lib.tap import Tap, equal, true

POLICY = """version: 1
registries: {{}}
projects:
- match: "acme/*"
  unsigned: allow
  environments: {{dev: {{}}}}
- match: "strict/*"
  environments: {{dev: {{}}}}
"""
VERIFIED, REJECTED = "dev.sluice.release.verified.v1", "dev.sluice.release.rejected.v1"
SIGNED = {"status": "enabled", "signatures": [{"artifact": "primary-image", "signatureUri": "a.sig", "keyId": "k"}]}


def artifacts(seed="a", **changes):
    return [events.artifact(digest=events.sha256(seed), uri="ghcr.io/acme/shop:1") | changes,
            events.artifact("tool", "binary", events.sha256("tool"))]


def outcome(answer):
    return answer.type, answer.data["outcome"], answer.data["code"]


def main():
    tap = Tap()
    with Installation(policy=None) as sluice:
        sluice.worker()
        ask = sluice.ask
        sha = events.fresh_sha()
        text = events.manifest(sha, artifacts())
        with tap.case("no policy: nothing is verified, and the answer says why"):
            answer = ask(events.build("acme/early", text))
            equal((answer.type, answer.data["outcome"]), (REJECTED, "rejected"), "the answer")
            true("policy" in answer.data["message"], answer.data["message"])
        sluice.apply_policy(POLICY)
        with tap.case("only a verified build claims its SHA: after a rejection it is verified"):
            sluice.follower.wait("verified release", lambda: ask(events.build("acme/early", text)).type == VERIFIED)
        with tap.case("a project that the policy does not know is rejected"):
            equal(outcome(ask(events.build("nobody/shop", text))), (REJECTED, "rejected", "unknown-project"), "the answer")
        with tap.case("an unsigned build is rejected where the policy wants signatures"):
            equal(outcome(ask(events.build("strict/shop", text))), (REJECTED, "rejected", "unsigned"), "the answer")

        first = events.build("acme/shop", text)
        answer = ask(first)
        with tap.case("a build is verified, and no registry is asked (this one's does not exist)"):
            equal(outcome(answer), (VERIFIED, "verified", "verified"), "the answer")
        with tap.case("the manifest digest is what sha256sum prints"):
            equal(answer.data["release"], {"gitSha": sha, "manifestDigest": "sha256:" + hashlib.sha256(text.encode()).hexdigest()},
                  "release")
        with tap.case("the answer lists the artifacts: name, type, digest, uri where there is one"):
            equal(answer.data["artifacts"], artifacts(), "artifacts")
        with tap.case("release.verified has exactly its members"):
            equal(set(answer.data), {"project", "release", "outcome", "code", "message", "artifacts", "request", "final", "decidedAt"},
                  "the members")
            equal(answer.data["request"], {"source": first.source, "id": first.id, "type": events.BUILD}, "request")
        with tap.case("the exact text is kept"):
            equal(bytes(sluice.rows("SELECT manifest FROM release WHERE project = 'acme/shop' AND git_sha = %s", sha)[0][0]),
                  text.encode(), "the manifest")

        later = events.manifest(sha, artifacts(), buildTimestamp="2026-03-02T09:58:00Z")
        with tap.case("equal artifacts (only timestamps differ): verified, already-built, with the first digest"):
            again = ask(events.build("acme/shop", later))
            equal(outcome(again), (VERIFIED, "verified", "already-built"), "the answer")
            equal(again.data["release"], answer.data["release"], "release")
        with tap.case("equal artifacts in another order: already-built"):
            again = ask(events.build("acme/shop", events.manifest(sha, artifacts()[::-1])))
            equal(outcome(again), (VERIFIED, "verified", "already-built"), "the answer")
        for name, other in (("another digest", artifacts("b")), ("another uri", artifacts(uri="ghcr.io/acme/shop:2")),
                            ("another type", artifacts(type="other")), ("one artifact less", artifacts()[:1])):
            with tap.case(f"manifest-conflict: {name}"):
                conflict = ask(events.build("acme/shop", events.manifest(sha, other)))
                equal(outcome(conflict), (REJECTED, "rejected", "manifest-conflict"), "the answer")
        with tap.case("release.rejected has no artifacts"):
            equal(set(conflict.data), {"project", "release", "outcome", "code", "message", "request", "final", "decidedAt"},
                  "the members")
        with tap.case("the same SHA in another project is another release"):
            other = ask(events.build("acme/blog", events.manifest(sha, artifacts("b"))))
            equal(outcome(other), (VERIFIED, "verified", "verified"), "the answer")
        with tap.case("projects are case-sensitive"):
            equal(outcome(ask(events.build("Acme/shop", text))), (REJECTED, "rejected", "unknown-project"), "the answer")
        with tap.case("a manifest with signatures is verified as a release; its promotions wait"):
            equal(outcome(ask(events.build("strict/shop", events.manifest(sha, artifacts(), attestation=SIGNED)))),
                  (VERIFIED, "verified", "verified"), "the answer")
        with tap.case("two builds of one SHA sent together: one is the release, the other is told"):
            pair = events.fresh_sha()
            both = [events.build("acme/shop", events.manifest(pair, artifacts(seed))) for seed in ("x", "y")]
            sluice.sender.send_all(both)
            equal([outcome(sluice.follower.answer(one)) for one in both],
                  [(VERIFIED, "verified", "verified"), (REJECTED, "rejected", "manifest-conflict")], "the answers")

        with tap.case("a duplicate build is told what became of the original"):
            sluice.send(first)
            duplicate = sluice.follower.answer(first, 2)
            equal(duplicate.type, "dev.sluice.event.duplicate.v1", "the answer's type")
            equal(set(duplicate.data), {"project", "original", "request", "final", "decidedAt"}, "its members")
            home = forms.murmur2(b"acme/shop") % sluice.shards
            equal(duplicate.data["original"], {"shard": home, "sequence": int(answer.headers["ce_ledgersequence"]), "type": VERIFIED,
                                               "outcome": "verified", "code": "verified", "final": True}, "original")
        with tap.case("`bundle` is taken"):
            bundled = events.build("acme/shop", events.manifest(events.fresh_sha(), artifacts()),
                                   more={"bundle": "ghcr.io/acme/bundles@" + events.sha256("bundle")})
            equal(outcome(ask(bundled)), (VERIFIED, "verified", "verified"), "the answer")
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
