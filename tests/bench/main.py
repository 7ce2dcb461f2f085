#!/usr/bin/python3
"""Measures Sluice, its peers and the limits on this machine; run.sh prepares what this needs. See README.md."""
import argparse
import concurrent.futures
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from harness import backlog, faults, growth, latency, programs, race, table
from harness.bench import LANES, Bench
from harness.servers import REPOSITORY, Servers
from harness.tools import Tools

SECTIONS = {"race": race.race, "latency": latency.latency, "full": growth.full_tables, "curves": growth.curves, "faults": faults.faults,
            "backlog": backlog.backlog, "images": growth.distinct_images}
WITHOUT_PEERS = ("faults", "images", "backlog", "curves", "full")  # the order in which a quick run has them, while the peers are built


def arguments():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__, allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="smaller loads and fewer rounds: minutes instead of an hour")
    parser.add_argument("--json", metavar="FILE", help="write the table there, as an array of objects")
    parser.add_argument("--only", metavar="SECTION,...", help="only some of: " + ", ".join(SECTIONS))
    parser.add_argument("--rounds", metavar="N", type=int, help="so many rounds of each section, instead of what it has by itself")
    parser.add_argument("--build", metavar="DIR", default=str(REPOSITORY / "build/release"), help="the Sluice to measure (build/release)")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[],
                        help="a setting of the worker, SLUICE_WORKER_BATCH_RECORDS=2000 for example")
    options = parser.parse_args()
    options.sections = options.only.split(",") if options.only else list(SECTIONS)
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    bad = [one for one in options.set if not one.partition("=")[0] or "=" not in one]
    if bad:
        parser.error(f"--set takes NAME=VALUE, not {', '.join(bad)}")
    options.settings = dict(one.split("=", 1) for one in options.set)
    return options


def configuration(options, bench):
    cpu = next((line.partition(":")[2].strip() for line in open("/proc/cpuinfo", encoding="ascii") if line.startswith("model name")), "?")
    print(f"\nThis machine: {os.cpu_count()} x {cpu}; Kafka and PostgreSQL of deploy/, on it too, fsync and synchronous_commit on.")
    print(f"Sluice: {LANES} lanes, its defaults else{''.join(' ' + one for one in options.set)}. Go peer: "
          f"{programs.GO['LANES']} lanes, batches of {programs.GO['BATCH']:,}, binary COPY. Node peer: 1 process, binary COPY.")
    print("The value is the median of the rounds, low and high are their extremes. A ratio is taken within a round.")
    for name, why in bench.tools.missing.items():
        print(f"Without the {name} peer: {why}")


def _table(options, found):
    return [row for name in options.sections for row in found.get(name, ())]


def main():
    options = arguments()
    start = time.monotonic()

    def say(text):
        print(f"{time.monotonic() - start:7.1f} s  {text}", flush=True)

    work = Path(tempfile.mkdtemp(prefix="sluice-bench."))
    work.chmod(0o711)  # the server of Postgres is another user when this one is root
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    builder = concurrent.futures.ThreadPoolExecutor(1)
    servers, found, failed = None, {}, []
    try:
        tools = builder.submit(Tools, say)
        if not options.quick:
            tools.result()
        servers = Servers(work / "servers")
        bench = Bench(servers, tools, work, options.quick, Path(options.build), say, options.settings, options.rounds)
        sections = options.sections
        if options.quick:
            sections = [name for name in WITHOUT_PEERS if name in sections] + [name for name in sections if name not in WITHOUT_PEERS]
        for name in sections:
            say(f"---- {name}")
            found[name] = SECTIONS[name](bench)
            if options.json:  # also when a later one raises
                table.save(_table(options, found), options.json)
        failed = bench.failures
        configuration(options, bench)
        print("\n" + table.render(_table(options, found)))
    except Exception:  # pylint: disable=broad-except
        traceback.print_exc()
        if found:
            print("\nWhat was measured before that:\n" + table.render(_table(options, found)), flush=True)
        for log in sorted(work.glob("*.log")):
            print(f"---- the end of {log.name}:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]), file=sys.stderr)
        return 2
    finally:
        if servers:
            servers.stop()
        shutil.rmtree(work, ignore_errors=True)
    print(f"\n{len(failed)} of the runs were not complete:" if failed
          else "\nEvery run answered each request exactly once.")
    for one in failed:
        print(f"  {one}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
