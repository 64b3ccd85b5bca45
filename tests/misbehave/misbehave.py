#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Programs that misbehave are ejected with their source line, and the machine goes on.

The expected lines are found by their MARK comments in misbehave.bpf.c.

Usage: misbehave.py USCX misbehave.bpf.o misbehave.bpf.c
"""
import json
import re
import subprocess
import sys

# fault number: (mark of the source line, words that the message must have)
EJECTED = {
    1: ("wild store", "store"),
    2: ("NULL store", "store"),
    3: ("read-only task field", "read-only"),
    4: ("store past a map", "store"),
    5: ("endless loop", "stuck for 15s"),
    6: ("call depth", "calls deep"),
    7: ("bad pointer into a helper", "bpf_probe_read_kernel"),
    8: ("bad pointer into a kfunc", "scx_bpf_dsq_insert"),
    11: ("store to a map itself", "store"),
    12: ("wild atomic", "store"),
    13: ("bad key pointer", "bpf_map_lookup_elem"),
    14: ("store in a timer", "store"),
    15: ("endless timer", "stuck for 15s"),
}

failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)
        print("FAILED:", what)


def lines_of(source, mark):
    with open(source) as file:
        return [number for number, text in enumerate(file, 1) if text.rstrip().endswith("MARK " + mark)]


def run(uscx, obj, fault, *options):
    command = [uscx, "run", "--cpus", "2", "--duration", "2s", "--workload", "mixed", "--report", "json", "--set",
               f"fault={fault}", *options, obj]
    result = subprocess.run(command, capture_output=True, text=True)
    try:
        return result.returncode, json.loads(result.stdout)
    except json.JSONDecodeError:
        sys.exit(f"{' '.join(command)}: status {result.returncode}, no JSON\n{result.stderr}")


def check_ejected(uscx, obj, source, fault, mark, words):
    status, report = run(uscx, obj, fault)
    exit_info = report["exit"]
    name = f"fault {fault} ({mark})"
    expect(status == 3 and exit_info["kind"] == 1024, f"{name}: status {status}, exit {exit_info}")
    message = exit_info["message"]
    place = re.search(r"misbehave\.bpf\.c:(\d+)", message)
    wanted = lines_of(source, mark)
    # A recursion or a loop may be stopped at any of its lines; the others have one line.
    near = 8 if mark in ("call depth", "endless loop", "endless timer") else 0
    if mark == "call depth":
        wanted = [number for number, text in enumerate(open(source), 1) if "return descend(" in text]
    if mark != "bad pointer into a kfunc":  # Its line is in the inline wrapper.
        expect(place and any(abs(int(place.group(1)) - line) <= near for line in wanted),
               f"{name}: line {wanted} is not in: {message}")
    expect(words in message, f"{name}: '{words}' is not in: {message}")
    tasks = report["tasks"] + [task for phase in report["phases"] for task in phase.get("tasks", [])]
    expect(sum(task["cpu_time_ns"] for task in tasks) > 1_000_000_000, f"{name}: the tasks did not go on")
    print(f"{name}: {message}")
    _, interpreted = run(uscx, obj, fault, "--interp")
    expect(interpreted["trace_hash"] == report["trace_hash"], f"{name}: the interpreter's trace differs")


def check_wild_loads(uscx, obj, source):
    status, report = run(uscx, obj, 9)
    expect(status == 0 and report["exit"]["kind"] == 64, f"wild loads: status {status}, {report['exit']}")
    text = json.dumps(report["wild_loads"])
    for mark in ("wild load", "second wild load"):
        (line,) = lines_of(source, mark)
        expect(f"misbehave.bpf.c:{line}" in text, f"wild loads: line {line} is not in {text}")
    print("wild loads:", text)


def check_arena(uscx, obj, source):
    status, report = run(uscx, obj, 16)
    expect(status == 0 and report["exit"]["kind"] == 64, f"missing arena page: status {status}, {report['exit']}")
    (line,) = lines_of(source, "missing arena page")
    skips = report["arena_skips"]
    expect(len(skips) == 1 and f"misbehave.bpf.c:{line}" in skips[0]["location"] and skips[0]["count"] > 10,
           f"missing arena page: line {line} is not in {skips}")
    _, interpreted = run(uscx, obj, 16, "--interp")
    expect(interpreted["trace_hash"] == report["trace_hash"], "missing arena page: the interpreter's trace differs")
    print("missing arena page:", skips)


def main():
    uscx, obj, source = sys.argv[1:4]
    for fault, (mark, words) in EJECTED.items():
        check_ejected(uscx, obj, source, fault, mark, words)
    check_wild_loads(uscx, obj, source)
    check_arena(uscx, obj, source)
    status, report = run(uscx, obj, 10)
    expect(status == 0, f"a store to scx.slice is allowed, but: {report['exit']}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
