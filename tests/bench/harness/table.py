"""The table that a run ends with."""
import json
import statistics
from dataclasses import dataclass


@dataclass
class Row:
    measured: str
    against: str
    values: list          # one a round: a ratio, or what the measured's words say
    reach: tuple | None = None  # ("<=" or ">=", number)
    unit: str = "x"

    def figures(self):
        values = [value for value in self.values if value == value]
        if not values:
            return None, None, None
        return statistics.median(values), min(values), max(values)

    def holds(self):
        value = self.figures()[0]
        if value is None or self.reach is None:
            return None
        return value >= self.reach[1] if self.reach[0] == ">=" else value <= self.reach[1]

    def document(self):
        value, low, high = (None if figure is None else round(figure, 4) for figure in self.figures())
        return {"measured": self.measured, "against": self.against, "value": value, "low": low, "high": high,
                "reach": f"{self.reach[0]} {self.reach[1]:g}" if self.reach else None, "holds": self.holds()}


def ratios(mine, other, key):
    """A ratio for each round in which both ran."""
    return [a[key] / b[key] for a, b in zip(mine, other) if b[key]]


def _number(value, unit):
    if value is None:
        return "-"
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 100 else f"{value:.2f}"
    return text if unit == "x" else f"{text} {unit}"


def render(rows):
    head = ["measured", "against", "value", "low", "high", "reach", "holds"]
    lines = [head]
    for row in rows:
        value, low, high = row.figures()
        reach = f"{row.reach[0]} {_number(row.reach[1], row.unit)}" if row.reach else ""
        lines.append([row.measured, row.against, _number(value, row.unit), _number(low, row.unit), _number(high, row.unit), reach,
                      {True: "yes", False: "NO", None: ""}[row.holds()]])
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
