"""Events for tests that hurt the fleet while it works: a mixed stream that goes on beside the test, and a large preload."""
import random
import threading
import time

from . import events, registry
from .kafka import Sender


class Traffic(threading.Thread):
    """Sends, until it is stopped, what a busy day brings: builds, promotions in and against the order of the environments, dry
    runs, duplicates, refusals, rubbish. From one seed; `sent` counts what Kafka acknowledged."""

    def __init__(self, sluice, rate=150, projects=12, seed=1):
        super().__init__(daemon=True)
        self.sluice, self.rate, self.random = sluice, rate, random.Random(seed)
        self.image = registry.push(sluice.stack.registry, "acme/shop", sluice.schema)
        self.projects = [f"acme/p{number}" for number in range(projects)]
        self.releases, self.old, self.ended, self.sent, self.error = [], [], threading.Event(), 0, None

    def build(self, project, sha):
        artifact = events.artifact(digest=self.image, uri=f"{self.sluice.stack.registry}/acme/shop:1")
        return events.build(project, events.manifest(sha, [artifact], indent=None))

    def step(self):
        """A few events that belong together."""
        choice, project = self.random.random(), self.random.choice(self.projects)
        if choice < 0.25 or len(self.releases) < 10:
            sha = events.fresh_sha()
            self.releases.append((project, sha))
            yield self.build(project, sha)
            if self.random.random() < 0.3:
                yield events.promote(project, sha, "staging")
            yield events.promote(project, sha, "dev")
        elif choice < 0.75:
            project, sha = self.random.choice(self.releases[-50:])
            yield events.promote(project, sha, self.random.choice(("dev", "staging", "prod")), dryRun=self.random.random() < 0.1)
        elif choice < 0.85 and self.old:
            yield self.random.choice(self.old)
        elif choice < 0.92:
            sha = events.fresh_sha()  # promoted first, built later
            yield events.promote(project, sha, "dev")
            yield self.build(project, sha)
        elif choice < 0.97:
            yield events.promote(project, "short", "dev")
        else:
            yield None

    def run(self):
        try:
            # An idempotent producer may end with a fatal error when a broker is away for long; what others send twice is part of life.
            sender = Sender(self.sluice.stack.brokers, self.sluice.prefix, idempotent=False)
            started, count = time.monotonic(), 0
            while not self.ended.is_set():
                for event in self.step():
                    if event is None:
                        sender.produce("requests", b"x", [], b"rubbish", self.random.randrange(self.sluice.shards))
                    else:
                        sender.produce(event.topic, *event.record(), event.partition)
                        self.old = (self.old + [event])[-200:]
                    count += 1
                sender.producer.poll(0)
                ahead = count / self.rate - (time.monotonic() - started)
                if ahead > 0:
                    time.sleep(ahead)
            sender.flush(120)
            self.sent = count
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def stop(self):
        """Waits until everything is acknowledged; how many events that were."""
        self.ended.set()
        self.join(150)
        if self.error or self.is_alive():
            raise RuntimeError(f"the traffic did not get through: {self.error or 'Kafka does not acknowledge'}")
        return self.sent

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if not self.ended.is_set():
            self.stop()


class Preload:
    """`count` releases of `count / each` projects, all of one image that the registry has; then a promotion of each to dev."""

    def __init__(self, sluice, count, each=200):
        self.sluice, self.count = sluice, count
        image = registry.push(sluice.stack.registry, "acme/shop", sluice.schema)
        self.artifact = events.artifact(digest=image, uri=f"{sluice.stack.registry}/acme/shop:1")
        self.pairs = [(f"acme/p{number // each}", events.fresh_sha()) for number in range(count)]
        random.Random(7).shuffle(self.pairs)

    def builds(self):
        for project, sha in self.pairs:
            yield events.build(project, events.manifest(sha, [self.artifact], indent=None))

    def promotions(self):
        for project, sha in self.pairs:
            yield events.promote(project, sha, "dev")
