#!/usr/bin/python3
"""common/README.md, "Answers" and "Policy": every condition and code, provoked; and what becomes of the promotion."""
import base64
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checks import forms
from lib import events, registry
from lib.installation import Installation, free_port
from lib.registry import FakeRegistry
from lib.tap import Tap, equal, true

POLICY = """version: 1
registries:
  "{registry}": {{plain-http: true, allow-private: true}}
  "{fake}": {{plain-http: true, allow-private: true}}
  "{dead}": {{plain-http: true, allow-private: true}}
  "{private}": {{plain-http: true}}
projects:
- match: "acme/*"
  unsigned: allow
  environments: {{dev: {{}}, staging: {{after: [dev]}}}}
- match: "strict/*"
  environments: {{dev: {{}}}}
- match: "loose/*"
  unsigned: allow
  unchecked-types: [binary, archive]
  environments: {{dev: {{}}}}
"""
SIGNED = {"status": "enabled", "signatures": [{"artifact": "primary-image", "signatureUri": "a.sig", "keyId": "k"}]}


class Conditions:
    def __init__(self, tap, sluice, fake, words):
        self.tap, self.sluice, self.fake, self.words = tap, sluice, fake, words
        self.image = registry.push(sluice.stack.registry, "acme/shop", sluice.schema)

    def image_at(self, host, repository, digest=None, **changes):
        return events.artifact(digest=digest or self.image, uri=f"{host}/{repository}:1") | changes

    def promote(self, artifacts, project="acme/shop", environment="dev", **changes):
        """Of a release of its own, with these artifacts: the request and its first answer."""
        sha = self.sluice.released(project, artifacts, **changes)
        event = events.promote(project, sha, environment)
        return event, self.sluice.ask(event)

    def expect(self, name, artifacts, kind, status, code, outcome, **options):
        with self.tap.case(name):
            event, answer = self.promote(artifacts, **options)
            equal((answer.condition(kind), answer.data["outcome"]), ((status, code), outcome), f"it ({answer})")
            for one in answer.data["conditions"]:
                equal(set(one) - {"facts"}, {"type", "subject", "status", "code", "message", "since"}, "a condition's members")
                true(one["message"] and forms.instant(one["since"]), f"no message or no instant in {one}")
            return event, answer
        return None, None

    def policy(self):
        sha = events.fresh_sha()
        for name, project, environment, subject, code in (
                ("policy: failed unknown-project", "nobody/shop", "dev", "nobody/shop", "unknown-project"),
                ("policy: failed unknown-environment", "acme/shop", "prod", "prod", "unknown-environment")):
            with self.tap.case(name):
                answer = self.sluice.ask(events.promote(project, sha, environment))
                equal((answer.condition("policy", subject), answer.data["outcome"]), (("failed", code), "rejected"), f"it ({answer})")
        with self.tap.case("policy: met allowed; release: unmet not-built-yet; after: unmet not-promoted-yet"):
            answer = self.sluice.ask(events.promote("acme/shop", sha, "staging"))
            equal([answer.condition("policy"), answer.condition("release", sha), answer.condition("after", "dev")],
                  [("met", "allowed"), ("unmet", "not-built-yet"), ("unmet", "not-promoted-yet")], "the conditions")
        with self.tap.case("what cannot be looked at yet is absent: no release, so neither signature nor artifacts"):
            equal([answer.condition("signature"), answer.condition("artifact")], [None, None], "the conditions")
        with self.tap.case("all conditions are reported, not only the first that fails"):
            answer = self.promote([self.image_at("evil.example", "x"), events.artifact("tool", "binary")], environment="nowhere")[1]
            equal([answer.condition("policy"), answer.condition("release"), answer.condition("artifact", "primary-image"),
                   answer.condition("artifact", "tool")], [("failed", "unknown-environment"), ("met", "verified"),
                                                           ("failed", "registry-forbidden"), ("failed", "artifact-uncheckable")],
                  f"the conditions ({answer})")

    def signatures(self):
        image = [self.image_at(self.words["registry"], "acme/shop")]
        self.expect("signature: met unsigned-allowed", image, "signature", "met", "unsigned-allowed", "promoted")
        self.unsigned_later(image)
        for project in ("acme/shop", "strict/shop"):
            self.expect(f"signature: unmet not-verifiable-yet, attestation enabled, whatever `unsigned` says ({project})", image,
                        "signature", "unmet", "not-verifiable-yet", "waiting", project=project, attestation=SIGNED)

    def unsigned_later(self, image):
        """An unsigned build is not verified where signatures are wanted; the policy must have wanted none at first."""
        with self.tap.case("signature: failed unsigned"):
            self.sluice.apply_policy(POLICY.replace('match: "strict/*"', 'match: "strict/*"\n  unsigned: allow'), **self.words)
            sha = None
            while sha is None:  # until the lanes decide by it
                try:
                    sha = self.sluice.released("strict/shop", image)
                except RuntimeError:
                    pass
            self.sluice.apply_policy(POLICY, **self.words)

            def asked():
                answer = self.sluice.ask(events.promote("strict/shop", sha, "dev"))
                return answer if answer.data["policy"]["version"] == self.version() else None
            answer = self.sluice.follower.wait("answer by the new policy", asked)
            equal((answer.condition("signature"), answer.data["outcome"]), (("failed", "unsigned"), "rejected"), f"it ({answer})")

    def version(self):
        return self.sluice.rows("SELECT max(version) FROM control")[0][0]

    def real_registry(self):
        host = self.words["registry"]
        _, answer = self.expect("artifact: met found, by the real registry", [self.image_at(host, "acme/shop")], "artifact", "met",
                                "found", "promoted")
        with self.tap.case("its facts: status, digest, checkedAt"):
            facts = next(one["facts"] for one in answer.data["conditions"] if one["type"] == "artifact")
            equal((set(facts), facts["status"], facts["digest"]), ({"status", "digest", "checkedAt"}, 200, self.image), "the facts")
        missing = "sha256:" + "12" * 32
        self.expect("artifact: failed artifact-missing, by the real registry", [self.image_at(host, "acme/shop", missing)], "artifact",
                    "failed", "artifact-missing", "rejected")
        self.expect("artifact: failed artifact-missing, in a repository that does not exist", [self.image_at(host, "acme/nothing")],
                    "artifact", "failed", "artifact-missing", "rejected")
        with self.tap.case("not found is never remembered: pushed after the rejection, promoted"):
            digest = registry.image_bytes(self.sluice.schema + "late")[2]
            _, answer = self.promote([self.image_at(host, "acme/late", digest)])
            equal(answer.data["outcome"], "rejected", "the first outcome")
            registry.push(self.sluice.stack.registry, "acme/late", self.sluice.schema + "late")
            again = self.sluice.ask(events.promote("acme/shop", answer.data["release"]["gitSha"], "dev"))
            equal(again.data["outcome"], "promoted", f"the second outcome ({again})")
        with self.tap.case("the digest comes from the manifest, never from the tag"):
            registry.push(self.sluice.stack.registry, "acme/tagged", self.sluice.schema + "tagged", tag="1")
            _, answer = self.promote([self.image_at(host, "acme/tagged", missing)])
            equal(answer.condition("artifact"), ("failed", "artifact-missing"), f"artifact ({answer})")
        for scheme in ("docker://", "oci://"):
            self.expect(f"artifact: a URI with {scheme}", [self.image_at(scheme + host, "acme/shop")], "artifact", "met", "found",
                        "promoted")
        self.expect("artifact: a URI with a digest and a tag", [self.image_at(host, "acme/shop", uri=f"{host}/acme/shop:9@{self.image}")],
                    "artifact", "met", "found", "promoted")
        with self.tap.case("every artifact has its condition, in the manifest's order"):
            _, answer = self.promote([self.image_at(host, "acme/shop", name=name) for name in ("z", "a", "m")])
            equal([one["subject"] for one in answer.data["conditions"] if one["type"] == "artifact"], ["z", "a", "m"], "the subjects")

    def misbehaving(self):
        cases = (("missing", "failed", "artifact-missing", "rejected"), ("forbidden", "unmet", "registry-denied", "waiting"),
                 ("unauthorized", "unmet", "registry-denied", "waiting"), ("busy", "unmet", "registry-busy", "waiting"),
                 ("broken", "unmet", "registry-unreachable", "waiting"), ("redirect", "unmet", "registry-unreachable", "waiting"),
                 ("other-digest", "failed", "digest-mismatch", "rejected"), ("found", "met", "found", "promoted"))
        for behaviour, status, code, outcome in cases:
            self.fake.behaviour["acme/" + behaviour] = behaviour
            if behaviour == "busy":
                continue  # closes the whole registry for a while: last
            self.expect(f"artifact: {status} {code}, a registry that answers '{behaviour}'",
                        [self.image_at(self.words["fake"], "acme/" + behaviour)], "artifact", status, code, outcome)
        for behaviour in ("basic", "bearer"):
            self.fake.behaviour["acme/" + behaviour] = behaviour
            self.expect(f"artifact: met found, with {behaviour} authentication from Docker's config.json",
                        [self.image_at(self.words["fake"], "acme/" + behaviour)], "artifact", "met", "found", "promoted")
        with self.tap.case("a registry asked for a promotion that waits is asked again by itself, and it goes through"):
            event, answer = self.promote([self.image_at(self.words["fake"], "acme/forbidden", "sha256:" + "34" * 32)])
            equal(answer.data["outcome"], "waiting", "the first outcome")
            self.fake.behaviour["acme/forbidden"] = "found"
            final = self.sluice.follower.final(event, 15)
            equal((final.data["outcome"], final.data["revision"]), ("promoted", 2), "the final answer")
        with self.tap.case("found is remembered by digest: the next promotion asks no more"):
            count = self.fake.count("acme/found")
            _, answer = self.promote([self.image_at(self.words["fake"], "acme/found")])
            equal((answer.data["outcome"], self.fake.count("acme/found")), ("promoted", count), "outcome and questions")
        with self.tap.case("a slow registry costs a batch a bounded wait: unmet registry-unreachable, then found"):
            self.fake.behaviour["acme/hang"] = "hang"
            event, answer = self.promote([self.image_at(self.words["fake"], "acme/hang", "sha256:" + "56" * 32)])
            equal((answer.condition("artifact"), answer.data["outcome"]), (("unmet", "registry-unreachable"), "waiting"), f"it ({answer})")
            self.fake.behaviour["acme/hang"] = "found"
            equal(self.sluice.follower.final(event, 20).data["outcome"], "promoted", "the final outcome")
        with self.tap.case("artifact: unmet registry-busy, a registry that answers 429"):
            # The host has just failed, and a worker waits for such a one so shortly that a busy machine may first say unreachable.
            event, _ = self.promote([self.image_at(self.words["fake"], "acme/busy", "sha256:" + "78" * 32)])
            answer = self.sluice.follower.wait(lambda: f"busy registry in {self.sluice.follower.answers(event)}", lambda: next(
                (one for one in self.sluice.follower.answers(event) if one.condition("artifact") == ("unmet", "registry-busy")), None), 60)
            equal(answer.data["outcome"], "waiting", "the outcome")

    def unreachable(self):
        event, _ = self.expect("artifact: unmet registry-unreachable, nobody listens", [self.image_at(self.words["dead"], "acme/shop")],
                               "artifact", "unmet", "registry-unreachable", "waiting")
        with self.tap.case("the registry comes up: promoted by itself"):
            late = FakeRegistry(int(self.words["dead"].rpartition(":")[2]))
            late.behaviour["acme/shop"] = "found"
            try:
                equal(self.sluice.follower.final(event, 20).data["outcome"], "promoted", "the final outcome")
            finally:
                late.close()
        self.expect("artifact: unmet registry-unreachable, a private address that the policy does not allow",
                    [self.image_at(self.words["private"], "acme/shop")], "artifact", "unmet", "registry-unreachable", "waiting")
        with self.tap.case("that address was never asked"):
            equal(self.words["private_asked"](), 0, "the number of questions")

    def without_registry(self):
        host = self.words["registry"]
        plain = events.artifact("tool", "binary")
        self.expect("artifact: failed registry-forbidden, a host that is not in the policy", [self.image_at("evil.example", "x")],
                    "artifact", "failed", "registry-forbidden", "rejected")
        self.expect("artifact: failed registry-forbidden, the right host with another port", [self.image_at(host.split(":")[0] + ":1", "x")],
                    "artifact", "failed", "registry-forbidden", "rejected")
        self.expect("artifact: failed artifact-uncheckable, no uri", [plain], "artifact", "failed", "artifact-uncheckable", "rejected")
        self.expect("artifact: failed artifact-uncheckable, a bare file name", [plain | {"uri": "tool.tar.gz"}], "artifact", "failed",
                    "artifact-uncheckable", "rejected")
        self.expect("artifact: failed artifact-uncheckable, https", [plain | {"uri": "https://files.example/tool"}], "artifact", "failed",
                    "artifact-uncheckable", "rejected")
        self.expect("artifact: met unchecked, by the policy's unchecked-types", [plain], "artifact", "met", "unchecked", "promoted",
                    project="loose/shop")
        self.expect("artifact: unchecked-types are types, not all", [plain | {"type": "other"}], "artifact", "failed",
                    "artifact-uncheckable", "rejected", project="loose/shop")


