"""build-complete, promote, wait and dead-letter against a real Kafka; this program plays the worker."""
# time-limit: 180
import hashlib
import json
import os
import pathlib
import base64
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/system"))
from lib import tap  # noqa: E402  pylint: disable=wrong-import-position

SLUICE = os.environ.get("SLUICE_BUILD_DIR", str(ROOT / "build/asan")) + "/producer/sluice"
BROKERS = os.environ["SLUICE_KAFKA_BOOTSTRAP_SERVERS"]
PREFIX = f"commands-{uuid.uuid4().hex[:8]}."
PARTITIONS = 4
SHA = "4f1c" * 10

environment = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "CI_", "GITLAB_", "SLUICE_"))}
environment |= {"SLUICE_KAFKA_BOOTSTRAP_SERVERS": BROKERS, "SLUICE_TOPIC_PREFIX": PREFIX, "SLUICE_PROJECT": "acme/shop"}


def start(*arguments, **extra):
    return subprocess.Popen([SLUICE, *arguments], env=environment | extra, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, cwd=tempfile.gettempdir())


def finish(process, status):
    out, err = process.communicate(timeout=60)
    tap.equal(process.returncode, status, f"exit status (stdout {out!r}, stderr {err!r})")
    return out, err


def run(status, *arguments, **extra):
    return finish(start(*arguments, **extra), status)


def promote(status, *arguments, **extra):
    return run(status, "promote", "--release-ref", SHA, "--target-env", "prod", *arguments, **extra)


def record_at(topic, partition, offset):
    consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(PREFIX + topic, partition, offset)])
    message = consumer.poll(20)
    consumer.close()
    return message


def promotion_of(source, event, project="acme/shop"):
    digest = hashlib.sha256(f"{project}\0{source}\0{event}".encode()).digest()[:16]
    return base64.b32encode(digest).decode().lower().rstrip("=")


class Worker:
    """Publishes answers, each in its own transaction, as the real one does."""

    def __init__(self):
        self.producer = Producer({"bootstrap.servers": BROKERS, "transactional.id": PREFIX + "worker"})
        self.producer.init_transactions(30)
        self.sequence = 0

    def answer(self, kind, data, partition, abort=False):
        self.sequence += 1
        self.producer.begin_transaction()
        self.producer.produce(PREFIX + "results", key="acme/shop", value=json.dumps(data), partition=partition,
                              headers=[("ce_type", f"dev.sluice.{kind}.v1"), ("ce_subject", "acme/shop")])
        self.producer.flush()
        if abort:
            self.producer.abort_transaction()
        else:
            self.producer.commit_transaction()

    def later(self, *answers):
        def work():
            for answer in answers:
                time.sleep(1.2)
                self.answer(*answer)
        thread = threading.Thread(target=work)
        thread.start()
        return thread


def conditions(after):
    return [{"type": "artifact", "subject": "image", "status": "met", "code": "found", "message": "there"},
            {"type": "after", "subject": "staging", **after}]


UNMET = {"status": "unmet", "code": "not-promoted-yet", "message": "promote it to staging first"}
MET = {"status": "met", "code": "promoted", "message": "was in staging"}


def promotion(event, outcome, final, after=None, source="/test", **more):
    return {"project": "acme/shop", "release": {"gitSha": SHA}, "environment": "prod", "outcome": outcome, "final": final,
            "promotionId": promotion_of(source, event), "request": {"source": source, "id": event},
            "conditions": conditions(after or MET), "expiresAt": "2026-03-08T10:00:00Z", **more}


def home():
    return json.loads(promote(0, "--json")[0])["partition"]


