#!/usr/bin/python3
"""common/README.md, "Policy": what is refused and where, what apply does, and that workers decide by it."""
import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lib import events
from lib.installation import Installation
from lib.tap import Tap, equal, true

CONTRACT = """version: 1
registries:                          # only these hosts are ever contacted
  ghcr.io: {}
  "127.0.0.1:5000": {plain-http: true, allow-private: true}
projects:
- match: "acme/*"
  unsigned: allow                    # default: refuse
  unchecked-types: []                # artifact types that may lack a registry uri
  waiting-limit: 7d
  environments:
    dev: {}
    staging: {after: [dev]}
    prod: {after: [staging]}         # met: promoted there once, and not rolled back
"""
GROUPS = "groups:\n  release-managers: [github:1011, github:1012, github:1013]\n"
SOAK = "soak: {in: staging, for: 24h}"
VERDICT = "verdict: [{name: approval, count: 2, from: release-managers, not: [requester, builder]}]"

REFUSED = (
    # what, the text, the line at fault
    ("no YAML", "version: [1", None),
    ("nothing", "", None),
    ("another version", CONTRACT.replace("version: 1", "version: 2"), 1),
    ("no version", CONTRACT.replace("version: 1\n", ""), None),
    ("an unknown key", CONTRACT + "extra: 1\n", 14),
    ("an unknown key of a project", CONTRACT.replace("  waiting-limit: 7d", "  limit: 7d"), 9),
    ("an unknown key of a registry", CONTRACT.replace("plain-http", "http"), 4),
    ("a duplicate key", CONTRACT.replace("  waiting-limit: 7d", "  unsigned: allow"), 9),
    ("a duplicate environment", CONTRACT.replace("    staging:", "    dev:"), 12),
    ("an anchor", CONTRACT.replace("dev: {}", "dev: &a {}"), 11),
    ("an alias", CONTRACT.replace("dev: {}", "dev: &a {}").replace("{after: [dev]}", "*a"), 11),
    ("a tag", CONTRACT.replace("7d", "!!str 7d"), 9),
    ("two documents", CONTRACT + "---\n" + CONTRACT, None),
    ("an environment's name", CONTRACT.replace("dev: {}", "Dev: {}"), 11),
    ("after an environment that is not there", CONTRACT.replace("after: [dev]", "after: [qa]"), 12),
    ("after itself", CONTRACT.replace("after: [dev]", "after: [staging]"), 12),
    ("after that is no list", CONTRACT.replace("after: [dev]", "after: dev"), 12),
    ("unsigned neither allow nor refuse", CONTRACT.replace("unsigned: allow", "unsigned: yes"), 7),
    ("waiting-limit that is no duration", CONTRACT.replace("7d", "soon"), 9),
    ("waiting-limit over 7 days", CONTRACT.replace("7d", "8d"), 9),
    ("an unchecked type that is none", CONTRACT.replace("unchecked-types: []", "unchecked-types: [jar]"), 8),
    ("later gates: groups", GROUPS + CONTRACT, 1),
    ("later gates: soak", CONTRACT.replace("{after: [staging]}", "{after: [staging], " + SOAK + "}"), 13),
    ("later gates: verdict", CONTRACT.replace("{after: [staging]}", "{after: [staging], " + VERDICT + "}"), 13),
)


def main():
    tap = Tap()
    with Installation(policy=None) as sluice:
        path = sluice.folder / "p.yaml"

        def check(text):
            path.write_text(text)
            return sluice.run("policy", "check", path)

        with tap.case("the contract's own policy is right: exit 0"):
            done = check(CONTRACT)
            equal(done.returncode, 0, f"the exit status ({done.stderr})")
        for what, text, line in REFUSED:
            with tap.case(f"refused: {what}"):
                done = check(text)
                equal(done.returncode, 1, f"the exit status ({done.stdout}{done.stderr})")
                said = done.stdout + done.stderr
                true("line" in said and "column" in said, f"neither line nor column in: {said}")
                true(line is None or f"line {line}, column " in said, f"not line {line} in: {said}")
                path.write_text(text)
                equal(sluice.run("policy", "apply", path).returncode, 1, "the exit status of apply")
        with tap.case("nothing refused was applied"):
            equal(sluice.rows("SELECT count(*) FROM control")[0][0], 0, "control versions")
        with tap.case("a file that cannot be read: exit 2"):
            equal(sluice.run("policy", "check", "/nonexistent.yaml").returncode, 2, "the exit status of check")
            equal(sluice.run("policy", "apply", "/nonexistent.yaml").returncode, 2, "the exit status of apply")

        path.write_text(CONTRACT)
        digest = "sha256:" + hashlib.sha256(CONTRACT.encode()).hexdigest()
        with tap.case("policy apply makes it a control version: version, digest, changed"):
            code, document = sluice.json("policy", "apply", path)
            equal((code, document), (0, {"version": 1, "digest": digest, "changed": True}), "it")
        with tap.case("the same again changes nothing"):
            code, document = sluice.json("policy", "apply", path)
            equal((code, document), (0, {"version": 1, "digest": digest, "changed": False}), "it")
        with tap.case("policy show prints the very bytes"):
            equal(sluice.must("policy", "show"), CONTRACT, "the policy")

        sluice.worker()
        path.write_text("version: 1\nregistries: {}\nprojects:\n"
                        '- {match: "acme/special", unsigned: allow, environments: {only: {}}}\n'
                        '- {match: "acme/*", unsigned: allow, environments: {dev: {}}}\n'
                        '- {match: "*", environments: {any: {}}}\n')
        sluice.must("policy", "apply", path)
        for project, environment, known in (("acme/special", "only", True), ("acme/special", "dev", False), ("acme/shop", "dev", True),
                                            ("acme/a/b", "dev", True), ("acme/shop", "any", False), ("other", "any", True),
                                            ("acme", "any", True), ("ACME/shop", "any", True)):
            with tap.case(f"the first matching project wins: {project} {'has' if known else 'has not'} {environment}"):
                answer = sluice.ask(events.promote(project, events.fresh_sha(), environment))
                equal(answer.condition("policy"), ("met", "allowed") if known else ("failed", "unknown-environment"), f"it ({answer})")
        sluice.check(tap)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
