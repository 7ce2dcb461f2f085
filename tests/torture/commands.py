"""Every command of `sluice` under exhausted memory: its n-th own allocation fails, alone or with all that come after it.

A command then ends with status 2 and one line that says so, or does what it would have done; it never dies, never leaks, and never
says that it has done what it has not. Arguments: [--all | --short] [--offline] [FILTER]."""
import concurrent.futures
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))
from lib import tap  # noqa: E402  pylint: disable=wrong-import-position

BUILD = Path(os.environ.get("SLUICE_BUILD_DIR") or ROOT / "build" / "asan")
SLUICE = BUILD / "tests" / "torture" / "sluice-torture"
SHA, DIGEST = "0123456789abcdef0123456789abcdef01234567", "sha256:" + "a" * 64
CRASHED, UNDEFINED = 99, 98
SHOWN = 5


@dataclass
class Case:
    name: str
    arguments: list
    status: int = 0          # of the command when nothing fails
    stdin: str | None = None
    before: object = None    # called with the try's folder before each try
    after: object = None     # called with the try's folder and what was done; returns what is wrong, or None
    alone: bool = False      # tries must not run beside each other
    compare: bool = True     # standard output is the same each time
    limit: int | None = None # at most so many failing allocations, where a try takes long; not under --all


def environment_of(folder, extra):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICE_", "GITHUB_", "GITLAB_", "CI_", "PG"))}
    return kept | {"ASAN_OPTIONS": f"exitcode={CRASHED}:detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": f"exitcode={UNDEFINED}",
                   "SLUICE_TORTURE_REPORT": str(folder / "report"), "LC_ALL": "C.UTF-8"} | extra


def run(case, which, folder, extra):
    """Returns (what was done, allocations, failed ones)."""
    environment = environment_of(folder, extra) | {"SLUICE_TORTURE": which}
    arguments = case.arguments(folder) if callable(case.arguments) else case.arguments
    done = subprocess.run([SLUICE, *map(str, arguments)], env=environment, input=case.stdin, capture_output=True, text=True, check=False,
                          errors="replace", timeout=120, cwd=folder)
    report = folder / "report"
    counted, fired = map(int, report.read_text().split()) if report.exists() else (0, 0)
    return done, counted, fired


def complaint(case, done, fired, wanted):
    """What is wrong with it, or None."""
    lines = done.stderr.splitlines()
    if done.returncode in (CRASHED, UNDEFINED) or "Sanitizer" in done.stderr:
        return "crash or leak"
    if done.returncode < 0:
        return f"died of signal {-done.returncode}"
    if done.returncode == 2 and case.status != 2:
        errors = [line for line in lines if line.startswith("error:")]
        told = [line for line in errors if "emory" in line]
        others = [line for line in errors if "emory" not in line and "nothing was written" not in line]
        if not told or others:
            return "no clear line"
        return None if fired else "failed without cause"
    if done.returncode != wanted.returncode:
        return f"exit status {done.returncode}, not 2 or {wanted.returncode}"
    if case.compare and done.stdout != wanted.stdout:
        return "standard output is another"
    return None


def chosen(count, limit):
    """Which allocations fail: all, or the first and some of the others."""
    if count <= limit:
        return list(range(1, count + 1))
    first = limit // 2
    return list(range(1, first + 1)) + sorted(random.Random(1).sample(range(first + 1, count + 1), limit - first))


class Torture:
    def __init__(self, mode, extra=None):
        self.mode, self.extra, self.lock = mode, extra or {}, threading.Lock()

    def limit(self, case):
        if self.mode == "all":
            return sys.maxsize
        most = {"short": 12, "normal": 60}[self.mode]
        return min(most, case.limit or most)

    def attempt(self, case, wanted, which):
        """A thread of librdkafka that had something in its hands as the program ended has not leaked it: that does not happen thrice."""
        for _ in range(3):
            wrong = self.attempt_once(case, wanted, which)
            if not wrong or "crash or leak" not in wrong or "librdkafka" not in wrong or "/producer/" in wrong or "/common/" in wrong:
                break
        return wrong

    def attempt_once(self, case, wanted, which):
        with tempfile.TemporaryDirectory(prefix="sluice-torture.") as name:
            folder = Path(name)
            if case.before:
                case.before(folder)
            try:
                done, _, fired = run(case, which, folder, self.extra)
            except subprocess.TimeoutExpired as expired:
                return f"allocation {which}: {expired}"
            wrong = complaint(case, done, fired, wanted)
            if not wrong and case.after:
                wrong = case.after(folder, done)
        if not wrong:
            return None
        return f"allocation {which}: {wrong}; exit status {done.returncode}\n" + "\n".join(
            "  " + line for line in (done.stderr or done.stdout).splitlines()[:25])

    def case(self, case):
        """(tries, what was wrong with some of them)"""
        with tempfile.TemporaryDirectory(prefix="sluice-torture.") as name:
            folder = Path(name)
            if case.before:
                case.before(folder)
            wanted, count, _ = run(case, "0", folder, self.extra)
            wrong = case.after(folder, wanted) if case.after else None
        if wanted.returncode != case.status or not count or wrong:
            return 0, [f"without a failure: exit status {wanted.returncode}, {count} allocations, {wrong}\n{wanted.stderr}"]
        tries = [f"{n}{sign}" for n in chosen(count, self.limit(case)) for sign in ("", "+")]
        with concurrent.futures.ThreadPoolExecutor(1 if case.alone else 3) as pool:
            found = pool.map(lambda which: self.attempt(case, wanted, which), tries)
            return len(tries), [wrong for wrong in found if wrong]


