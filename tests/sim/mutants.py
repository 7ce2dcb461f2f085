#!/usr/bin/python3
"""Builds the broken variants in mutants/ and looks for each until the simulator finds it; see README.md.

Each patch changes a copy of a few sources of worker/ (or of the simulated database, for what the real one does in SQL). Only these are
compiled, with the commands of build/sim, and linked in the place of the right ones."""
import argparse, json, pathlib, re, shlex, shutil, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "sim"
WORK = BUILD / "mutants"


def fail(message):
    print(f"mutants.py: {message}", file=sys.stderr)
    sys.exit(2)


def compile_commands():
    entries = json.loads((BUILD / "compile_commands.json").read_text())
    return {str(pathlib.Path(entry["file"]).relative_to(ROOT)): shlex.split(entry["command"]) for entry in entries
            if pathlib.Path(entry["file"]).is_relative_to(ROOT)}


def link_command():
    lines = subprocess.run(["ninja", "-C", BUILD, "-t", "commands", "sluice-sim"], capture_output=True, text=True, check=True).stdout
    command = shlex.split(lines.strip().splitlines()[-1])
    return command[command.index("&&") + 1:command.index("&&", command.index("&&") + 1)] if "&&" in command else command


def build(patch, commands, link):
    """The mutant's program. Raises ValueError when the patch no longer applies or what it makes does not compile."""
    place = WORK / patch.stem
    shutil.rmtree(place, ignore_errors=True)
    text = patch.read_text()
    touched = re.findall(r"^\+\+\+ b/(\S+)", text, re.M)
    for folder in sorted({str(pathlib.Path(name).parent) for name in touched}):
        shutil.copytree(ROOT / folder, place / folder, ignore=lambda _, names: [n for n in names if not n.endswith((".c", ".h"))])
    applied = subprocess.run(["patch", "-p1", "--quiet", "--fuzz=0", "--no-backup-if-mismatch"], cwd=place, input=text, text=True,
                             capture_output=True)
    if applied.returncode:
        raise ValueError("the patch does not apply any more: " + applied.stdout.strip().replace("\n", "; "))
    objects, replaced = [], []
    headers_changed = any(name.endswith(".h") for name in touched)
    if headers_changed:
        raise ValueError("a patch may only change .c files")
    for name in touched:
        command = list(commands[name])
        target = str(place / (pathlib.Path(name).name + ".o"))
        replaced.append(command[command.index("-o") + 1])
        command[command.index("-o") + 1] = target
        command = [str(place / name) if part == str(ROOT / name) else part for part in command]
        done = subprocess.run(command, cwd=BUILD, capture_output=True, text=True)
        if done.returncode:
            raise ValueError("it does not compile: " + done.stderr.strip()[:2000])
        objects.append(target)
    program = place / "sluice-sim"
    command = [part for part in link if part not in replaced]
    at = command.index("-o")
    command[at + 1] = str(program)
    command[at:at] = objects  # before the library, whose own are then not taken
    done = subprocess.run(command, cwd=BUILD, capture_output=True, text=True)
    if done.returncode:
        raise ValueError("it does not link: " + done.stderr.strip()[:2000])
    return program


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these (default: all)")
    parser.add_argument("--seeds", type=int, default=2000, help="within how many seeds each must be found (default 2000)")
    parser.add_argument("--keep", action="store_true", help="leave the programs in build/sim/mutants")
    options = parser.parse_args()
    patches = sorted((HERE / "mutants").glob("*.patch"))
    if options.names:
        unknown = set(options.names) - {patch.stem for patch in patches}
        if unknown:
            fail(f"there is no mutant '{sorted(unknown)[0]}'; see {HERE / 'mutants'}")
        patches = [patch for patch in patches if patch.stem in options.names]
    commands, link = compile_commands(), link_command()
    passed = failed = 0
    for patch in patches:
        try:
            program = build(patch, commands, link)
        except ValueError as problem:
            print(f"not found  {patch.stem}: {problem}", flush=True)
            failed += 1
            continue
        since = time.monotonic()
        run = subprocess.run([program, "--seeds", f"1-{options.seeds}", "--brief", "--no-shrink"], capture_output=True, text=True)
        took = time.monotonic() - since
        lines = sorted((line for line in run.stdout.splitlines() if line.startswith("seed ")), key=lambda line: int(line.split()[1][:-1]))
        if run.returncode == 1 and lines:
            print(f"found      {patch.stem}: {lines[0]} ({took:.1f} s)", flush=True)
            passed += 1
        else:
            print(f"not found  {patch.stem}: {options.seeds} seeds, and no invariant was broken ({took:.1f} s)", flush=True)
            failed += 1
        if not options.keep:
            shutil.rmtree(WORK / patch.stem, ignore_errors=True)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
