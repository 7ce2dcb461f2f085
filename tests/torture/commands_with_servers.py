"""The commands that need servers, against a Sluice of their own; first those that a worker has to answer, then, when it has gone and
nothing moves any more, those that only look."""
import atexit
import json
import time
import uuid
from pathlib import Path

from lib import events
from lib.installation import Installation

POLICY = """version: 1
projects:
- match: "acme/*"
  unsigned: allow
  unchecked-types: [other]
  environments:
    dev: {}
    staging: {after: [dev]}
"""
PROJECT = "acme/shop"
WAIT = 60


def artifact():
    return {"name": "app", "type": "other", "digest": events.sha256("app")}


def eventually(look, what):
    deadline = time.monotonic() + WAIT
    while not look():
        if time.monotonic() > deadline:
            return what
        time.sleep(0.1)
    return None


class Bench:
    """The installation, and what the tries must leave behind in it."""

    def __init__(self):
        self.sluice = Installation(shards=2, policy=POLICY.replace("{", "{{").replace("}", "}}"), name="torture")
        atexit.register(self.sluice.close)  # however it ends
        self.prepare()

    def prepare(self):
        self.worker = self.sluice.worker(lanes=1)
        self.sha = self.sluice.released(PROJECT, [artifact()])
        self.promotion = json.loads(self.sluice.must("promote", "--project", PROJECT, "--release-ref", self.sha, "--target-env", "dev",
                                                     "--wait", "--timeout", "1m", "--json"))["promotionId"]
        self.sluice.must("promote", "--project", PROJECT, "--release-ref", "f" * 40, "--target-env", "staging")
        self.sluice.send(events.Event({"subject": PROJECT}, {}, mode="structured"), "requests")
        self.sluice.settle()

    def value(self, sql, *parameters):
        return self.sluice.rows(sql, *parameters)[0][0]

    # ---- build-complete, promote ----

    def manifest(self, folder):
        (folder / "manifest.json").write_text(events.manifest(self.sha, [artifact()]))

    @staticmethod
    def arguments(*words):
        """The event's id is the folder's name, so that it can be found."""
        return lambda folder: [*words, "--project", PROJECT, "--id", folder.name, "--json"]

    def promoted(self, folder, done):
        if done.returncode:
            return None
        return eventually(lambda: self.value("SELECT count(*) FROM promotion WHERE event_id = %s", folder.name),
                          "it said that Kafka has the request, and nobody has decided it")

    def built(self, folder, done):
        if done.returncode:
            return None
        return eventually(lambda: self.value("SELECT count(*) FROM ledger WHERE convert_from(decision, 'UTF8') LIKE %s", f"%{folder.name}%"),
                          "it said that Kafka has the build, and nobody has answered it")

    # ---- policy, topics, database, shard ----

    def policy(self, folder):
        (folder / "policy.yaml").write_text(POLICY + f"# {folder.name}\n")

    def policy_is_in_force(self, folder, done):
        text = self.value("SELECT convert_from(body, 'UTF8') FROM control ORDER BY version DESC LIMIT 1")
        if (done.returncode == 0) != (folder.name in text):
            return f"exit status {done.returncode}, and the policy in force is\n{text}"
        return None

    def elsewhere(self, **words):
        """A configuration of its own in the folder."""
        text = Path(self.sluice.environment["SLUICE_CONFIG"]).read_text()

        def write(folder):
            unique = "x" + uuid.uuid4().hex[:10]
            (folder / "own.yaml").write_text(text.replace(f'"{self.sluice.prefix}"', f'"{unique}."' if "topics" in words else f'"{self.sluice.prefix}"')
                                             .replace(f"schema: {self.sluice.schema}", f"schema: {unique}" if "schema" in words else
                                                      f"schema: {self.sluice.schema}"))
        return write

    def goes_through_again(self, *arguments):
        """What did not succeed left nothing that keeps it from succeeding."""
        def again(folder, done):
            second = self.sluice.run(*arguments, "--config", folder / "own.yaml")
            return f"afterwards: {second.returncode} {second.stdout}{second.stderr}" if second.returncode else None
        return again

    def stop_shard(self, folder):
        self.sluice.rows("UPDATE shard SET stopped = 'for this test' WHERE shard = 0")
        self.resumed = self.value("SELECT count(*) FROM ledger WHERE shard = 0 AND kind = 13")

    def shard_is_resumed(self, folder, done):
        stopped = self.value("SELECT stopped IS NOT NULL FROM shard WHERE shard = 0")
        more = self.value("SELECT count(*) FROM ledger WHERE shard = 0 AND kind = 13") - self.resumed
        if (done.returncode == 0, not stopped, more) not in ((True, True, 1), (False, False, 0), (False, True, 1)):
            return f"exit status {done.returncode}, stopped {stopped}, {more} rows in the ledger"
        return None


