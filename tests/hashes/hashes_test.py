#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Holds the trace hashes of stated runs to those in stated_runs.json: a change that is not meant to change behaviour
changes none of them.

The runs cover all classes, our schedulers, the kernel's objects and programs, control groups and hotplug. A change
that is meant to change behaviour writes the file anew and says why in its commit.

Usage: hashes_test.py USCX BUILD [--update]     (BUILD has the kernel's objects and programs)
"""
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
STATED = HERE / "stated_runs.json"
SKIPPED = 77


def trace_hash(uscx, build, arguments):
    words = [word.format(build=build, here=HERE) for word in arguments]
    missing = [word for word in words if word.startswith(str(build)) and not pathlib.Path(word).exists()]
    if missing:
        return None
    command = [uscx, "run", "--report", "json", *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {result.returncode}\n{result.stderr}")
    return json.loads(result.stdout)["trace_hash"]


def main():
    uscx, build = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    update = "--update" in sys.argv[3:]
    stated = json.loads(STATED.read_text())
    different = skipped = 0
    for run in stated:
        found = trace_hash(uscx, build, run["arguments"])
        if found is None:
            print(f"skip {run['name']}: make objects programs builds what it needs")
            skipped += 1
        elif update:
            run["trace_hash"] = found
        else:
            same = found == run["trace_hash"]
            stated_too = "" if same else f", stated {run['trace_hash']}"
            print(f"{'ok  ' if same else 'FAIL'} {run['name']}: {found}{stated_too}")
            different += not same
    if update:
        STATED.write_text("[\n" + ",\n".join("  " + json.dumps(run) for run in stated) + "\n]\n")
    if different:
        sys.exit(1)
    sys.exit(SKIPPED if skipped else 0)


if __name__ == "__main__":
    main()
