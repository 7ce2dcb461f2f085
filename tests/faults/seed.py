"""One seed: a fleet under load, its faults, healing, and the judgement."""
import random
import shutil
import threading
import time
import traceback

import psycopg2
from confluent_kafka import KafkaException

from checks.check import check
from checks.load import Kafka
from lib.installation import LAG, WOKEN, Installation
from clock import Clock, clock_waits, find_faketime
from kinds import KINDS, NoEffect
from load import Load, Positions, Witness
from schedule import plan
from servers import wait

SHARDS = 6
RATE = 80        # events a second
WARM_UP = 1.5    # seconds of peace before
COOL_DOWN = 1    # and of load after the last fault
READY = 120      # seconds until every lane runs again: one that the group does not take in ends after 90
SETTLE = 300     # seconds after healing until everything must be answered
LEAST = 3        # faults of a seed that must take effect


class Field:
    """What a fault may touch."""

    def __init__(self, servers, seed):
        self.servers, self.seed, self.locks, self.guard = servers, seed, {}, threading.Lock()
        self.sluice = Installation(shards=SHARDS, name="f", servers=servers)
        self.workers, self.jumping, self.clock = [], None, Clock(self.sluice.folder / "clock")

    def lock(self, name):
        with self.guard:
            return self.locks.setdefault(name, threading.RLock())

    def start_workers(self, jump):
        """Two; the clock of the second can be set if `jump`."""
        environment = self.servers.worker_environment()
        self.workers.append(self.sluice.worker("w1", ready=False, **environment))
        second = self.sluice.worker("w2", start=False)
        second.environment |= environment
        self.workers[0].environment |= environment
        if jump and (library := find_faketime()):
            self.clock.set(0)
            second.environment |= self.clock.environment([library, clock_waits(self.servers.folder)], self.sluice.stack.worker)
            self.jumping = second
        self.workers.append(second.start(ready=False))
        for worker in self.workers:
            worker.wait_ready(60)

    def ask(self, sql, seconds=90):
        """Postgres, as soon as it answers."""
        def attempt():
            try:
                return [self.sluice.rows(sql)]
            except psycopg2.Error:
                return None
        return wait("Postgres answers", attempt, seconds)[0]

    def heal(self):
        self.servers.heal()
        for worker in self.workers:
            worker.resume_all()
            if not worker.running():
                worker.start(ready=False)


class Outcome:
    def __init__(self):
        self.met, self.missed, self.problems, self.story = [], [], [], []
        self.phases, self.since = [], time.monotonic()

    def phase(self, name):
        """It has just ended."""
        now = time.monotonic()
        self.phases.append(f"{name} {now - self.since:.0f}")
        self.since = now

    def say(self, text):
        self.story.append(text)
        print(f"    {text}", flush=True)


def inject(field, planned, outcome, started):
    """In a thread of its own."""
    time.sleep(max(0, started + planned.at - time.monotonic()))
    try:
        said = KINDS[planned.kind](field, random.Random(f"{field.seed}/{planned.number}"))
        outcome.met.append(planned.kind)
    except NoEffect as nothing:
        said = f"no effect: {nothing}"
        outcome.missed.append((planned.kind, str(nothing)))
    except Exception:  # pylint: disable=broad-except
        said = "went wrong itself"
        outcome.problems.append(f"{planned.kind}: {traceback.format_exc()}")
    outcome.say(f"+{planned.at:5.1f} to {time.monotonic() - started:5.1f} s  {planned.kind:28} {said}")


def storm(field, outcome, planned):
    started = time.monotonic()
    threads = [threading.Thread(target=inject, args=(field, one, outcome, started), daemon=True) for one in planned]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    stuck = sum(thread.is_alive() for thread in threads)
    if stuck:
        raise TimeoutError(f"{stuck} faults did not end within 240 s")


def watched(world, load, witness, problems):
    """The world with the judgement of those who watched, a shard at a time."""
    def shards(of):
        for shard in of:
            problems.extend(load.missing(shard))
            problems.extend(witness.differences(shard))
            yield shard
    world.shards = shards(world.shards)
    return world


# By the clock of Postgres, or by that of its shard, which never goes back.
DUE = """SELECT shard, count(*) FROM promotion JOIN shard USING (shard)
    WHERE wake_at < now() - interval '3 seconds' OR wake_at <= now_at GROUP BY shard"""


def behind(field, kafka, witness, due):
    """What is not consumed, not decided though it is due, not published, or not readable yet."""
    for shard, count in field.ask(DUE) if due else ():
        yield f"shard {shard}: {count} promotions are due"
    for shard, builds, requests, results, dead in field.ask(LAG):
        for topic, position in (("builds", builds), ("requests", requests)):
            if position < (end := kafka.log_of(field.sluice.prefix + topic, shard).stable):
                yield f"shard {shard}: {topic} at {position} of {end}"
        for topic, wanted in (("results", results), ("dead-letter", dead)):
            log = kafka.log_of(field.sluice.prefix + topic, shard)
            if log.stable != log.high:
                yield f"shard {shard}: {topic} is readable to {log.stable} of {log.high}"
            if (last := witness.last(topic, shard)) < wanted:
                yield f"shard {shard}: {topic} at sequence {last} of {wanted}"


