"""Every kind of fault: a function that hurts something and says what it met, or raises NoEffect. KINDS names them all.

A fault gets the field (servers, installation, workers, load), random numbers of its own and nothing else; it ends what it
began. What stops or starts the same server waits for its turn, everything else overlaps."""
import http.client
import os
import re
import signal
import time
from email.utils import parsedate_to_datetime

import psycopg2
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from clock import find_faketime
from lib import registry
from lib.worker import kill
from proxy import MODES, UP
from servers import alive, state_of, wait

SESSION = 6  # seconds: the group's session time-out here


class NoEffect(Exception):
    """It met nothing; it does not count."""


# ---- workers ----

def some_lane(field, random):
    def find():
        lanes = [(worker, lane) for worker in field.workers if worker.running() for lane in worker.lanes()
                 if state_of(lane) not in ("T", "Z", None)]
        return random.choice(lanes) if lanes else None
    try:
        return wait("a lane runs", find, 10)
    except TimeoutError:
        raise NoEffect("no lane runs") from None


def kill_lane(field, random):
    """kill -9 of one to three lanes, one after the other."""
    victims = []
    for _ in range(random.randint(1, 3)):
        worker, lane = some_lane(field, random)
        if kill(lane):
            wait("the lane is gone", lambda pid=lane: not alive(pid), 10)
            victims.append(worker.name)
        time.sleep(random.uniform(0.1, 1.5))
    if not victims:
        raise NoEffect("the lanes were gone")
    return f"of {', '.join(victims)}"


def kill_supervisor(field, random):
    """kill -9 of a supervisor, alone or with its lanes at once (the loss of a host); it comes back under its name."""
    worker = random.choice(field.workers)
    with field.lock(worker.name):
        if not worker.running():
            raise NoEffect(f"{worker.name} does not run")
        whole = random.random() < 0.5
        if whole:
            worker.kill()
        else:
            kill(worker.pid)
            worker.process.wait()
        away = random.uniform(0.1, 3)
        time.sleep(away)
        worker.start(ready=False)
    return f"{worker.name}{' with its lanes' if whole else ''}, away for {away:.1f} s"


def hold(pids, seconds, enough=lambda: True):
    """SIGSTOP, and SIGCONT afterwards, some seconds later if it was not enough by then; how many stood still all the time."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            pass
    time.sleep(seconds)
    try:
        wait("it is enough", enough, 15)
    except TimeoutError:
        pass
    still = sum(state_of(pid) == "T" for pid in pids)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    return still


def stop_lane(field, random):
    """A lane stands still for longer than its session, and wakes up."""
    worker, lane = some_lane(field, random)
    seconds = SESSION + random.uniform(1.5, 4)
    if not hold([lane], seconds):
        raise NoEffect("it was killed meanwhile")
    return f"of {worker.name} for {seconds:.1f} s"


def stop_worker(field, random):
    """A whole worker stands still for longer than its session."""
    worker = random.choice(field.workers)
    with field.lock(worker.name):
        if not worker.running():
            raise NoEffect(f"{worker.name} does not run")
        seconds = SESSION + random.uniform(1.5, 3)
        if not hold([worker.pid, *worker.lanes()], seconds):
            raise NoEffect("it ended meanwhile")
    return f"{worker.name} for {seconds:.1f} s"


def got_shards(worker):
    """Its lanes log an empty assignment too."""
    return re.search(r"event=assigned shards=[1-9]", worker.log_text()) is not None


def rebalance_storm(field, random):
    """Workers come, one close after the other, and go the same way, killed or in order."""
    extras, gone = [], []
    for number in range(random.randint(2, 4)):
        extras.append(field.sluice.worker(f"extra{number}-{random.randrange(1000)}", lanes=random.randint(1, 2), ready=False,
                                          **field.servers.worker_environment()))
        time.sleep(random.uniform(0.2, 1.5))
    try:
        wait("one of them has got a shard", lambda: any(map(got_shards, extras)), 40)
    except TimeoutError:
        pass  # then they go without one, unless it comes meanwhile; their logs say so below
    for extra in extras:
        time.sleep(random.uniform(0.2, 2))
        if random.random() < 0.5:
            extra.kill()
            gone.append("killed")
        else:
            extra.stop(60)
            gone.append("stopped")
    owners = sum(map(got_shards, extras))
    if not owners:
        raise NoEffect(f"{len(extras)} workers came, and none was given a shard")
    return f"{len(extras)} workers came and were {', '.join(gone)}; {owners} of them had been given shards"


def date_of(worker):
    """What the worker's clock says, in seconds ahead of ours."""
    host, port = worker.listen.rsplit(":", 1)
    try:
        connection = http.client.HTTPConnection(host, int(port), timeout=5)
        connection.request("GET", "/healthz")
        said = connection.getresponse().getheader("Date")
        return parsedate_to_datetime(said).timestamp() - time.time()
    except (OSError, TypeError, ValueError, http.client.HTTPException):
        return 0


