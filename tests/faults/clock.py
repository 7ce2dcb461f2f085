"""Clocks that jump: those of programs that are started with libfaketime, which reads from a file by how much they differ from ours."""
import os
import shlex
import subprocess
from pathlib import Path


def find_faketime():
    for folder in Path("/usr/lib").glob("*/faketime"):
        if (folder / "libfaketime.so.1").exists():
            return folder / "libfaketime.so.1"
    return None


def clock_waits(folder):
    """Builds what libfaketime lacks; see clock_waits.c."""
    built = folder / "clock_waits.so"
    if not built.exists():
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", built, Path(__file__).with_name("clock_waits.c")], check=True)
    return built


def preload(libraries, program):
    """A program with AddressSanitizer wants that loaded first."""
    with open(program, "rb") as file:
        sanitized = b"libasan.so" in file.read()
    asan = next(Path("/usr/lib").glob("gcc/*/*/libasan.so"), None) if sanitized else None
    return {"LD_PRELOAD": " ".join(map(str, ([asan.resolve()] if asan else []) + libraries))}


class Clock:
    def __init__(self, path):
        self.path = path

    def set(self, seconds):
        """Ahead of ours, from two seconds later at most."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        os.replace(new, self.path)

    def environment(self, libraries, program):
        """With which a program goes by this clock. Only what time it is jumps, not how long something takes."""
        return preload(libraries, program) | {
            "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1"}

    def folder_of(self, program, folder):
        """A folder like that of the program, in which this one goes by the clock: for a script that is told where programs are."""
        if not folder.exists():
            folder.mkdir()
            for found in program.parent.iterdir():
                if found.name != program.name:
                    (folder / found.name).symlink_to(found)
            words = [f"{name}={value}" for name, value in self.environment([find_faketime()], program).items()]
            (folder / program.name).write_text(f'#!/bin/sh\nexec env {shlex.join(words)} {shlex.quote(str(program))} "$@"\n')
            (folder / program.name).chmod(0o755)
        return folder
