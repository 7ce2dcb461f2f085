"""Sluice beside its peers and the limits: preloaded requests, all programs in turns."""
import math
import re
import subprocess

from . import measure, programs
from .table import Row, ratios

NODE_ROUNDS = 3
SLUICE_TRANSACTION = 560  # records, in the mean: librdkafka alone has transactions of as many


def _peers(bench, topics):
    peers = []
    if bench.tools.go:
        peers.append(programs.go_peer(bench, topics))
    if bench.tools.node:
        peers.append(programs.Peer("Node peer", bench.servers, topics, bench.work, bench.tools.node, 1, CONCURRENCY=3, WRITE="copy"))
    return peers


def _limit(bench, what, *arguments):
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{what}: {done.stderr.strip()}")
    result = {key: float(value) for key, value in re.findall(r"(\w+)=([0-9.]+)", done.stdout)}
    result["complete"] = result["complete"] == 1
    bench.say(f"{what:30} {done.stdout.strip()}")
    return bench.check(result, what)


def _limits(bench, world, sluice):
    """The same rows and records as Sluice's, by libpq and by librdkafka alone; and the peers' rows, which are smaller."""
    if not sluice["complete"]:
        world.sluice.retire()
        return dict.fromkeys(("rows_per_second", "client_cpu", "rss"), math.nan)
    servers, n, partitions = bench.servers, f"n={world.n}", f"partitions={world.topics.partitions}"
    servers.make_database("bench_limit")
    database = f"db={servers.database_url('bench_limit')}"
    event, decision = servers.sql("SELECT avg(octet_length(input))::int, avg(octet_length(decision))::int FROM sluice.ledger "
                                  "WHERE topic = 2", world.sluice.database, fetch=True)[0]
    plain = _limit(bench, "limit: rows by COPY", bench.tools.rows, database, n)
    same = _limit(bench, "limit: rows as Sluice's", bench.tools.rows, database, n, f"event={event}", f"decision={decision}")
    world.new_topics(world.topics.results, world.topics.dead_letter)
    size = round(sluice["result_bytes"])
    headers = max(0, round(sluice["kafka"] - sluice["result_bytes"] - 60))
    broker = _limit(bench, "limit: librdkafka alone", bench.tools.kafka, f"brokers={servers.brokers}", f"prefix={world.topics.prefix}", n,
                    partitions, f"batch={SLUICE_TRANSACTION}", f"size={size}", f"headers={headers}")
    servers.sql("DROP DATABASE bench_limit WITH (FORCE)")
    world.sluice.retire()
    return {"rows_per_second": plain["per_second"], "client_cpu": same["client_cpu"] + broker["client_cpu"], "rss": broker["rss"]}


def _one(bench, world, program, load):
    program.reset()
    world.new_topics(world.topics.results, world.topics.dead_letter)
    result = measure.throughput(bench.servers, program, load, world.topics)
    if program is not world.sluice:
        bench.audit(program, result, load)
        program.retire()
    bench.check(result, program.name)
    bench.tell(program.name, result)
    return result


def race(bench):
    world = bench.world("bench.")
    load = world.slice()
    world.load(load)
    peers = _peers(bench, world.topics)
    for peer in peers:
        peer.prepare(load)
    if not bench.quick:
        bench.say("once each, to warm the broker up; not counted")
        for program in peers[:1] + [world.sluice]:
            _one(bench, world, program, load)
        world.sluice.retire()
    results = {program.name: [] for program in [world.sluice] + peers}
    limits = []
    for turn in range(bench.rounds(2, 5)):
        for program in peers + [world.sluice]:
            if program.name != "Node peer" or turn < (1 if bench.quick else NODE_ROUNDS):
                results[program.name].append(_one(bench, world, program, load))
        limits.append(_limits(bench, world, results["sluice"][-1]))
    world.close()
    return _rows(results, limits, world.n)


def _largest(runs, key):
    return max((run[key] for run in runs if not math.isnan(run[key])), default=math.nan)


def _rows(results, limits, n):
    mine, rows = results["sluice"], []
    go, node = results.get("Go peer", []), results.get("Node peer", [])
    speed = f"promotions/s end to end, {n:,} of 1,000 projects"
    if go:
        rows += [Row(speed, "Go peer", ratios(mine, go, "per_second"), (">=", 1.3)),
                 Row("worker CPU a promotion", "Go peer", ratios(mine, go, "worker_cpu"), ("<=", 0.75))]
    rows.append(Row("worker CPU a 100,000, more than", "librdkafka alone, and the peers' rows with Sluice's input and decision",
                    [a["worker_cpu"] - b["client_cpu"] for a, b in zip(mine, limits)], ("<=", 0.35), "s"))
    if node:
        rows.append(Row(speed, "Node peer", ratios(mine, node, "per_second"), (">=", 5)))
    rows.append(Row(speed, "the peers' rows by COPY from memory", [a["per_second"] / b["rows_per_second"] for a, b in zip(mine, limits)],
                    (">=", 0.6)))
    against = f"librdkafka alone {_largest(limits, 'rss'):.0f} MiB"
    if go:
        against = f"Go {_largest(go, 'rss_lane'):.0f} MiB; {against}"
    rows.append(Row("resident memory a lane under load", against, [run["rss_lane"] for run in mine], ("<=", 32), "MiB"))
    if go:
        rows += [Row(f"{what} a promotion", "Go peer", ratios(mine, go, key), ("<=", 1)) for what, key in (
            ("WAL bytes", "wal"), ("Kafka bytes", "kafka"), ("Postgres CPU", "postgres_cpu"), ("broker CPU", "broker_cpu"))]
    return rows
