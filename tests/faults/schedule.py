"""seed -> what goes wrong, and when. From the seed alone, so that the same seed plans the same.

Odd seeds have one broker, even ones three. Each seed gets the next MAIN kinds of an endless row in which every kind of its topology
comes again and again, shuffled; one fault on every link, whose modes take turns; and one more of a link, each in its turn. So any
60 seeds in a row have each kind at least the ten times of faults.py, and two times more what may meet nothing."""
import random
from dataclasses import dataclass

from kinds import EVERYWHERE, LINKS, MODES, ON_LINKS, THREE_BROKERS

MAIN = 5
MAIN_WITHIN, LINKS_WITHIN = 12, 16  # seconds after the beginning in which they start


@dataclass
class Planned:
    at: float
    kind: str
    number: int  # its place in the seed


def copies(seed):
    return 1 if seed % 2 else 3


def kinds_of(seed):
    row = list(EVERYWHERE) + (3 * list(THREE_BROKERS) if copies(seed) == 3 else [])
    first = (seed - 1) // 2 * MAIN
    for place in range(first, first + MAIN):
        shuffled = row[:]
        random.Random(f"{copies(seed)}/{place // len(row)}").shuffle(shuffled)
        yield shuffled[place % len(row)]


def plan(seed):
    dice = random.Random(f"plan/{seed}")
    found = [(dice.uniform(0, MAIN_WITHIN), kind) for kind in kinds_of(seed)]
    found += [(dice.uniform(0, LINKS_WITHIN), f"{link} {MODES[(seed + 2 * number) % len(MODES)]}") for number, link in enumerate(LINKS)]
    found.append((dice.uniform(0, LINKS_WITHIN), list(ON_LINKS)[seed * 11 % len(ON_LINKS)]))
    return [Planned(at, kind, number) for number, (at, kind) in enumerate(sorted(found))]