def look(field, witness, due):
    """All that is behind; a question that Kafka could not answer just now is asked again. By a new client each time: one that has asked a
    broker which no longer led goes on asking that one for minutes."""
    kafka = Kafka(field.servers.brokers, field.sluice.prefix)
    try:
        return list(behind(field, kafka, witness, due))
    except KafkaException as error:
        return [f"Kafka: {error}"]
    finally:
        kafka.close()


def settle(field, witness, seconds, due=True):
    """Waits until the lag is zero everywhere; how long that took."""
    began = time.monotonic()
    while late := look(field, witness, due):
        if witness.error:
            raise RuntimeError(f"who watches {witness.what} died: {witness.error}")
        if time.monotonic() > began + seconds:
            raise TimeoutError(f"not settled within {seconds} s: {'; '.join(late)}; who watches {witness.what} last met: {witness.trouble}")
        time.sleep(0.3)
    return time.monotonic() - began


def rest(field, outcome, witness):
    """Everything is answered and the workers have ended, as the checker wants it; how long it took to answer."""
    settled = settle(field, witness, SETTLE)
    for worker in field.workers:
        worker.wait_ready(READY)
    outcome.phase("settle")
    for _ in range(5):
        for worker in field.workers:
            status = worker.stop(60)
            if status:
                outcome.problems.append(f"{worker.name} ended with {status} when it was told to stop")
        settle(field, witness, 30, due=False)
        if not field.ask(WOKEN):
            return settled
        for worker in field.workers:  # a promotion that waited for a registry woke others in the last moment
            worker.start(ready=False)
        wait("no promotion is due", lambda: not field.ask(WOKEN), SETTLE, 0.5)
        settle(field, witness, SETTLE)
    raise TimeoutError("promotions wake each other without end")


def examine(field, load, witness):
    """(report, what those who watched found); servers that hiccup are asked again."""
    for left in (2, 1, 0):
        found = []
        try:
            return check(watched(field.sluice.world(), load, witness, found)), found
        except (KafkaException, psycopg2.OperationalError, TimeoutError):
            if not left:
                raise
            time.sleep(5)
    return None


def judge(field, outcome, load, witness, positions):
    settled = rest(field, outcome, witness)
    outcome.phase("stop")
    for watcher in (witness, positions):
        outcome.problems.extend(watcher.stop())
    report, found = examine(field, load, witness)
    outcome.problems.extend(found)
    outcome.problems.extend(map(str, report.violations[:25]))
    outcome.phase("check")
    if report.count > 25:
        outcome.problems.append(f"{report.count} violations in all")
    if report.inputs < sum(map(len, load.acknowledged.values())) or not report.answers:
        outcome.problems.append(f"{report.inputs} inputs and {report.answers} answers to {load.sent} events: the load did not get through")
    outcome.say(f"{load.sent} events ({load.resent} sent again, {load.replaced} producers replaced), {report.inputs} inputs, {report.rows} rows,"
                f" {report.answers} answers, {witness.looks} watched; positions looked at {positions.looks} times; settled in {settled:.1f} s")
    outcome.say(f"seconds: {', '.join(outcome.phases)}")


def run(servers, seed, keep):
    """The seed's outcome; its folder stays when there were problems, or when told to."""
    outcome, planned = Outcome(), plan(seed)
    field = Field(servers, seed)
    load = witness = positions = None
    try:
        field.start_workers(any(one.kind == "clock-jump" for one in planned))
        load, witness = Load(field.sluice, ",".join(servers.kafka.producer_link.addresses), seed, RATE), Witness(field.sluice)
        positions = Positions(field.sluice)
        for thread in (load, witness, positions):
            thread.start()
        time.sleep(WARM_UP)
        outcome.phase("start")
        storm(field, outcome, planned)
        outcome.phase("faults")
        field.heal()
        outcome.phase("heal")
        time.sleep(COOL_DOWN)
        load.stop()
        outcome.phase("last acknowledgement")
        judge(field, outcome, load, witness, positions)
        if len(outcome.met) < LEAST:
            outcome.problems.append(f"only {len(outcome.met)} faults took effect")
    except Exception:  # pylint: disable=broad-except
        outcome.problems.append(traceback.format_exc())
    finally:
        for one in (load, witness, positions):
            if one:
                one.ended.set()
        if outcome.problems or keep:
            keep_servers_logs(servers, field.sluice.folder)
        field.sluice.close(keep_logs=bool(outcome.problems or keep))
    if not outcome.problems:
        clean(field)
    return outcome, field.sluice.folder


def keep_servers_logs(servers, folder):
    for log in servers.folder.glob("*/*.log"):
        shutil.copy(log, folder / f"{log.parent.name}-{log.name}")


def clean(field):
    """The disks are small: what this seed wrote goes."""
    sluice = field.sluice
    for link in field.servers.outer_links:
        link.cut()
    try:
        sluice.rows(f'DROP SCHEMA "{sluice.schema}" CASCADE')
        field.servers.kafka.delete_topics(sluice.prefix)
    except (psycopg2.Error, KafkaException) as error:
        print(f"    what the seed wrote could not be removed: {error}", flush=True)
