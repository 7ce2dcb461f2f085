"""sluice policy apply|show, status, release show and audit verify against a real Postgres (and Kafka, for what was published).

The ledger's rows are made here, from the checker's own reading of their form, and tampered with."""
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))

import psycopg2
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from checks import forms
from checks.world import Row
from lib.stack import stack
from lib.tap import Tap, equal, true

SHARDS = 3
PROJECT, SHA = "acme/shop", "4f1c" * 10
POLICY = 'version: 1\nprojects:\n- match: "acme/*"\n  environments: {dev: {}, prod: {after: [dev]}}\n'
AT = 1_772_359_200_123_456
TABLES = "ledger, shard, release, artifact, promotion, environment, control"


class Bench:
    def __init__(self):
        self.stack = stack()
        self.name = "c" + uuid.uuid4().hex[:10]
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-commands.")
        self.connection = psycopg2.connect(self.stack.database_url)
        self.connection.autocommit = True
        self.migrate()

    def sql(self, text, values=None):
        with self.connection.cursor() as cursor:
            cursor.execute(text, values)
            return cursor.fetchall() if cursor.description else []

    def migrate(self):
        done = self.sluice("db", "migrate", "--shards", SHARDS)
        equal(done.returncode, 0, f"the status of db migrate ({done.stderr.strip()})")
        self.sql(f"SET search_path = {self.name}, pg_temp")
        self.installation = uuid.UUID(self.sql("SELECT id FROM installation")[0][0])

    def sluice(self, *arguments, kafka=False, stdin=None, **environment):
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("SLUICE_", "GITHUB_", "GITLAB_", "CI_", "PG"))}
        kept |= {"SLUICE_DATABASE_URL": self.stack.database_url, "SLUICE_DATABASE_SCHEMA": self.name,
                 "SLUICE_TOPIC_PREFIX": self.name + "."}
        if kafka:
            kept["SLUICE_KAFKA_BOOTSTRAP_SERVERS"] = self.stack.brokers
        return subprocess.run([self.stack.sluice, *map(str, arguments)], env=kept | environment, input=stdin, text=True,
                              capture_output=True, timeout=60, check=False, cwd=self.folder.name)

    def answer(self, *arguments, status=0, **options):
        """The --json document of a command that ends with that status."""
        done = self.sluice(*arguments, "--json", **options)
        equal(done.returncode, status, f"the status of {arguments} ({done.stderr.strip()})")
        return json.loads(done.stdout)

    # ---- a ledger ----

    def reset(self, *lengths):
        """Ledgers of so many rows."""
        self.sql(f"TRUNCATE {TABLES}")
        for shard in range(SHARDS):
            self.fill(shard, lengths[shard] if shard < len(lengths) else 0)

    def fill(self, shard, length):
        previous = forms.genesis(self.installation.bytes, shard)
        for sequence in range(1, length + 1):
            row = self.row(shard, sequence)
            row.hash = previous = forms.ledger_hash(row, previous)
            self.sql("INSERT INTO ledger (shard, sequence, at, kind, topic, kafka_offset, control_version, engine, input, input_digest,"
                     " decision, decision_digest, hash) VALUES (%s, %s, to_timestamp(0) + %s * interval '1 microsecond', %s, %s, %s, %s,"
                     " %s, %s, %s, %s, %s, %s)", (row.shard, row.sequence, row.at, row.kind, row.topic, row.offset,
                     row.control_version, row.engine, row.input, row.input_digest, row.decision, row.decision_digest, row.hash))
        self.sql("INSERT INTO shard (shard, sequence, head_hash, results_settled) VALUES (%s, %s, %s, %s)",
                 (shard, length, previous, length))

    @staticmethod
    def row(shard, sequence):
        """Every tenth a dead letter, every seventh a timer's, which no record caused."""
        kind = forms.DEAD_LETTER if sequence % 10 == 0 else forms.PROMOTED
        topic = 0 if sequence % 7 == 0 and kind != forms.DEAD_LETTER else forms.REQUESTS
        data = b"" if topic == 0 else b"input %d " % sequence + b"x" * (sequence * 37 % 5000)
        decision = json.dumps({"promotionId": sequence, "conditions": []}).encode()
        return Row(shard=shard, sequence=sequence, at=AT + sequence, kind=kind, topic=topic, offset=sequence if topic else 0,
                   control_version=1, engine=1, input=data, input_digest=forms.sha256(data), decision=decision,
                   decision_digest=forms.sha256(decision), hash=b"")

    @contextlib.contextmanager
    def tampered(self, statement):
        """What the statement does is there inside, and undone afterwards."""
        for table in TABLES.split(", "):
            self.sql(f"CREATE TABLE kept_{table} AS TABLE {table}")
        self.sql(statement)
        try:
            yield
        finally:
            self.sql(f"TRUNCATE {TABLES}")
            for table in TABLES.split(", "):
                self.sql(f"INSERT INTO {table} TABLE kept_{table}")
                self.sql(f"DROP TABLE kept_{table}")


