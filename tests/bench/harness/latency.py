"""One request to an idle program, until its result can be read."""
import time
import uuid

from . import kafka, measure, programs
from .table import Row, ratios


def _bare(bench, topics, samples):
    """A transaction of one record, from its begin until a read_committed consumer has the record: the floor."""
    reader = kafka.reader(bench.servers.brokers, **{"fetch.min.bytes": 1, "socket.nagle.disable": True})
    reader.assign([kafka.TopicPartition(topics.results, partition, 0) for partition in range(topics.partitions)])
    sender = kafka.Producer({"bootstrap.servers": bench.servers.brokers, "transactional.id": f"bare-{uuid.uuid4().hex[:8]}",
                             "linger.ms": 0, "socket.nagle.disable": True})
    sender.init_transactions(20)
    sender.list_topics(topics.results, timeout=10)
    took, lost = [], 0
    value = b"x" * 1500
    for i in range(samples + 20):
        identity = str(uuid.uuid4())
        start = time.perf_counter()
        sender.begin_transaction()
        sender.produce(topics.results, identity.encode() + value, identity, on_delivery=lambda *_: None)
        sender.commit_transaction(10)
        if not measure.await_result(reader, identity.encode(), start + 5):
            lost += 1
        elif i >= 20:
            took.append((time.perf_counter() - start) * 1000)
        time.sleep(max(0.0, 0.05 - (time.perf_counter() - start)))
    reader.close()
    took.sort()
    return {"program": "bare", "complete": lost == 0, "n": len(took), "p50": measure.quantile(took, .5), "p90": measure.quantile(took, .9),
            "p99": measure.quantile(took, .99)}


def latency(bench):
    samples = 60 if bench.quick else 200
    rounds = bench.rounds(1, 3)
    world = bench.world("bench.lat.", n=samples + 20)
    load = world.slice()
    go = programs.go_peer(bench, world.topics) if bench.tools.go else None
    if go:
        go.prepare(load)
    results = {"Go peer": [], "sluice": [], "bare": []}
    for _ in range(rounds):
        for program in [go, world.sluice] if go else [world.sluice]:
            program.reset()
            world.new_topics(world.topics.requests, world.topics.results, world.topics.dead_letter)
            results[program.name].append(measure.latency(bench.servers, program, load, world.topics))
            if program is go:
                bench.audit(go, results[go.name][-1], load)
        world.new_topics(world.topics.results, world.topics.dead_letter)
        results["bare"].append(_bare(bench, world.topics, samples))
        for name, runs in results.items():
            if runs:
                bench.check(runs[-1], f"latency: {name}")
                bench.say(f"idle, {name:24} ms: p50 {runs[-1]['p50']:.1f} p90 {runs[-1]['p90']:.1f} p99 {runs[-1]['p99']:.1f}")
    world.close()
    rows = []
    for against, name, reach in (("Go peer", "Go peer", 1), ("a bare transactional produce and read", "bare", 1.5)):
        for key in ("p50", "p99"):
            if results[name]:
                rows.append(Row(f"idle request to committed result, {key}", against, ratios(results["sluice"], results[name], key),
                                ("<=", reach)))
    return rows