def clock_jump(field, random):
    """The clock of one worker jumps forwards and back, by seconds to a day."""
    worker, seen = field.jumping, []
    if worker is None:
        raise NoEffect("there is no libfaketime here")
    for _ in range(random.randint(2, 3)):
        by = random.choice((-86400, -3600, -120, 90, 3600, 86400))
        field.clock.set(by)
        time.sleep(random.uniform(1.5, 3))
        if abs(date_of(worker) - by) < 30:
            seen.append(f"{by:+d} s")
    field.clock.set(0)
    if not seen:
        raise NoEffect("its clock did not jump")
    return f"of {worker.name}: {', '.join(seen)}"


# ---- Kafka ----

def broker_kill(field, random):
    kafka = field.servers.kafka
    with kafka.lock:
        node = random.choice(kafka.nodes)
        if not node.kill():
            raise NoEffect(f"broker {node.number} did not run")
        away = random.uniform(0.2, 4)
        time.sleep(away)
        node.start()
    return f"broker {node.number}, away for {away:.1f} s"


def broker_pause(field, random):
    """A broker stands still for longer than its session with the controller."""
    kafka = field.servers.kafka
    with kafka.lock:
        node, seconds = random.choice(kafka.nodes), random.uniform(4, 8)
        if not hold([node.pid], seconds):
            raise NoEffect("it did not run")
    return f"broker {node.number} for {seconds:.1f} s"


def led_partitions(kafka):
    """[(topic, partition, the node that leads it)]"""
    topics = kafka.admin.list_topics(timeout=10).topics.values()
    return [(topic.topic, number, node) for topic in topics for number, one in topic.partitions.items() for node in kafka.nodes
            if one.leader == node.number]


def told_leader(node, topic, partition):
    """The number of the node that leads a partition, as this node knows; None while it knows of none, or does not answer."""
    client = AdminClient({"bootstrap.servers": f"127.0.0.1:{node.direct}", "log_level": 0})
    try:
        leader = client.list_topics(topic, timeout=2).topics[topic].partitions[partition].leader
    except (KafkaException, KeyError):
        return None
    return leader if leader > 0 else None


def broker_apart(field, random):
    """A broker stands still until others lead what it led, and then hears nothing of the controllers for a while: whoever asks it is
    answered as if it still led."""
    kafka = field.servers.kafka
    link = kafka.controller_link
    with kafka.lock, field.lock(link.name):
        try:
            topic, partition, node = random.choice(wait("somebody leads something", lambda: led_partitions(kafka), 30))
        except (TimeoutError, KafkaException) as error:
            raise NoEffect(str(error)) from None
        seconds = random.uniform(1.5, 3)

        apart = []

        def moved():
            # One client for all of them would ask the one that stands still, too.
            others = [other for other in kafka.nodes if other is not node]
            if any(told_leader(other, topic, partition) not in (None, node.number) for other in others):
                apart.append(link.start("stall", random))
            return apart
        try:
            if not hold([node.pid], random.uniform(4, 6), moved):
                raise NoEffect("it did not run")
            if not apart:
                raise NoEffect("nobody else came to lead")
            believes = told_leader(node, topic, partition) == node.number
            time.sleep(seconds)
        finally:
            link.end()
        if not believes:
            raise NoEffect("it knew that others lead")
    return f"broker {node.number} for {seconds:.1f} s, which then led {topic}@{partition} no more"