# ---- the policy ----

def check_policy(tap, bench):
    policy = Path(bench.folder.name) / "policy.yaml"
    policy.write_text(POLICY)
    digest = forms.digest_text(forms.sha256(POLICY.encode()))
    with tap.case("without a policy, show says so"):
        done = bench.sluice("policy", "show")
        equal(done.returncode, 1, "the status")
        true("there is no policy" in done.stderr, done.stderr)
    with tap.case("a policy becomes version 1, and the same again changes nothing"):
        equal(bench.answer("policy", "apply", policy), {"version": 1, "digest": digest, "changed": True}, "the first answer")
        equal(bench.answer("policy", "apply", policy), {"version": 1, "digest": digest, "changed": False}, "the second")
        equal(bench.sql("SELECT count(*) FROM control"), [(1,)], "the control log's length")
    with tap.case("another policy is a new version, which knows its predecessor and its actor"):
        other = bench.answer("policy", "apply", "-", stdin=POLICY + "# other\n", GITHUB_ACTOR_ID="1011")
        equal((other["version"], other["changed"]), (2, True), "version and changed")
        [(actor, before)] = bench.sql("SELECT actor, prev_digest FROM control WHERE version = 2")
        equal((actor, forms.digest_text(bytes(before))), ("github:1011", digest), "actor and prev_digest")
    with tap.case("an earlier policy that is applied again is a new version"):
        equal(bench.answer("policy", "apply", policy)["version"], 3, "the version")
    with tap.case("show prints the exact text, also of an earlier version"):
        equal(bench.sluice("policy", "show").stdout, POLICY, "the current text")
        equal(bench.sluice("policy", "show", "--version", 2).stdout, POLICY + "# other\n", "the second")
        shown = bench.answer("policy", "show", "--version", 2)
        equal((shown["version"], shown["actor"], shown["policy"]), (2, "github:1011", POLICY + "# other\n"), "the document")
    with tap.case("a wrong policy changes nothing and shows the line"):
        policy.write_text(POLICY.replace("[dev]", "[devv]"))
        done = bench.sluice("policy", "apply", policy)
        equal(done.returncode, 1, "the status")
        true("line 4, column 42: this project has no environment 'devv'; did you mean dev" in done.stderr, done.stderr)
        true("\n" + " " * 43 + "^" in done.stderr, done.stderr)
        equal(bench.sql("SELECT max(version) FROM control"), [(3,)], "the newest version")
    with tap.case("two that apply at the same moment make two versions in order"):
        running = []
        for number in range(6):
            path = Path(bench.folder.name) / f"policy-{number}.yaml"
            path.write_text(POLICY + f"# {number}\n")
            running.append(subprocess.Popen([bench.stack.sluice, "policy", "apply", str(path)], stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, text=True, cwd=bench.folder.name,
                                            env=os.environ | {"SLUICE_DATABASE_SCHEMA": bench.name}))
        for process in running:
            output, _ = process.communicate(timeout=60)
            equal(process.returncode, 0, f"the status ({output.strip()})")
        equal(bench.sql("SELECT count(*), max(version) FROM control"), [(9, 9)], "count and newest version")
        equal(bench.answer("audit", "verify", "--ledger-only")["controlVersions"], 9, "versions that follow each other")


# ---- what there is ----

def put_release(bench, manifest):
    bench.sql("INSERT INTO release (project, git_sha, shard, sequence, at, attestation_enabled, manifest_digest, manifest, artifacts)"
              " VALUES (%s, %s, 0, 1, now(), false, %s, %s, '[]')", (PROJECT, SHA, forms.sha256(manifest), manifest))
    bench.sql("INSERT INTO artifact (project, git_sha, position, name, type, digest, uri) VALUES (%s, %s, 0, 'image', 'docker-image',"
              " 'sha256:aa', 'ghcr.io/acme/shop'), (%s, %s, 1, 'a-file', 'binary', 'sha256:bb', NULL)", (PROJECT, SHA, PROJECT, SHA))


