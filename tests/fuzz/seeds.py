#!/usr/bin/python3
"""Makes a fuzz target's first inputs and its dictionary: seeds.py TARGET FOLDER DICTIONARY

The inputs are what our own tests, schemas and examples hold (the string literals of unit tests too), and the published vectors
in $SLUICE_VECTORS when they are there; the dictionary is the string literals of the sources that the target covers, and a few
words by hand. Nothing of it is kept in the repository.
"""
import hashlib
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VECTORS = Path(os.environ.get("SLUICE_VECTORS") or ROOT.parent / "shared" / "vectors")
SHA = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "sha256:" + "a" * 64
ESCAPES = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "b": b"\b", "f": b"\f", "v": b"\v", "a": b"\a"}


def unescape(literal):
    """The bytes of a C string literal's inside."""
    out, i = b"", 0
    while i < len(literal):
        c = literal[i]
        if c != "\\":
            out += c.encode()
            i += 1
            continue
        hexadecimal = re.match(r"x([0-9a-fA-F]{1,2})", literal[i + 1:])
        octal = re.match(r"[0-7]{1,3}", literal[i + 1:])
        if hexadecimal:
            out += bytes([int(hexadecimal.group(1), 16)])
            i += 1 + len(hexadecimal.group(0))
        elif octal:
            out += bytes([int(octal.group(0), 8) & 255])
            i += 1 + len(octal.group(0))
        else:
            out += ESCAPES.get(literal[i + 1], literal[i + 1].encode())
            i += 2
    return out