def controller_kill(field, random):
    kafka = field.servers.kafka
    with kafka.lock:
        node = wait("there is a controller", kafka.controller, 60)
        if not node.kill():
            raise NoEffect("the controller did not run")
        try:
            after = wait("another controller", lambda: (found := kafka.controller()) and found is not node and found, 90)
            time.sleep(random.uniform(0, 2))
        finally:
            node.start()
    return f"node {node.number}; then node {after.number} was it"


def java_hash(text):
    value = 0
    for character in text:
        value = (value * 31 + ord(character)) & 0xFFFFFFFF
    return value & 0x7FFFFFFF  # Utils.abs


def coordinator_move(kafka, random, topic, identity):
    """The broker that coordinates what bears this identity goes, killed or in order; the one that takes over reads its partition."""
    partition = java_hash(identity) % 4
    node = wait("the coordinator's partition has a leader", lambda: kafka.leader(topic, partition), 60)
    how = random.choice(("killed", "shut down"))
    if how == "killed":
        node.kill()
    else:
        node.stop()
    try:
        after = wait("another coordinator",
                     lambda: (found := kafka.leader(topic, partition)) and found is not node and found, 90)
        time.sleep(random.uniform(0, 2))
    finally:
        node.start()
    return f"of partition {partition}, from broker {node.number} ({how}) to {after.number}"


def transaction_coordinator_move(field, random):
    """That of the transactions of a lane's producer."""
    kafka = field.servers.kafka
    with kafka.lock:
        identities = sorted({one for ids, in field.ask("SELECT fence_ids FROM shard") for one in ids})
        if not identities:
            raise NoEffect("no lane may write")
        return coordinator_move(kafka, random, "__transaction_state", random.choice(identities))


def group_coordinator_move(field, random):
    """That of the group which all workers are members of."""
    kafka = field.servers.kafka
    with kafka.lock:
        return coordinator_move(kafka, random, "__consumer_offsets", field.sluice.group)


# ---- Postgres ----

def postgres_restart(field, random):
    postgres = field.servers.postgres
    with postgres.lock:
        postgres.primary.stop_immediately()
        away = random.uniform(0, 3)
        time.sleep(away)
        postgres.primary.start()
    return f"{postgres.primary.name}, away for {away:.1f} s"


OURS = "backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name LIKE 'sluice%'"


def backend_terminate(field, random):
    ended, rounds, deadline = 0, random.randint(3, 8), time.monotonic() + 40
    while rounds > 0 or not ended and time.monotonic() < deadline:
        rounds -= 1
        try:
            ended += field.servers.postgres.primary.rows(
                f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OURS}")[0][0]
        except psycopg2.Error:
            pass  # another fault has the server down
        time.sleep(random.uniform(0.05, 0.7))
    if not ended:
        raise NoEffect("no backend was there")
    return f"{ended} backends"