def check_release(tap, bench):
    bench.reset(3)
    manifest = b'{"gitSha": "%s",\n "promotionHistory": [{"environment": "old"}] }\n' % SHA.encode()
    put_release(bench, manifest)
    promotion = uuid.uuid4()
    bench.sql("INSERT INTO promotion (shard, opened_sequence, answered_sequence, decided_sequence, opened_at, expires_at, revision,"
              " outcome, id, project, git_sha, environment, requester, source, event_id)"
              " VALUES (0, 2, 2, 2, now(), now(), 1, 2, %s, %s, %s, 'dev', 'user:\"x\"', 's', 'e')", (str(promotion), PROJECT, SHA))
    show = ("release", "show", SHA, "--project", PROJECT)
    with tap.case("a release is shown with its artifacts, in the manifest's order"):
        equal(bench.answer(*show), {
            "project": PROJECT, "gitSha": SHA, "state": "verified", "manifestDigest": forms.digest_text(forms.sha256(manifest)),
            "artifacts": [{"name": "image", "type": "docker-image", "digest": "sha256:aa", "uri": "ghcr.io/acme/shop"},
                          {"name": "a-file", "type": "binary", "digest": "sha256:bb"}]}, "the document")
    with tap.case("--manifest prints the exact bytes"):
        equal(bench.sluice(*show, "--manifest").stdout.encode(), manifest, "the manifest")
    with tap.case("--with-history has the promotions in place of what the manifest says, and all else as it was"):
        text = bench.sluice(*show, "--with-history").stdout
        entry = {"environment": "dev", "timestamp": forms.instant_text(AT + 2), "actor": 'user:"x"',
                 "notes": "promotion " + forms.base32(promotion.bytes)}
        equal(json.loads(text), {"gitSha": SHA, "promotionHistory": [entry]}, "the document")
        true(text.startswith('{"gitSha": "%s",\n "promotionHistory": [{' % SHA) and text.endswith("] }\n"), text)
    with tap.case("--with-history adds the member where there is none"):
        for own, before in ((b"{}", {}), (b'{"gitSha": 1.50}\n', {"gitSha": 1.5})):
            bench.sql("UPDATE release SET manifest = %s", (own,))
            equal(json.loads(bench.sluice(*show, "--with-history").stdout), before | {"promotionHistory": [entry]}, "the document")
    with tap.case("what others wrote cannot steer the terminal that it is shown on"):
        bench.sql("UPDATE promotion SET requester = %s", ("user:\x1b[2Jx\u009b2J",))
        bench.sql("UPDATE artifact SET uri = %s WHERE position = 0", ("ghcr.io/\x1b]0;x\x07",))
        shown = bench.sluice(*show).stdout
        true("ghcr.io/ ]0;x " in shown and "user: [2Jx 2J" in shown, repr(shown))
        true(not any(character in shown for character in "\x1b\x07\u009b"), repr(shown))
    with tap.case("an unknown release is status 1"):
        equal(bench.sluice("release", "show", SHA, "--project", "acme/other").returncode, 1, "the status")


def check_status(tap, bench):
    bench.reset(5)
    with tap.case("a status of nothing is two empty lists"):
        equal(bench.answer("status"), {"current": [], "waiting": []}, "the document")
    for number in range(1200):
        bench.sql("INSERT INTO environment (project, environment, git_sha, promotion_id, since, sequence) VALUES (%s, %s, %s, %s, now(), 1)",
                  (f"p{number // 2:04}", "prod" if number % 2 else "dev", SHA, str(uuid.UUID(int=number))))
    for number in range(700):
        bench.sql("INSERT INTO promotion (shard, opened_sequence, answered_sequence, opened_at, expires_at, wake_at, revision, outcome, id,"
                  " project, git_sha, environment, requester, source, event_id) VALUES (0, %s, 5, now(), now(), now(), 1, 1, %s, %s, %s,"
                  " 'dev', 'u', 's', 'e')", (number, str(uuid.uuid4()), f"p{number % 3}", f"{number:040}"))
    with tap.case("a status of many pages has everything once and in order"):
        status = bench.answer("status")
        equal([(row["project"], row["environment"]) for row in status["current"]],
              [(f"p{number // 2:04}", "prod" if number % 2 else "dev") for number in range(1200)], "what is current")
        equal(len(status["waiting"]), 700, "the number that waits")
        equal(status["current"][1]["promotionId"], forms.base32(uuid.UUID(int=1).bytes), "a promotion's id")
    with tap.case("a status of one project has nothing else"):
        status = bench.answer("status", "--project", "p0007")
        equal([row["environment"] for row in status["current"]], ["dev", "prod"], "what is current")
        equal(len(bench.answer("status", "--project", "p1")["waiting"]), 233, "what waits")
    with tap.case("the plain status names the same"):
        text = bench.sluice("status", "--project", "p0007").stdout
        true("p0007" in text and "prod" in text and "Nothing waits." in text, text)


