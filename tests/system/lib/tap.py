"""Test Anything Protocol: one line a check, as tests/run.sh counts them."""
import sys


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def check(self, name, passed, why=""):
        self.number += 1
        self.failed += not passed
        print(f"{'ok' if passed else 'not ok'} {self.number} - {name}", flush=True)
        if not passed:
            for line in str(why).splitlines():
                print(f"# {line}", flush=True)
        return bool(passed)

    def equal(self, name, actual, wanted):
        return self.check(name, actual == wanted, f"got    {actual!r}\nwanted {wanted!r}")

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {why}", flush=True)

    def note(self, text):
        print(f"# {text}", flush=True)

    def end(self):
        """Prints the plan; the exit status."""
        print(f"1..{self.number}", flush=True)
        sys.stdout.flush()
        return 1 if self.failed else 0
