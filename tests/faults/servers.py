"""The servers that get hurt: Kafka (one node, or three), Postgres with a synchronous standby, a registry, and the proxies that stand
before them. Data lie on small disks of their own (tmpfs) where mounting is permitted."""
import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg2
from confluent_kafka.admin import AdminClient

from clock import Clock
from lib.stack import Stack, script
from proxy import Link, Loop

DISK = 512  # MiB of each server


def wait(what, found, seconds, step=0.1):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(step)
    return value


def alive(pid):
    """A process that is neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def state_of(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


class Ports:
    """Free ports, each given once: above those that deploy/*.sh take, below those that the system takes, so that nobody has one
    while its server is down."""

    def __init__(self):
        self.next = random.randrange(30000, 32700)

    def take(self):
        while True:
            self.next = 30000 + (self.next - 30000 + 1) % 2700
            with socket.socket() as one:
                try:
                    one.bind(("127.0.0.1", self.next))
                    return self.next
                except OSError:
                    continue


class Disk:
    """A small file system of its own, if it may be mounted."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=0755", "sluice-faults", self.folder],
                                      stderr=subprocess.DEVNULL, check=False).returncode == 0
        self.filler = self.folder / "filler"

    def fill(self):
        """Takes all space that there is, again and again where some comes free."""
        with open(self.filler, "ab") as file:
            for size in (1 << 24, 1 << 20, 1 << 16, 1 << 12):
                while True:
                    at = os.fstat(file.fileno()).st_size
                    try:
                        os.posix_fallocate(file.fileno(), at, size)
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
                        break

    def make_space(self):
        self.filler.unlink(missing_ok=True)

    def free(self):
        self.make_space()
        if self.mounted:
            subprocess.run(["umount", "-l", self.folder], check=False)


class KafkaNode:
    def __init__(self, cluster, number):
        self.cluster, self.number = cluster, number
        self.folder = cluster.folder / f"kafka-{number}"
        self.disk = Disk(self.folder / "data")
        self.direct, self.inner, self.workers, self.producers, self.controller = (cluster.ports.take() for _ in range(5))

    def configure(self, voters, inner_port, worker_port, producer_port, controller_port):
        copies, host = self.cluster.copies, "127.0.0.1"

        def listeners(inner, workers, producers, controller):
            return (f"DIRECT://{host}:{self.direct},INNER://{host}:{inner},WORKERS://{host}:{workers},PRODUCERS://{host}:{producers},"
                    f"CONTROLLER://{host}:{controller}")
        (self.folder / "extra.properties").write_text(f"""node.id={self.number}
controller.quorum.voters={voters}
listeners={listeners(self.inner, self.workers, self.producers, self.controller)}
advertised.listeners={listeners(inner_port, worker_port, producer_port, controller_port)}
inter.broker.listener.name=INNER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,DIRECT:PLAINTEXT,INNER:PLAINTEXT,WORKERS:PLAINTEXT,PRODUCERS:PLAINTEXT
default.replication.factor={copies}
min.insync.replicas={min(copies, 2)}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={min(copies, 2)}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={min(copies, 2)}
replica.lag.time.max.ms=5000
log.segment.delete.delay.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=2000
""")

    def start(self):
        script("kafka.sh", "start", self.folder, self.direct, SLUICE_KAFKA_CLUSTER_ID=self.cluster.identity, SLUICE_KAFKA_HEAP="384m")

    def stop(self):
        script("kafka.sh", "stop", self.folder)

    @property
    def pid(self):
        try:
            return int((self.folder / "pid").read_text())
        except OSError:
            return None

    def running(self):
        return self.pid is not None and alive(self.pid)

    def kill(self):
        """kill -9; False when it did not run."""
        if not self.running():
            return False
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait("Kafka is gone", lambda: not alive(pid), 20)
        return True

    def quorum(self):
        """(epoch, leader) of the controllers, as this node wrote it down last."""
        try:
            said = json.loads((self.folder / "data" / "__cluster_metadata-0" / "quorum-state").read_text())
            return said["leaderEpoch"], said["leaderId"]
        except (OSError, ValueError, KeyError):
            return -1, -1


class Kafka:
    def __init__(self, folder, ports, loop, copies):
        self.folder, self.ports, self.copies = folder, ports, copies
        self.identity = os.urandom(16).hex()[:22]
        self.nodes = [KafkaNode(self, number + 1) for number in range(copies)]
        self.lock = threading.RLock()  # of one that stops or starts a node
        self.worker_link = Link(loop, "worker-kafka", [("127.0.0.1", node.workers) for node in self.nodes])
        self.producer_link = Link(loop, "producer-kafka", [("127.0.0.1", node.producers) for node in self.nodes])
        self.broker_link = Link(loop, "broker-broker", [("127.0.0.1", node.inner) for node in self.nodes])
        self.controller_link = Link(loop, "broker-controller", [("127.0.0.1", node.controller) for node in self.nodes])
        voters = ",".join(f"{node.number}@{address}" for node, address in zip(self.nodes, self.controller_link.addresses))
        links = (self.broker_link, self.worker_link, self.producer_link, self.controller_link)
        for node, *mouths in zip(self.nodes, *(link.mouths for link in links)):
            node.configure(voters, *(mouth.port for mouth in mouths))
        self.brokers = ",".join(f"127.0.0.1:{node.direct}" for node in self.nodes)
        self._admin = None

    def start(self):
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(KafkaNode.start, [node for node in self.nodes if not node.running()]))

    @property
    def admin(self):
        if not self._admin:
            self._admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 2})
        return self._admin

    def controller(self):
        """The node that leads the controllers."""
        _, leader = max(node.quorum() for node in self.nodes)
        return next((node for node in self.nodes if node.number == leader and node.running()), None)

    def leader(self, topic, partition):
        """The node that leads a partition; None while there is none."""
        try:
            found = self.admin.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader
        except Exception:  # pylint: disable=broad-except
            return None
        return next((node for node in self.nodes if node.number == found), None)

    def whole(self):
        """Every partition has a leader and all its replicas in sync."""
        try:
            topics = self.admin.list_topics(timeout=10).topics.values()
        except Exception:  # pylint: disable=broad-except
            return False
        return all(one.leader > 0 and len(one.isrs) == self.copies for topic in topics for one in topic.partitions.values())

    def delete_topics(self, prefix):
        names = [name for name in self.admin.list_topics(timeout=10).topics if name.startswith(prefix)]
        if names:
            for future in self.admin.delete_topics(names).values():
                future.result(30)


class PostgresNode:
    def __init__(self, folder, name, port):
        self.folder, self.name, self.port = folder / name, name, port
        self.volume = folder / f"{name}-disk"
        self.disk = Disk(self.volume)
        os.chmod(self.volume, 0o711)
        self.folder.mkdir(exist_ok=True)

    def call(self, *arguments, **environment):
        return script("postgres.sh", *arguments, SLUICE_POSTGRES_VOLUME=str(self.volume), SLUICE_POSTGRES_INITDB="--wal-segsize=1",
                      **environment)

    def start(self, **environment):
        return self.call("start", self.folder, self.port, **environment)

    def start_by(self, clock):
        """Again, at once, and until its next start with a clock that can be set."""
        program = Path(f"/proc/{self.pid}/exe").resolve()
        self.stop_immediately()
        return self.start(SLUICE_POSTGRES_BIN=str(clock.folder_of(program, self.folder / "programs")))

    def ahead(self):
        """What its clock says, in seconds ahead of ours."""
        try:
            return float(self.rows("SELECT extract(epoch FROM clock_timestamp())")[0][0]) - time.time()
        except psycopg2.Error:
            return 0

    def stop(self):
        self.call("stop", self.folder)

    @property
    def pid(self):
        try:
            return int((self.folder / "pid").read_text())
        except OSError:
            return None

    def running(self):
        return self.pid is not None and alive(self.pid)

    def stop_immediately(self):
        """SIGQUIT: as after a power cut, but for what the kernel still holds."""
        pid = self.pid
        os.kill(pid, signal.SIGQUIT)
        wait("Postgres is gone", lambda: not alive(pid), 30)

    def rows(self, sql, *parameters):
        url = (self.folder / "url").read_text().strip()
        connection = psycopg2.connect(url, connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit = local")  # ours must not wait for a standby that is being made
                cursor.execute(sql, parameters or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()


class Postgres:
    """A primary and its synchronous standby, which change their parts."""

    def __init__(self, folder, ports, loop):
        self.nodes = [PostgresNode(folder, name, ports.take()) for name in ("pg1", "pg2")]
        self.primary, self.standby = self.nodes
        self.lock = threading.RLock()
        self.link = Link(loop, "worker-postgres", [("127.0.0.1", node.port) for node in self.nodes])
        self.standby_link = Link(loop, "standby-primary", [("127.0.0.1", self.primary.port)])
        self.has_standby = False
        self.clock = Clock(folder / "postgres-clock")

    def start(self):
        self.primary.start()
        for setting in ("max_wal_size = '96MB'", "min_wal_size = '4MB'", "wal_sender_timeout = '5s'", "checkpoint_timeout = '60s'",
                        "wal_keep_size = '64MB'", "wal_receiver_timeout = '5s'", "wal_retrieve_retry_interval = '500ms'",
                        "synchronous_standby_names = ''"):
            self.primary.rows(f"ALTER SYSTEM SET {setting}")
        self.primary.rows("SELECT pg_reload_conf()")
        self.add_standby()

    def synchronous(self):
        return self.primary.rows("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'")[0][0] == 1

    def add_standby(self):
        """Makes the other server a standby anew and waits until commits wait for it. The copy goes straight, all that follows through
        the proxy."""
        self.standby.call("standby", self.standby.folder, self.primary.folder, self.standby.port)
        self.standby_link.lead_to(("127.0.0.1", self.primary.port))
        self.standby.rows(f"ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port={self.standby_link.mouths[0].port} user=sluice "
                          f"password={self.password} application_name={self.standby.name}'")
        self.standby.rows("SELECT pg_reload_conf()")
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait("the standby streams", lambda: self.primary.rows(streaming)[0][0], 60)
        self.primary.rows(f"ALTER SYSTEM SET synchronous_standby_names = '{self.standby.name}'")
        self.primary.rows("SELECT pg_reload_conf()")
        wait("the standby is synchronous", self.synchronous, 60)
        self.has_standby = True

    def fail_over(self):
        """The primary dies, the standby takes its part; commits need no standby until there is one again."""
        self.has_standby = False
        self.primary.stop_immediately()
        self.standby.call("promote", self.standby.folder)
        self.primary, self.standby = self.standby, self.primary
        self.primary.rows("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.primary.rows("SELECT pg_reload_conf()")

    @property
    def password(self):
        return (self.nodes[0].folder / "password").read_text().strip()

    def url(self, addresses):
        return f"postgresql://sluice:{self.password}@{','.join(addresses)}/sluice?target_session_attrs=read-write"

    @property
    def direct_url(self):
        return self.url([f"127.0.0.1:{node.port}" for node in self.nodes])

    @property
    def worker_url(self):
        return self.url(self.link.addresses)


class Registry:
    def __init__(self, folder, ports, loop):
        self.folder, self.port = folder / "registry", ports.take()
        self.disk = Disk(self.folder / "data")
        self.address = f"127.0.0.1:{self.port}"
        self.link = Link(loop, "worker-registry", [("127.0.0.1", self.port)])
        self.lock = threading.RLock()

    @property
    def pid(self):
        return int((self.folder / "pid").read_text())

    def start(self):
        script("registry.sh", "start", self.folder, self.port)

    def stop(self):
        script("registry.sh", "stop", self.folder)


class Servers:
    """What an Installation needs to know (brokers, database_url, registry, programs), and all that can be hurt."""

    def __init__(self, copies):
        self.copies = copies
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-faults."))
        os.chmod(self.folder, 0o711)  # the server of Postgres is another user when this one is root
        loop, ports = Loop(), Ports()
        self.kafka = Kafka(self.folder, ports, loop, copies)
        self.postgres = Postgres(self.folder, ports, loop)
        self.images = Registry(self.folder, ports, loop)
        self.outer_links = [self.kafka.worker_link, self.kafka.producer_link, self.postgres.link, self.images.link]
        inner_links = [self.kafka.broker_link, self.kafka.controller_link, self.postgres.standby_link]
        self.links = {link.name: link for link in self.outer_links + inner_links}
        self.sluice, self.worker = Stack.program("sluice"), Stack.program("sluice-worker")
        self.brokers = self.kafka.brokers

    def start(self):
        with ThreadPoolExecutor(3) as pool:
            for future in [pool.submit(one.start) for one in (self.kafka, self.postgres, self.images)]:
                future.result()
        # The answers of the registry are asked for through the proxy, by everybody.
        self.registry = self.images.link.addresses[0]

    @property
    def database_url(self):
        return self.postgres.direct_url

    def worker_environment(self):
        """What a worker must use instead of the direct ways."""
        return {"SLUICE_KAFKA_BOOTSTRAP_SERVERS": ",".join(self.kafka.worker_link.addresses),
                "SLUICE_DATABASE_URL": self.postgres.worker_url, "SLUICE_KAFKA_SESSION_TIMEOUT_MS": "6000"}

    def heal(self):
        """Everything runs, no proxy spoils anything."""
        for link in self.links.values():
            link.end()
        self.kafka.start()
        if not self.postgres.primary.running():
            self.postgres.primary.start()
        if not self.postgres.has_standby or not self.postgres.standby.running():
            self.postgres.add_standby()
        self.images.start()

    def stop(self, keep=False):
        jobs = [node.stop for node in self.kafka.nodes + self.postgres.nodes] + [self.images.stop]
        for node in self.kafka.nodes:  # a stopped process does not hear a signal, and three that wait for each other are slow
            node.kill()
        with ThreadPoolExecutor(len(jobs)) as pool:
            for future in [pool.submit(job) for job in jobs]:
                if error := future.exception():
                    print(f"# {error}", flush=True)
        for server in self.kafka.nodes + self.postgres.nodes + [self.images]:
            server.disk.free()
        if keep:
            print(f"# logs of the servers stay in {self.folder}", flush=True)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
