"""The programs under test. Each can be prepared for a workload once, be reset to that state before every run, and be started."""
import hashlib
import os
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass

from . import kafka, process
from .servers import REPOSITORY
from .tools import BENCH

POLICY = """version: 1
registries:
  "{registry}": {{plain-http: true, allow-private: true}}
projects:
- match: "*"
  unsigned: allow
  environments:
    dev: {{}}
"""


@dataclass
class Topics:
    prefix: str
    partitions: int = 8
    settle: float = 2.0  # seconds of rest before a run
    quiet: float = 1.0   # seconds without a further result after which a run is over, when all can be there

    @property
    def requests(self):
        return self.prefix + "requests"

    @property
    def builds(self):
        return self.prefix + "builds"

    @property
    def results(self):
        return self.prefix + "results"

    @property
    def dead_letter(self):
        return self.prefix + "dead-letter"

    def all(self):
        return [self.builds, self.requests, self.results, self.dead_letter]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def bare_environment():
    ours = ("SLUICE_", "KAFKA_", "GITHUB_", "GITLAB_", "CI", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


class Sluice:
    name = "sluice"

    def __init__(self, servers, topics, work, build=REPOSITORY / "build/release", lanes=2, settings=None):
        self.servers, self.topics, self.work, self.build, self.lanes = servers, topics, work, build, lanes
        self.settings = settings or {}
        mark = topics.prefix.replace(".", "_")
        self.prepared, self.database = f"{mark}prepared", f"{mark}run"

    def environment(self, database, **more):
        return bare_environment() | {
            "SLUICE_KAFKA_BOOTSTRAP_SERVERS": self.servers.brokers, "SLUICE_DATABASE_URL": self.servers.database_url(database),
            "SLUICE_TOPIC_PREFIX": self.topics.prefix, "SLUICE_WORKER_LANES": str(self.lanes), "SLUICE_WORKER_LOG_LEVEL": "warn",
        } | self.settings | more

    def command(self, database, *arguments):
        done = subprocess.run([self.build / "producer/sluice", *arguments], env=self.environment(database), capture_output=True,
                              text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"sluice {' '.join(map(str, arguments))}: {done.stderr.strip()}")

    def start(self, database=None, **more):
        """A worker with a name and a group that nobody had before."""
        unique = uuid.uuid4().hex[:8]
        environment = self.environment(database or self.database, SLUICE_WORKER_NAME=unique, SLUICE_WORKER_GROUP=unique,
                                       SLUICE_WORKER_LISTEN=f"127.0.0.1:{free_port()}")
        return process.Program([self.build / "worker/sluice-worker"], environment | more, self.work / "sluice.log")

    def install(self):
        """An installation without a release."""
        self.servers.make_database(self.prepared)
        kafka.remove_topics(self.servers.brokers, self.topics.all())
        self.command(self.prepared, "db", "migrate", "--shards", str(self.topics.partitions))
        self.command(self.prepared, "topics", "create")
        policy = self.work / "policy.yaml"
        policy.write_text(POLICY.format(registry=self.servers.registry))
        self.command(self.prepared, "policy", "apply", str(policy))

    def prepare(self, workload, image):
        """Publishes every release as a build-complete and waits until it is verified; what is then in the database is kept."""
        sent = kafka.send(self.servers.brokers, self.topics.builds, workload.builds(image))
        program = self.start(self.prepared)
        until = time.monotonic() + 60 + sent / 500
        try:
            verified = 0
            while verified < sent:
                if program.ended() or time.monotonic() > until:
                    raise RuntimeError(f"{verified} of {sent} releases are verified; see {self.work / 'sluice.log'}")
                time.sleep(0.3)
                verified = self.servers.sql("SELECT count(*) FROM sluice.release", self.prepared, fetch=True)[0][0]
        finally:
            program.stop()
        if program.exit_status:
            raise RuntimeError(f"the worker that verified the releases ended with {program.exit_status}; see {self.work / 'sluice.log'}")
        self.servers.sql("VACUUM (FREEZE, ANALYZE)", self.prepared)

    def reset(self):
        """Back to what was prepared, but for the topics."""
        self.servers.make_database(self.database, self.prepared)

    def retire(self):
        """Leaves nothing that autovacuum could turn to while another program runs."""
        if self.database != self.prepared:
            self.servers.sql(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")

    def make_topics(self):
        self.command(self.prepared, "topics", "create")


GO = {"LANES": 2, "BATCH": 4000, "WRITE": "copy"}  # the Go peer's settings: those with which it is fastest; see README.md


def go_peer(bench, topics):
    return Peer("Go peer", bench.servers, topics, bench.work, [str(bench.tools.go)], GO["LANES"], **GO)


class Peer:
    """A program of the peers' contract: tables of its own, made anew by sql/schema.sql."""

    def __init__(self, name, servers, topics, work, command, lanes, **settings):
        self.name, self.servers, self.topics, self.work, self.command, self.lanes = name, servers, topics, work, command, lanes
        self.settings = {key: str(value) for key, value in settings.items()}
        self.database = topics.prefix.replace(".", "_") + "peer"

    def prepare(self, workload, _image=None):
        self.servers.make_database(self.database)
        releases = self.work / "releases.csv"
        with open(releases, "w", encoding="ascii") as file:
            for project, sha in workload.releases():
                file.write(f"{project},{sha},{hashlib.sha256(sha.encode()).hexdigest()},t\n")
        self.servers.psql(self.database, BENCH / "sql/releases.sql", releases)

    def reset(self):
        self.servers.psql(self.database, BENCH / "sql/schema.sql")

    def wrong(self, workload):
        """What the tables that a run has left behind should not say, in words; empty when all is right."""
        names = ("ledger", "dedup", "promoted", "environments", "position", "broken_links", "heads_match")
        found = dict(zip(names, self.servers.sql((BENCH / "sql/check.sql").read_text(), self.database, fetch=True)[0]))
        projects = len({project for project, _ in workload.releases()})
        expected = dict.fromkeys(("ledger", "dedup", "promoted", "position"), workload.n) | {
            "environments": projects, "broken_links": 0, "heads_match": True}
        return ", ".join(f"{name} is {found[name]}, not {value}" for name, value in expected.items() if found[name] != value)

    def retire(self):
        self.servers.sql("DROP TABLE IF EXISTS peer.shard, peer.ledger, peer.dedup, peer.promotion, peer.environment", self.database)

    def start(self):
        environment = bare_environment() | {
            "KAFKA_BOOTSTRAP": self.servers.brokers, "TOPIC_PREFIX": self.topics.prefix,
            "DATABASE_URL": self.servers.database_url(self.database), "EVENT_SCHEMA": str(BENCH / "event.schema.json"),
        } | self.settings
        return process.Program(self.command, environment, self.work / f"{self.name}.log")