def main():
    tap = Tap()
    fake, private = FakeRegistry(), FakeRegistry()
    with Installation(policy=None) as sluice:
        words = {"registry": sluice.stack.registry, "fake": fake.host, "dead": f"127.0.0.1:{free_port()}", "private": private.host}
        words["private_asked"] = lambda: len(private.asked)
        (sluice.folder / "docker.json").write_text(json.dumps({"auths": {
            fake.host: {"auth": base64.b64encode(b"robot:secret").decode()}}}))
        sluice.worker(SLUICE_REGISTRY_DOCKER_CONFIG=str(sluice.folder / "docker.json"))
        with tap.case("no policy: the condition `policy` is absent, and the promotion waits"):
            event = events.promote("acme/shop", events.fresh_sha(), "dev")
            answer = sluice.ask(event)
            equal((answer.condition("policy"), answer.condition("release"), answer.data["outcome"]),
                  (None, ("unmet", "not-built-yet"), "waiting"), f"it ({answer})")
            equal(answer.data.get("policy"), None, "policy")
        sluice.apply_policy(POLICY, **words)
        with tap.case("the policy arrives: the promotion that waits is looked at again"):
            equal(sluice.follower.answer(event, 2).condition("policy"), ("met", "allowed"), "policy")
        conditions = Conditions(tap, sluice, fake, words)
        for part in (conditions.policy, conditions.signatures, conditions.real_registry, conditions.without_registry,
                     conditions.misbehaving, conditions.unreachable):
            part()
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
