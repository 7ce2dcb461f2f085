"""CloudEvents as Kafka records, whole or deliberately wrong."""
import base64
import hashlib
import itertools
import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

BUILD = "dev.sluice.build.complete.v1"
REQUEST = "dev.sluice.promotion.requested.v1"
STRUCTURED = b"application/cloudevents+json; charset=UTF-8"
SOURCE = "https://ci.example/run/1"

_counter = itertools.count(1)


def now(**ahead):
    """An RFC 3339 text, from now by timedelta's words: now(days=-31)."""
    return (datetime.now(timezone.utc) + timedelta(**ahead)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def fresh_id():
    return f"t-{uuid.uuid4().hex[:12]}-{next(_counter)}"


def fresh_sha(length=40):
    return (uuid.uuid4().hex + uuid.uuid4().hex)[:length]


def sha256(text):
    return "sha256:" + hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


@dataclass
class Event:
    """Attributes, data, and how it is sent; attributes that are None are absent."""
    attributes: dict
    data: object = None
    raw_data: bytes | None = None  # instead of data
    mode: str = "structured"       # or base64, binary
    key: str | None = "subject"    # the default: the subject itself
    partition: int | None = None   # None: by murmur2 of the key
    headers: list = field(default_factory=list)  # further ones, last

    @property
    def id(self):
        return self.attributes.get("id")

    @property
    def source(self):
        return self.attributes.get("source")

    @property
    def project(self):
        return self.attributes.get("subject")

    @property
    def topic(self):
        return "builds" if self.attributes.get("type") == BUILD else "requests"

    def data_bytes(self):
        return self.raw_data if self.raw_data is not None else json.dumps(self.data, separators=(",", ":"), ensure_ascii=False).encode()

    def record(self):
        """(key, headers, value)"""
        present = {name: value for name, value in self.attributes.items() if value is not None}
        key = present.get("subject") if self.key == "subject" else self.key
        if self.mode == "binary":
            headers = [("ce_" + name, value.encode() if isinstance(value, str) else value) for name, value in present.items()
                       if name != "datacontenttype"]
            headers.append(("content-type", present.get("datacontenttype", "application/json").encode()))
            return key, headers + self.headers, self.data_bytes()
        if self.mode == "base64":
            body = json.dumps(present | {"data_base64": base64.b64encode(self.data_bytes()).decode()}).encode()
        else:
            envelope = json.dumps(present, ensure_ascii=False).encode()
            body = envelope[:-1] + (b", " if present else b"") + b'"data":' + self.data_bytes() + b"}"
        return key, [("content-type", STRUCTURED)] + self.headers, body


def event(kind, project, data, **options):
    attributes = {"specversion": "1.0", "id": options.pop("id", None) or fresh_id(), "source": options.pop("source", SOURCE),
                  "type": kind, "subject": project, "time": options.pop("time", None) or now(),
                  "datacontenttype": "application/json"}
    attributes |= options.pop("attributes", {})
    return Event(attributes, data, **options)


def artifact(name="primary-image", kind="docker-image", digest=None, uri=None):
    return {"name": name, "type": kind, "digest": digest or sha256(name)} | ({"uri": uri} if uri else {})


def manifest(git_sha, artifacts, indent=2, **changes):
    """The manifest's text; a member that is None is left out."""
    document = {
        "schemaVersion": "1.0.0", "gitSha": git_sha, "buildTimestamp": "2026-03-01T09:58:00Z", "artifacts": artifacts,
        "sbomReference": {"uri": "sbom.spdx.json", "digest": sha256("sbom")},
        "evidenceReference": {"uri": "evidence.json", "digest": sha256("evidence")},
        "attestation": {"status": "disabled", "issueLink": "https://github.com/acme/shop/issues/7"},
    } | changes
    return json.dumps({name: value for name, value in document.items() if value is not None}, indent=indent)


def build(project, text, **options):
    return event(BUILD, project, {"manifest": text} | options.pop("more", {}), **options)


def promote(project, git_sha, environment, requester="github:1011", **options):
    more = {name: options.pop(name) for name in ("dryRun", "expiresAt", "reason") if name in options}
    return event(REQUEST, project, {"releaseRef": git_sha, "targetEnv": environment, "requester": requester} | more
                 | options.pop("more", {}), **options)
