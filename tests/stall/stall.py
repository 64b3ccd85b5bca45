#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""scx_qmap loses tasks or dispatches for ever, on machines of any size: it is ejected in time, and tasks go on.

Usage: stall.py USCX CPUS [CPUS...]

On up to 4 CPUs the scheduler has its own timeout of 5 s, on more 20 ms. The exit must come within the timeout and one
watchdog period (half of it), counted from when the first task is lost: before that the run is free to take its time.
"""
import json
import re
import subprocess
import sys
import time

STALL, ERROR_BPF = 1026, 1025
LIMIT_S = 60
TICK_MS = 4

failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)
        print("FAILED:", what)


def run(uscx, cpus, options, args):
    command = [uscx, "run", "--cpus", str(cpus), "--report", "json", *options, "scx_qmap", *args]
    start = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, timeout=10 * LIMIT_S)
    wall_s = time.monotonic() - start
    try:
        return result.returncode, json.loads(result.stdout), wall_s, " ".join(command)
    except json.JSONDecodeError:
        sys.exit(f"{' '.join(command)}: status {result.returncode}, no JSON\n{result.stderr}")


def check(uscx, cpus, args):
    small = cpus <= 4
    duration = "30s" if small else "400ms"
    timeout_ms = 5000 if small else 20
    options = ["--duration", duration] + ([] if small else ["--ops", f"timeout_ms={timeout_ms}"])
    status, report, wall_s, command = run(uscx, cpus, options, args)
    info = report["exit"]
    print(f"{' '.join(args)} on {cpus}: {info['message']} at {info.get('time_ns', 0) / 1e9:.3f} s, {wall_s:.1f} s real")
    expect(wall_s < LIMIT_S, f"{command}: took {wall_s:.1f} s")
    if args[0] == "-e":
        expect(info["kind"] == ERROR_BPF and status == 3 and "test triggering error" in info["message"],
               f"{command}: {info}")
    else:
        expect(info["kind"] == STALL and status == 4, f"{command}: status {status}, {info}")
        found = re.search(r"(failed to run|watchdog failed to check in) for (\d+)\.(\d+)s$", info["message"])
        expect(found, f"{command}: {info['message']}")
        waited_ms = int(found.group(2)) * 1000 + int(found.group(3)) if found else 0
        expect(timeout_ms < waited_ms <= timeout_ms * 3 // 2 + 2 * TICK_MS, f"{command}: waited {waited_ms} ms")
    expect(info.get("stuck_tasks") == 0 and info.get("runnable_tasks", 0) > 0, f"{command}: tasks do not go on: {info}")
    expect(report["memory"]["kick_syncs_bytes"] == {"before": 0, "loaded": 8 * cpus * cpus, "after": 0},
           f"{command}: {report['memory']}")


def main():
    uscx = sys.argv[1]
    for cpus in map(int, sys.argv[2:]):
        for args in (["-l", "100"], ["-t", "50"], ["-T", "50"], ["-e", "100"]):
            check(uscx, cpus, args)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
