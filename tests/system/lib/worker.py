"""A sluice-worker process and its lanes."""
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid):
    """SIGKILL; False when it is gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
        return True
    except ProcessLookupError:
        return False


def resident_mib(pid):
    """What the process has in memory now; None when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None


class Worker:
    def __init__(self, program, environment, name, listen, log):
        self.name, self.listen, self.log, self.paused = name, listen, Path(log), set()
        self.environment = environment | {"SLUICE_WORKER_NAME": name, "SLUICE_WORKER_LISTEN": listen}
        self.program, self.process = program, None

    def start(self, ready=True, **environment):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program], env=self.environment | environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        if ready:
            self.wait_ready()
        return self

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def lanes(self):
        return children(self.pid)

    def get(self, path, timeout=5):
        """(status, body); status None when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.listen}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None, ""

    def wait_ready(self, timeout=30):
        deadline = time.monotonic() + timeout
        while self.get("/readyz")[0] != 200:
            if not self.running():
                raise RuntimeError(f"worker {self.name} ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"worker {self.name} is not ready: {self.get('/readyz')}\n{self.tail()}")
            time.sleep(0.05)

    def tail(self, lines=20):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def log_text(self):
        return self.log.read_text(errors="replace")

    def pause(self, pid):
        os.kill(pid, signal.SIGSTOP)
        self.paused.add(pid)

    def resume(self, pid):
        self.paused.discard(pid)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def resume_all(self):
        for pid in list(self.paused):
            self.resume(pid)

    def stop(self, timeout=30):
        """SIGTERM; its exit status."""
        self.resume_all()
        if not self.running():
            return self.process and self.process.returncode
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self):
        """SIGKILL to all of it at once."""
        if self.running():
            for pid in [self.pid, *self.lanes()]:
                kill(pid)
            self.process.wait()