def with_worker(bench, Case):
    shop = ("--project", PROJECT)
    promote = ("promote", "--release-ref", bench.sha, "--target-env", "dev")
    yield Case("promote", bench.arguments(*promote), after=bench.promoted, compare=False)
    yield Case("promote --wait", bench.arguments(*promote, "--wait", "--timeout", "1m"), compare=False)
    yield Case("promote --dry-run --wait", bench.arguments(*promote, "--dry-run", "--wait", "--timeout", "1m"), compare=False)
    yield Case("build-complete", bench.arguments("build-complete", "--manifest", "manifest.json"), before=bench.manifest, after=bench.built,
               compare=False)
    yield Case("build-complete --wait", bench.arguments("build-complete", "--manifest", "manifest.json", "--wait", "--timeout", "1m"), before=bench.manifest,
               compare=False)
    yield Case("wait", ["wait", bench.promotion, *shop, "--timeout", "1m"], compare=False)
    yield Case("wait --json", ["wait", bench.promotion, *shop, "--json", "--timeout", "1m"], compare=False)
    yield Case("policy apply", ["policy", "apply", "policy.yaml"], before=bench.policy, after=bench.policy_is_in_force, compare=False,
               alone=True)


def without_worker(bench, Case):
    release = ("release", "show", bench.sha, "--project", PROJECT)
    for words in (("status",), ("release", "show"), ("policy", "show"), ("shard", "list"), ("shard", "show"), ("db", "status")):
        arguments = [*(release if words[0] == "release" else words), *(["0"] if words == ("shard", "show") else [])]
        yield Case(" ".join(words), arguments, compare=False)
        yield Case(" ".join(words) + " --json", [*arguments, "--json"])
    yield Case("status of one project", ["status", "--project", PROJECT, "--json"])
    yield Case("release show --manifest", [*release, "--manifest"])
    yield Case("release show --with-history", [*release, "--with-history"])
    yield Case("db migrate, nothing to do", ["db", "migrate"], compare=False)
    yield Case("db migrate, all of it", lambda folder: ["db", "migrate", "--shards", "2", "--config", folder / "own.yaml"],
               before=bench.elsewhere(schema=True), after=bench.goes_through_again("db", "migrate", "--shards", "2"), compare=False, limit=30)
    yield Case("topics check", ["topics", "check"], compare=False)
    yield Case("topics check --json", ["topics", "check", "--json"])
    yield Case("topics create", lambda folder: ["topics", "create", "--config", folder / "own.yaml"], before=bench.elsewhere(topics=True),
               after=bench.goes_through_again("topics", "create"), compare=False, limit=20)
    yield Case("dead-letter list", ["dead-letter", "list"])
    yield Case("dead-letter list --json", ["dead-letter", "list", "--json"])
    partition, offset = dead_letter(bench)
    yield Case("dead-letter show", ["dead-letter", "show", partition, offset])
    yield Case("dead-letter show --json", ["dead-letter", "show", partition, offset, "--json"])
    yield Case("audit verify", ["audit", "verify"], compare=False)
    yield Case("audit verify --json", ["audit", "verify", "--json"], compare=False)
    yield Case("audit verify --ledger-only", ["audit", "verify", "--ledger-only"], compare=False)
    yield Case("shard resume", ["shard", "resume", "0", "--accept-loss", "a test"], before=bench.stop_shard, after=bench.shard_is_resumed,
               compare=False, alone=True)


def dead_letter(bench):
    first = json.loads(bench.sluice.must("dead-letter", "list", "--json"))[0]
    return str(first["partition"]), str(first["offset"])


def cases_of(bench, Case):
    yield from with_worker(bench, Case)
    bench.sluice.settle()
    bench.worker.stop()
    yield from without_worker(bench, Case)


def server_cases(torture, Case, mode):
    bench = Bench()
    return torture(mode, {"SLUICE_CONFIG": bench.sluice.environment["SLUICE_CONFIG"]}), cases_of(bench, Case)
