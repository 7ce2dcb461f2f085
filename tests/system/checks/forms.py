"""The byte forms of the ledger and the names derived from them (common/ledger.h, the contract's "Limits and names")."""
import base64
import hashlib
import re
import struct
from datetime import datetime, timezone

TAG = b"sluice.ledger.v1\0"
NULL = 0xFFFFFFFF

BUILDS, REQUESTS = 1, 2

TYPES = {
    1: "dev.sluice.release.verified.v1",
    2: "dev.sluice.release.rejected.v1",
    3: "dev.sluice.promotion.waiting.v1",
    4: "dev.sluice.promotion.promoted.v1",
    5: "dev.sluice.promotion.rejected.v1",
    6: "dev.sluice.promotion.superseded.v1",
    7: "dev.sluice.promotion.aborted.v1",
    8: "dev.sluice.promotion.expired.v1",
    9: "dev.sluice.promotion.evaluated.v1",
    10: "dev.sluice.event.refused.v1",
    11: "dev.sluice.event.duplicate.v1",
    12: "",
    13: "",
}
(VERIFIED, RELEASE_REJECTED, WAITING, PROMOTED, REJECTED, SUPERSEDED, ABORTED, EXPIRED, EVALUATED, REFUSED, DUPLICATE,
 DEAD_LETTER, RESUMED) = range(1, 14)
OUTCOMES = {VERIFIED: "verified", RELEASE_REJECTED: "rejected", WAITING: "waiting", PROMOTED: "promoted", REJECTED: "rejected",
            SUPERSEDED: "superseded", ABORTED: "aborted", EXPIRED: "expired", EVALUATED: "evaluated"}


def sha256(data):
    return hashlib.sha256(data).digest()


def digest_text(digest):
    return "sha256:" + digest.hex()


def genesis(installation, shard):
    """The prev_hash of a shard's first row; `installation` is the uuid's 16 bytes."""
    return sha256(TAG + installation + struct.pack(">I", shard))


def ledger_hash(row, previous):
    return sha256(b"".join((TAG, struct.pack(">IQ", row.shard, row.sequence), previous,
                            struct.pack(">QBBQQH", row.at, row.kind, row.topic, row.offset, row.control_version, row.engine),
                            row.input_digest, row.decision_digest)))


def _sized(data):
    return struct.pack(">I", NULL) if data is None else struct.pack(">I", len(data)) + data


INPUT_MAX = 4 * 1024 * 1024 - 64 * 1024  # what a dead letter can hold


def kept(record):
    """Key, value and headers as ledger and dead letter have them: none of what is larger than these can be."""
    size = 12 + len(record.key or b"") + len(record.value or b"")
    size += sum(8 + len(name.encode()) + len(value or b"") for name, value in record.headers)
    return (record.key, record.value, record.headers) if size <= INPUT_MAX else (None, None, [])


def input_form(record):
    """A Kafka record as the ledger's `input` writes it down."""
    key, value, headers = kept(record)
    parts = [_sized(key), struct.pack(">I", len(headers))]
    for name, content in headers:
        parts.append(_sized(name.encode()))
        parts.append(_sized(content))
    parts.append(_sized(value))
    return b"".join(parts)


def event_key(project, source, event_id):
    """The key of deduplication: 16 bytes."""
    return sha256(b"\0".join((project.encode(), source.encode(), event_id.encode())))[:16]


def base32(key):
    return base64.b32encode(key).decode().lower().rstrip("=")


def unbase32(text):
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))


def murmur2(data):
    """As Kafka's Java client computes it, already made positive."""
    m, mask, length = 0x5BD1E995, 0xFFFFFFFF, len(data)
    h = 0x9747B28C ^ length
    for i in range(0, length - length % 4, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        h = h * m & mask ^ (k ^ k >> 24) * m & mask
    tail = data[length - length % 4:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


INSTANT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.IGNORECASE)


def instant(text):
    """Microseconds since 1970 of an RFC 3339 text; None when it is none."""
    match = INSTANT.fullmatch(text) if isinstance(text, str) else None
    if not match:
        return None
    seconds, fraction, zone = match.groups()
    try:
        day = datetime.fromisoformat(seconds.upper() + ("+00:00" if zone in "Zz" else zone))
    except ValueError:
        return None
    return int(day.timestamp()) * 1_000_000 + int(((fraction or "") + "000000")[:6])


def instant_text(at):
    day = datetime.fromtimestamp(at // 1_000_000, timezone.utc)
    return day.strftime("%Y-%m-%dT%H:%M:%S") + ".%06dZ" % (at % 1_000_000)
