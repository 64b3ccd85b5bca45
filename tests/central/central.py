#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""scx_central keeps all CPUs busy, wherever its central CPU is; without its guard the kernel's own limits hold.

Usage: central.py USCX [CENTRAL_OF_LINUX.bpf.o]
"""
import json
import os
import subprocess
import sys

failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)
        print("FAILED:", what)


def run(uscx, *args):
    result = subprocess.run([uscx, "run", "--report", "json", *args], capture_output=True, text=True, timeout=600)
    try:
        return result.returncode, json.loads(result.stdout), result.stderr
    except json.JSONDecodeError:
        sys.exit(f"{args}: status {result.returncode}, no JSON\n{result.stderr}")


def check_busy(name, uscx, *args):
    """More hogs than CPUs: nobody idles, and all get about the same."""
    status, report, errors = run(uscx, "--cpus", "8", "--duration", "3s", "--workload", "hogs:tasks=24", *args)
    expect(status == 0 and report["exit"]["kind"] == 64, f"{name}: status {status}, {report['exit']} {errors}")
    busy = report["cpus_busy"]
    expect(min(busy) > 0.95, f"{name}: hogs leave CPUs idle: {busy}")
    times = [task["cpu_time_ns"] for task in report["tasks"]]
    expect(min(times) > 0.75 * max(times), f"{name}: unfair: {sorted(times)}")
    status, report, errors = run(uscx, "--cpus", "8", "--duration", "3s", "--workload", "mixed", *args)
    expect(status == 0 and report["exit"]["kind"] == 64, f"{name}: status {status}, {report['exit']} {errors}")
    hogs = [task["share"] * 8 for task in report["tasks"] if task["name"].startswith("hog")]
    expect(min(hogs) > 0.9, f"{name}: four hogs on eight CPUs get {hogs}")
    p99_ns = report["latency"]["wakeup_ns"]["p99"]
    expect(p99_ns < 5_000_000, f"{name}: wakeups wait {p99_ns} ns")
    print(f"{name}: busy {min(busy):.3f}, hogs {min(hogs):.3f}, p99 {p99_ns} ns")


def check_guard(uscx):
    """Without the guard: fine as long as the buffer of 32 is not overrun, and an orderly end when it is."""
    status, report, _ = run(uscx, "--cpus", "8", "--duration", "1s", "--set", "use_slots_guard=false", "scx_central")
    expect(status == 0, f"no guard, 8 CPUs: {report['exit']}")
    for cpus in ("64", "1024"):
        status, report, _ = run(uscx, "--cpus", cpus, "--duration", "300ms", "--set", "use_slots_guard=false",
                                "scx_central")
        info = report["exit"]
        expect(status == 3 and info["message"] == "dispatch buffer overflow", f"no guard, {cpus} CPUs: {info}")
        expect(info["stuck_tasks"] == 0, f"no guard, {cpus} CPUs: {info}")
        status, report, _ = run(uscx, "--cpus", cpus, "--duration", "300ms", "scx_central")
        expect(status == 0, f"guard, {cpus} CPUs: {report['exit']}")


def main():
    uscx = sys.argv[1]
    check_busy("ours", uscx, "scx_central")
    check_busy("ours on CPU 5", uscx, "scx_central", "-c", "5", "-s", "10000")
    status, report, _ = run(uscx, "--cpus", "2", "--duration", "100ms", "scx_central", "-c", "7")
    expect(report["exit"]["message"].endswith("there is no CPU 7"), f"no such CPU: {report['exit']}")
    check_guard(uscx)
    if len(sys.argv) > 2 and os.path.exists(sys.argv[2]):
        check_busy("Linux's", uscx, "--set", "nr_cpu_ids=8", sys.argv[2])
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
