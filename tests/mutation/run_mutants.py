#!/usr/bin/env python3
"""Breaks src/nn on purpose, one small change at a time, and sees whether nn_test goes red.

    python tests/mutation/run_mutants.py [--only WORD]... [--work FOLDER] [--jobs N] [--check]

The changes are in mutants.py. The tree is copied to FOLDER (default: build/mutation) and built
there, so that nothing of it is left behind. A mutant is killed when nn_test fails or takes ten
times as long as it should; one that survives, does not compile, or is not found in its file (the
code has moved on) makes the exit status 1. `--check` only looks whether all are found.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import time

from mutants import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEST_SECONDS = 120


def copy_tree(to):
    """All files that git knows or would add, those of an earlier copy replaced when they differ."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")
    kept = set()
    for name in filter(None, listed):
        source = ROOT / name
        if not source.is_file():
            continue
        target = to / name
        kept.add(target)
        if target.is_file() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for folder in ["src", "tests"]:
        for old in (to / folder).rglob("*"):
            if old.is_file() and old not in kept:
                old.unlink()


def run(command, cwd, seconds=None):
    """Return code (None: too slow) and output."""
    try:
        done = subprocess.run(
            command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


def change(text, before, after, nth):
    """`text` with the `nth` occurrence of `before` changed; None when it is not there, or when
    there are several and none is named."""
    places = [found.start() for found in re.finditer(re.escape(before), text)]
    if nth is None and len(places) != 1 or nth is not None and len(places) < nth:
        return None
    at = places[(nth or 1) - 1]
    return text[:at] + after + text[at + len(before):]


def first_failure(output):
    """The place of the first failed check, or why the program died."""
    for line in output.splitlines():
        found = re.search(r"([\w.]+:\d+): failed", line)
        if found:
            return found.group(1)
    for line in output.splitlines():
        if "check failed" in line:
            return line.split("/")[-1]
    return "crash"


def cell(text):
    return text.strip().replace("|", "\\|").replace("\n", " ")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], help="file or text to look for")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build" / "mutation")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()

    chosen = [
        (*mutant, None)[:4] for mutant in MUTANTS
        if not options.only or any(word in part for word in options.only for part in mutant[:3])
    ]
    stale = [
        mutant for mutant in chosen
        if change((ROOT / mutant[0]).read_text(), *mutant[1:]) is None
    ]
    for file, before, _, _ in stale:
        print(f"{file}: not found once: {before}", file=sys.stderr)
    if options.check or stale:
        print(f"{len(chosen)} mutants, {len(stale)} not found")
        return 1 if stale else 0

    tree = options.work.resolve() / "tree"
    build = options.work.resolve() / "build"
    copy_tree(tree)
    configure = [
        "cmake", "-S", tree, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
        "-DCMAKE_CXX_FLAGS_DEBUG=", "-DANOMALYD_WERROR=OFF",
    ]
    make = ["nice", "ninja", "-C", build, f"-j{options.jobs}", "nn_test"]
    test = ["nice", build / "bin" / "nn_test", "--abort", "--reporter", "compact"]
    for command in [configure, make]:
        code, output = run(command, tree)
        if code != 0:
            sys.exit(f"the tree as it is does not build:\n{output}")
    started = time.monotonic()
    code, output = run(test, tree)
    if code != 0:
        sys.exit(f"the tree as it is does not pass:\n{output}")
    patience = max(TEST_SECONDS, 10 * (time.monotonic() - started))

    print("| file | before | after | result | by |\n|---|---|---|---|---|")
    counts = {}
    for file, before, after, nth in chosen:
        path = tree / file
        original = path.read_text()
        path.write_text(change(original, before, after, nth))
        code, output = run(make, tree)
        by = ""
        if code != 0:
            result = "does not compile"
        else:
            code, output = run(test, tree, patience)
            result = "survived" if code == 0 else "killed"
            if code is None:
                by = "too slow"
            elif code != 0:
                by = first_failure(output)
        path.write_text(original)
        counts[result] = counts.get(result, 0) + 1
        print(f"| {file} | `{cell(before)}` | `{cell(after)}` | {result} | {by} |", flush=True)
    print("\n" + ", ".join(f"{count} {result}" for result, count in sorted(counts.items())))
    return 0 if set(counts) <= {"killed"} else 1


if __name__ == "__main__":
    sys.exit(main())
