#!/usr/bin/python3
"""Checks, from Kafka and Postgres alone, that an installation kept its promises; nothing may be running in it that is behind.

    checker.py --brokers LIST --database-url URL [--schema sluice] [--prefix release.] [--json]

Prints every violation with its shard and sequence. Exit status: 0 none, 1 some, 2 it could not look."""
import argparse
import json
import os
import sys
import time

import psycopg2
from confluent_kafka import KafkaException

from checks.check import check
from checks.forms import TYPES
from checks.load import Database, Kafka, read_world


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    environment = os.environ
    parser.add_argument("--brokers", default=environment.get("SLUICE_KAFKA_BOOTSTRAP_SERVERS"))
    parser.add_argument("--database-url", default=environment.get("SLUICE_DATABASE_URL"))
    parser.add_argument("--schema", default=environment.get("SLUICE_DATABASE_SCHEMA", "sluice"))
    parser.add_argument("--prefix", default=environment.get("SLUICE_TOPIC_PREFIX", "release."))
    parser.add_argument("--json", action="store_true", help="one document on stdout")
    return parser


def print_text(report, seconds):
    for violation in report.violations:
        print(violation)
    if report.count > len(report.violations):
        print(f"... and {report.count - len(report.violations)} more")
    kinds = ", ".join(f"{count} {TYPES[kind] or kind}" for kind, count in sorted(report.kinds.items()) if kind in TYPES)
    print(f"{report.inputs} inputs, {report.rows} ledger rows, {report.answers} answers on {report.shards} shards in {seconds:.1f} s"
          + (f": {kinds}" if kinds else ""))
    print("no violation" if not report.count else f"{report.count} violations")


def print_json(report, seconds):
    print(json.dumps({
        "ok": not report.count, "violations": report.count, "inputs": report.inputs, "rows": report.rows,
        "answers": report.answers, "shards": report.shards, "redacted": report.redacted, "seconds": round(seconds, 1),
        "found": [{"rule": one.rule, "message": one.message} | ({} if one.shard is None else {"shard": one.shard})
                  | ({} if one.sequence is None else {"sequence": one.sequence}) for one in report.violations]}))


def main():
    parser = arguments()
    options = parser.parse_args()
    if not options.brokers or not options.database_url:
        parser.error("--brokers and --database-url are needed")
    started = time.monotonic()
    try:
        report = check(read_world(Database(options.database_url, options.schema), Kafka(options.brokers, options.prefix)))
    except (psycopg2.Error, KafkaException, TimeoutError, ValueError) as error:
        print(f"checker.py: {str(error).strip()}", file=sys.stderr)
        return 2
    (print_json if options.json else print_text)(report, time.monotonic() - started)
    return 1 if report.count else 0


if __name__ == "__main__":
    sys.exit(main())
