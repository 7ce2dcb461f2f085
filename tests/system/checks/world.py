"""What was seen of an installation: plain values, so that a test can build a world, or spoil one.

A project never spans two shards, so a world is judged a shard at a time and only one shard has to be in memory."""
from dataclasses import dataclass, field


@dataclass(slots=True)
class Record:
    """A committed Kafka record."""
    offset: int
    key: bytes | None
    headers: list  # of (name, bytes or None), in order
    value: bytes | None

    def header(self, name):
        """The last one of that name counts."""
        for other, value in reversed(self.headers):
            if other == name:
                return value
        return None


@dataclass(slots=True)
class Log:
    """One partition, read to its last stable offset."""
    records: list = field(default_factory=list)
    low: int = 0     # its first offset
    stable: int = 0  # its last stable offset
    high: int = 0    # its high watermark


@dataclass(slots=True)
class Row:
    shard: int
    sequence: int
    at: int  # microseconds
    kind: int
    topic: int
    offset: int
    control_version: int
    engine: int
    input: bytes
    input_digest: bytes
    decision: bytes
    decision_digest: bytes
    hash: bytes


@dataclass(slots=True)
class ShardRow:
    builds_position: int
    requests_position: int
    sequence: int
    head_hash: bytes
    now_at: int
    stopped: str | None


@dataclass(slots=True)
class Release:
    manifest_digest: bytes
    manifest: bytes
    artifacts: list  # what promotions need of it
    sequence: int
    at: int


@dataclass(slots=True)
class Promotion:
    project: str
    git_sha: str
    environment: str
    outcome: str
    revision: int
    requester: str
    source: str
    event_id: str
    conditions: list | None  # as last answered while it waits
    opened_sequence: int
    answered_sequence: int
    decided_sequence: int | None
    expires_at: int
    wake_at: int | None


@dataclass(slots=True)
class Environment:
    git_sha: str
    promotion: bytes
    since: int
    sequence: int


@dataclass(slots=True)
class Shard:
    number: int
    inputs: dict  # BUILDS, REQUESTS -> Log
    results: Log
    dead_letters: Log
    ledger: list  # of Row, by sequence
    row: ShardRow
    seen: dict          # key (16 bytes) -> (sequence, content digest)
    releases: dict      # (project, git sha) -> Release
    artifacts: dict     # (project, git sha, name) -> (type, digest, uri or None)
    promotions: dict    # id (16 bytes) -> Promotion
    environments: dict  # (project, environment) -> Environment
    checkpoint: tuple | None = None  # (sequence, hash) below which rows were archived


@dataclass(slots=True)
class Control:
    version: int
    kind: str
    body: bytes
    digest: bytes
    prev_digest: bytes


@dataclass(slots=True)
class World:
    installation: bytes  # the uuid's 16 bytes
    shard_count: int
    control: list        # of Control, by version
    now: int             # the database's clock when the world was read
    shards: object       # iterable of Shard; read once

    def control_highest(self):
        return self.control[-1].version if self.control else 0

    def source(self):
        text = self.installation.hex()
        return "/sluice/" + "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


@dataclass(slots=True)
class Violation:
    rule: str
    message: str
    shard: int | None = None
    sequence: int | None = None

    def __str__(self):
        where = "" if self.shard is None else f"shard {self.shard}"
        if self.sequence is not None:
            where += f" sequence {self.sequence}"
        return f"{self.rule}: {where + ': ' if where else ''}{self.message}"
