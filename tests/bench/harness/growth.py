"""Sluice against itself: full tables, lanes, shards, projects, distinct images."""
import concurrent.futures
import hashlib
import http.client
import json
import shutil

from . import measure
from .bench import LANES
from .table import Row, ratios

# As if so many events had been answered before, and their topics had been emptied since: ledger rows, dedup keys and promotions of
# the usual size. What a lane reads of them when it takes a shard over (sequence, head, settled) agrees.
FILL = """
SET search_path = sluice; SET synchronous_commit = off; SET work_mem = '256MB';
SELECT seen_periods(now());
INSERT INTO ledger (sequence, at, kafka_offset, control_version, shard, engine, kind, topic, input_digest, decision_digest, hash, input,
                    decision)
SELECT g, now() - interval '1 day', g, 1, s, 1, 2, 2, sha256(int8send(g)), sha256(int8send(-g)), sha256(int8send(g * 8 + s)),
       convert_to(repeat('i', 336), 'UTF8'), convert_to(repeat('d', {decision}), 'UTF8')
FROM generate_series(0, {shards} - 1) AS s, generate_series(1, {rows} / {shards}) AS g;
INSERT INTO seen (sequence, period, shard, key, content_digest)
SELECT g, seen_period(now()), g % {shards}, gen_random_uuid(), sha256(int8send(g)) FROM generate_series(1, {keys}) AS g;
INSERT INTO promotion (opened_sequence, answered_sequence, decided_sequence, opened_at, expires_at, shard, revision, outcome, id, project,
                       git_sha, environment, requester, source, event_id)
SELECT g / {shards} + 1, g / {shards} + 1, g / {shards} + 1, now(), now() + interval '7 days', g % {shards}, 1, 2, gen_random_uuid(),
       'org/proj-' || g % 1000, encode(sha224(int8send(g)), 'hex'), 'dev', 'alice@example.com', '/ci/x', g::text
FROM generate_series(0, {keys} - 1) AS g;
UPDATE shard SET sequence = {rows} / {shards}, results_settled = {rows} / {shards},
                 head_hash = sha256(int8send({rows} / {shards} * 8 + shard));
"""


ROW_BYTES = 6000  # of disk for each ledger row, with all that comes with it


def full_tables(bench):
    rows, keys = (1_000_000, 500_000) if bench.quick else (10_000_000, 5_000_000)
    rounds = bench.rounds(2, 3)
    row = Row(f"promotions/s with {rows:,} ledger rows and {keys:,} dedup keys", "itself on empty tables", [], (">=", 0.9))
    room = shutil.disk_usage(bench.work).free
    if room < rows * ROW_BYTES:
        bench.say(f"left out: {rows:,} ledger rows need {rows * ROW_BYTES // 10**9} GB of disk, and "
                  f"{room // 10**9} are free in {bench.work}")
        return [row]

    def fill(world):
        bench.say(f"filling {rows:,} ledger rows and {keys:,} dedup keys ...")
        statements = FILL.format(rows=rows, keys=keys, shards=world.topics.partitions, decision=1500)
        bench.servers.sql(statements, world.sluice.prepared)

    empty = bench.world("bench.empty.", slices=rounds)
    full = bench.world("bench.full.", slices=rounds, before=fill)
    results = {"empty": [], "full": []}
    for _ in range(rounds):
        results["full"].append(full.run_on("full tables"))
        results["empty"].append(empty.run_on("empty tables"))
    full.close()
    empty.close()
    row.values = ratios(results["full"], results["empty"], "per_second")
    return [row]


def curves(bench):
    """Each point against 2 lanes, 8 shards, 1,000 projects, in the same round; the rate between a tenth and nine tenths of the results,
    so that taking the shards over is not in it."""
    rounds, n = bench.rounds(1, 3), 10000 if bench.quick else 200000
    many = n if bench.quick else 1_000_000  # a project an event
    base = bench.world("bench.base.", n=n, slices=rounds * 3)
    points = [("1 lane", base, 1, None), ("4 lanes", base, 4, None)]
    shapes = {"64 shards": {"partitions": 64}, "512 shards": {"partitions": 512}, "10 projects": {"projects": 10},
              "10,000 projects": {"projects": 10000}, f"{many:,} projects": {"projects": many, "n": many}}
    if bench.quick:
        del shapes["512 shards"]  # minutes of preparation
    for name, options in shapes.items():
        options = {"n": n} | options
        world = bench.world(f"bench.{name.replace(' ', '.').replace(',', '')}.", slices=rounds if options["n"] == n else 1, **options)
        points.append((name, world, LANES, (">=", 0.8)))
    results = {name: [] for name, *_ in points} | {"base": []}
    for turn in range(rounds):
        results["base"].append(base.run_on("2 lanes, 8 shards, 1,000 projects"))
        for name, world, lanes, _ in points:
            if turn == 0 or world.n == n:
                results[name].append(world.run_on(name, lanes=lanes))
    for world in {id(world): world for _, world, *_ in points}.values():
        world.close()
    return [Row(f"promotions/s with {name}", "itself, 2 lanes, 8 shards, 1,000 projects",
                ratios(results[name], results["base"], "steady_per_second"), reach) for name, _, _, reach in points]


def push_images(bench, repository, n):
    """n images that differ in their manifest only, and so in their digest: HOST/REPOSITORY@DIGEST of each."""
    first = bench.servers.push_image(repository)
    host, path = bench.servers.registry, f"/v2/{repository}/manifests/"
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("GET", path + first.partition("@")[2], headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    manifest = json.loads(connection.getresponse().read())

    def push(numbers):
        link, pushed = http.client.HTTPConnection(host, timeout=30), []
        for number in numbers:
            body = json.dumps(manifest | {"annotations": {"number": str(number)}}).encode()
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            link.request("PUT", path + digest, body, {"Content-Type": manifest["mediaType"]})
            answer = link.getresponse()
            answer.read()
            if answer.status != 201:
                raise RuntimeError(f"the registry answers {answer.status} to a manifest")
            pushed.append(f"{host}/{repository}@{digest}")
        link.close()
        return pushed

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        parts = pool.map(push, [range(start, n, 4) for start in range(4)])
        columns = list(parts)
    return [columns[number % 4][number // 4] for number in range(n)]


def distinct_images(bench):
    n, rounds = 1000 if bench.quick else 10000, bench.rounds(1, 3)
    bench.say(f"pushing {n:,} images ...")
    images = push_images(bench, "bench/many", n)
    many = bench.world("bench.images.", n=n, slices=1, image=lambda i: images[i])
    one = bench.world("bench.image.", n=n, slices=rounds)
    many.topics.quiet = 8  # a promotion whose registry was busy is looked at again some seconds later
    load = many.slice()
    many.load(load)
    results = {"many": [], "one": []}
    for _ in range(rounds):
        results["many"].append(_afresh(bench, many, load))
        results["one"].append(one.run_on("one image"))
    many.close()
    one.close()
    what = f"promotions/s, {n:,} requests for {n:,} distinct images, registry and all"
    return [Row(what, "per second", [run["per_second"] for run in results["many"]], None, "/s"),
            Row(what, "itself, one image", ratios(results["many"], results["one"], "per_second"))]


def _afresh(bench, world, load):
    """Again from what was prepared: the worker's cache is empty then."""
    world.sluice.database = "bench_images_run"
    world.sluice.reset()
    world.new_topics(world.topics.results, world.topics.dead_letter)
    result = bench.check(measure.throughput(bench.servers, world.sluice, load, world.topics), "distinct images")
    bench.tell("distinct images", result)
    return result
