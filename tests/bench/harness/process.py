"""Processes: start and stop them, and what they and their descendants have used."""
import contextlib
import os
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


def stat(pid):
    """(parent, own CPU seconds, those of children that have ended), or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    own, reaped = int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14])
    return int(fields[1]), own / TICKS, reaped / TICKS


def family(pid):
    """pid with all its descendants: their stat by pid."""
    stats = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            found = stat(int(name))
            if found:
                stats[int(name)] = found
    children = {}
    for child, (parent, _, _) in stats.items():
        children.setdefault(parent, []).append(child)
    members, queue = {}, [pid]
    while queue:
        one = queue.pop()
        if one in stats:
            members[one] = stats[one]
            queue += children.get(one, ())
    return members


def cpu(pid):
    """CPU seconds of a process and all its descendants, those that have ended too."""
    return sum(own + reaped for _, own, reaped in family(pid).values())


def peaks(pid):
    """MiB that each process had resident at its largest: of pid itself, and a list of its descendants'."""
    found = {}
    for member in family(pid):
        try:
            with open(f"/proc/{member}/status", encoding="ascii", errors="replace") as file:
                found[member] = next((int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM:")), 0)
        except OSError:
            pass  # just ended
    return found.pop(pid, 0), list(found.values())


class Program:
    """A running program with children below it; ended by SIGTERM."""

    def __init__(self, command, environment, log):
        self.log = open(log, "ab")
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        self.pid, self.usage, self.status = self.process.pid, None, None

    def _reap(self, flags):
        if self.status is None:
            pid, status, usage = os.wait4(self.pid, flags)
            if pid:
                self.status, self.usage = status, usage
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.log.close()
        return self.status is not None

    def ended(self):
        return self._reap(os.WNOHANG)

    @property
    def exit_status(self):
        """Once it has ended: not 0 when it failed, or was killed."""
        return self.process.returncode

    @contextlib.contextmanager
    def kept(self):
        """Ends it when the block is left, however that happens."""
        try:
            yield self
        finally:
            self.stop()

    def stop(self, seconds=20):
        """Ends it and returns its user and system CPU seconds, its children's included."""
        if not self.ended():
            os.kill(self.pid, signal.SIGTERM)
            until = time.monotonic() + seconds
            while not self.ended() and time.monotonic() < until:
                time.sleep(0.01)
            if not self.ended():
                os.killpg(self.pid, signal.SIGKILL)
                self._reap(0)
                raise RuntimeError(f"process {self.pid} did not end within {seconds} s of SIGTERM")
        return self.usage.ru_utime, self.usage.ru_stime
