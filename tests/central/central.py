#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""scx_central keeps all CPUs busy, wherever its central CPU is; without its guard the kernel's own limits hold.

Usage: central.py USCX [CENTRAL_OF_LINUX_7.2.bpf.o [CENTRAL_OF_LINUX_6.12.bpf.o]]
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


def check_busy(name, uscx, *args, fair=True):
    """More hogs than CPUs: nobody idles, and all get about the same if the policy means them to."""
    status, report, errors = run(uscx, "--cpus", "8", "--duration", "3s", "--workload", "hogs:tasks=24", *args)
    expect(status == 0 and report["exit"]["kind"] == 64, f"{name}: status {status}, {report['exit']} {errors}")
    busy = report["cpus_busy"]
    expect(min(busy) > 0.95, f"{name}: hogs leave CPUs idle: {busy}")
    times = [task["cpu_time_ns"] for task in report["tasks"]]
    expect(not fair or min(times) > 0.75 * max(times), f"{name}: unfair: {sorted(times)}")
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
    # 6.12's wants ops.init on its central CPU, and its own program pins itself there. The thread that enables runs on
    # CPU 1 here, so that an object alone is to be told that CPU. It takes its turn from a task of the central CPU
    # whenever another CPU asks, so that its hogs get very different shares.
    if len(sys.argv) > 3 and os.path.exists(sys.argv[3]):
        status, report, _ = run(uscx, "--cpus", "8", "--duration", "300ms", sys.argv[3])
        expect(report["exit"]["message"] == "init from non-central CPU", f"6.12's on CPU 0: {report['exit']}")
        check_busy("6.12's", uscx, "--set", "nr_cpu_ids=8", "--set", "central_cpu=1", sys.argv[3], fair=False)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
