"""One measured run of one program."""
import math
import time

from . import kafka, process

POLL, POLL_A_PARTITION = 0.02, 0.0002  # seconds between two looks at the results' files: of 512 partitions a tenth


class Usage:
    """What the servers have used until now."""

    def __init__(self, servers):
        self.postgres, self.broker = process.cpu(servers.postgres_pid), process.cpu(servers.kafka_pid)

    def since(self, other):
        return self.postgres - other.postgres, self.broker - other.broker


def _watch(servers, program, growth, topics, n, limit):
    """Follows a run to its end: [(time, bytes of results)], the servers' usage at the last result, peaks of memory."""
    start = time.monotonic()
    series, usage = [(start, growth.bytes())], None
    counted, pause = start, max(POLL, topics.partitions * POLL_A_PARTITION)
    while time.monotonic() - start < limit:
        now, size = time.monotonic(), growth.bytes()
        if size > series[-1][1]:
            series.append((now, size))
        quiet = now - series[-1][0]
        if quiet > 0.1 and counted < series[-1][0]:
            usage, counted = Usage(servers), now
        if quiet > topics.quiet and len(series) > 1:
            if kafka.stable_offsets(servers.brokers, topics.results, topics.partitions) >= n:
                break
            time.sleep(0.2)
        if program.ended():
            break
        time.sleep(pause)
    return series, usage, process.peaks(program.pid)


def _steady(series, n):
    """Results per second between a tenth and nine tenths of them."""
    low, high = series[0][1], series[-1][1]
    at = [next(when for when, size in series if size >= low + share * (high - low)) for share in (0.1, 0.9)]
    return 0.8 * n / max(at[1] - at[0], 0.001)


def throughput(servers, under_test, workload, topics, limit=180):
    """Runs a program over preloaded requests until the last result, and counts what it answered. CPU seconds and bytes are
    per 100,000 requests."""
    n, scale = workload.n, 1e5 / workload.n
    growth = kafka.Growth(servers.folder / "kafka/data", topics.results, topics.partitions)
    servers.sql("CHECKPOINT")
    time.sleep(topics.settle)
    wal, stored, before = servers.wal(), servers.kafka_bytes(), Usage(servers)
    start = time.monotonic()
    program = under_test.start()
    try:
        series, usage, (own, below) = _watch(servers, program, growth, topics, n, limit)
        wal, stored = servers.wal() - wal, servers.kafka_bytes() - stored
    finally:
        user, system = program.stop()
    records, exact, size = kafka.read_results(servers.brokers, topics.results, topics.partitions, workload.identities())
    postgres, broker = (usage or Usage(servers)).since(before)
    wall = series[-1][0] - start
    return {
        "program": under_test.name, "complete": records == exact == n and program.exit_status == 0, "results": records,
        "exactly_once": exact, "exit_status": program.exit_status,
        "per_second": n / wall if records else math.nan, "steady_per_second": _steady(series, n),
        "worker_cpu": (user + system) * scale, "postgres_cpu": postgres * scale, "broker_cpu": broker * scale,
        "all_cpu": (user + system + postgres + broker) * scale,
        "wal": wal / n, "kafka": stored / n, "result_bytes": size / max(records, 1), "rss": own + sum(below),
        # Where lanes are processes, the one above them is not counted.
        "rss_lane": sum(below) / len(below) if below else own / under_test.lanes,
    }


def latency(servers, under_test, workload, topics, warm=20, gap=0.05, patience=30):
    """Single requests to an idle program: milliseconds from before the produce until a read_committed consumer has the result."""
    reader = kafka.reader(servers.brokers, **{"fetch.min.bytes": 1, "socket.nagle.disable": True})
    reader.assign([kafka.TopicPartition(topics.results, partition, 0) for partition in range(topics.partitions)])
    sender = kafka.Producer({"bootstrap.servers": servers.brokers, "partitioner": "murmur2_random", "linger.ms": 0,
                             "socket.nagle.disable": True, "acks": "all"})
    sender.list_topics(topics.requests, timeout=10)
    program = under_test.start()
    took, lost = [], 0
    try:
        for i, (project, identity, value) in enumerate(workload.requests()):
            start = time.perf_counter()
            sender.produce(topics.requests, value, project, headers=kafka.STRUCTURED)
            if await_result(reader, identity.encode(), start + (patience if i == 0 else 5)):
                if i >= warm:
                    took.append((time.perf_counter() - start) * 1000)
            else:
                lost += 1
            sender.poll(0)
            time.sleep(max(0.0, gap - (time.perf_counter() - start)))
    finally:
        program.stop()
        reader.close()
    took.sort()
    records, exact, _ = kafka.read_results(servers.brokers, topics.results, topics.partitions, workload.identities())
    complete = lost == 0 and records == exact == workload.n and program.exit_status == 0
    return {"program": under_test.name, "complete": complete, "lost": lost, "exit_status": program.exit_status, "n": len(took),
            "p50": quantile(took, .5), "p90": quantile(took, .9), "p99": quantile(took, .99)}


def await_result(reader, identity, until):
    while time.perf_counter() < until:
        message = reader.poll(1)
        if message is not None and not message.error() and identity in message.value():
            return True
    return False


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan
