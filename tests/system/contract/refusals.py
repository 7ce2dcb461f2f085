#!/usr/bin/python3
"""common/README.md, "Names and limits", "Digests" and "Events": every refusal of decode, with its code and path."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checks import forms
from lib import events
from lib.installation import Installation
from lib.tap import Tap, equal, one_of, true

PROJECT = "acme/shop"
SHA = "4f" * 20
ROOT = ("", None)  # the whole of `data`: its pointer is empty, and an absent path says the same


def request(**changes):
    """A promotion request with members changed (None: left out) or added."""
    data = {"releaseRef": SHA, "targetEnv": "dev", "requester": "github:1011"} | changes
    return events.event(events.REQUEST, PROJECT, {name: value for name, value in data.items() if value is not None})


def raw_request(text, **options):
    return events.event(events.REQUEST, PROJECT, None, raw_data=text if isinstance(text, bytes) else text.encode(), **options)


def attributes(**changes):
    one = request()
    one.attributes |= changes
    return one


def artifacts(*more, **changes):
    return [events.artifact(uri="ghcr.io/acme/shop:1") | changes, *more]


def build(text=None, **changes):
    return events.build(PROJECT, text if text is not None else events.manifest(SHA, changes.pop("artifacts", artifacts()), **changes))


def attestation(**members):
    return {"attestation": members}


SIGNATURE = {"artifact": "primary-image", "signatureUri": "sig.bundle", "keyId": "k1"}
SHA256, SHA512 = "sha256:" + "a" * 64, "sha512:" + "a" * 128


def envelope_refusals():
    yield "no `data`", rewrite(request(), data=None), "schema-invalid", ROOT
    yield "`data` and `data_base64`", rewrite(request(), data_base64="e30="), "schema-invalid", ROOT
    yield "`data_base64` that is no base64", rewrite(request(), data=None, data_base64="***"), "schema-invalid", ROOT
    yield "specversion 0.3", attributes(specversion="0.3"), "schema-invalid", ROOT
    yield "no type", attributes(type=None), ("unknown-type", "schema-invalid"), ROOT
    yield "unknown type", attributes(type="dev.sluice.promotion.requested.v9"), "unknown-type", ROOT
    yield "a build's type on the requests topic", attributes(type=events.BUILD), "unknown-type", ROOT
    yield "datacontenttype other than application/json", attributes(datacontenttype="text/xml"), "content-type-invalid", ROOT
    yield "binary: content-type other than application/json", binary(datacontenttype="text/plain"), "content-type-invalid", ROOT
    yield "binary: ce_specversion 0.3", binary(specversion="0.3"), "schema-invalid", ROOT
    yield "time is required", attributes(time=None), "time-invalid", ROOT
    yield "time that is no instant", attributes(time="yesterday"), "time-invalid", ROOT
    yield "time on a day that does not exist", attributes(time="2026-02-30T10:00:00Z"), "time-invalid", ROOT
    yield "older than 30 d", attributes(time=events.now(days=-30, minutes=-1)), "stale", ROOT
    yield "over 5 min ahead", attributes(time=events.now(minutes=6)), "in-the-future", ROOT
    yield "a record over 1,000,000 bytes", request(reason="x" * 1_000_000), "too-large", ("", None, "/reason")
    yield "a record over 1,000,000 bytes with its headers", big_headers(), "too-large", ROOT
    yield "a record over 1,000,000 bytes with its key", events.event(
        events.REQUEST, PROJECT, {"releaseRef": SHA, "targetEnv": "dev", "requester": "r"}, key="k" * 1_000_001), "too-large", ROOT


def binary(**changes):
    one = attributes(**changes)
    one.mode = "binary"
    return one


def big_headers():
    one = request()
    one.headers = [("x", b"y" * 1_000_000)]
    return one


def rewrite(event, **members):
    """The structured event with envelope members changed (None: left out)."""
    key, headers, value = event.record()
    document = json.loads(value) | members
    body = json.dumps({name: member for name, member in document.items() if member is not None}).encode()
    event.record = lambda: (key, headers, body)
    return event


def data_refusals():
    good = f'"releaseRef":"{SHA}","targetEnv":"dev","requester":"r"'
    deep = "[" * 40 + "]" * 40
    yield "data that is no object", raw_request("[1]"), "schema-invalid", ROOT
    yield "data null", raw_request("null"), "schema-invalid", ROOT
    yield "binary: data that is no JSON", raw_request("{]", mode="binary"), "not-json", ROOT
    yield "binary: empty data", raw_request("", mode="binary"), "not-json", ROOT
    yield "binary: NaN", raw_request('{"x":NaN}', mode="binary"), "not-json", ROOT
    yield "binary: data with something after it", raw_request("{}{}", mode="binary"), "not-json", ROOT
    yield "binary: data that is not UTF-8", raw_request(b'{"reason":"\xff"}', mode="binary"), ("not-json", "text-invalid"), (
        "", None, "/reason")
    yield "base64: data that is no JSON", raw_request("{]", mode="base64"), "not-json", ROOT
    yield "JSON deeper than 32", raw_request('{%s,"reason":%s}' % (good, deep)), "too-deep", ANY
    yield "binary: JSON deeper than 32", raw_request('{%s,"reason":%s}' % (good, deep), mode="binary"), "too-deep", ANY
    yield "duplicate member", raw_request('{%s,"requester":"q"}' % good), "duplicate-member", ("/requester",)
    yield "duplicate member, written with an escape", raw_request('{%s,"\\u0072equester":"q"}' % good), "duplicate-member", (
        "/requester",)
    yield "binary: duplicate member", raw_request('{%s,"requester":"q"}' % good, mode="binary"), "duplicate-member", ("/requester",)
    yield "U+0000 in a text", raw_request('{%s,"reason":"a\\u0000"}' % good), "text-invalid", ("/reason",)
    yield "U+0000 in a name", raw_request('{%s,"a\\u0000b":"a"}' % good), "text-invalid", ("",)  # of the object: no answer holds U+0000
    yield "unknown member", request(colour="red"), "unknown-member", ("/colour",)
    yield "unknown member whose pointer is escaped", request(**{"a/b~c": 1}), "unknown-member", ("/a~1b~0c",)
    for member in ("releaseRef", "targetEnv", "requester"):
        yield f"{member} is required", request(**{member: None}), "schema-invalid", (*ROOT, "/" + member)
        yield f"{member} that is no text", request(**{member: 7}), "schema-invalid", ("/" + member,)
    for text in ("4f1c", "4F" * 20, "g" * 40, "4f" * 20 + "0", "main", ""):
        yield f"releaseRef {text[:12]!r} is not 40 or 64 lower-case hex digits", request(releaseRef=text), "schema-invalid", (
            "/releaseRef",)
    for text in ("Prod", "1dev", "-dev", "", "d" * 64, "dev_1"):
        yield f"targetEnv {text[:12]!r} is no environment's name", request(targetEnv=text), "schema-invalid", ("/targetEnv",)
    yield "an empty requester", request(requester=""), "schema-invalid", ("/requester",)
    yield "a reason over 1 KiB", request(reason="x" * 1025), ("too-large", "schema-invalid"), ("/reason",)
    yield "a reason that is no text", request(reason=["x"]), "schema-invalid", ("/reason",)
    yield "dryRun that is no boolean", request(dryRun="yes"), "schema-invalid", ("/dryRun",)
    yield "expiresAt that is no instant", request(expiresAt="tomorrow"), "schema-invalid", ("/expiresAt",)
    yield "expiresAt without an offset", request(expiresAt="2026-03-01T10:00:00"), "schema-invalid", ("/expiresAt",)


ANY = None


def build_refusals():
    whole = events.manifest(SHA, artifacts())
    yield "manifest is required", events.event(events.BUILD, PROJECT, {}), "schema-invalid", (*ROOT, "/manifest")
    yield "manifest that is no text", events.event(events.BUILD, PROJECT, {"manifest": {}}), "schema-invalid", ("/manifest",)
    yield "unknown member beside the manifest", events.build(PROJECT, whole, more={"x": 1}), "unknown-member", ("/x",)
    for bundle in ("ghcr.io/acme/shop:1", "release.tar", "ghcr.io/acme/shop@sha256:12"):
        yield f"bundle {bundle} is no OCI reference by digest", events.build(PROJECT, whole, more={"bundle": bundle}), (
            "schema-invalid", "digest-invalid"), ("/bundle",)
    yield "a request's type on the builds topic", events.event(events.REQUEST, PROJECT, {}), "unknown-type", ROOT
    yield "manifest text that is no JSON", build("{]"), ("not-json", "manifest-invalid"), ("/manifest",)
    yield "manifest text deeper than 32", build("[" * 40 + "]" * 40), ("too-deep", "manifest-invalid"), ("/manifest",)
    yield "manifest: duplicate member", build(whole.replace('"gitSha"', '"schemaVersion": "1.0.0", "gitSha"', 1)), "duplicate-member", (
        "/manifest/schemaVersion",)
    yield "manifest: U+0000", build(events.manifest(SHA, artifacts(name="a\0b"))), "text-invalid", ("/manifest/artifacts/0/name",)
    yield "manifest: unknown member", build(extra=1), "unknown-member", ("/manifest/extra",)
    yield "manifest: unknown member of an artifact", build(artifacts=artifacts(size=1)), "unknown-member", (
        "/manifest/artifacts/0/size",)
    for member in ("schemaVersion", "gitSha", "buildTimestamp", "artifacts", "sbomReference", "evidenceReference", "attestation"):
        yield f"manifest: {member} is required", build(**{member: None}), ("schema-invalid", "manifest-invalid"), (
            "/manifest", "/manifest/" + member)
    yield "manifest: artifact without a digest", build(artifacts=[{"name": "a", "type": "binary"}]), (
        "schema-invalid", "manifest-invalid"), ("/manifest/artifacts/0", "/manifest/artifacts/0/digest")
    yield "manifest: artifact type", build(artifacts=artifacts(type="jar")), ("schema-invalid", "manifest-invalid"), (
        "/manifest/artifacts/0/type",)
    yield "manifest: short gitSha", build(events.manifest("4f1c", artifacts())), ("schema-invalid", "manifest-invalid"), (
        "/manifest/gitSha",)
    yield "manifest: no artifacts", build(artifacts=[]), ("schema-invalid", "manifest-invalid"), ("/manifest/artifacts",)
    yield "manifest: 257 artifacts", build(artifacts=[events.artifact(f"a{i}") for i in range(257)]), (
        "schema-invalid", "manifest-invalid", "too-large"), ("/manifest/artifacts",)
    yield "manifest: an instant that is none", build(buildTimestamp="2026-02-30T10:00:00Z"), ("schema-invalid", "manifest-invalid"), (
        "/manifest/buildTimestamp",)
    for digest in ("sha256:mock", "sha256:" + "A" * 64, "md5:" + "a" * 32, SHA512[:-1], "a" * 64, ""):
        yield f"manifest: digest {digest[:16]!r}", build(artifacts=artifacts(digest=digest)), "digest-invalid", (
            "/manifest/artifacts/0/digest",)
    yield "manifest: a uri whose digest is another", build(artifacts=artifacts(digest=SHA256, uri="ghcr.io/a/b@sha256:" + "b" * 64)), \
        "digest-invalid", ("/manifest/artifacts/0/uri", "/manifest/artifacts/0/digest")
    yield "manifest: the SBOM's digest", build(sbomReference={"uri": "s", "digest": "sha256:mock"}), "digest-invalid", (
        "/manifest/sbomReference/digest",)
    yield "manifest: two artifacts of one name", build(artifacts=artifacts(events.artifact())), "manifest-invalid", (
        "/manifest/artifacts/1/name", "/manifest/artifacts/1", "/manifest/artifacts")
    yield "manifest: enabled without a signature", build(**attestation(status="enabled", signatures=[])), "manifest-invalid", (
        "/manifest/attestation/signatures", "/manifest/attestation")
    yield "manifest: a signature of an artifact that is not there", build(**attestation(
        status="enabled", signatures=[SIGNATURE | {"artifact": "ghost"}])), "manifest-invalid", (
        "/manifest/attestation/signatures/0/artifact",)
    yield "manifest: disabled without an issueLink", build(**attestation(status="disabled")), "manifest-invalid", (
        "/manifest/attestation/issueLink", "/manifest/attestation")


def accepted_builds():
    yield "an artifact with sha512", artifacts(digest=SHA512)
    yield "256 artifacts", [events.artifact(f"a{i}", "binary") for i in range(256)]
    yield "a uri with docker:// and an agreeing digest", artifacts(digest=SHA256, uri="docker://ghcr.io/acme/shop:1@" + SHA256)
    yield "a uri with oci:// and a port", artifacts(uri="oci://reg.example:5000/acme/shop:1")
    yield "an artifact without a uri", [events.artifact("tool", "binary")]


def check_refused(sluice, event, codes, paths):
    answer = sluice.follower.answer(event)
    equal(answer.type, "dev.sluice.event.refused.v1", f"the answer's type ({answer})")
    one_of(answer.data["code"], (codes,) if isinstance(codes, str) else codes, "the code")
    true(answer.data["message"], "no message")
    if paths is not ANY:
        one_of(answer.data.get("path"), paths, f"the path ({answer.data['message']})")
    equal(answer.data["final"], True, "final")
    equal(answer.data["project"], PROJECT, "project")
    equal({name: answer.data["request"].get(name) for name in ("source", "id")}, {"source": event.source, "id": event.id}, "request")


def main():
    tap = Tap()
    with Installation() as sluice:
        sluice.worker()
        refused = list(envelope_refusals()) + list(data_refusals())
        builds = list(build_refusals())
        for _, event, *_ in refused:
            sluice.send(event, "requests")
        for _, event, *_ in builds:
            sluice.send(event, "builds")
        for name, event, codes, paths in refused + builds:
            with tap.case(name):
                check_refused(sluice, event, codes, paths)

        limit = request(reason="")
        limit.headers = [("padding", b"")]
        room = 1_000_000 - sum(len(part) for part in (PROJECT.encode(), limit.record()[2], b"content-type", events.STRUCTURED, b"padding"))
        limit.headers = [("padding", b"x" * room)]
        with tap.case("a record of exactly 1,000,000 bytes is taken"):
            equal(sluice.ask(limit).type, "dev.sluice.promotion.waiting.v1", "the answer's type")
        with tap.case("a reason of exactly 1 KiB is taken"):
            equal(sluice.ask(request(reason="x" * 1024, releaseRef=events.fresh_sha())).type, "dev.sluice.promotion.waiting.v1",
                  "the answer's type")
        for name, those in accepted_builds():
            with tap.case("taken: " + name):
                answer = sluice.ask(events.build(PROJECT, events.manifest(events.fresh_sha(), those)))
                equal(answer.type, "dev.sluice.release.verified.v1", f"the answer's type ({answer})")

        with tap.case("foreign-partition names the setting that mends it"):
            home = forms.murmur2(PROJECT.encode()) % sluice.shards
            foreign = request()
            foreign.partition = (home + 1) % sluice.shards
            sluice.send(foreign)
            answer = sluice.follower.answer(foreign)
            equal((answer.type, answer.data["code"]), ("dev.sluice.event.refused.v1", "foreign-partition"), "the answer")
            true("murmur2_random" in answer.data["message"] and "partitioner" in answer.data["message"], answer.data["message"])
            equal(answer.partition, foreign.partition, "the answer's partition")

        with tap.case("what is refused does not claim its id: the mended event is taken"):
            mended = request(releaseRef=events.fresh_sha())
            mended.attributes["id"] = refused[-1][1].id
            sluice.send(mended)
            equal(sluice.follower.answer(mended, 2).type, "dev.sluice.promotion.waiting.v1", "the second answer's type")
        with tap.case("event-id-conflict: the same id with other data"):
            first = request(releaseRef=events.fresh_sha())
            sluice.ask(first)
            second = request(releaseRef=events.fresh_sha())
            second.attributes["id"] = first.id
            sluice.send(second)
            answer = sluice.follower.answer(first, 2)
            equal((answer.type, answer.data["code"]), ("dev.sluice.event.refused.v1", "event-id-conflict"), "the answer")
        with tap.case("event-id-conflict: the same id with another type"):
            other = events.build(PROJECT, events.manifest(events.fresh_sha(), artifacts()), id=first.id)
            sluice.send(other)
            answer = sluice.follower.answer(first, 3)
            equal((answer.type, answer.data["code"]), ("dev.sluice.event.refused.v1", "event-id-conflict"), "the answer")
        with tap.case("the same id from another source is another event"):
            other = request(releaseRef=events.fresh_sha())
            other.attributes |= {"id": first.id, "source": "https://elsewhere.example"}
            equal(sluice.ask(other).type, "dev.sluice.promotion.waiting.v1", "the answer's type")
        with tap.case("refusals change nothing"):
            sluice.settle()
            shas = {row[0] for row in sluice.rows("SELECT git_sha FROM release UNION SELECT git_sha FROM promotion")}
            equal(sluice.rows("SELECT count(*) FROM release WHERE git_sha = %s", SHA)[0][0], 0, "releases of a refused manifest")
            true(SHA in shas, "the record of exactly 1,000,000 bytes opened a promotion")
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
