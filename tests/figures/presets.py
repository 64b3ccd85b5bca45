#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Every build gives the same trace: the sanitizer build's hashes against this build's.

Usage: presets.py USCX FILE    (FILE holds the path of the other build's uscx; exit status 77 if it is not there)
"""
import json
import pathlib
import subprocess
import sys

SKIPPED = 77
RUNS = (
    ("--cpus", "4", "--duration", "2s", "scx_simple"),
    ("--topology", "2n:2l:2c:2t", "--duration", "1s", "scx_qmap"),
    ("--cpus", "3", "--duration", "1s", "--workload", "pingpong:pairs=5", "scx_simple", "-f"),
    ("--cpus", "2", "--duration", "2s", "scx_qmap", "-e", "100"),
    ("--cpus", "8", "--duration", "1s", "fair"),
)


def trace_hash(uscx, run):
    result = subprocess.run([uscx, "run", "--report", "json", *run], capture_output=True, text=True, check=False)
    try:
        return json.loads(result.stdout)["trace_hash"]
    except json.JSONDecodeError:
        sys.exit(f"{uscx} run {' '.join(run)}: status {result.returncode}\n{result.stderr}")


def main():
    here, other = sys.argv[1], pathlib.Path(sys.argv[2])
    if not other.exists():
        print(f"{other} is not there: `make asan` builds it")
        sys.exit(SKIPPED)
    other = other.read_text().strip()
    different = False
    for run in RUNS:
        hashes = trace_hash(here, run), trace_hash(other, run)
        different |= hashes[0] != hashes[1]
        print(*hashes, *run)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
