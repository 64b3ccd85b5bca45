#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Shares and switch counts that a real kernel shows, and what must not depend on the seed.

The expected numbers are those of a 7.2 kernel on one CPU at HZ=250 (nice -5, 0, 5 are weights of about 305, 100, 33).

Usage: figures.py USCX SCX_SIMPLE.bpf.o    (the unmodified in-tree scx_simple of 7.2)
"""
import json
import subprocess
import sys

failures = []


def run(uscx, scheduler, workload, *options):
    command = [uscx, "run", "--workload", workload, "--duration", "10s", "--report", "json", *options, scheduler]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {result.returncode}\n{result.stderr}")
    return json.loads(result.stdout)


def expect(what, condition, seen):
    print(f"{'ok  ' if condition else 'FAIL'} {what}: {seen}")
    if not condition:
        failures.append(what)


def shares(report):
    return [round(100 * task["share"], 2) for task in report["tasks"]]


def near(values, wanted, points):
    return len(values) == len(wanted) and all(abs(a - b) <= points for a, b in zip(values, wanted))


def main():
    uscx, simple = sys.argv[1:3]
    one = ["--cpus", "1", "--hz", "250"]
    seen = shares(run(uscx, "fair", "hogs:nice=-5/0/5", *one))
    expect("fair, nice -5/0/5", near(seen, [69.7, 22.9, 7.5], 1.5), seen)
    seen = shares(run(uscx, simple, "hogs:nice=-5/0/5", *one))
    expect("scx_simple, nice -5/0/5", near(seen, [50.0, 37.5, 12.5], 1.5), seen)
    for scheduler in (simple, "scx_simple"):
        seen = shares(run(uscx, scheduler, "hogs:tasks=4", "--cpus", "2"))
        expect(f"{scheduler}, four hogs on 2 CPUs", near(seen, [25.0] * 4, 1.0), seen)
    for scheduler, real in ((simple, 105.2), ("scx_qmap", 104.5)):
        seen = [task["nivcsw"] for task in run(uscx, scheduler, "hogs:tasks=4", *one)["tasks"]]
        expect(f"{scheduler}, involuntary switches of four hogs", near(seen, [real] * 4, 0.03 * real), seen)
    for workload, varies in (("mixed", True), ("hogs", False)):
        hashes = [run(uscx, "scx_simple", workload, "--seed", seed)["trace_hash"] for seed in ("1", "1", "2")]
        expect(f"{workload}, the same run twice", hashes[0] == hashes[1], hashes)
        expect(f"{workload}, another seed", (hashes[0] != hashes[2]) == varies, hashes)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
