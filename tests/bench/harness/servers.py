"""Kafka, Postgres and a registry of the benchmark's own, below one folder."""
import concurrent.futures
import os
import subprocess
from pathlib import Path

import psycopg2

REPOSITORY = Path(__file__).resolve().parents[3]
DEPLOY = REPOSITORY / "deploy"


class Servers:
    def __init__(self, folder):
        self.folder = Path(folder)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            started = {name: pool.submit(self._script, name, "start") for name in ("kafka", "postgres", "registry")}
            said = {name: future.result() for name, future in started.items()}
        self.brokers, self.url, self.registry = said["kafka"], said["postgres"], said["registry"]
        self.kafka_pid = int((self.folder / "kafka/pid").read_text())
        self.postgres_pid = int((self.folder / "postgres/pid").read_text())

    def _script(self, name, verb):
        done = subprocess.run([DEPLOY / f"{name}.sh", verb, self.folder / name], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{name} did not {verb}: {done.stderr.strip()}")
        return done.stdout.strip().rpartition("\n")[2]

    def stop(self):
        for name, verb in (("kafka", "stop"), ("registry", "stop"), ("postgres", "purge")):
            self._script(name, verb)

    # ---- Postgres ----

    def database_url(self, database):
        return self.url.rpartition("/")[0] + "/" + database

    def sql(self, statement, database="sluice", fetch=False):
        connection = psycopg2.connect(self.database_url(database))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if fetch else None
        finally:
            connection.close()

    def psql(self, database, file, stdin=None):
        with open(stdin or os.devnull, "rb") as source:
            subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.database_url(database), "-f", file], stdin=source,
                           stdout=subprocess.DEVNULL, check=True)

    def make_database(self, name, template=None):
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.sql(f"CREATE DATABASE {name}" + (f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""))

    def wal(self):
        return int(self.sql("SELECT pg_current_wal_insert_lsn() - '0/0'", fetch=True)[0][0])

    # ---- Kafka ----

    def kafka_bytes(self):
        """Bytes of all records of all logs, Kafka's own included; not of topics that were removed."""
        total = 0
        for path, _, names in os.walk(self.folder / "kafka/data"):
            if path.endswith("-delete"):
                continue
            for name in names:
                if name.endswith(".log"):
                    try:
                        total += os.stat(os.path.join(path, name)).st_size
                    except OSError:
                        pass  # just deleted
        return total

    def push_image(self, name, text="image"):
        return subprocess.run([DEPLOY / "push-image.sh", f"{self.registry}/{name}", text], capture_output=True, text=True,
                              check=True).stdout.strip()
