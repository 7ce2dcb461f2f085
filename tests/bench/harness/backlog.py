"""Recovery of one shard: from the start of a worker to its first result, with many unread inputs and with one."""
import math
import time

from . import kafka
from .table import Row, ratios
from .workload import Workload


def _first_result(bench, world):
    """Seconds from the start of the worker until a read_committed consumer has a result; the state before is as prepared."""
    world.sluice.database = "bench_backlog_run"
    world.sluice.reset()
    world.new_topics(world.topics.results, world.topics.dead_letter)
    reader = kafka.reader(bench.servers.brokers, **{"fetch.min.bytes": 1})
    reader.assign([kafka.TopicPartition(world.topics.results, 0, 0)])
    reader.poll(0.5)
    start, first = time.monotonic(), math.nan
    with world.sluice.start().kept() as program:
        while first != first and time.monotonic() - start < 120:
            message = reader.poll(1)
            if message is not None and not message.error():
                first = time.monotonic() - start
    reader.close()
    return {"first": first, "complete": first == first and program.exit_status == 0, "exit_status": program.exit_status}


def backlog(bench):
    unread = 100_000 if bench.quick else 1_000_000
    rounds = bench.rounds(2, 5)
    worlds = {name: bench.world(f"bench.{name}.", n=1000, partitions=1, lanes=1) for name in ("empty", "unread")}
    worlds["empty"].load(Workload(1, 1000))
    worlds["unread"].load(worlds["unread"].slice())
    bench.say(f"loading {unread:,} requests ...")
    worlds["unread"].load(Workload(unread, 1000, first=1000))  # of releases that nobody has built: they wait
    results = {name: [] for name in worlds}
    for _ in range(rounds):
        for name, world in worlds.items():
            results[name].append(bench.check(_first_result(bench, world), f"recovery, {name}"))
            bench.say(f"recovery, {name:10} first result after {results[name][-1]['first']:.2f} s")
    for world in worlds.values():
        world.close()
    return [Row(f"recovery of a shard with {unread:,} unread inputs, to its first result", "with one",
                ratios(results["unread"], results["empty"], "first"), ("<=", 2))]