# ---- the audit ----

TAMPERED = [  # what is done, where it must be found, and as what
    ("a changed input", "UPDATE ledger SET input = 'other' WHERE shard = 1 AND sequence = 41", 1, 41, "input-changed"),
    ("a changed decision", "UPDATE ledger SET decision = '{}' WHERE shard = 1 AND sequence = 42", 1, 42, "decision-changed"),
    ("a changed decision with its digest", "UPDATE ledger SET decision = '{}', decision_digest = sha256('{}') WHERE shard = 1"
     " AND sequence = 42", 1, 42, "hash-mismatch"),
    ("an emptied decision", "UPDATE ledger SET decision = '' WHERE shard = 1 AND sequence = 42", 1, 42, "decision-changed"),
    ("a changed time", "UPDATE ledger SET at = at + interval '1 microsecond' WHERE shard = 1 AND sequence = 43", 1, 43, "hash-mismatch"),
    ("a changed kind", "UPDATE ledger SET kind = 5 WHERE shard = 1 AND sequence = 44", 1, 44, "hash-mismatch"),
    ("a changed offset", "UPDATE ledger SET kafka_offset = 0 WHERE shard = 1 AND sequence = 44", 1, 44, "hash-mismatch"),
    ("a changed engine", "UPDATE ledger SET engine = 2 WHERE shard = 1 AND sequence = 44", 1, 44, "hash-mismatch"),
    ("a changed control version", "UPDATE ledger SET control_version = 2 WHERE shard = 1 AND sequence = 44", 1, 44, "hash-mismatch"),
    ("a changed hash", "UPDATE ledger SET hash = sha256('') WHERE shard = 1 AND sequence = 45", 1, 45, "hash-mismatch"),
    ("a removed first row", "DELETE FROM ledger WHERE shard = 1 AND sequence = 1", 1, 1, "row-missing"),
    ("a removed row", "DELETE FROM ledger WHERE shard = 1 AND sequence = 46", 1, 46, "row-missing"),
    ("a removed last row", "DELETE FROM ledger WHERE shard = 1 AND sequence = 2300", 1, 2300, "row-missing"),
    ("a removed tail", "DELETE FROM ledger WHERE shard = 1 AND sequence > 100", 1, 101, "row-missing"),
    ("a row behind the head", "UPDATE shard SET sequence = 2299, head_hash = (SELECT hash FROM ledger WHERE shard = 1 AND sequence = 2299)"
     " WHERE shard = 1", 1, 2300, "row-beyond-head"),
    ("two swapped rows", "UPDATE ledger a SET input = b.input, input_digest = b.input_digest, decision = b.decision, decision_digest ="
     " b.decision_digest, hash = b.hash, at = b.at FROM ledger b WHERE a.shard = 1 AND b.shard = 1 AND a.sequence IN (47, 50)"
     " AND b.sequence = 97 - a.sequence", 1, 47, "hash-mismatch"),
    ("a changed head", "UPDATE shard SET head_hash = sha256('') WHERE shard = 1", 1, 2300, "head-mismatch"),
    ("a changed head of an empty shard", "UPDATE shard SET head_hash = sha256('') WHERE shard = 2", 2, 0, "head-mismatch"),
    ("a removed shard", "DELETE FROM shard WHERE shard = 2", 2, 0, "shard-missing"),
    ("a row of no shard", "INSERT INTO ledger SELECT sequence, at, kafka_offset, control_version, 9, engine, kind, topic, input_digest,"
     " decision_digest, hash, input, decision FROM ledger WHERE shard = 0 AND sequence = 3", 9, 3, "shard-unknown"),
    ("a rewritten control log", "UPDATE control SET body = 'x' WHERE version = 1", None, 1, "control-changed"),
    ("a rewritten control log with its digest", "UPDATE control SET body = 'x', digest = sha256('x') WHERE version = 1", None, 2,
     "control-changed"),
    ("a removed control version", "DELETE FROM control WHERE version = 1", None, 1, "control-changed"),
]


