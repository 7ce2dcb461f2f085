"""The real Kafka, Postgres and registry that a test runs against.

Under tests/run.sh they are up and the environment says where. A test that is run alone starts its own (deploy/local.sh up
--servers) and takes them down at its end, unless SLUICE_TESTS_KEEP is set."""
import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FULL = os.environ.get("SLUICE_TESTS_FULL") == "yes"


def script(name, *arguments, **environment):
    """Runs a script of deploy/; its standard output."""
    done = subprocess.run([ROOT / "deploy" / name, *map(str, arguments)], env=os.environ | environment, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} {' '.join(map(str, arguments))} ended with {done.returncode}")
    return done.stdout


def end_when_asked():
    """SIGTERM and SIGHUP end the program like sys.exit, so that what it has started is stopped."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))


class Stack:
    def __init__(self):
        if "SLUICE_LOCAL_REGISTRY" not in os.environ:
            self.start_own()
        environment = os.environ
        self.folder = Path(environment["SLUICE_LOCAL_DIR"])
        self.brokers = environment["SLUICE_KAFKA_BOOTSTRAP_SERVERS"]
        self.database_url = environment["SLUICE_DATABASE_URL"]
        self.registry = environment["SLUICE_LOCAL_REGISTRY"]
        self.sluice = self.program("sluice")
        self.worker = self.program("sluice-worker")

    @staticmethod
    def program(name):
        found = shutil.which(name)
        if not found:
            raise RuntimeError(f"{name} is not in PATH; eval \"$(deploy/local.sh env)\" puts it there")
        return found

    @staticmethod
    def start_own():
        folder = tempfile.mkdtemp(prefix="sluice-system.")
        os.chmod(folder, 0o711)  # Postgres is another user when this one is root
        os.environ["SLUICE_LOCAL_DIR"] = folder
        if not os.environ.get("SLUICE_BUILD_DIR"):
            script("build.sh", "asan")
            os.environ["SLUICE_BUILD_DIR"] = str(ROOT / "build" / "asan")

        def stop():
            script("local.sh", "down", "--purge")
            shutil.rmtree(folder, ignore_errors=True)

        if not os.environ.get("SLUICE_TESTS_KEEP"):
            atexit.register(stop)
            end_when_asked()
        print(f"# starting Kafka, Postgres and a registry in {folder}", file=sys.stderr)
        script("local.sh", "up", "--servers")
        for line in script("local.sh", "env").splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            os.environ[name] = value.strip("'").replace("'\\''", "'")

    def pid(self, server):
        return int((self.folder / "pids" / server).read_text().split()[0])

    def stop_server(self, server):
        script(f"{server}.sh", "stop", self.folder / server)

    def start_server(self, server):
        """At its old port."""
        script(f"{server}.sh", "start", self.folder / server)
        shutil.copy(self.folder / server / "pid", self.folder / "pids" / server)


@functools.cache
def stack():
    return Stack()
