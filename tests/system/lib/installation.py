"""One Sluice of a test's own: a topic prefix, a schema and a consumer group that nobody else has, on the shared servers."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

import psycopg2

from checks.check import check
from checks.load import Database, Kafka, read_world

from . import events
from .kafka import Follower, Sender
from .stack import stack
from .worker import Worker

POLICY = """version: 1
registries:
  "{registry}": {{plain-http: true, allow-private: true}}
projects:
- match: "acme/*"
  unsigned: allow
  environments:
    dev: {{}}
    staging: {{after: [dev]}}
    prod: {{after: [staging]}}
"""
# How far each shard is: its positions, and the last sequences that are to be on its output topics.
LAG = """SELECT shard, builds_position, requests_position,
    coalesce((SELECT max(sequence) FROM ledger l WHERE l.shard = s.shard AND kind NOT IN (12, 13)), 0),
    coalesce((SELECT max(sequence) FROM ledger l WHERE l.shard = s.shard AND kind = 12), 0) FROM shard s ORDER BY shard"""
# Promotions that are due, without those that only ask a registry again, which may come due at any time.
WOKEN = """SELECT shard, count(*) FROM promotion
    WHERE wake_at <= now() AND coalesce(conditions, '') NOT LIKE '%%"registry-%%' GROUP BY shard ORDER BY shard"""
# What the programs under test must not find in the environment by accident.
FOREIGN = ("SLUICE_", "GITHUB_", "GITLAB_", "CI_", "KAFKA_", "PG")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Installation:
    def __init__(self, shards=4, policy=POLICY, name="t", servers=None):
        self.stack = servers or stack()
        unique = name + uuid.uuid4().hex[:8]
        self.prefix, self.schema, self.group, self.shards = unique + ".", unique, unique, shards
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-installation."))
        self.workers, self._sender, self._follower = [], None, None
        (self.folder / "sluice.yaml").write_text(
            f'topic-prefix: "{self.prefix}"\nkafka:\n  bootstrap-servers: "{self.stack.brokers}"\ndatabase:\n'
            f'  url: "{self.stack.database_url}"\n  schema: {self.schema}\nworker:\n  group: {self.group}\n')
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN) and name != "CI"}
        self.environment["SLUICE_CONFIG"] = str(self.folder / "sluice.yaml")
        self.must("db", "migrate", "--shards", shards)
        self.must("topics", "create")
        if policy:
            self.apply_policy(policy)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(*([True] if kind else []))

    def close(self, keep_logs=os.environ.get("SLUICE_TESTS_KEEP") is not None):
        for worker in self.workers:
            worker.resume_all()
            worker.kill()
        if self._follower:
            self._follower.close()
        if keep_logs:
            print(f"# logs stay in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- programs ----

    def run(self, *arguments, timeout=60, stdin=None, cwd=None, **environment):
        """The sluice command: a CompletedProcess with texts."""
        return subprocess.run([self.stack.sluice, *map(str, arguments)], env=self.environment | environment, input=stdin,
                              capture_output=True, text=True, timeout=timeout, cwd=cwd or self.folder, check=False)

    def must(self, *arguments, **options):
        done = self.run(*arguments, **options)
        if done.returncode:
            raise RuntimeError(f"sluice {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments, **options):
        """(exit status, the document on stdout); what is no document is shown as it is."""
        done = self.run(*arguments, "--json", **options)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode, {"stdout": done.stdout, "stderr": done.stderr}

    def apply_policy(self, text, **words):
        path = self.folder / "policy.yaml"
        path.write_text(text.format(**({"registry": self.stack.registry} | words)))
        return self.must("policy", "apply", path)

    def worker(self, name=None, lanes=2, start=True, ready=True, **environment):
        name = name or f"w{len(self.workers) + 1}"
        worker = Worker(self.stack.worker, self.environment | {"SLUICE_WORKER_LANES": str(lanes)}, name,
                        f"127.0.0.1:{free_port()}", self.folder / f"{name}.log")
        self.workers.append(worker)
        return worker.start(ready, **environment) if start else worker

    # ---- Kafka and Postgres ----

    @property
    def sender(self):
        if not self._sender:
            self._sender = Sender(self.stack.brokers, self.prefix)
        return self._sender

    @property
    def follower(self):
        if not self._follower:
            self._follower = Follower(self.stack.brokers, self.prefix, self.shards)
        return self._follower

    def send(self, event, topic=None):
        return self.sender.send(event, topic)

    def ask(self, event, timeout=20, topic=None):
        """Sends it and returns its first answer."""
        self.send(event, topic)
        return self.follower.answer(event, timeout=timeout)

    def rows(self, sql, *parameters):
        connection = psycopg2.connect(self.stack.database_url, options=f"-c search_path={self.schema}")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    # ---- releases ----

    def released(self, project, artifacts, git_sha=None, **changes):
        """Builds a release and waits until it is verified; its git SHA."""
        git_sha = git_sha or events.fresh_sha()
        answer = self.ask(events.build(project, events.manifest(git_sha, artifacts, **changes)))
        if answer.type != "dev.sluice.release.verified.v1":
            raise RuntimeError(f"the release was not verified: {answer}")
        return git_sha

    # ---- judgement ----

    def settle(self, timeout=60):
        """Waits until every input is in the ledger, every promotion that was woken is looked at, and every answer published."""
        kafka = Kafka(self.stack.brokers, self.prefix)
        deadline = time.monotonic() + timeout
        try:
            while behind := self._behind(kafka):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not settled within {timeout} s: {'; '.join(behind)}")
                time.sleep(0.2)
        finally:
            kafka.close()

    def _behind(self, kafka):
        behind = [f"shard {shard}: {count} promotions are due" for shard, count in self.rows(WOKEN)]
        for shard, builds, requests, results, dead in self.rows(LAG):
            for topic, position in (("builds", builds), ("requests", requests)):
                end = kafka.log_of(self.prefix + topic, shard).stable
                if position < end:
                    behind.append(f"shard {shard}: {topic} at {position} of {end}")
            for topic, wanted in (("results", results), ("dead-letter", dead)):
                log = kafka.log_of(self.prefix + topic, shard)
                tail = kafka.last_sequence(self.prefix + topic, shard, log) if log.stable == log.high else -1
                if tail < wanted:
                    behind.append(f"shard {shard}: {topic} at sequence {tail} of {wanted}")
        return behind

    def world(self):
        return read_world(Database(self.stack.database_url, self.schema), Kafka(self.stack.brokers, self.prefix))

    def check(self, tap, name="the independent checker finds nothing", timeout=60):
        """The end of every test against real workers."""
        try:
            self.settle(timeout)
        except TimeoutError as error:
            return tap.check(name, False, error)
        report = check(self.world())
        return tap.check(name, not report.count, "\n".join(map(str, report.violations[:25])) + f"\n({report.count} in all)")
