"""Test Anything Protocol: one line a check, as tests/run.sh counts them."""
import contextlib
import sys
import traceback


class Failed(AssertionError):
    """A check that did not hold; its message is enough."""


def equal(actual, wanted, what="it"):
    if actual != wanted:
        raise Failed(f"{what} is {actual!r}\nshould be {wanted!r}")


def one_of(actual, wanted, what="it"):
    if actual not in wanted:
        raise Failed(f"{what} is {actual!r}\nshould be one of {sorted(map(str, wanted))}")


def true(value, what):
    if not value:
        raise Failed(what)


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

    @contextlib.contextmanager
    def case(self, name, quiet=False):
        """One check: it has passed when the block ends without an exception. The next one runs in any case. Quiet: it is only
        told, and counted, when it fails."""
        try:
            yield
        except (Failed, TimeoutError) as error:
            self.check(name, False, error)
        except Exception:  # pylint: disable=broad-except
            self.check(name, False, traceback.format_exc())
        else:
            if not quiet:
                self.check(name, True)

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} - {name} # SKIP {why}", flush=True)

    def note(self, text):
        for line in str(text).splitlines():
            print(f"# {line}", flush=True)

    def end(self):
        """Prints the plan; the exit status."""
        print(f"1..{self.number}", flush=True)
        sys.stdout.flush()
        return 1 if self.failed else 0
