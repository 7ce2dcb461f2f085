"""check(world) -> report. See the modules for what is checked."""
from . import answers, chain
from .fold import Fold
from .forms import sha256
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
    """Its versions follow each other, and each has the digest of its body and that of the one before."""
    version, digest = 0, bytes(32)
    for one in world.control:
        if one.version != version + 1:
            report.add("control", f"version {one.version} after {version}")
        if sha256(one.body) != one.digest or one.prev_digest != digest:
            report.add("control", f"version {one.version} does not have the digest of its body, or of the version before it")
        version, digest = one.version, one.digest


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
