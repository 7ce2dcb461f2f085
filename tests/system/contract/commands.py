#!/usr/bin/python3
"""What `sluice COMMAND --help` says: shapes, exit statuses and defaults of the main job's commands."""
import getpass
import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from checks import forms
from lib import events, registry
from lib.installation import Installation
from lib.tap import Tap, equal, one_of, true

COMMANDS = ("manifest generate", "manifest verify", "build-complete", "promote", "wait", "status", "release show", "policy check",
            "policy apply", "policy show", "audit verify", "topics create", "topics check", "db migrate", "db status",
            "dead-letter list", "dead-letter show", "schema list", "schema print", "schema validate", "config")
NO_KAFKA = {"SLUICE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
NO_POSTGRES = {"SLUICE_DATABASE_URL": "postgresql://127.0.0.1:1/none"}
PROJECT = "acme/shop"


class Commands:
    def __init__(self, tap, sluice):
        self.tap, self.sluice, self.run, self.json = tap, sluice, sluice.run, sluice.json
        self.image = registry.push(sluice.stack.registry, "acme/shop", sluice.schema)

    def artifact(self):
        return events.artifact(digest=self.image, uri=f"{self.sluice.stack.registry}/acme/shop:1")

    def manifest(self, sha=None, artifacts=None, **changes):
        """A manifest file: path, SHA, text."""
        sha = sha or events.fresh_sha()
        text = events.manifest(sha, artifacts or [self.artifact()], **changes)
        path = self.sluice.folder / f"manifest-{sha[:8]}.json"
        path.write_text(text)
        return path, sha, text

    def status(self, name, wanted, *arguments, **options):
        with self.tap.case(name):
            done = self.run(*arguments, **options)
            equal(done.returncode, wanted, f"the exit status ({done.stdout[:500]}{done.stderr[:500]})")
            return done
        return None

    # ---- everywhere ----

    def usage(self):
        for command in COMMANDS:
            with self.tap.case(f"{command} --help: exit 0, on stdout"):
                done = self.run(*command.split(), "--help")
                equal((done.returncode, done.stderr), (0, ""), "exit status and stderr")
                true("--help" in done.stdout or len(done.stdout) > 100, done.stdout)
            self.status(f"{command} with an unknown option: exit 2", 2, *command.split(), "--no-such-option")
        self.status("an unknown command: exit 2", 2, "frobnicate")
        self.status("no command: exit 2", 2)
        self.status("sluice --help: exit 0", 0, "--help")

    # ---- publishing ----

    def build_complete(self):
        path, sha, text = self.manifest()
        digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        with self.tap.case("build-complete --json: gitSha, manifestDigest, project, source, id, topic, partition, offset"):
            code, document = self.json("build-complete", "--manifest", path, "--project", PROJECT, "--id", "b-1", "--source", "s")
            equal(code, 0, f"the exit status ({document})")
            equal(set(document), {"gitSha", "manifestDigest", "project", "source", "id", "topic", "partition", "offset"}, "the members")
            equal((document["gitSha"], document["manifestDigest"], document["project"], document["source"], document["id"],
                   document["topic"], document["partition"]),
                  (sha, digest, PROJECT, "s", "b-1", self.sluice.prefix + "builds", forms.murmur2(PROJECT.encode()) % self.sluice.shards),
                  "the document")
            true(isinstance(document["offset"], int), "offset")
        with self.tap.case("a duplicate of one that was verified: --wait exits 0"):
            code, document = self.json("build-complete", "--manifest", path, "--project", PROJECT, "--id", "b-1", "--source", "s", "--wait")
            equal((code, document["result"]["original"]["outcome"] if "original" in document["result"] else
                   document["result"]["outcome"]), (0, "verified"), f"it ({document})")
        self.status("--wait: an id that JSON escapes is answered too", 0, "build-complete", "--manifest", path, "--project", PROJECT,
                    "--id", 'a\t"\\b', "--wait")
        with self.tap.case("--wait --json: result, the last answer's data; exit 0 verified"):
            path, sha, _ = self.manifest()
            code, document = self.json("build-complete", "--manifest", path, "--project", PROJECT, "--wait")
            equal((code, document["result"]["outcome"], document["result"]["code"]), (0, "verified", "verified"), f"it ({document})")
        self.status("--wait: exit 1 when rejected", 1, "build-complete", "--manifest", self.manifest(sha, [events.artifact()])[0],
                    "--project", PROJECT, "--wait")
        bad = self.sluice.folder / "bad.json"
        bad.write_text("{]")
        with self.tap.case("a manifest that could never verify is not published: exit 1 or 2, before anything is sent"):
            done = self.run("build-complete", "--manifest", bad, "--project", PROJECT)
            one_of(done.returncode, (1, 2), "the exit status")
            equal(len(done.stderr.strip().splitlines()) >= 1, True, "a line on stderr")
        self.status("no manifest file: exit 2", 2, "build-complete", "--manifest", "/nonexistent", "--project", PROJECT)
        self.status("no project: exit 2", 2, "build-complete", "--manifest", path)
        path, _, _ = self.manifest()
        self.status("build-complete needs no Postgres", 0, "build-complete", "--manifest", path, "--project", PROJECT, "--wait", **NO_POSTGRES)
        with self.tap.case("Kafka did not acknowledge: exit 2 and one clear line"):
            done = self.run("build-complete", "--manifest", path, "--project", PROJECT, "--timeout", "3s", **NO_KAFKA)
            equal((done.returncode, len(done.stderr.strip().splitlines())), (2, 1), f"status and lines ({done.stderr})")

    def promote(self):
        sha = self.sluice.released(PROJECT, [self.artifact()])
        base = ("promote", "--project", PROJECT, "--release-ref")
        with self.tap.case("promote --json: promotionId, project, source, id, topic, partition, offset; 0 is acknowledged"):
            code, document = self.json(*base, sha, "--target-env", "dev", "--id", "p-1", "--source", "s")
            equal(code, 0, f"the exit status ({document})")
            equal(set(document), {"promotionId", "project", "source", "id", "topic", "partition", "offset"}, "the members")
            equal((document["promotionId"], document["topic"]), (forms.base32(forms.event_key(PROJECT, "s", "p-1")),
                                                                self.sluice.prefix + "requests"), "the document")
            promotion = document["promotionId"]
        with self.tap.case("plain output begins with `promotion ID` on its own line"):
            done = self.run(*base, sha, "--target-env", "dev", "--id", "p-1", "--source", "s")
            equal((done.returncode, done.stdout.splitlines()[0]), (0, f"promotion {promotion}"), "status and first line")
        with self.tap.case("--wait: 0 promoted; result is the last answer's data"):
            code, document = self.json(*base, sha, "--target-env", "dev", "--wait")
            equal((code, document["result"]["outcome"], document["result"]["final"]), (0, "promoted", True), f"it ({document})")
            equal(document["result"]["promotionId"], document["promotionId"], "promotionId")
        self.status("--wait: 0 a duplicate of one that was promoted", 0, *base, sha, "--target-env", "dev", "--id", "p-1", "--source", "s",
                    "--wait")
        self.status("--wait: 1 rejected", 1, *base, sha, "--target-env", "nowhere", "--wait")
        self.status("--wait: 1 expired", 1, *base, sha, "--target-env", "dev", "--expires-at", events.now(seconds=-1), "--wait")
        with self.tap.case("--wait: 3 timed out after --timeout"):
            started = time.monotonic()
            done = self.run(*base, events.fresh_sha(), "--target-env", "dev", "--wait", "--timeout", "2s")
            equal(done.returncode, 3, f"the exit status ({done.stderr})")
            true(1.5 < time.monotonic() - started < 15, f"it took {time.monotonic() - started:.1f} s")
        self.status("dry run: 0 if wouldBe is promoted", 0, *base, sha, "--target-env", "dev", "--dry-run", "--wait")
        self.status("dry run: 1 otherwise", 1, *base, sha, "--target-env", "prod", "--dry-run", "--wait")
        with self.tap.case("options become members: requester, reason, expiresAt"):
            code, document = self.json(*base, events.fresh_sha(), "--target-env", "dev", "--requester", "github:9", "--reason", "why",
                                       "--expires-at", "2999-01-01T00:00:00Z")
            event = events.promote(PROJECT, "", "dev", id=document["id"], source=document["source"])
            equal(self.sluice.follower.answer(event).data["request"]["requester"], "github:9", "requester")
            raw = self.input_of(event)
            equal((raw["reason"], raw["expiresAt"], raw.get("dryRun")), ("why", "2999-01-01T00:00:00Z", None), "the request's data")
        for name, arguments in (("a short SHA", (*base, "4f1c", "--target-env", "dev")), ("no --target-env", (*base, sha)),
                                ("no project", ("promote", "--release-ref", sha, "--target-env", "dev")),
                                ("no environment's name", (*base, sha, "--target-env", "Dev"))):
            self.status(f"{name}: exit 2", 2, *arguments)
        self.status("promote and wait need no Postgres", 0, *base, sha, "--target-env", "dev", "--wait", **NO_POSTGRES)
        with self.tap.case("Kafka did not acknowledge: exit 2 and one clear line"):
            done = self.run(*base, sha, "--target-env", "dev", "--timeout", "3s", **NO_KAFKA)
            equal((done.returncode, len(done.stderr.strip().splitlines())), (2, 1), f"status and lines ({done.stderr})")
        self.wait(sha)

    def wait(self, sha):
        code, document = self.json("promote", "--project", PROJECT, "--release-ref", sha, "--target-env", "dev")
        promotion = document["promotionId"]
        with self.tap.case("wait --json: the last answer's data; exit 0 promoted"):
            code, data = self.json("wait", promotion, "--project", PROJECT)
            equal((code, data["promotionId"], data["outcome"], data["final"]), (0, promotion, "promoted", True), f"it ({data})")
        self.status("wait for one that nobody asked for: exit 3", 3, "wait", "a" * 26, "--project", PROJECT, "--timeout", "1s")
        self.status("wait for what is no promotion id: exit 2", 2, "wait", "xyz", "--project", PROJECT)
        release = events.fresh_sha()
        command = ("promote", "--project", PROJECT, "--release-ref", release, "--target-env", "dev", "--id", "w-1", "--source", "w")
        with self.tap.case("Ctrl-C: exit 130, and how to find it again"):
            waiting = subprocess.Popen([self.sluice.stack.sluice, *command, "--wait"], env=self.sluice.environment, text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.sluice.folder)
            self.sluice.follower.answer(events.promote(PROJECT, release, "dev", id="w-1", source="w"))
            time.sleep(1)
            waiting.send_signal(signal.SIGINT)
            out, err = waiting.communicate(timeout=20)
            equal(waiting.returncode, 130, f"the exit status ({err})")
            identity = forms.base32(forms.event_key(PROJECT, "w", "w-1"))
            true(identity in out + err and "sluice wait" in out + err, out + err)
        with self.tap.case("a duplicate whose original is not final is followed on: exit 0 when that is promoted"):
            follower = subprocess.Popen([self.sluice.stack.sluice, *command, "--wait", "--json", "--timeout", "60s"], text=True,
                                        env=self.sluice.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.sluice.folder)
            self.sluice.follower.answer(events.promote(PROJECT, release, "dev", id="w-1", source="w"), 2)
            self.sluice.released(PROJECT, [self.artifact()], release)
            out, err = follower.communicate(timeout=60)
            equal((follower.returncode, json.loads(out)["result"]["outcome"]), (0, "promoted"), f"it ({out}{err})")

    def input_of(self, event):
        """The data of the request as it was published."""
        for log in self.sluice_inputs():
            for record in log:
                body = json.loads(record.value)
                if (body["id"], body["source"]) == (event.id, event.source):
                    return body["data"]
        raise LookupError(event.id)

    def sluice_inputs(self):
        from checks.load import Kafka
        kafka = Kafka(self.sluice.stack.brokers, self.sluice.prefix)
        try:
            for shard in range(self.sluice.shards):
                yield kafka.read(shard)[self.sluice.prefix + "requests"].records
        finally:
            kafka.close()

    def defaults(self):
        sha = events.fresh_sha()
        command = ("promote", "--release-ref", sha, "--target-env", "dev")
        github = {"GITHUB_REPOSITORY": "acme/gh", "GITHUB_ACTOR_ID": "77", "GITHUB_RUN_ID": "42", "GITHUB_RUN_ATTEMPT": "2",
                  "GITHUB_JOB": "deploy", "GITHUB_SERVER_URL": "https://github.example", "GITHUB_ACTIONS": "true"}
        gitlab = {"CI_PROJECT_PATH": "acme/gl", "GITLAB_USER_ID": "88", "CI_PIPELINE_ID": "5", "CI_JOB_ID": "6", "CI_JOB_NAME": "deploy",
                  "CI_PIPELINE_URL": "https://gitlab.example/acme/gl/-/pipelines/5", "GITLAB_CI": "true",
                  "CI_JOB_URL": "https://gitlab.example/acme/gl/-/jobs/6"}
        for name, environment, project, requester in (
                ("GitHub", github, "acme/gh", "github:77"), ("GitLab", gitlab, "acme/gl", "gitlab:88"),
                ("SLUICE_PROJECT before the CI's", github | {"SLUICE_PROJECT": "acme/own"}, "acme/own", "github:77"),
                ("a person's shell", {"SLUICE_PROJECT": "acme/own"}, "acme/own", f"user:{getpass.getuser()}")):
            with self.tap.case(f"defaults from {name}: project and requester"):
                code, document = self.json(*command, **environment)
                equal((code, document["project"]), (0, project), f"status and project ({document})")
                event = events.promote(project, sha, "dev", id=document["id"], source=document["source"])
                equal(self.sluice.follower.answer(event).data["request"]["requester"], requester, "requester")
            if name == "GitHub":
                with self.tap.case("in CI the id is run, attempt, job and environment, the source the run's URL: a retry is a duplicate"):
                    code, again = self.json(*command, **environment)
                    equal((again["id"], again["source"]), (document["id"], document["source"]), "id and source")
                    for part in ("42", "2", "deploy", "dev"):
                        true(part in document["id"], f"no {part} in {document['id']}")
                    equal(document["source"], "https://github.example/acme/gh/actions/runs/42", "the source")
                    _, other = self.json(*command[:-1], "staging", **environment)
                    true(other["id"] != document["id"], "another environment has the same id")
            if name == "GitLab":
                with self.tap.case("GitLab: the same id again, the source a URL of the run"):
                    code, again = self.json(*command, **environment)
                    equal((again["id"], again["source"]), (document["id"], document["source"]), "id and source")
                    true(document["source"].startswith("https://gitlab.example/"), document["source"])
            if name.startswith("a person"):
                with self.tap.case("else the id is a UUID, the source /sluice/cli/<host>"):
                    equal(document["source"], f"/sluice/cli/{socket.gethostname()}", "the source")
                    true(len(document["id"]) == 36 and document["id"].count("-") == 4, document["id"])
        with self.tap.case("build-complete finds release/out/release-manifest.json, and GITHUB_SHA is not needed"):
            place = self.sluice.folder / "checkout" / "release" / "out"
            place.mkdir(parents=True)
            _, sha, text = self.manifest()
            (place / "release-manifest.json").write_text(text)
            code, document = self.json("build-complete", "--project", PROJECT, cwd=place.parents[1])
            equal((code, document.get("gitSha")), (0, sha), f"it ({document})")
            done = self.run("manifest", "verify", cwd=place.parents[1])
            equal(done.returncode, 0, f"the exit status of manifest verify ({done.stderr})")

    # ---- manifests and schemas ----

    def manifests(self):
        good, sha, text = self.manifest()
        digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        with self.tap.case("manifest verify --json: valid, manifestDigest, errors; exit 0"):
            equal(self.json("manifest", "verify", good), (0, {"valid": True, "manifestDigest": digest, "errors": []}), "it")
        with self.tap.case("exit 1 with errors [{path, code, message}]"):
            bad, _, _ = self.manifest(events.fresh_sha(), schemaVersion=7)
            code, document = self.json("manifest", "verify", bad)
            equal((code, document["valid"]), (1, False), "it")
            true(all(set(one) == {"path", "code", "message"} for one in document["errors"]) and document["errors"], f"{document}")
        unparsable = self.sluice.folder / "unparsable.json"
        unparsable.write_text("{]")
        self.status("a document that does not parse: 1", 1, "manifest", "verify", unparsable)
        self.status("an unreadable file: 2", 2, "manifest", "verify", "/nonexistent")
        schema = self.sluice.folder / "own.schema.json"
        schema.write_text('{"required": ["nothing"]}')
        self.status("verify takes a schema as second argument", 1, "manifest", "verify", good, schema)
        self.status("verify takes a schema as --schema", 1, "manifest", "verify", good, "--schema", schema)
        schema.write_text('{"type": 7}')
        self.status("an unusable schema: 2", 2, "manifest", "verify", good, "--schema", schema)
        self.generate(sha)

    def generate(self, sha):
        folder = self.sluice.folder / "gen"
        folder.mkdir()
        for name in ("sbom.json", "evidence.json"):
            (folder / name).write_text(name)
        files = ("--sbom", "sbom.json", "--evidence", "evidence.json", "--issue-link", "https://x.example/1")
        image = ("--image-digest", self.image, "--image-uri", f"{self.sluice.stack.registry}/acme/shop:1")
        with self.tap.case("manifest generate writes what verifies, also with --bundle"):
            done = self.run("manifest", "generate", "--sha", sha, *image, *files, "--out", "m.json", cwd=folder)
            equal(done.returncode, 0, f"the exit status ({done.stderr})")
            equal(self.run("manifest", "verify", "m.json", "--bundle", ".", cwd=folder).returncode, 0, "the exit status of verify")
        with self.tap.case("--bundle: another SBOM than the manifest's digest says: exit 1"):
            (folder / "sbom.json").write_text("tampered")
            equal(self.run("manifest", "verify", "m.json", "--bundle", ".", cwd=folder).returncode, 1, "the exit status of verify")
        with self.tap.case("SHA from GITHUB_SHA, and SOURCE_DATE_EPOCH makes it reproducible"):
            for out in ("a.json", "b.json"):
                done = self.run("manifest", "generate", *image, *files, "--out", out, cwd=folder, GITHUB_SHA=sha, SOURCE_DATE_EPOCH="1700000000")
                equal(done.returncode, 0, f"the exit status ({done.stderr})")
            equal((folder / "a.json").read_bytes(), (folder / "b.json").read_bytes(), "the second one")
        with self.tap.case("a value that could never verify is refused with exit 2 and the flag's name"):
            done = self.run("manifest", "generate", "--sha", sha, "--image-digest", "sha256:mock", *image[2:], *files, "--out", "c.json",
                            cwd=folder)
            equal((done.returncode, (folder / "c.json").exists()), (2, False), "the exit status, and whether it is there")
            true("--image-digest" in done.stderr, done.stderr)
        with self.tap.case("--draft writes it all the same and says so"):
            done = self.run("manifest", "generate", "--sha", sha, "--image-digest", "sha256:mock", *image[2:], *files, "--out", "c.json",
                            "--draft", cwd=folder)
            equal((done.returncode, (folder / "c.json").exists()), (0, True), f"the exit status, and whether it is there ({done.stderr})")
            true("digest" in done.stderr, done.stderr)

    def schemas(self):
        folder = self.sluice.folder
        (folder / "number.json").write_text('{"type": "number"}')
        (folder / "one.json").write_text("1")
        (folder / "text.json").write_text('"x"')
        (folder / "broken.json").write_text("{")
        with self.tap.case("schema validate --json: [{file, valid, errors [{path, keyword, message}]}]"):
            code, document = self.json("schema", "validate", "number.json", "one.json", "text.json")
            equal((code, [(one["file"], one["valid"]) for one in document]), (1, [("one.json", True), ("text.json", False)]), f"it ({document})")
            equal((document[0]["errors"], set(document[1]["errors"][0])), ([], {"path", "keyword", "message"}), "errors")
            equal(document[1]["errors"][0]["keyword"], "type", "the keyword")
        for name, wanted, files in (("valid: 0", 0, ("one.json",)), ("not valid: 1", 1, ("text.json",)),
                                    ("does not parse: 1", 1, ("broken.json",)), ("unreadable: 2", 2, ("absent.json",)),
                                    ("of several files the worst counts", 2, ("one.json", "text.json", "absent.json"))):
            self.status("schema validate, " + name, wanted, "schema", "validate", "number.json", *files)
        (folder / "bad.schema.json").write_text('{"type": 7}')
        self.status("schema validate, unusable schema: 2", 2, "schema", "validate", "bad.schema.json", "one.json")
        with self.tap.case("schema list names what schema print prints"):
            code, names = self.json("schema", "list")
            equal(code, 0, "the exit status")
            true(names, "no schema")
            for one in names:
                name = one if isinstance(one, str) else one["name"]
                json.loads(self.sluice.must("schema", "print", name))
        self.status("schema print of an unknown name: 2", 2, "schema", "print", "nothing")

    # ---- looking ----

    def looking(self):
        project = "acme/look"
        sha = self.sluice.released(project, [self.artifact()])
        done = events.promote(project, sha, "dev")
        waiting = events.promote(project, sha, "prod")
        self.sluice.ask(done)
        answer = self.sluice.ask(waiting)
        with self.tap.case("status --json: current [{project, environment, gitSha, promotionId, since}], waiting [promotion data]"):
            code, document = self.json("status", "--project", project, **NO_KAFKA)
            equal((code, set(document)), (0, {"current", "waiting"}), f"it ({document})")
            current = document["current"][0]
            equal({name: current[name] for name in current if name != "since"},
                  {"project": project, "environment": "dev", "gitSha": sha,
                   "promotionId": forms.base32(forms.event_key(project, done.source, done.id))}, "current")
            true(forms.instant(current["since"]), "since")
            data = document["waiting"][0]
            equal({name: data[name] for name in ("project", "environment", "promotionId", "outcome", "conditions")},
                  {name: answer.data[name] for name in ("project", "environment", "promotionId", "outcome", "conditions")}, "waiting")
        with self.tap.case("release show --json: project, gitSha, state, manifestDigest, artifacts"):
            code, document = self.json("release", "show", sha, "--project", project, **NO_KAFKA)
            equal((code, set(document)), (0, {"project", "gitSha", "state", "manifestDigest", "artifacts"}), f"it ({document})")
            equal((document["project"], document["gitSha"], document["state"]), (project, sha, "verified"), "it")
        with self.tap.case("release show --manifest prints the exact bytes"):
            out = self.run("release", "show", sha, "--project", project, "--manifest").stdout
            equal("sha256:" + hashlib.sha256(out.encode()).hexdigest(), document["manifestDigest"], "its digest")
        self.status("release show of one that is not there: 1", 1, "release", "show", events.fresh_sha(), "--project", project)
        for command in (("status",), ("release", "show", sha, "--project", project), ("policy", "show"), ("db", "status")):
            self.status(f"{' '.join(command[:2])} without Postgres: 2", 2, *command, **NO_POSTGRES)
            self.status(f"{' '.join(command[:2])} needs no Kafka", 0, *command, **NO_KAFKA)

    def dead_letters(self):
        partition, offset = self.sluice.sender.send_raw("requests", b"k", [("a", b"b")], b"rubbish", 0)
        self.sluice.follower.dead_letter(self.sluice.prefix + "requests", partition, offset)
        with self.tap.case("dead-letter list --json: partition, offset, code, message, topic, inputPartition, inputOffset, at"):
            code, document = self.json("dead-letter", "list")
            equal(code, 0, f"the exit status ({document})")
            equal(set(document[0]), {"partition", "offset", "code", "message", "topic", "inputPartition", "inputOffset", "at"}, "members")
            found = [one for one in document if (one["inputPartition"], one["inputOffset"]) == (partition, offset)]
            equal((len(found), found[0]["code"], found[0]["topic"]), (1, "not-cloudevent", self.sluice.prefix + "requests"), "it")
        self.status("dead-letter show", 0, "dead-letter", "show", found[0]["partition"], found[0]["offset"])

    def administration(self):
        self.status("topics check: 0", 0, "topics", "check")
        self.status("topics create again: 0", 0, "topics", "create")
        self.status("topics check with another prefix: 1", 1, "topics", "check", SLUICE_TOPIC_PREFIX="nobody.")
        self.status("topics check without Kafka: 2", 2, "topics", "check", **NO_KAFKA)
        self.status("db migrate again: 0", 0, "db", "migrate", "--shards", self.sluice.shards)
        self.status("db migrate with another number of shards is refused: 2", 2, "db", "migrate", "--shards", self.sluice.shards + 1)
        self.status("db status of a migrated schema: 0", 0, "db", "status")
        self.status("db status of one that is not: 1", 1, "db", "status", SLUICE_DATABASE_SCHEMA="nobody")

    def audit(self):
        self.sluice.settle()
        with self.tap.case("audit verify --json: ok, shards [{shard, sequence, hash, rows}]; exit 0"):
            code, document = self.json("audit", "verify")
            equal((code, document["ok"], "firstBad" in document and document["firstBad"] is not None), (0, True, False), f"it ({document})")
            heads = {shard: (sequence, "sha256:" + bytes(digest).hex()) for shard, sequence, digest in
                     self.sluice.rows("SELECT shard, sequence, head_hash FROM shard WHERE sequence > 0")}
            equal({one["shard"]: (one["sequence"], one["hash"]) for one in document["shards"] if one["rows"]}, heads, "the shards")
        self.status("audit verify without Kafka: 2", 2, "audit", "verify", **NO_KAFKA)
        shard, sequence = self.sluice.rows("SELECT shard, sequence FROM ledger WHERE kind = 4 ORDER BY shard, sequence LIMIT 1")[0]
        self.sluice.rows("UPDATE ledger SET decision = decision || ' ' WHERE shard = %s AND sequence = %s", shard, sequence)
        with self.tap.case("a changed row: exit 1, firstBad {shard, sequence, code, message} names it"):
            code, document = self.json("audit", "verify")
            equal((code, document["ok"]), (1, False), f"it ({document})")
            equal(set(document["firstBad"]), {"shard", "sequence", "code", "message"}, "firstBad's members")
            equal((document["firstBad"]["shard"], document["firstBad"]["sequence"]), (shard, sequence), "firstBad")
        self.sluice.rows("UPDATE ledger SET decision = substr(decision, 1, length(decision) - 1) WHERE shard = %s AND sequence = %s",
                         shard, sequence)
        self.status("mended: exit 0", 0, "audit", "verify")


def main():
    tap = Tap()
    with Installation() as sluice:
        sluice.worker()
        commands = Commands(tap, sluice)
        for part in (commands.usage, commands.manifests, commands.schemas, commands.build_complete, commands.promote, commands.defaults,
                     commands.looking, commands.dead_letters, commands.administration, commands.audit):
            with tap.case(f"{part.__name__} ran to its end", quiet=True):
                part()
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
