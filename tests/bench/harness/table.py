"""The table that a run ends with."""
import json
import math
import statistics
from dataclasses import dataclass


@dataclass
class Row:
    measured: str
    against: str
    values: list          # one a round: a ratio, or what the measured's words say; NaN where a run was not complete
    reach: tuple | None = None  # ("<=" or ">=", number)
    unit: str = "x"

    def counted(self):
        return [value for value in self.values if not math.isnan(value)]

    def figures(self):
        values = self.counted()
        if not values:
            return None, None, None
        return statistics.median(values), min(values), max(values)

    def holds(self):
        """None where there is no reach or nothing was measured; a row with a round that was not complete does not hold."""
        if self.reach is None or not self.values:
            return None
        if len(self.counted()) < len(self.values):
            return False
        value = self.figures()[0]
        return value >= self.reach[1] if self.reach[0] == ">=" else value <= self.reach[1]

    def document(self):
        value, low, high = (None if figure is None else round(figure, 4) for figure in self.figures())
        return {"measured": self.measured if self.unit == "x" else f"{self.measured} ({self.unit})", "against": self.against,
                "value": value, "low": low, "high": high, "reach": f"{self.reach[0]} {self.reach[1]:g}" if self.reach else None,
                "holds": self.holds(), "rounds": len(self.values), "rounds_counted": len(self.counted())}


def ratios(mine, other, key):
    """A ratio for each round in which both ran; NaN where one was not complete."""
    return [a[key] / b[key] if b[key] else math.nan for a, b in zip(mine, other)]


def _number(value, unit):
    if value is None:
        return "-"
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 100 else f"{value:.2f}"
    return text if unit == "x" else f"{text} {unit}"


def render(rows):
    head = ["measured", "against", "value", "low", "high", "reach", "holds", "rounds"]
    lines = [head]
    for row in rows:
        value, low, high = row.figures()
        counted, rounds = len(row.counted()), len(row.values)
        reach = f"{row.reach[0]} {_number(row.reach[1], row.unit)}" if row.reach else ""
        lines.append([row.measured, row.against, _number(value, row.unit), _number(low, row.unit), _number(high, row.unit), reach,
                      {True: "yes", False: "NO", None: ""}[row.holds()], str(rounds) if counted == rounds else f"{counted} of {rounds}"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    out = []
    for line in lines:
        out.append("  ".join(cell.rjust(width) if 2 <= i <= 4 else cell.ljust(width)
                             for i, (cell, width) in enumerate(zip(line, widths))).rstrip())
    out.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(out)


def save(rows, path):
    with open(path, "w", encoding="utf-8") as file:
        json.dump([row.document() for row in rows], file, indent=1)
        file.write("\n")
