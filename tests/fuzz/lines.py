#!/usr/bin/python3
"""Which lines of a parser a fuzz target has reached: lines.py ROOT PERCENT LCOV

Prints one line, "common/json.c 97.8% (350 of 358), ...", and for a file below PERCENT the lines that were not reached. Exit
status 1 when there is such a file.
"""
import sys


def read(path):
    """File to {line: count}."""
    found, current = {}, None
    for line in open(path, encoding="utf-8"):
        if line.startswith("SF:"):
            current = found.setdefault(line[3:].strip(), {})
        elif line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            current[int(number)] = max(int(count), current.get(int(number), 0))
    return found


def ranges(numbers):
    spans = []
    for number in numbers:
        if spans and number <= spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def main():
    root, wanted, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    texts, missing = [], []
    for name, lines in sorted(read(path).items()):
        short = name.removeprefix(root + "/")
        reached = sum(1 for count in lines.values() if count)
        percent = 100 * reached / len(lines)
        texts.append(f"{short} {percent:.1f}% ({reached} of {len(lines)} lines)")
        if percent < wanted:
            missing.append(f"{short} is below {wanted:.0f}%; not reached: {ranges(sorted(n for n, c in lines.items() if not c))}")
    print(", ".join(texts) or "nothing was measured")
    print("\n".join(missing), end="\n" if missing else "")
    return 1 if missing or not texts else 0


sys.exit(main())
