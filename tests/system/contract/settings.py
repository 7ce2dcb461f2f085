#!/usr/bin/python3
"""What `sluice config --reference` says: where a value comes from; and the processes' own pages."""
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from confluent_kafka.admin import AdminClient, ConfigResource

from lib import events
from lib.installation import Installation
from lib.tap import Tap, equal, true


def main():
    tap = Tap()
    with Installation() as sluice:
        run, folder = sluice.run, sluice.folder
        nowhere = {"SLUICE_CONFIG": ""}
        with tap.case("the file: --config, SLUICE_CONFIG, ./sluice.yaml"):
            equal(run("topics", "check", "--config", folder / "sluice.yaml", **nowhere).returncode, 0, "exit with --config")
            equal(run("topics", "check").returncode, 0, "exit with SLUICE_CONFIG")
            equal(run("topics", "check", cwd=folder, **nowhere).returncode, 0, "exit with ./sluice.yaml")
        with tap.case("key a.b-c is also SLUICE_A_B_C, which goes first"):
            done = run("topics", "check", SLUICE_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
            equal(done.returncode, 2, f"the exit status ({done.stderr})")
        with tap.case("secrets: SLUICE_A_B_C_FILE"):
            (folder / "url").write_text(sluice.stack.database_url + "\n")
            (folder / "bare.yaml").write_text((folder / "sluice.yaml").read_text().replace(f'  url: "{sluice.stack.database_url}"\n', ""))
            equal(run("db", "status", "--config", folder / "bare.yaml").returncode, 2, "exit without a URL")
            done = run("db", "status", "--config", folder / "bare.yaml", SLUICE_DATABASE_URL_FILE=str(folder / "url"))
            equal(done.returncode, 0, f"exit with it ({done.stderr})")
        with tap.case("database.url takes keywords, too"):
            from psycopg2.extensions import parse_dsn
            words = " ".join(f"{name}={value}" for name, value in parse_dsn(sluice.stack.database_url).items())
            equal(run("db", "status", SLUICE_DATABASE_URL=words).returncode, 0, "the exit status")
        with tap.case("kafka.<any librdkafka property> is passed on"):
            text = (folder / "sluice.yaml").read_text()
            (folder / "more.yaml").write_text(text.replace("kafka:\n", "kafka:\n  client.id: tester\n"))
            equal(run("topics", "check", "--config", folder / "more.yaml").returncode, 0, "exit with a good one")
            (folder / "more.yaml").write_text(text.replace("kafka:\n", "kafka:\n  no.such.property: 1\n"))
            equal(run("topics", "check", "--config", folder / "more.yaml").returncode, 2, "exit with a bad one")
        for name in ("isolation.level", "transactional.id", "acks", "enable.idempotence", "enable.auto.commit", "auto.offset.reset",
                     "group.protocol", "partition.assignment.strategy"):
            with tap.case(f"kafka.{name} must not be overridden"):
                (folder / "more.yaml").write_text(text.replace("kafka:\n", f"kafka:\n  {name}: x\n"))
                equal(run("topics", "check", "--config", folder / "more.yaml").returncode, 2, "the exit status")
        with tap.case("sluice config prints every key and where its value comes from; no secret"):
            done = run("config")
            equal(done.returncode, 0, f"the exit status ({done.stderr})")
            for key in ("kafka.bootstrap-servers", "topic-prefix", "database.url", "database.schema", "worker.name", "worker.lanes",
                        "worker.listen", "registry.docker-config"):
                true(key in done.stdout, f"no {key} in it")
            true(parse_dsn(sluice.stack.database_url)["password"] not in done.stdout, "the database's password is in it")
        with tap.case("the worker's /healthz, /readyz and /metrics"):
            worker = sluice.worker()
            equal((worker.get("/healthz")[0], worker.get("/readyz")[0]), (200, 200), "healthz and readyz")
            sluice.ask(events.promote("acme/shop", events.fresh_sha(), "dev"))
            status, text = worker.get("/metrics")
            equal(status, 200, "metrics")
            true(any(line.startswith("sluice_") for line in text.splitlines()), text[:500])
        with tap.case("no password in the command line of any process"):
            password = parse_dsn(sluice.stack.database_url)["password"]
            for pid in (worker.pid, *worker.lanes()):
                true(password not in Path(f"/proc/{pid}/cmdline").read_text(), f"process {pid} shows it")
        with tap.case("another number of partitions than shards: the worker refuses to start"):
            other = Installation(shards=2)
            try:
                other.environment["SLUICE_TOPIC_PREFIX"] = sluice.prefix
                worker = other.worker(ready=False)
                true(wait_for(lambda: "partition" in worker.log_text() or not worker.running(), 20), worker.tail())
                true(worker.get("/readyz")[0] != 200, "it says that it is ready")
                true("partition" in worker.log_text(), worker.tail())
            finally:
                other.close()
        with tap.case("SIGTERM: the worker ends with 0"):
            equal(sluice.workers[0].stop(), 0, "the exit status")
        with tap.case("SIGTERM while it starts, and waits for a broker that does not answer: the worker ends with 0, at once"):
            with socket.create_server(("127.0.0.1", 0)) as silent:
                silent.settimeout(20)
                worker = sluice.worker("w2", ready=False, SLUICE_KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:%d" % silent.getsockname()[1])
                connection, _ = silent.accept()
                equal(worker.stop(timeout=5), 0, f"the exit status ({worker.tail()})")
                connection.close()
        sluice.worker("w1")
        sluice.check(tap)
    with Installation(shards=1) as sluice, tap.case("a topic whose max.message.bytes is too small: the worker refuses to start"):
        admin = AdminClient({"bootstrap.servers": sluice.stack.brokers})
        small = ConfigResource("topic", sluice.prefix + "results", set_config={"max.message.bytes": "1000000"})
        for done in admin.alter_configs([small]).values():
            done.result(20)
        worker = sluice.worker(ready=False)
        true(wait_for(lambda: "code=topic-limit" in worker.log_text(), 20), worker.tail())
        equal(worker.get("/readyz")[0], 503, "readyz")
    return tap.end()


def wait_for(found, seconds):
    import time
    deadline = time.monotonic() + seconds
    while not found() and time.monotonic() < deadline:
        time.sleep(0.1)
    return found()


if __name__ == "__main__":
    sys.exit(main())