def check_audit(tap, bench):
    bench.reset(30, 2300)
    for text in (POLICY, POLICY + "# again\n"):
        bench.answer("policy", "apply", "-", stdin=text)
    heads = {shard: forms.digest_text(bytes(head)) for shard, head in bench.sql("SELECT shard, head_hash FROM shard")}
    with tap.case("an untouched ledger is right, over several pages"):
        answer = bench.answer("audit", "verify", "--ledger-only")
        equal([(row["shard"], row["sequence"], row["hash"], row["rows"]) for row in answer["shards"]],
              [(0, 30, heads[0], 30), (1, 2300, heads[1], 2300), (2, 0, heads[2], 0)], "the shards")
        equal((answer["ok"], answer["published"]), (True, "not compared"), "ok and published")
    for name, statement, shard, sequence, code in TAMPERED:
        with tap.case(f"{name} is found"), bench.tampered(statement):
            answer = bench.answer("audit", "verify", "--ledger-only", status=1)
            bad = answer["firstBad"]
            equal(answer["ok"], False, "ok")
            equal((bad.get("shard"), bad.get("sequence", bad.get("controlVersion")), bad["code"]), (shard, sequence, code), "the first bad row")
            true(code in bench.sluice("audit", "verify", "--ledger-only").stderr, "the code on standard error")
    with tap.case("an emptied input is redacted, not broken"), \
            bench.tampered("UPDATE ledger SET input = '' WHERE shard = 1 AND sequence IN (41, 43)"):
        answer = bench.answer("audit", "verify", "--ledger-only")
        equal([row["redacted"] for row in answer["shards"]], [0, 2, 0], "the redacted rows")
    with tap.case("rows of another installation are not right"), \
            bench.tampered("UPDATE installation SET id = '00000000-0000-0000-0000-000000000001'"):
        equal(bench.answer("audit", "verify", "--ledger-only", status=1)["firstBad"]["sequence"], 1, "the first bad row")
    bench.sql("UPDATE installation SET id = %s", (str(bench.installation),))
    with tap.case("a large row does not make a page large"), \
            bench.tampered("UPDATE ledger SET input = convert_to(repeat('x', 3000000), 'UTF8') WHERE shard = 0 AND sequence IN (5, 6, 7)"):
        equal(bench.answer("audit", "verify", "--ledger-only", status=1)["firstBad"]["sequence"], 5, "the first bad row")


# ---- what was published ----

class Topics:
    def __init__(self, bench):
        self.bench = bench
        self.names = {False: f"{bench.name}.results", True: f"{bench.name}.dead-letter"}
        admin = AdminClient({"bootstrap.servers": bench.stack.brokers})
        self.admin = admin
        names = [*self.names.values(), f"{bench.name}.builds", f"{bench.name}.requests"]
        for future in admin.create_topics([NewTopic(name, SHARDS, 1) for name in names]).values():
            future.result(30)
        self.producer = Producer({"bootstrap.servers": bench.stack.brokers, "transactional.id": bench.name})
        self.producer.init_transactions(30)

    def publish(self, shard, sequences, commit=True, **changes):
        self.producer.begin_transaction()
        for sequence in sequences:
            [(kind, decision, digest)] = self.bench.sql("SELECT kind, decision, hash FROM ledger WHERE shard = %s AND sequence = %s",
                                                        (shard, sequence))
            dead = kind == forms.DEAD_LETTER
            decision = changes.get("decision", bytes(decision))
            headers = [("ce_ledgersequence", str(changes.get("sequence", sequence))),
                       ("ce_ledgerhash", changes.get("hash", forms.digest_text(bytes(digest))))]
            self.producer.produce(self.names[dead], b"raw" if dead else decision, partition=shard,
                                  headers=headers + ([("sluice_error", decision)] if dead else []))
        self.producer.flush(30)  # librdkafka: an abort with the first produce in flight is fatal
        (self.producer.commit_transaction if commit else self.producer.abort_transaction)()

    def trim(self, shard, offset):
        """As retention would: a DeleteRecords request (API key 21, version 0), which Debian's confluent_kafka does not have."""
        host, port = self.bench.stack.brokers.split(",")[0].rsplit(":", 1)
        name = self.names[False].encode()
        request = struct.pack(">hhih", 21, 0, 1, -1) + struct.pack(">ih", 1, len(name)) + name
        request += struct.pack(">iiqi", 1, shard, offset, 30000)
        with socket.create_connection((host, int(port)), 30) as broker:
            broker.sendall(struct.pack(">i", len(request)) + request)
            answer = broker.makefile("rb").read(4 + 4 + 4 + 4 + 2 + len(name) + 4 + 4 + 8 + 2)
        equal(struct.unpack(">h", answer[-2:])[0], 0, "the broker's error code")


