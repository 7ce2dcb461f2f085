"""check(world) -> report. See the modules for what is checked."""
from . import answers, chain
from .fold import Fold
from .policy import Policies
from .world import Violation

KEPT = 500  # violations that are kept with their words; all are counted


class Report:
    def __init__(self):
        self.violations, self.count, self.redacted = [], 0, 0
        self.rows = self.inputs = self.answers = self.shards = 0
        self.kinds = {}

    def add(self, rule, message, shard=None, sequence=None):
        self.count += 1
        if len(self.violations) < KEPT:
            self.violations.append(Violation(rule, message, shard, sequence))

    def at(self, shard, sequence=None):
        return lambda rule, message: self.add(rule, message, shard, sequence)

    def rules(self):
        return {violation.rule for violation in self.violations}


def check_control(world, report):
    previous = None
    for one in world.control:
        if previous is not None and one.version <= previous.version:
            report.add("control", f"version {one.version} after {previous.version}")
        previous = one


def check_shard(world, policies, shard, report):
    chain.check_chain(world, shard, report)
    chain.check_inputs(shard, report)
    events = answers.read_events(shard)
    decisions = answers.read_decisions(shard, report)
    answers.check_outputs(world, shard, events, decisions, report)
    Fold(world, policies, shard, events, decisions, report).run()
    report.shards += 1
    report.rows += len(shard.ledger)
    report.inputs += sum(len(log.records) for log in shard.inputs.values())
    report.answers += len(shard.results.records) + len(shard.dead_letters.records)
    for row in shard.ledger:
        report.kinds[row.kind] = report.kinds.get(row.kind, 0) + 1


def check(world):
    report = Report()
    check_control(world, report)
    policies = Policies(world.control)
    seen = set()
    for shard in world.shards:
        seen.add(shard.number)
        check_shard(world, policies, shard, report)
    for number in set(range(world.shard_count)) - seen:
        report.add("state", "the shard has no row", number)
    return report