def events(check):
    with check.case("a_promotion_request_is_a_structured_event_on_its_home_partition"):
        out, _ = promote(0, "--id", "a-1", "--source", "/test", "--reason", 'a "reason"', "--requester", "github:1011", "--dry-run",
                         "--expires-at", "2026-03-01T10:00:00Z")
        lines = out.splitlines()
        tap.equal(lines[0], "promotion " + promotion_of("/test", "a-1"), "the first line")
        words = lines[1].replace(",", "").split()
        tap.equal(words[:3], ["published", "to", PREFIX + "requests"], "the second line")
        message = record_at("requests", int(words[4]), int(words[6]))
        tap.equal(message.key(), b"acme/shop", "the key")
        tap.equal(dict(message.headers()), {"content-type": b"application/cloudevents+json; charset=UTF-8"}, "headers")
        event = json.loads(message.value())
        tap.true(event.pop("time").endswith("Z"), "time is UTC")
        tap.equal(event, {"specversion": "1.0", "id": "a-1", "source": "/test", "type": "dev.sluice.promotion.requested.v1",
                          "subject": "acme/shop", "datacontenttype": "application/json",
                          "data": {"releaseRef": SHA, "targetEnv": "prod", "requester": "github:1011", "reason": 'a "reason"',
                                   "dryRun": True, "expiresAt": "2026-03-01T10:00:00Z"}}, "the event")
    with check.case("a_retry_with_the_same_id_carries_the_same_bytes_of_data"):
        found = [json.loads(promote(0, "--id", "same", "--source", "/test", "--json")[0]) for _ in range(2)]
        texts = [record_at("requests", one["partition"], one["offset"]).value().split(b'"data":')[1] for one in found]
        tap.equal(texts[0], texts[1], "data")
        tap.equal(found[0]["promotionId"], found[1]["promotionId"], "the promotion's id")
    with check.case("in_ci_id_source_project_and_requester_come_from_the_job"):
        job = {"GITHUB_RUN_ID": "81", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_JOB": "deploy", "GITHUB_SERVER_URL": "https://ci.example",
               "GITHUB_REPOSITORY": "acme/cart", "GITHUB_ACTOR_ID": "1011", "SLUICE_PROJECT": ""}
        said = json.loads(promote(0, "--json", **job)[0])
        tap.equal((said["id"], said["source"], said["project"]),
                  ("81-2-deploy-prod", "https://ci.example/acme/cart/actions/runs/81", "acme/cart"), "the identity")
        event = json.loads(record_at("requests", said["partition"], said["offset"]).value())
        tap.equal(event["data"]["requester"], "github:1011", "requester")
    with check.case("in_gitlab_too"):
        job = {"CI_PIPELINE_ID": "7", "CI_JOB_ID": "70", "CI_PIPELINE_URL": "https://gitlab.example/p/7", "CI_PROJECT_PATH": "acme/cart",
               "GITLAB_USER_ID": "42", "SLUICE_PROJECT": ""}
        said = json.loads(promote(0, "--json", **job)[0])
        tap.equal((said["id"], said["source"], said["project"]), ("7-70-prod", "https://gitlab.example/p/7", "acme/cart"), "the identity")
    with check.case("without_ci_ids_are_never_the_same"):
        ids = {json.loads(promote(0, "--json")[0])["id"] for _ in range(2)}
        tap.equal(len(ids), 2, "different ids")
    with check.case("wrong_arguments_are_2_and_name_the_option"):
        for arguments, word in ((["--expires-at", "tomorrow"], "--expires-at"), (["--project", "a//b"], "a//b"),
                                (["--id", ""], "--id"), (["--reason", "x" * 1025], "--reason"), (["--requester", ""], "--requester")):
            _, err = promote(2, *arguments)
            tap.true(word in err and len(err.splitlines()) == 1, f"{word} in one line: {err!r}")
        run(2, "promote", "--release-ref", "main", "--target-env", "prod")
        run(2, "promote", "--release-ref", SHA, "--target-env", "Prod")
    with check.case("an_unreachable_broker_is_2_in_one_line_and_in_time"):
        before = time.monotonic()
        _, err = promote(2, SLUICE_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
        tap.true(time.monotonic() - before < 40, "in time")
        tap.equal(len(err.splitlines()), 1, "lines of " + err)
        tap.true("127.0.0.1:1" in err and "Connection refused" in err, err)
    with check.case("missing_topics_are_2_with_the_command_that_makes_them"):
        _, err = promote(2, SLUICE_TOPIC_PREFIX="nobody-made-this.")
        tap.true("sluice topics create" in err, err)


def waiting(check, worker):
    partition = home()
    with check.case("wait_shows_what_is_missing_then_what_changed_and_ends_with_the_final_answer"):
        answers = worker.later(("promotion.waiting", promotion("w-1", "waiting", False, UNMET), partition),
                               ("promotion.promoted", promotion("w-1", "promoted", True), partition))
        out, err = promote(0, "--id", "w-1", "--source", "/test", "--wait")
        answers.join()
        tap.true("not-promoted-yet" in err and "promote it to staging first" in err, err)
        tap.true("found" not in err, "what is met is not said to be missing: " + err)
        tap.true("promoted: acme/shop " + SHA + " to prod" in out, out)
    for outcome in ("rejected", "superseded", "aborted", "expired"):
        with check.case(f"{outcome}_is_1"):
            answers = worker.later((f"promotion.{outcome}", promotion("o-" + outcome, outcome, True, UNMET), partition))
            out, _ = promote(1, "--id", "o-" + outcome, "--source", "/test", "--wait")
            answers.join()
            tap.true(outcome in out and "not-promoted-yet" in out, out)
    with check.case("a_dry_run_is_what_it_would_be"):
        for would, status in (("promoted", 0), ("rejected", 1), ("waiting", 1)):
            answers = worker.later(("promotion.evaluated", promotion("d-" + would, "evaluated", True, wouldBe=would), partition))
            out, _ = promote(status, "--id", "d-" + would, "--source", "/test", "--wait", "--dry-run")
            answers.join()
            tap.true("dry run" in out, out)
    with check.case("a_refusal_is_1_with_code_and_path"):
        answers = worker.later(("event.refused", {"project": "acme/shop", "request": {"source": "/test", "id": "r-1"}, "final": True,
                                                  "code": "event-id-conflict", "message": "used before", "path": "/x"}, partition))
        out, _ = promote(1, "--id", "r-1", "--source", "/test", "--wait")
        answers.join()
        tap.true("event-id-conflict" in out and "/x" in out, out)
    with check.case("a_duplicate_is_what_its_original_was_and_is_followed_while_that_waits"):
        duplicate = {"project": "acme/shop", "request": {"source": "/test", "id": "u-1"}, "final": True,
                     "promotionId": promotion_of("/test", "u-1")}
        original = {"shard": partition, "sequence": 1, "type": "dev.sluice.promotion.promoted.v1", "outcome": "promoted", "final": True}
        answers = worker.later(("event.duplicate", duplicate | {"original": original}, partition))
        out, _ = promote(0, "--id", "u-1", "--source", "/test", "--wait")
        answers.join()
        tap.true("duplicate" in out, out)
        original |= {"type": "dev.sluice.promotion.waiting.v1", "outcome": "waiting", "final": False}
        answers = worker.later(("event.duplicate", duplicate | {"original": original}, partition),
                               ("promotion.rejected", promotion("u-1", "rejected", True, UNMET), partition))
        out, err = promote(1, "--id", "u-1", "--source", "/test", "--wait")
        answers.join()
        tap.true("duplicate" in err and "rejected" in out, err + out)
    with check.case("answers_of_others_and_of_aborted_transactions_are_none"):
        answers = worker.later(("promotion.promoted", promotion("other", "promoted", True), partition),
                               ("promotion.promoted", promotion("n-1", "promoted", True, source="/other"), partition),
                               ("promotion.promoted", promotion("n-1", "promoted", True), partition, True))
        promote(3, "--id", "n-1", "--source", "/test", "--wait", "--timeout", "5s")
        answers.join()
    with check.case("answers_to_another_request_that_had_the_same_id_are_none"):
        refused = {"project": "acme/shop", "request": {"source": "/test", "id": "k-1"}, "final": True, "code": "event-id-conflict",
                   "message": "used before"}
        before = promotion("k-1", "promoted", True) | {"release": {"gitSha": "9" * 40}}
        answers = worker.later(("promotion.promoted", before, partition),
                               ("promotion.promoted", promotion("k-1", "promoted", True) | {"environment": "dev"}, partition),
                               ("event.refused", refused, partition))
        out, _ = promote(1, "--id", "k-1", "--source", "/test", "--wait")
        answers.join()
        tap.true("event-id-conflict" in out, out)
    with check.case("a_request_that_waits_is_not_refused_because_its_id_was_used_again"):
        answers = worker.later(("promotion.waiting", promotion("k-2", "waiting", False, UNMET), partition),
                               ("event.refused", refused | {"request": {"source": "/test", "id": "k-2"}}, partition),
                               ("promotion.promoted", promotion("k-2", "promoted", True), partition))
        out, _ = promote(0, "--id", "k-2", "--source", "/test", "--wait")
        answers.join()
        tap.true("promoted: acme/shop" in out, out)
    with check.case("a_time_out_is_3_and_says_how_to_go_on"):
        out, err = promote(3, "--id", "t-1", "--source", "/test", "--wait", "--timeout", "1s", "--json")
        tap.true("sluice wait " + promotion_of("/test", "t-1") in err, err)
        tap.equal(sorted(json.loads(out)), ["id", "offset", "partition", "project", "promotionId", "source", "topic"], "members")
    with check.case("ctrl_c_is_130_and_says_how_to_go_on"):
        process = start("promote", "--release-ref", SHA, "--target-env", "prod", "--id", "c-1", "--source", "/test", "--wait")
        process.stdout.readline(), process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = finish(process, 130)
        tap.true("sluice wait " + promotion_of("/test", "c-1") in err, err)
    with check.case("wait_finds_what_was_answered_before_and_what_comes"):
        worker.answer("promotion.waiting", promotion("z-1", "waiting", False, UNMET), partition)
        found = promotion_of("/test", "z-1")
        _, err = run(3, "wait", found, "--timeout", "2s")
        tap.true("not-promoted-yet" in err, err)
        answers = worker.later(("promotion.promoted", promotion("z-1", "promoted", True), partition))
        out, _ = run(0, "wait", found, "--json")
        answers.join()
        tap.equal(json.loads(out), promotion("z-1", "promoted", True), "the last answer's data")
        run(0, "wait", found)
        out, _ = run(0, "wait", found, SLUICE_PROJECT="")
        tap.true("promoted" in out, out)
    with check.case("wait_for_an_id_of_nobody_is_3_and_no_id_is_2"):
        _, err = run(3, "wait", "a" * 26, "--timeout", "2s")
        tap.true("no answer" in err, err)
        run(2, "wait", "not-an-id")
    with check.case("a_kept_answer_does_not_end_a_new_request"):
        promote(3, "--id", "z-1", "--source", "/test", "--wait", "--timeout", "2s")


def builds(check, worker, folder):
    manifest = {"schemaVersion": "1.0", "gitSha": SHA, "buildTimestamp": "2026-03-01T10:00:00Z",
                "artifacts": [{"name": "image", "type": "docker-image", "digest": "sha256:" + "7" * 64}],
                "sbomReference": {"uri": "sbom.json"}, "evidenceReference": {"uri": "evidence.json"},
                "attestation": {"status": "disabled", "issueLink": "https://issues.example/1"}}
    text = json.dumps(manifest, indent=2) + "\n\n"
    path = folder / "release-manifest.json"
    path.write_text(text)
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    partition = home()
    with check.case("a_build_carries_the_exact_text_of_its_manifest"):
        out, _ = run(0, "build-complete", "--manifest", str(path), "--json")
        said = json.loads(out)
        tap.equal((said["gitSha"], said["manifestDigest"]), (SHA, digest), "what is printed")
        event = json.loads(record_at("builds", said["partition"], said["offset"]).value())
        tap.equal((event["type"], event["data"]), ("dev.sluice.build.complete.v1", {"manifest": text}), "the event")
    with check.case("a_wrong_manifest_is_1_and_not_sent"):
        wrong = folder / "wrong.json"
        wrong.write_text(text.replace("sha256:", "sha256:x"))
        _, err = run(1, "build-complete", "--manifest", str(wrong))
        tap.true("digest" in err, err)
        run(2, "build-complete", "--manifest", str(folder / "none.json"))
    with check.case("verified_is_0_and_rejected_is_1"):
        data = {"project": "acme/shop", "final": True, "release": {"gitSha": SHA, "manifestDigest": digest}}
        for outcome, status in (("verified", 0), ("rejected", 1)):
            answers = worker.later((f"release.{outcome}", data | {"outcome": outcome, "code": "manifest-conflict", "message": "why",
                                                                  "request": {"source": "/test", "id": "b-" + outcome}}, partition))
            out, _ = run(status, "build-complete", "--manifest", str(path), "--id", "b-" + outcome, "--source", "/test", "--wait")
            answers.join()
            tap.true(outcome in out and "manifest-conflict" in out, out)


def dead_letters(check):
    producer = Producer({"bootstrap.servers": BROKERS})
    error = {"code": "not-cloudevent", "message": "no id", "topic": PREFIX + "requests", "partition": 2, "offset": 9,
             "at": "2026-03-01T10:00:00.000000Z"}
    with check.case("an_empty_dead_letter_topic_lists_nothing"):
        tap.equal(json.loads(run(0, "dead-letter", "list", "--json")[0]), [], "the list")
    for value in (b"garbage", b"\xff\x00"):
        producer.produce(PREFIX + "dead-letter", key=b"k", value=value, partition=2,
                         headers=[("sluice_error", b"not this one"), ("sluice_error", json.dumps(error).encode())])
    producer.flush()
    with check.case("dead_letters_are_listed_with_their_errors"):
        listed = json.loads(run(0, "dead-letter", "list", "--json")[0])
        wanted = {"partition": 2, "code": "not-cloudevent", "message": "no id", "topic": PREFIX + "requests", "inputPartition": 2,
                  "inputOffset": 9, "at": error["at"]}
        tap.equal(listed, [wanted | {"offset": 0}, wanted | {"offset": 1}], "the list")
        tap.true("not-cloudevent" in run(0, "dead-letter", "list")[0], "the plain list")
    with check.case("one_dead_letter_is_shown_whole"):
        shown = json.loads(run(0, "dead-letter", "show", "2", "0", "--json")[0])
        tap.equal((shown["value"], shown["key"], len(shown["headers"])), ("garbage", "k", 2), "text")
        tap.equal(json.loads(run(0, "dead-letter", "show", "2", "1", "--json")[0])["valueHex"], "ff00", "bytes")
        tap.true("garbage" in run(0, "dead-letter", "show", "2", "0")[0], "plainly")
        run(1, "dead-letter", "show", "2", "2")
        run(1, "dead-letter", "show", "77", "0")
        run(2, "dead-letter", "show", "two", "0")


def main():
    check = tap.Tap()
    with check.case("topics_are_created_once_and_checked"):
        run(1, "topics", "check")
        run(0, "topics", "create", "--partitions", str(PARTITIONS))
        run(0, "topics", "create", "--partitions", str(PARTITIONS))
        run(1, "topics", "create", "--partitions", str(PARTITIONS + 1))
        found = json.loads(run(0, "topics", "check", "--json")[0])
        tap.equal([topic["partitions"] for topic in found["topics"]], [PARTITIONS] * 4, "partitions")
    worker = Worker()
    events(check)
    waiting(check, worker)
    with tempfile.TemporaryDirectory() as folder:
        builds(check, worker, pathlib.Path(folder))
    dead_letters(check)
    return check.end()


if __name__ == "__main__":
    sys.exit(main())
