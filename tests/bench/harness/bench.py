"""What all sections of a benchmark share: the servers, the programs, the sizes, and the worlds that Sluice is measured in."""
import math
import time

from . import kafka, measure, programs, workload

LANES = 2  # of Sluice: one for each of two cores, which is its default there


class Bench:
    def __init__(self, servers, tools, work, quick, build, say, settings=None, rounds=None):
        self.servers, self.work, self.quick, self.build, self.say = servers, work, quick, build, say
        self.settings = settings or {}
        self.n = 20000 if quick else 200000
        self.asked_rounds = rounds
        self.settle = 0.5 if quick else 2.0
        self.failures = []  # runs that were not complete, in words
        self._tools = tools
        self.image = servers.push_image("bench/image")

    def rounds(self, quick, full):
        return self.asked_rounds or (quick if self.quick else full)

    @property
    def tools(self):
        """The peers and the limit programs; waits until they are built."""
        return self._tools.result()

    def world(self, prefix, **options):
        return World(self, prefix, **options)

    def check(self, result, what):
        """A benchmark of a wrong program proves nothing: a run that is not complete is told at the end, and has no figures."""
        if not result["complete"]:
            self.failures.append(f"{what}: {result}")
            self.say(f"NOT COMPLETE: {what}: {result}")
            result.update({key: math.nan for key, value in result.items() if isinstance(value, float)})
        return result

    def audit(self, peer, result, load):
        """What a peer's tables have wrong makes its run an incomplete one."""
        wrong = peer.wrong(load)
        if wrong:
            result |= {"complete": False, "wrong": wrong}

    def tell(self, what, result):
        self.say(f"{what:30} {result['per_second']:8.0f}/s (steady {result['steady_per_second']:.0f})  CPU s a 100,000: worker "
                 f"{result['worker_cpu']:.2f} Postgres {result['postgres_cpu']:.2f} broker {result['broker_cpu']:.2f} all "
                 f"{result['all_cpu']:.2f}  bytes: WAL {result['wal']:.0f} Kafka {result['kafka']:.0f} result "
                 f"{result['result_bytes']:.0f}  MiB: RSS {result['rss']:.0f} a lane {result['rss_lane']:.0f}"
                 f"{'' if result['complete'] else '  NOT COMPLETE'}")


class World:
    """A Sluice with topics and a database of its own, whose releases come in slices: one for each run."""

    def __init__(self, bench, prefix, n=None, projects=1000, slices=1, partitions=8, lanes=LANES, image=None, before=None, **settings):
        self.bench, self.n, self.projects, self.taken = bench, n or bench.n, projects, 0
        self.topics = programs.Topics(prefix, partitions, bench.settle)
        self.sluice = programs.Sluice(bench.servers, self.topics, bench.work, bench.build, lanes, bench.settings | settings)
        since = time.monotonic()
        self.sluice.install()
        if before:
            before(self)
        everything = workload.Workload(self.n * slices, projects)
        self.sluice.prepare(everything, image or (lambda _: bench.image))
        bench.say(f"prepared {self.n * slices} releases of {min(projects, self.n * slices)} projects on {partitions} shards "
                  f"in {time.monotonic() - since:.1f} s")

    def slice(self):
        """The next releases that nobody has asked for yet."""
        self.taken += 1
        return workload.Workload(self.n, self.projects, first=self.n * (self.taken - 1))

    def load(self, load):
        kafka.send(self.bench.servers.brokers, self.topics.requests, ((project, value) for project, _, value in load.requests()))

    def new_topics(self, *names):
        kafka.remove_topics(self.bench.servers.brokers, names)
        self.sluice.make_topics()

    def run_on(self, what, lanes=None):
        """Measures the next slice, on what the runs before have left behind."""
        load = self.slice()
        self.new_topics(self.topics.results, self.topics.dead_letter)
        self.load(load)
        self.sluice.database = self.sluice.prepared
        self.sluice.lanes = lanes or LANES
        result = self.bench.check(measure.throughput(self.bench.servers, self.sluice, load, self.topics), what)
        self.bench.tell(what, result)
        return result

    def close(self):
        kafka.remove_topics(self.bench.servers.brokers, self.topics.all())
        for database in {self.sluice.prepared, self.sluice.database}:
            self.bench.servers.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