# ---- commands that need no server ----

def files(folder):
    (folder / "sbom.json").write_text("{}")
    (folder / "evidence.json").write_text('{"tests": 12}')
    (folder / "schema.json").write_text('{"type": "object", "properties": {"a": {"pattern": "^[0-9]+$"}, "b": {"uniqueItems": true}}}')
    (folder / "good.json").write_text('{"a": "12", "b": [' + ",".join(map(str, range(40))) + "]}")
    (folder / "bad.json").write_text('{"a": "x", "b": [1, 1]}')
    (folder / "sluice.yaml").write_text('topic-prefix: "t."\nkafka:\n  bootstrap-servers: "127.0.0.1:1"\n  client.id: me\n')
    shutil.copy(ROOT / "deploy" / "policy.example.yaml", folder / "policy.yaml")
    (folder / "wrong.yaml").write_text("version: 1\nprojects:\n- match: a\n  environments: {dev: {after: [prod]}}\n")


GENERATE = ["manifest", "generate", "--sha", SHA, "--image-digest", DIGEST, "--image-uri", "ghcr.io/acme/shop:1.4", "--sbom", "sbom.json",
            "--evidence", "evidence.json", "--issue-link", "https://acme.example/1", "--artifact",
            f"name=cli,type=binary,digest={DIGEST},uri=https://dl.acme.example/cli"]


def generated(folder):
    files(folder)
    done = subprocess.run([BUILD / "producer" / "sluice", *GENERATE], cwd=folder, capture_output=True, check=False,
                          env=environment_of(folder, {"SOURCE_DATE_EPOCH": "1772359200"}))
    tap.equal(done.returncode, 0, f"manifest generate ({done.stderr.decode()})")


def manifest_is_whole(folder, done):
    path = folder / "release" / "out" / "release-manifest.json"
    if done.returncode:
        return "something was written" if path.exists() else None
    verified = subprocess.run([BUILD / "producer" / "sluice", "manifest", "verify"], cwd=folder, capture_output=True, check=False,
                              env=environment_of(folder, {}))
    left = [file.name for file in (folder / "release" / "out").iterdir() if file.name.startswith(".")]
    return f"what was written is not whole: {verified.stdout}{verified.stderr}{left}" if verified.returncode or left else None


OFFLINE = [
    Case("--help", ["--help"]),
    Case("promote --help", ["promote", "--help"]),
    Case("config", ["config"], before=files),
    Case("config --json", ["config", "--json"], before=files),
    Case("config --reference", ["config", "--reference"]),
    Case("schema list", ["schema", "list"]),
    Case("schema list --json", ["schema", "list", "--json"]),
    Case("schema print", ["schema", "print", "release-manifest"]),
    Case("schema validate", ["schema", "validate", "schema.json", "good.json"], before=files),
    Case("schema validate --json", ["schema", "validate", "--json", "schema.json", "good.json", "bad.json"], status=1, before=files),
    Case("schema validate draft-07", ["schema", "validate", "draft-07", "schema.json"], before=files),
    Case("policy check", ["policy", "check", "policy.yaml"], before=files),
    Case("policy check --json", ["policy", "check", "--json", "policy.yaml"], before=files),
    Case("policy check, a wrong one", ["policy", "check", "wrong.yaml"], status=1, before=files),
    Case("manifest generate", GENERATE, before=files, after=manifest_is_whole, compare=False),
    Case("manifest generate --json", [*GENERATE, "--json"], before=files, after=manifest_is_whole, compare=False),
    Case("manifest verify", ["manifest", "verify"], before=generated),
    Case("manifest verify --json", ["manifest", "verify", "--json"], before=generated),
    Case("manifest verify --bundle", ["manifest", "verify", "release/out/release-manifest.json", "--bundle", "."], before=generated),
    Case("manifest verify, a wrong one", ["manifest", "verify", "--json", "good.json"], status=1, before=files),
    Case("manifest verify with a schema", ["manifest", "verify", "--schema", "schema.json", "-"], before=files,
         stdin='{"a": "x"}', status=1),
]


def main():
    mode = "all" if "--all" in sys.argv else "short" if "--short" in sys.argv else "normal"
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    groups = [(Torture(mode), OFFLINE)]
    if "--offline" not in sys.argv:
        from commands_with_servers import server_cases  # pylint: disable=import-outside-toplevel
        groups.append(server_cases(Torture, Case, mode))
    output = tap.Tap()
    for torture, cases in groups:
        for case in cases:
            if words and not any(word in case.name for word in words):
                continue
            tries, wrong = torture.case(case)
            output.check(f"{case.name}: {tries} tries", not wrong, "\n".join(wrong[:SHOWN] + [f"({len(wrong)} in all)"]))
    print(f"1..{output.number}")
    return 1 if output.failed else 0


if __name__ == "__main__":
    sys.exit(main())