def literals(path):
    """The string literals of a C file, neighbours joined."""
    text = re.sub(r"/\*.*?\*/", "", (ROOT / path).read_text(), flags=re.S)
    text = re.sub(r"^\s*#\s*include.*$", "", text, flags=re.M)
    for match in re.finditer(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*', text):
        yield b"".join(unescape(part) for part in re.findall(r'"((?:[^"\\\n]|\\.)*)"', match.group(0)))


def files(*patterns):
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            yield path.read_bytes()


def vectors(pattern):
    for path in sorted(VECTORS.glob(pattern)):
        if path.is_file():
            yield path.read_bytes()


# ---- documents ----

def manifest(**changes):
    document = {
        "schemaVersion": "1.0", "gitSha": SHA, "buildTimestamp": "2026-03-01T10:00:00Z",
        "artifacts": [{"name": "app", "type": "docker-image", "digest": DIGEST, "uri": "ghcr.io/acme/shop@" + DIGEST},
                      {"name": "tool", "type": "binary", "digest": "sha512:" + "0" * 128}],
        "sbomReference": {"uri": "sbom.json", "digest": DIGEST}, "evidenceReference": {"uri": "evidence.json"},
        "attestation": {"status": "disabled", "issueLink": "https://issues.example/1"}}
    document.update(changes)
    return document


def manifests():
    enabled = {"status": "enabled", "signatures": [{"artifact": "app", "bundle": "x", "predicateType": "https://slsa.dev/provenance/v1"}]}
    yield json.dumps(manifest()).encode()
    yield json.dumps(manifest(), indent=2).encode()
    yield json.dumps(manifest(attestation=enabled)).encode()
    yield json.dumps(manifest(attestation={"status": "enabled", "signatures": []})).encode()
    yield json.dumps(manifest(attestation={"status": "disabled"})).encode()
    yield json.dumps(manifest(attestation={"status": "enabled", "signatures": [{"artifact": "none"}]})).encode()
    yield json.dumps(manifest(buildTimestamp="2026-02-30T10:00:00Z")).encode()
    yield json.dumps(manifest(artifacts=[{"name": "a", "type": "binary", "digest": DIGEST}] * 2)).encode()
    yield json.dumps(manifest(artifacts=[{"name": "a", "type": "docker-image", "digest": DIGEST,
                                          "uri": "https://user@host/x@sha256:" + "b" * 64}])).encode()
    yield json.dumps(manifest(artifacts=[{"name": "a", "type": "binary", "digest": "md5:1", "uri": "x@sha256:1"}])).encode()
    yield json.dumps(manifest(artifacts=[{"name": "n" * 200, "type": "binary", "digest": "é" * 100}])).encode()
    yield json.dumps(manifest(artifacts="none")).encode()
    yield json.dumps(manifest(unknown=1)).encode()
    yield json.dumps(manifest(promotionHistory=[{"environment": "dev", "timestamp": "2026-03-01T10:00:00Z", "promotedBy": "x",
                                                 "gitSha": SHA}])).encode()
    yield json.dumps(manifest(promotionHistory=[{"timestamp": "yesterday"}])).encode()


def event(type_, data, **attributes):
    document = {"specversion": "1.0", "id": "1", "source": "/ci", "subject": "acme/shop", "type": type_,
                "time": "2026-03-01T10:00:00Z", "datacontenttype": "application/json"}
    document.update(attributes)
    if data is not None:
        document["data"] = data
    return {name: value for name, value in document.items() if value != "absent"}


BUILD, REQUEST = "dev.sluice.build.complete.v1", "dev.sluice.promotion.requested.v1"
STRUCTURED = "content-type=application/cloudevents+json; charset=utf-8\n"


def record(headers, value, topic=""):
    return (topic + headers + "\n").encode() + (value if isinstance(value, bytes) else json.dumps(value).encode())


def binary(type_, **attributes):
    names = event(type_, None, **attributes)
    names.pop("datacontenttype", None)
    return "".join(f"ce_{name}={value}\n" for name, value in names.items()) + "content-type=application/json\n"


def events():
    build = {"manifest": json.dumps(manifest())}
    unsigned = {"manifest": json.dumps(manifest(artifacts=[{"name": "tool", "type": "binary", "digest": DIGEST}]))}
    request = {"releaseRef": SHA, "targetEnv": "dev", "requester": "github:1011"}
    full = dict(request, dryRun=True, reason="because", expiresAt="2026-03-02T10:00:00Z")
    yield record(STRUCTURED, event(BUILD, build))
    yield record(STRUCTURED, event(BUILD, unsigned))
    yield record(STRUCTURED, event(REQUEST, request), "@requests\n")
    yield record(STRUCTURED, event(REQUEST, full), "@key=acme/shop\n@requests\n")
    yield record(STRUCTURED, event(REQUEST, dict(request, expiresAt="2020-01-01T00:00:00Z")), "@requests\n")
    yield record(STRUCTURED, event(REQUEST, dict(request, reason="é" * 600)), "@requests\n")
    yield record(STRUCTURED, event(REQUEST, dict(request, targetEnv="staging")), "@requests\n")
    yield record(STRUCTURED, event(REQUEST, dict(request, more=1)), "@requests\n")
    yield record(STRUCTURED, event(REQUEST, request), "@two\n@requests\n")
    for subject in "other/shop", "a", "b", "acme/x", "acme/z":  # the last one belongs on the other shard
        yield record(STRUCTURED, event(REQUEST, request, subject=subject), "@two\n@requests\n")
    yield record(STRUCTURED, event(REQUEST, request, subject="other/shop"), "@requests\n")
    yield record(STRUCTURED, event(REQUEST, request))
    yield record(STRUCTURED, event(BUILD, {"manifest": "{}"}))
    yield record(STRUCTURED, event(BUILD, {"manifest": json.dumps(manifest(gitSha="x"))}))
    yield record(STRUCTURED, event(BUILD, None, data_base64="eyJhIjoxfQ=="))
    yield record(STRUCTURED, event(BUILD, None, data_base64="eyJhIjoxfQ"))
    yield record(STRUCTURED, event(BUILD, {"a": 1}, data_base64="eyJhIjoxfQ=="))
    yield record(STRUCTURED, event("unknown", {}))
    yield record(STRUCTURED, event("absent", {}))
    for time in "absent", "yesterday", "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z":
        yield record(STRUCTURED, event(REQUEST, request, time=time), "@requests\n")
    for broken in {"specversion": "0.3"}, {"datacontenttype": "text/plain"}, {"datacontenttype": None}, {"id": ""}, \
            {"source": "absent"}, {"subject": "absent"}, {"subject": "a b"}, {"id": "absent"}, {"id": "x" * 300}, \
            {"source": "x" * 300}, {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"type": "a\0b"}:
        yield record(STRUCTURED, event(REQUEST, request, **broken), "@requests\n")
        yield record(binary(REQUEST, **broken), request, "@requests\n")
    yield record(STRUCTURED, b'{"id":"1","id":"2","source":"/ci","subject":"acme/shop"}')
    yield record(STRUCTURED, b'{"specversion":"1.0","id":"1","source":"/ci","subject":"acme/shop","x":1,"x":2,"data":{}}')
    yield record(STRUCTURED, b'{"specversion":"1.0","id":"1","source":"/ci","subject":"acme/shop","data":{"a":{"b":1,"b":2}}}')
    yield record(STRUCTURED, b'{"specversion":"1.0","id":"1","source":"/ci","subject":"acme/shop","data":{"\\u0000":"a\\u0000"}}')
    yield record(STRUCTURED, b'{"id":"1","source":"/ci","subject":"acme/shop","data":' + b"[" * 40 + b"]" * 40 + b"}")
    yield record(STRUCTURED, b'{"id":"1","id":"2","source":"/ci","data":' + b"[" * 40 + b"]" * 40 + b"}")
    yield record(STRUCTURED, b'{"id":"1","source":"/ci","subject":"acme/shop","data":[' + b"1," * 60000 + b"1]}")
    yield record(STRUCTURED, event(REQUEST, dict(request, reason="x" * 1000000)), "@requests\n")
    yield record(STRUCTURED, b"[]")
    yield record(STRUCTURED, b"{")
    yield record("content-type=application/cloudevents-batch+json\n", b"[]")
    yield record("@null\n" + STRUCTURED, b"")
    yield record(binary(BUILD), build)
    yield record(binary(REQUEST), request, "@requests\n")
    yield record(binary(REQUEST) + "nothing\n", b"no JSON", "@requests\n")
    yield record(binary(REQUEST).replace("application/json", "text/plain"), request, "@requests\n")
    yield record(binary(REQUEST), b'{"a":1,"a":"\\u0000"}', "@requests\n")


def answers():
    """Records of the results and the dead-letter topic."""
    request = {"source": "/ci", "id": "1", "type": REQUEST, "requester": "github:1"}
    condition = {"type": "artifact", "subject": "app", "status": "unmet", "code": "registry-busy", "message": "later",
                 "since": "2026-03-01T10:00:00Z", "facts": {"status": 429}}
    data = {"project": "acme/shop", "release": {"gitSha": SHA, "manifestDigest": DIGEST}, "environment": "dev",
            "promotionId": "a" * 26, "outcome": "waiting", "final": False, "request": request, "code": "c", "message": "m",
            "conditions": [condition, dict(condition, status="met"), dict(condition, status="failed")],
            "decidedAt": "2026-03-01T10:00:00Z", "expiresAt": "2026-03-08T10:00:00Z"}
    for kind, changes in (("promotion.waiting", {}), ("promotion.promoted", {"outcome": "promoted", "final": True}),
                          ("promotion.rejected", {"outcome": "rejected", "final": True}),
                          ("promotion.evaluated", {"outcome": "evaluated", "wouldBe": "promoted", "final": True}),
                          ("release.verified", {"outcome": "verified", "final": True}),
                          ("event.refused", {"path": "/data/x", "final": True}),
                          ("event.duplicate", {"original": {"outcome": "promoted", "code": "c", "final": True}}),
                          ("event.duplicate", {"original": {"final": False}})):
        for id_ in "1", '"1\\':
            value = dict(data, request=dict(request, id=id_), **changes)
            yield record(f"ce_type=dev.sluice.{kind}.v1\nce_ledgershard=0\nce_ledgersequence=5\nce_ledgerhash={DIGEST}\n", value)
    for name in data:  # found by fuzzing: what would clear a terminal, in every text
        if isinstance(data[name], str):
            steering = "\u001b[2J" + data[name] + "\u009b2J"
            for type_ in "promotion.promoted", "promotion.waiting", "promotion.evaluated", "event.refused", "event.duplicate":
                yield record(f"ce_type=dev.sluice.{type_}.v1\n",
                             dict(data, final=True, wouldBe="\u001b[2J", path="\u001b[2J", **{name: steering},
                                  original={"outcome": "\u001b[2J", "code": "\u001b[2J"}))
    steering = {name: "\u001b[2J" + text for name, text in condition.items() if isinstance(text, str)}
    release = {"gitSha": "\u001b[2J" + SHA, "manifestDigest": DIGEST}
    for type_ in "promotion.rejected", "promotion.waiting":
        yield record(f"ce_type=dev.sluice.{type_}.v1\n", dict(data, final=True, conditions=[steering], release=release))
    error = {"code": "not-cloudevent", "message": "there is no id", "topic": "release.builds", "partition": 3, "offset": 17,
             "at": "2026-03-01T10:00:00Z"}
    yield record(f"@key=k\nsluice_error={json.dumps(error)}\nnothing\n", b"\xff\x1b[2J\xc2\x9b0m")
    yield record(f"@key=\xff\nsluice_error={json.dumps(dict(error, partition=-1, code=None))}\n", b"x" * 5000)
    yield record("sluice_error=no JSON\n", b"text")


def schemas():
    for path in sorted(VECTORS.glob("json-schema-draft7/**/*.json")):
        if "remotes" in path.parts:
            continue
        for group in json.loads(path.read_text()):
            for test in group["tests"]:
                yield json.dumps({"schema": group["schema"], "data": test["data"]}).encode()
    many = [*range(10), *(str(n) for n in range(5)), {"a": 1, "b": [1, 2]}, [1, {"c": None}], [], {}, None, True, False, 1.5, 1e3]
    for twin in ({"b": [1.0, 2], "a": 1}, 1000, "3", [1, {"c": None}], 15e-1, True, {"a": 2}, -0.0):
        for schema in {"uniqueItems": True}, {"enum": [many + [twin]]}, {"const": many + [twin]}:
            yield json.dumps({"schema": schema, "data": many + [twin]}).encode()
    remote = {"http://x/a": {"definitions": {"n": {"$id": "#n", "type": "integer"}}}, "http://x/b": {"a": 1, "a ": 2}}
    for reference in "http://x/a#n", "http://x/a#/definitions/n", "a#n", "http://x/b", "http://x/c", "#/definitions/none":
        yield json.dumps({"schema": {"$id": "http://x/y/../s", "properties": {"p": {"$ref": reference}}}, "data": {"p": "1"},
                          "documents": remote}).encode()
    for path in sorted(ROOT.glob("common/schemas/*.json")):
        yield json.dumps({"schema": json.loads(path.read_text()), "data": manifest()}).encode()
    for text in (b'{"schema":{"type":"a","type":"b"}}', b'{"schema":{"$ref":"#"}}', b'{"schema":{"anyOf":[]},"data":1}',
                 b'{"schema":{"allOf":[{"$ref":"#"}]}}', b'{"schema":{"$schema":"http://json-schema.org/draft-04/schema#"}}',
                 b'{"schema":{"uniqueItems":true},"data":[1,1.0,{"a":1,"b":2},{"b":2,"a":1}]}',
                 b'{"schema":{"multipleOf":0}}', b'{"schema":{"minLength":-1}}', b'{"schema":{"properties":{"a~b/c%":{"$id":"x"}},'
                 b'"items":{"$ref":"#/properties/a~0b~1c%25"}},"data":[1]}'):
        yield text


def schema_strings(keyword):
    """The values of that keyword in the vectors, each with the strings it was tested on."""
    for path in sorted(VECTORS.glob("json-schema-draft7/**/*.json")):
        if "remotes" in path.parts:
            continue
        for group in json.loads(path.read_text()):
            if not isinstance(group["schema"], dict) or not isinstance(group["schema"].get(keyword), str):
                continue
            for test in group["tests"]:
                if isinstance(test["data"], str):
                    yield group["schema"][keyword].encode("utf-8", "ignore"), test["data"].encode("utf-8", "ignore")


def lookups():
    found = f"200\ndocker-content-digest: {DIGEST}\n\n"
    typed = "200\nContent-Type: application/vnd.oci.image.manifest.v1+json; x\n\n"
    bearer = '401\nwww-authenticate: Bearer realm="https://auth.example/token",service="r"' \
             ',scope="repository:acme/shop:pull"\n\n'
    token = '200\n\n{"token":"abc","expires_in":300}\n'
    basic = '401\nwww-authenticate: Basic realm="r"\n\n'
    yield "--\n".join([found] * 8).encode()
    yield "--\n".join([typed] * 8).encode()
    yield "--\n".join([bearer, token, found, "404\n"] * 4).encode()
    yield "--\n".join([bearer, bearer, bearer, bearer, token, token, token, typed, typed, typed, bearer]).encode()
    yield "--\n".join([bearer.replace("auth.example", "evil.example")] * 8).encode()
    yield "--\n".join([bearer.replace("https://auth.example", "https://auth.docker.io")] * 8).encode()
    yield "--\n".join([bearer, "401\n", "403\n", "500\n", "429\n", "200\n\n{}\n"] * 3).encode()
    yield "--\n".join([basic, found, basic, "401\n"] * 4).encode()
    yield "--\n".join(["404\n", "403\n", "429\nretry-after: 3\n", "503\nretry-after: 7\n", "301\n", "418\n"] * 3).encode()
    yield "--\n".join(["timeout\n", "refused\n", "large\n", "failed\n"] * 8).encode()
    yield "--\n".join(["later" + found, "later404\n", "later" + bearer, "later" + token, "latertimeout\n"] * 6).encode()
    yield "--\n".join(["later" + bearer, "later" + token, "later" + found] * 9).encode()
    yield "--\n".join(["200\n\n", "200\ndocker-content-digest: x\n\n", found.replace("a" * 64, "c" * 64)] * 6).encode()
    yield "--\n".join(["failed\n"] * 60).encode()


def headers():
    yield from literals("tests/unit/test_registry_parts.c")
    yield b'WWW-Authenticate: Negotiate YWJj==, Basic realm="b", , Bearer realm="https://a/t?x=1", service=s,scope="a\\"b"\r\n'
    for date in "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994":
        yield date.encode()
        yield f"Retry-After: {date}\r\nDate: {date}\r\n".encode()
    yield b"Retry-After: 120\r\n"
    yield b"x: 1\r\nX:1\nx:\t1 \r\nContent-Type: a\r\n"
    for url in "https://[::1]:443/a?b", "http://h:1/", "https://h/a#b", "https://h:99999/", "https://h\\@g/", "https://u@h/":
        yield url.encode()


def auths():
    for entry in ({"auth": "dTpw"}, {"username": "u", "password": "p"}, {"username": "u:v", "password": "p"}, {"auth": "?"}, {},
                  {"username": "user", "password": "pass"}, {"username": "us", "password": "pas"}):
        yield json.dumps({"auths": {"https://r.example/v2/": entry, "docker.io": entry, "http://r:5000": entry}}).encode()
    yield b'{"auths":[]}'
    yield b"[]"
    for token in ({"token": "abc"}, {"access_token": "abc", "expires_in": 99999}, {"token": "a b"}, {"token": "abc", "expires_in": -1},
                  {"token": ""}):
        yield json.dumps(token).encode()
    for place in "https://r.example/token\nr.example", "https://auth.example/x\nr.example:443", "https://other:8443/\nr.example", \
            "http://r.example/\nr.example", "https://auth.docker.io/token\nregistry-1.docker.io", "https://gitlab.com/jwt\nregistry.gitlab.com":
        yield place.encode()


def configs():
    for text in files("deploy/sluice.example.yaml"):
        yield b"\n" + text
    for text in literals("tests/unit/test_config.c"):
        yield text if b"=" in text and b":" not in text else b"\n" + text
    yield b"SLUICE_KAFKA_SASL_PASSWORD=x\nSLUICE_WORKER_LANES=3\nSLUICE_REGISTRY_WAIT=700ms\n\nworker:\n  lanes: 2\n"
    yield b"SLUICE_DATABASE_URL_FILE=@\nSLUICE_KAFKA_SASL_PASSWORD_FILE=@\n\n\n---\nsecret\r\n"
    yield b"SLUICE_DATABASE_URL_FILE=@\nSLUICE_DATABASE_URL=x\n\n"
    yield b"SLUICE_DATABASE_URL_FILE=@\n\n\n---\n"
    yield b"SLUICE_DATABASE_URL_FILE=/nowhere/at/all\n\n"
    yield b"SLUICE_KAFKA_CLIENT_ID_FILE=@\nSLUICE_WORKER_NAME=\nSLUICE_WORKER_NMAE=x\n\n"
    yield b"SLUICE_KAFKA_" + b"A" * 200 + b"=1\n\n"
    yield b"SLUICE_KAFKA_ISOLATION_LEVEL=x\n\n"
    yield b"\nkafka:\n  bootstrap-servers: 'a:1'\n  sasl.password: p\n  client.id: x\n  client.id2: [a]\n"
    yield b"\nkafka:\n" + b"".join(b"  p%d: 1\n" % i for i in range(300))
    for wrong in b"worker.lanes: 2\n", b"wroker:\n  lanes: 2\n", b"worker: 3\n", b"worker:\n  lane: 3\n", b"- 1\n", b"topic-prefix: a/b\n", \
            b"worker:\n  lanes: 0\n", b"worker:\n  log-level: loud\n", b"registry:\n  wait: 5x\n", b"database:\n  schema: pg_x\n", \
            b"worker:\n  listen: '[::1]:80'\n", b"worker:\n  listen: 'x:99999'\n", b"worker:\n  name: 'a b'\n", b"zzzzzzzzzzzz: 1\n":
        yield b"\n" + wrong


def ledgers():
    def piece(value):
        return b"\xff\xff\xff\xff" if value is None else len(value).to_bytes(4, "big") + value

    def entry(key, fields, value):
        return piece(key) + len(fields).to_bytes(4, "big") + b"".join(piece(n) + piece(v) for n, v in fields) + piece(value)
    plain = entry(b"k", [(b"ce_id", b"1"), (b"n", None)], b"value")
    attributes = event(REQUEST, {}, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    structured = entry(None, [(b"content-type", b"application/cloudevents+json")], json.dumps(attributes).encode())
    yield plain
    yield structured
    yield entry(None, [], None)
    yield plain[:-1]
    yield plain + b"x"
    yield piece(None) + b"\0\0\1\0" + piece(b"")
    for answer in answers():
        decision = answer.partition(b"\n\n")[2]
        yield b"D\n" + decision
        yield b"D\n" + decision + b"\n\n" + structured
        yield b"D\n" + decision + b"\n\n" + plain
        yield b"D\n" + decision + b"\n\n" + plain[:-3]
    yield b"D\n{}"


def formats():
    yield from (text for _, text in schema_strings("format"))
    yield from literals("tests/unit/test_schema.c")
    yield from literals("common/schema_format.c")
    for text in ("2026-03-01T10:00:00Z", "1998-12-31T23:59:60Z", "2001:db8::1", "::ffff:192.0.2.1", "a@b.example", '"a b"@[IPv6:::1]',
                 "https://user@[::1]:80/a%20b?c#d", "http://example.com/~{user}{?q*,r:3}{+x}{/y}", "/a~0b/0", "1/a", "0#", "xn--nxasmq6b",
                 "a.b-c.example", "日本.example", "a·b", "l·l", "ab--c", "\u0375\u03b1", "\u05d0\u05f3", "\u30fb\u30ab", "a\u0661b", "\u0661",
                 "urn:x:y", "//h/p", "a:b/c", "[a-z]+", "10:00:00+01:00"):
        yield text.encode()


def patterns():
    yield from (expression + b"\n" + text for expression, text in schema_strings("pattern"))
    yield from literals("tests/unit/test_schema.c")
    for path in sorted(VECTORS.glob("json-schema-draft7/**/*.json")):
        for found in re.findall(r'"(?:pattern|\^[^"]*)": *("(?:[^"\\]|\\.)*")', path.read_text()):
            yield json.loads(found).encode("utf-8", "ignore") + b"\nabc"
    for expression in (r"^(a+)+$", r"\p{Script=Greek}\P{L}", r"[\s\S]\cA\x41\u0041\u{1F600}", r"(?<n>a)\k<n>(?=b)(?!c)(?<=d)(?<!e)",
                       r"[^]", r"[]", r"\1(a)", r"a{1,2}?b{3,}c*+", r"(?i)a", r"\A", r"[a-\d]", r"\d\D\w\W\b\B", r"[[:alpha:]]", r"(*UTF)",
                       r"\p{Letter}\p{Lu}[\p{N}\-]", r"a|b||c", r"\/\-\.\$", r"(?:", r"*", r"{", r"a{2", r"\ud83d\ude00"):
        yield expression.encode() + b"\naaaaaaaaaaaaaaaaaaaaaaaab"


def texts():
    yield from literals("tests/unit/test_text.c")
    yield from literals("tests/unit/test_manifest.c")
    yield from literals("tests/unit/test_registry_parts.c")
    for text in ("acme/shop", "staging", SHA, DIGEST, "sha512:" + "0" * 128, "2026-03-01T10:00:00.123456+01:00", "1998-12-31T23:59:60Z", "10m",
                 "500ms", "2w", "18446744073709551615", "a" * 26, "docker://ghcr.io/acme/shop:v1@" + DIGEST, "oci://[2001:db8::1]:5000/a/b__c-d.e",
                 "localhost/a", "127.0.0.1:80/x", "10.0.0.1", "192.168.1.1", "169.254.1.1", "::1", "fe80::1", "2002:7f00:1::", "64:ff9b::7f00:1",
                 "é日本😀"):
        yield text.encode()


SEEDS = {
    "json": lambda: [*vectors("json-parsing/*"), *files("common/schemas/*.json"), *literals("tests/unit/test_json.c"),
                     *(number.encode() for number in ("1e2", "-0.10e+3", "9223372036854775807", "-9223372036854775808", "1E400", "123.456"))],
    "decode": lambda: [*events(), *(STRUCTURED.encode() + b"\n" + text for text in literals("tests/unit/test_cloudevent.c"))],
    "ledger": lambda: [*ledgers()],
    "manifest": lambda: [*manifests(), *literals("tests/unit/test_manifest.c")],
    "schema": lambda: [*schemas(), *literals("tests/unit/test_schema.c")],
    "schema_format": lambda: [*formats()],
    "schema_pattern": lambda: [*patterns()],
    "policy": lambda: [*files("deploy/policy.example.yaml"), *literals("tests/unit/test_policy.c"), *literals("tests/unit/test_yaml_tree.c")],
    "config": lambda: [*configs()],
    "registry_headers": lambda: [*headers()],
    "registry_auth": lambda: [*auths()],
    "registry_lookup": lambda: [*lookups()],
    "text": lambda: [*texts()],
    "command_answer": lambda: [*answers(), *events()],
}

# Words that no source spells out.
WORDS = {
    "json": [b"\\u0000", b"\\ud83d\\ude00", b"e+1", b"\xef\xbb\xbf", b"[[[[[[[["],
    "decode": [b"\n\n", b"\\u0000", b"@requests\n", b"@null\n", b"data_base64", STRUCTURED.encode()],
    "policy": [b"&a ", b"*a", b"!!str ", b"---\n", b"...\n", b"%YAML 1.2\n", b"|\n", b">-\n", b"<<: ", b"? ", b"\t"],
    "config": [b"\n---\n", b"_FILE=@\n", b"\n\n", b"&a ", b"*a"],
    "registry_headers": [b"GMT", b"Mon, ", b" Jan ", b"https://", b"[::1]", b"\r\n"],
    "registry_lookup": [b"--\n", b"later", b"timeout\n", b"Bearer realm=\"https://r.example/t\""],
    "schema": [b"\"$ref\":\"#/", b"\"$id\":\"", b"\"documents\":{", b"..", b"%25", b"~1"],
    "schema_pattern": [b"(?<", b"(?:", b"\\p{", b"\\u{", b"[^", b"{1,", b"\\k<"],
    "schema_format": [b"xn--", b"::", b"%", b"\xc2\xb7", b"\xe3\x83\xbb", b"\xcd\xb5", b"{+", b"[IPv6:"],
    "text": [b"sha256:", b"docker://", b"oci://", b"T10:00:00", b"+23:59"],
}


def dictionary(target):
    source = (ROOT / f"tests/fuzz/fuzz_{target}.c").read_text()
    covered = re.search(r"\* Covers: ([^*]+)", source).group(1).split()
    words = {word for path in covered for word in literals(path) if 1 < len(word) <= 40 and b"%" not in word}
    if target in ("decode", "manifest", "command_answer"):
        for path in sorted(ROOT.glob("common/schemas/*.json")):
            words.update(name.encode() for name in re.findall(r'"([A-Za-z$][A-Za-z-]{2,30})"', path.read_text()))
    words.update(WORDS.get(target, []))
    for word in sorted(words):
        yield '"' + "".join(chr(c) if 32 <= c < 127 and c not in b'"\\' else f"\\x{c:02x}" for c in word) + '"'


def main():
    target, folder, dictionary_file = sys.argv[1:]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS[target]():
        (folder / hashlib.sha256(seed).hexdigest()[:20]).write_bytes(seed)
    Path(dictionary_file).write_text("\n".join(dictionary(target)) + "\n")


main()
