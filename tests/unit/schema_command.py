#!/usr/bin/python3
# time-limit: 180
"""sluice schema validate as others run it: the published suites through the program, and its exit statuses."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))

from lib.tap import Tap, equal, true

VECTORS = Path(os.environ.get("SLUICE_VECTORS") or ROOT.parent / "shared" / "vectors")


def validate(*arguments, text=None):
    done = subprocess.run(["sluice", "schema", "validate", *map(str, arguments)], input=text, capture_output=True, timeout=60)
    true(done.returncode in (0, 1, 2), f"the exit status is {done.returncode}: {done.stderr.decode()}")
    return done


def verdicts(*arguments):
    done = validate("--json", *arguments)
    document = json.loads(done.stdout)
    equal(done.returncode, 0 if all(one["valid"] for one in document) else 1, f"the exit status ({done.stderr.decode()})")
    return [one["valid"] for one in document]


def required_suite(folder):
    suite, right = VECTORS / "json-schema-draft7", 0
    remote = ("--remote", f"http://localhost:1234/={suite / 'remotes'}")
    for path in sorted(suite.glob("*.json")):
        for group in json.loads(path.read_text()):
            schema = folder / "schema.json"
            schema.write_text(json.dumps(group["schema"]))
            files = []
            for number, test in enumerate(group["tests"]):
                files.append(folder / f"{number}.json")
                files[-1].write_text(json.dumps(test["data"]))
            wanted = [test["valid"] for test in group["tests"]]
            equal(verdicts(*remote, schema, *files), wanted, f"{path.name}: {group['description']}")
            right += len(wanted)
    true(right > 800, f"only {right} tests")


def parsing_vectors(folder):
    (folder / "true.json").write_text("true")
    for first, count, wanted in (("y", 95, True), ("n", 188, False)):
        files = sorted((VECTORS / "json-parsing").glob(f"{first}_*.json"))
        equal(len(files), count, f"the number of {first}_ files")
        equal([file.name for file, valid in zip(files, verdicts(folder / "true.json", *files)) if valid != wanted], [], "those told wrongly")
    files = sorted((VECTORS / "json-parsing").glob("i_*.json"))
    equal(len(verdicts(folder / "true.json", *files)), len(files), "the verdicts on i_ files")


def command(tap, folder):
    (folder / "string.json").write_text('{"type": "string"}')
    (folder / "good.json").write_text('"x"')
    (folder / "bad.json").write_text("1")
    (folder / "inside").mkdir()
    (folder / "inside" / "a.json").write_text('{"type": "string"}')
    with tap.case("standard input is the file -"):
        equal(validate(folder / "string.json", "-", text=b'"x"').returncode, 0, "the exit status")
        equal(validate(folder / "string.json", "-", text=b'"x" 1').returncode, 1, "the exit status")
    with tap.case("an unreadable file is told on stderr, and the others are judged all the same"):
        done = validate("--json", folder / "string.json", folder / "good.json", folder / "absent.json", folder / "bad.json")
        equal(done.returncode, 2, "the exit status")
        equal([one["valid"] for one in json.loads(done.stdout)], [True, False, False], "the verdicts")
        true(done.stderr.startswith(b"error: cannot read") and done.stderr.count(b"\n") == 1, done.stderr)
    with tap.case("a reference stays below the folder of its --remote"):
        for uri, status in (("http://a/a.json", 0), ("http://a/../good.json", 2), ("http://a/x/../a.json", 0), ("http://b/a.json", 2),
                            ("http://a/", 2), ("http://a/%2e%2e/string.json", 2)):
            (folder / "reference.json").write_text(json.dumps({"$ref": uri}))
            done = validate("--remote", f"http://a/={folder / 'inside'}", folder / "reference.json", folder / "good.json")
            equal(done.returncode, status, f"the exit status for {uri} ({done.stderr.decode()})")
    with tap.case("the longest prefix counts"):
        (folder / "reference.json").write_text('{"$ref": "http://a/b/a.json"}')
        done = validate("--remote", f"http://a/={folder}", "--remote", f"http://a/b/={folder / 'inside'}", folder / "reference.json",
                        folder / "good.json")
        equal(done.returncode, 0, f"the exit status ({done.stderr.decode()})")
    with tap.case("an unusable schema is told with its place, in one line"):
        (folder / "unusable.json").write_text('{"properties": {"a": {"type": 7}}}')
        done = validate(folder / "unusable.json", folder / "good.json")
        equal((done.returncode, done.stdout, done.stderr.count(b"\n")), (2, b"", 1), "status, stdout, lines on stderr")
        true(b"#/properties/a/type: " in done.stderr, done.stderr)
    with tap.case("every built-in schema is one by the built-in meta-schema"):
        names = json.loads(subprocess.run(["sluice", "schema", "list", "--json"], capture_output=True, check=True).stdout)
        for name in names:
            text = subprocess.run(["sluice", "schema", "print", name], capture_output=True, check=True).stdout
            equal(validate("draft-07", "-", text=text).returncode, 0, f"the exit status for {name}")
    with tap.case("what cannot be written is not told: 2, whatever the verdict"):
        for arguments in (("schema", "list"), ("schema", "print", "draft-07"), ("config", "--reference"), ("--help",),
                          ("schema", "validate", folder / "string.json", folder / "good.json")):
            with open("/dev/full", "wb") as full:
                done = subprocess.run(["sluice", *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, timeout=60)
            equal((done.returncode, done.stderr.count(b"\n")), (2, 1), f"exit status and lines on stderr of {arguments}")
    with tap.case("a schema is printed with --json too"):
        equal(subprocess.run(["sluice", "schema", "print", "draft-07", "--json"], capture_output=True).returncode, 0, "the exit status")


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="sluice-schema-") as name:
        folder = Path(name)
        command(tap, folder)
        for title, case in (("the required draft-07 suite passes whole", required_suite), ("95 parsing vectors are taken and 188 refused", parsing_vectors)):
            if not VECTORS.is_dir():
                tap.check(f"{title} # SKIP no vectors in {VECTORS}; set SLUICE_VECTORS", True)
                continue
            with tap.case(title):
                case(folder)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