def backend_pause(field, random):
    """Backends stand still, so that what they hold stays locked and what they were told happens late."""
    try:
        pids = [pid for pid, in field.servers.postgres.primary.rows(f"SELECT pid FROM pg_stat_activity WHERE {OURS}")]
    except psycopg2.Error:
        raise NoEffect("Postgres is away") from None
    seconds = random.uniform(2, 9)
    still = hold(random.sample(pids, max(1, len(pids) // 2)) if pids else [], seconds)
    if not still:
        raise NoEffect("no backend stood still")
    return f"{still} backends for {seconds:.1f} s"


def database_clock_jump(field, random):
    """The clock of Postgres, which says what `now` is, jumps by ten minutes or more, forwards and back; longer than a seed has to settle,
    so that whoever waits until the clock has caught up is found out."""
    postgres, seen = field.servers.postgres, []
    if not find_faketime():
        raise NoEffect("there is no libfaketime here")
    postgres.clock.set(0)
    with postgres.lock:
        postgres.primary.start_by(postgres.clock)
    jumps = [random.randint(600, 1200), -random.randint(600, 1200)]
    try:
        for by in random.sample(jumps, 2):
            postgres.clock.set(by)
            try:
                wait("it has jumped", lambda ahead=by: abs(postgres.primary.ahead() - ahead) < 30, 5)
                seen.append(f"{by:+d} s")
            except TimeoutError:
                pass  # another fault has the server down, or has started it without this clock
            time.sleep(random.uniform(0.5, 2))
    finally:
        postgres.clock.set(0)
    if not seen:
        raise NoEffect("its clock did not jump")
    return f"of {postgres.primary.name}: {', '.join(seen)}"


def fail_over(field, random):
    postgres = field.servers.postgres
    with postgres.lock:
        wait("the standby is synchronous", postgres.synchronous, 60)
        old = postgres.primary.name
        postgres.fail_over()
        time.sleep(random.uniform(0.5, 3))
        postgres.add_standby()
    return f"from {old} to {postgres.primary.name}"


# ---- full disks ----

class Log:
    """What a log says from now on."""

    def __init__(self, path):
        self.path, self.at = path, path.stat().st_size if path.exists() else 0

    def says(self, words):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.at)
                return words.encode().lower() in file.read().lower()
        except OSError:
            return False


def fill_until(disk, hurt, seconds=20):
    """Keeps it full until something has met that."""
    if not disk.mounted:
        raise NoEffect("a tmpfs may not be mounted here")

    def look():
        disk.fill()
        return hurt()
    try:
        wait("somebody notices", look, seconds, 0.2)
    except TimeoutError:
        disk.make_space()
        raise NoEffect("nobody needed space") from None


def disk_full_kafka(field, random):
    kafka = field.servers.kafka
    with kafka.lock:
        node = random.choice(kafka.nodes)
        logs = [Log(node.folder / name) for name in ("server.log", "output.log")]
        fill_until(node.disk, lambda: not node.running() or any(log.says("no space left") for log in logs))
        end = time.monotonic() + random.uniform(0.5, 3)
        while time.monotonic() < end:
            node.disk.fill()
            time.sleep(0.2)
        ended = not node.running()
        node.disk.make_space()
        if not ended:  # with its only folder offline a broker ends by itself
            try:
                wait("the broker ends", lambda: not node.running(), 5)
                ended = True
            except TimeoutError:
                pass
        node.start()
    return f"of broker {node.number}, which {'ended' if ended else 'went on'}"


def disk_full_postgres(field, random):
    """The disk of the primary, or of the standby that commits wait for."""
    postgres = field.servers.postgres
    with postgres.lock:
        node = random.choice((postgres.primary, postgres.standby))
        stands_by = node is postgres.standby
        log = Log(node.folder / "server.log")

        def hurt():
            if stands_by:  # what it keeps of old segments would do for some time
                postgres.primary.rows("SELECT pg_switch_wal()")
            return not node.running() or log.says("no space left")
        fill_until(node.disk, hurt)
        end = time.monotonic() + random.uniform(0.5, 4)
        while time.monotonic() < end:
            node.disk.fill()
            time.sleep(0.2)
        ended = not node.running()
        node.disk.make_space()
        node.start()
        if stands_by:
            wait("the standby is synchronous again", postgres.synchronous, 60)
    return f"of {node.name}, the {'standby' if stands_by else 'primary'}, which {'ended' if ended else 'went on'}"


def push(field, seed):
    try:
        return registry.push(field.servers.images.address, "acme/shop", seed)
    except OSError:
        return None


def disk_full_registry(field, random):
    images, seed = field.servers.images, f"full/{field.sluice.schema}/{random.random()}"
    with images.lock:
        number = iter(range(1000))
        fill_until(images.disk, lambda: not push(field, f"{seed}/{next(number)}"))
        end = time.monotonic() + random.uniform(1, 3)
        while time.monotonic() < end:
            images.disk.fill()
            time.sleep(0.2)
        images.disk.make_space()
        wait("the registry takes images again", lambda: push(field, seed), 60)
    return "pushes failed, and then no more"


# ---- the registry ----

def registry_stall(field, random):
    images = field.servers.images
    with images.lock:
        before, seconds = images.link.passed(UP), random.uniform(2, 6)
        still = hold([images.pid], seconds, lambda: images.link.passed(UP) > before)
        asked = images.link.passed(UP) - before
    if not still or not asked:
        raise NoEffect("nobody asked")
    return f"for {seconds:.1f} s, asked {asked} times meanwhile"


def registry_answers(status, *headers):
    def fault(field, random):
        link = field.servers.images.link
        with field.lock(link.name):
            link.start_answers(status, headers)
            time.sleep(random.uniform(2, 5))
            try:
                wait("somebody asks", link.touched, 15)
            except TimeoutError:
                pass
            met = link.end()
        if not met:
            raise NoEffect("nobody asked")
        return f"to {met} requests"
    return fault


# ---- the links ----

SECONDS = {"delay": (2, 6), "stall": (1, 9), "drop": (1, 6), "cut": (0.1, 3), "half-close": (1, 4)}


def link_fault(name, mode):
    def fault(field, random):
        link = field.servers.links[name]

        def somebody():
            if mode == "half-close" and not link.touched():  # it meets only those who are there when it begins
                link.start(mode, random)
            return link.touched()
        with field.lock(link.name):
            mouths = [random.choice(link.mouths)] if len(link.mouths) > 1 and random.random() < 0.4 else None
            seconds = random.uniform(*SECONDS[mode])
            link.start(mode, random, mouths)
            time.sleep(seconds)
            if not link.touched():  # nobody was there yet: again, on every server
                link.end()
                link.start(mode, random)
                try:
                    wait("somebody is met", somebody, 60)
                except TimeoutError:
                    pass
            met = link.end()
        if not met:
            raise NoEffect("nothing went that way")
        return f"{'for good' if mode == 'half-close' else f'for {seconds:.1f} s'}, met {met} times"
    return fault


LINKS = ("worker-kafka", "worker-postgres", "worker-registry", "producer-kafka", "broker-broker", "standby-primary", "broker-controller")
EVERYWHERE = {
    "kill-lane": kill_lane, "kill-supervisor": kill_supervisor, "stop-lane": stop_lane, "stop-worker": stop_worker,
    "rebalance-storm": rebalance_storm, "clock-jump": clock_jump, "database-clock-jump": database_clock_jump,
    "broker-kill": broker_kill, "broker-pause": broker_pause, "postgres-restart": postgres_restart,
    "backend-terminate": backend_terminate, "backend-pause": backend_pause, "fail-over": fail_over,
    "disk-full-kafka": disk_full_kafka, "disk-full-postgres": disk_full_postgres,
    "disk-full-registry": disk_full_registry, "registry-stall": registry_stall,
    "registry-500": registry_answers("500 Internal Server Error"),
    "registry-429": registry_answers("429 Too Many Requests", "Retry-After: 1"),
}
THREE_BROKERS = {"broker-apart": broker_apart, "controller-kill": controller_kill, "group-coordinator-move": group_coordinator_move,
                 "transaction-coordinator-move": transaction_coordinator_move}
ON_LINKS = {f"{link} {mode}": link_fault(link, mode) for link in LINKS for mode in MODES}
KINDS = EVERYWHERE | THREE_BROKERS | ON_LINKS