def compared(bench, status=0):
    answer = bench.answer("audit", "verify", kafka=True, status=status)
    equal(answer["published"], "compared", "published")
    return answer


def check_published(tap, bench):
    bench.reset(25, 12, 12)
    bench.sql("UPDATE shard SET dead_letters_settled = sequence")
    topics = Topics(bench)
    with tap.case("what is settled and not published is found"):
        equal({name: compared(bench, 1)["firstBad"][name] for name in ("shard", "sequence", "code")},
              {"shard": 0, "sequence": 1, "code": "not-published"}, "the first bad row")
    for shard, last in ((0, 25), (1, 12), (2, 12)):
        topics.publish(shard, range(1, 5), commit=False)
        topics.publish(shard, range(1, last + 1))
    with tap.case("what was published is compared, without what was aborted"):
        equal([row["published"] for row in compared(bench)["shards"]], [25, 12, 12], "the records compared")
    with tap.case("what is not settled need not be published"):
        bench.sql("TRUNCATE ledger, shard")
        for shard, length in ((0, 28), (1, 12), (2, 12)):
            bench.fill(shard, length)
        bench.sql("UPDATE shard SET results_settled = 25, dead_letters_settled = 25 WHERE shard = 0")
        equal([row["published"] for row in compared(bench)["shards"]], [25, 12, 12], "the records compared")
    with tap.case("what retention has taken is not missed"):
        topics.trim(1, 8)
        equal([row["published"] for row in compared(bench)["shards"]], [25, 9, 12], "the records compared")
    with tap.case("a result of another ledger is found"):
        topics.publish(0, [26], decision=b"{}")
        equal({name: compared(bench, 1)["firstBad"][name] for name in ("shard", "sequence", "code")},
              {"shard": 0, "sequence": 26, "code": "published-differs"}, "the first bad row")
    with tap.case("a result that was published twice is found"):
        topics.publish(1, [12])
        bad = [row for row in (bench.sluice("audit", "verify", kafka=True).stderr.splitlines()) if "shard 1" in row]
        true(len(bad) == 1 and "sequence 12: published-twice" in bad[0], bad)
    with tap.case("a changed dead letter is found"):
        bench.sql("TRUNCATE ledger, shard")
        for shard, length in ((0, 0), (1, 0), (2, 20)):
            bench.fill(shard, length)
        bench.sql("UPDATE shard SET results_settled = 12, dead_letters_settled = 12 WHERE shard = 2")
        topics.publish(2, range(13, 20))
        topics.publish(2, [20], hash=forms.digest_text(bytes(32)))
        bad = [row for row in (bench.sluice("audit", "verify", kafka=True).stderr.splitlines()) if "shard 2" in row]
        true(len(bad) == 1 and "sequence 20: published-differs" in bad[0], bad)
    with tap.case("without Kafka the ledger is verified all the same, and whether it was published cannot be told"):
        answer = bench.answer("audit", "verify", status=2, SLUICE_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
        equal((answer["ok"], answer["published"], answer["shards"][2]["rows"]), (False, "not compared", 20), "ok, published and rows")
    with tap.case("a bad row is told also without Kafka"), bench.tampered("UPDATE ledger SET kind = 5 WHERE sequence = 3"):
        equal(bench.answer("audit", "verify", status=1)["firstBad"]["code"], "hash-mismatch", "the code")


def main():
    tap, bench = Tap(), Bench()
    check_policy(tap, bench)
    check_release(tap, bench)
    check_status(tap, bench)
    check_audit(tap, bench)
    check_published(tap, bench)
    with tap.case("a database without Sluice is told"):
        done = bench.sluice("status", SLUICE_DATABASE_SCHEMA="nothing_here")
        equal(done.returncode, 2, "the status")
        true("sluice db migrate" in done.stderr, done.stderr)
    with tap.case("a database that does not answer is status 2"):
        equal(bench.sluice("status", SLUICE_DATABASE_URL="postgresql://127.0.0.1:1/x").returncode, 2, "the status")
    bench.sql(f"DROP SCHEMA {bench.name} CASCADE")
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
