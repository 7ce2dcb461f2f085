#!/usr/bin/python3
"""The rules of the house that a program can see: who may include what, and how long files and functions may get."""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILE_LINES, FUNCTION_LINES = 600, 80
# What is longer all the same, "file" or "file:function", each with what speaks for it.
LONGER = {}

# Each library has few files that may include it: what is below these ports can be exchanged, and simulated.
MAY_INCLUDE = {
    r"librdkafka/": r"common/kafka\w*\.[ch]|worker/(input|output)_kafka\w*\.[ch]",
    r"libpq|postgresql/": r"common/pg\w*\.[ch]|worker/store_pg\w*\.[ch]",
    r"curl/": r"worker/http\w*\.[ch]",
    r"openssl/": r"common/(digest|crypto)\w*\.[ch]",
    r"yaml\.h": r"common/yaml\w*\.[ch]",
    r"microhttpd": r"worker/\w+\.[ch]",
}
# common/ is a library: it tells its caller and leaves the rest to it.
NOT_IN_COMMON = r"\b(exit|_exit|printf|puts|fprintf|syslog|log_\w+)\s*\("


def sources(*folders):
    for folder in folders:
        yield from sorted(glob.glob(f"{ROOT}/{folder}/**/*.[ch]", recursive=True))


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


def name_of(path):
    return os.path.relpath(path, ROOT)


def without_comments(text):
    text = re.sub(r'"(\\.|[^"\\\n])*"', '""', text)
    text = re.sub(r"/\*.*?\*/", lambda match: "\n" * match.group().count("\n"), text, flags=re.S)
    return re.sub(r"//[^\n]*", "", text)


def functions(lines):
    """(name, first line, lines) of each; clang-format puts a function's first and last line into the first column."""
    name = first = None
    for number, line in enumerate(lines, 1):
        if name is None and re.match(r"[A-Za-z_].*\(", line) and not line.endswith(";"):
            name, first = re.search(r"(\w+)\s*\(", line).group(1), number
        elif name and re.match(r"\S.*;$", line) and not line.startswith("}"):
            name = None
        elif name and line.startswith("}"):
            yield name, first, number - first + 1
            name = None


def long_files():
    for path in sources("common", "worker", "producer"):
        count = len(lines_of(path))
        if count > FILE_LINES and name_of(path) not in LONGER:
            yield f"{name_of(path)}: {count} lines"


def long_functions():
    for path in sources("common", "worker", "producer"):
        for name, first, count in functions(lines_of(path)):
            if count > FUNCTION_LINES and f"{name_of(path)}:{name}" not in LONGER:
                yield f"{name_of(path)}:{first}: {name} has {count} lines"


def strangers_libraries():
    for path in sources("common", "worker", "producer"):
        for number, line in enumerate(lines_of(path), 1):
            for library, allowed in MAY_INCLUDE.items():
                if re.match(rf'#include [<"]({library})', line) and not re.fullmatch(allowed, name_of(path)):
                    yield f"{name_of(path)}:{number}: {line}"


def wrong_directions():
    for folder, forbidden in (("common", ("worker", "producer")), ("worker", ("producer",)), ("producer", ("worker",))):
        headers = {os.path.basename(path): path for other in forbidden for path in sources(other) if path.endswith(".h")}
        own = {os.path.basename(path) for path in sources(folder, "common")}
        for path in sources(folder):
            for number, line in enumerate(lines_of(path), 1):
                included = re.match(r'#include "(?:\.\./)?(?:\w+/)*([\w.]+)"', line)
                if included and included.group(1) in headers and included.group(1) not in own:
                    yield f"{name_of(path)}:{number}: {line}"


def talkative_common():
    for path in sources("common"):
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(without_comments(file.read()).splitlines(), 1):
                if re.search(NOT_IN_COMMON, line):
                    yield f"{name_of(path)}:{number}: {line.strip()}"


RULES = [
    (f"no file is longer than {FILE_LINES} lines", long_files),
    (f"no function is longer than {FUNCTION_LINES} lines", long_functions),
    ("a library is included only below its port", strangers_libraries),
    ("dependencies point one way: producer and worker to common", wrong_directions),
    ("common neither prints, nor logs, nor exits", talkative_common),
]


def main():
    print(f"1..{len(RULES)}")
    failed = 0
    for number, (name, rule) in enumerate(RULES, 1):
        found = list(rule())
        print(f"{'not ok' if found else 'ok'} {number} - {name}")
        for one in found:
            print(f"# {one}")
        failed += bool(found)
    return 1 if failed else 0


sys.exit(main())
