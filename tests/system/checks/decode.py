"""Reads input records as far as the checker needs: identity, type, the bytes of `data` (CloudEvents 1.0, Kafka binding)."""
import base64
import binascii
import json
import re
from dataclasses import dataclass
from json.decoder import scanstring

_SPACE = re.compile(r"[ \t\n\r]*")


def _no_constant(text):
    raise ValueError(f"{text} is not JSON")


# Numbers are of no interest here, and Python refuses long ones.
_DECODER = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=_no_constant)


@dataclass(slots=True)
class Event:
    source: str
    id: str
    project: str
    type: str | None
    data: bytes | None     # the exact bytes
    attributes: dict       # the other context attributes
    clear: bool            # False when a member stands twice, so that readers may differ

    def document(self):
        try:
            return json.loads(self.data)
        except (TypeError, ValueError):
            return None


def members(text):
    """[(name, value, raw text)] of a JSON object, in order. ValueError when it is none."""
    found = []
    at = _SPACE.match(text, 0).end()
    if text[at:at + 1] != "{":
        raise ValueError("no object")
    at = _SPACE.match(text, at + 1).end()
    if text[at:at + 1] == "}":
        at += 1
    else:
        while True:
            if text[at:at + 1] != '"':
                raise ValueError("no member name")
            name, at = scanstring(text, at + 1, True)
            at = _SPACE.match(text, at).end()
            if text[at:at + 1] != ":":
                raise ValueError("no colon")
            start = _SPACE.match(text, at + 1).end()
            value, end = _DECODER.raw_decode(text, start)
            found.append((name, value, text[start:end]))
            at = _SPACE.match(text, end).end()
            if text[at:at + 1] == "}":
                at += 1
                break
            if text[at:at + 1] != ",":
                raise ValueError("no comma")
            at = _SPACE.match(text, at + 1).end()
    if _SPACE.match(text, at).end() != len(text):
        raise ValueError("something after the end")
    return found


def _usable(text):
    return isinstance(text, str) and "\0" not in text and 1 <= len(text.encode("utf-8", "surrogatepass")) <= 255


PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


def is_project(text):
    return isinstance(text, str) and len(text) <= 200 and PROJECT.fullmatch(text) is not None


def _event(attributes, data, clear):
    project, source, event_id = attributes.get("subject"), attributes.get("source"), attributes.get("id")
    if not (_usable(source) and _usable(event_id) and is_project(project)):
        return None
    return Event(source, event_id, project, attributes.get("type"), data, attributes, clear)


def _structured(record):
    try:
        parts = members(record.value.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    attributes, data = {}, None
    for name, value, raw in parts:
        if name == "data":
            data = raw.encode()
        elif name == "data_base64":
            try:
                data = base64.b64decode(value, validate=True)
            except (TypeError, ValueError, binascii.Error):
                data = None
        else:
            attributes[name] = value
    return _event(attributes, data, len({name for name, _, _ in parts}) == len(parts))


def _binary(record):
    attributes = {}
    for name, value in record.headers:
        if not name.startswith("ce_"):
            continue
        try:
            attributes[name[3:]] = None if value is None else value.decode("utf-8")
        except UnicodeDecodeError:
            attributes[name[3:]] = None
    return _event(attributes, record.value, True)


def decode(record):
    """The event, or None when it has no usable id, source and subject."""
    if record.value is None:
        return None
    content_type = (record.header("content-type") or b"").decode("latin-1").lower()
    if content_type.startswith("application/cloudevents+json"):
        return _structured(record)
    if content_type.startswith("application/cloudevents-batch"):
        return None
    return _binary(record)
