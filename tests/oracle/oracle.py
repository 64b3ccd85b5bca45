#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Compares a simulated schedule with one that a real kernel recorded.

The recording (a CSV of every sched_switch and sched_waking on one CPU) gives the background: when each other task
woke and how long it then ran. That is scripted as a workload, the CPU hogs are added, and the same scheduler runs
both. Each hog's number of picks must be within 3% and its share of the CPU within 0.5 points of the recording's.

Usage: oracle.py USCX RECORDING.csv SCHEDULER [ARGS...]
"""
import collections
import csv
import json
import os
import subprocess
import sys
import tempfile

TICK_US = 4000  # The recordings were made with HZ=250.
PICKS_TOLERANCE = 0.03
SHARE_TOLERANCE = 0.005


class Recorded:
    """One task of the recording."""

    def __init__(self, comm, prio):
        self.comm, self.prio = comm, prio
        self.wakes = []        # [woken at, ran for], in us
        self.woken_at = None
        self.ran_us = 0
        self.on_cpu_since = None
        self.picks = 0         # since it last woke

    def switched_in(self, now):
        self.picks += 1
        self.on_cpu_since = now
        if self.woken_at is None:
            self.woken_at = now

    def switched_out(self, now, state):
        if self.on_cpu_since is None:
            return
        self.ran_us += now - self.on_cpu_since
        self.on_cpu_since = None
        if not state.startswith("R"):
            self.wakes.append([self.woken_at, self.ran_us, self.picks])
            self.woken_at, self.ran_us, self.picks = None, 0, 0

    def longest(self):
        return max(self.wakes, key=lambda wake: wake[1])


def read_recording(path):
    """The tasks by pid, and the phase of the tick in us."""
    tasks, phases, end = {}, collections.Counter(), 0

    def task(pid, comm, prio):
        found = tasks.setdefault(pid, Recorded(comm, int(prio)))
        found.comm, found.prio = comm, int(prio)
        return found

    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            now = end = int(row["t_us"])
            if row["event"] == "waking":
                woken = task(int(row["next_pid"]), row["next_comm"], row["next_prio"])
                if woken.woken_at is None and woken.on_cpu_since is None:
                    woken.woken_at = now
                phases[now % TICK_US] += 1
            else:
                task(int(row["prev_pid"]), row["prev_comm"], row["prev_prio"]).switched_out(now, row["prev_state"])
                task(int(row["next_pid"]), row["next_comm"], row["next_prio"]).switched_in(now)
    for recorded in tasks.values():  # What goes on beyond the end of the recording ends there.
        if recorded.on_cpu_since is not None or recorded.ran_us:
            recorded.on_cpu_since = recorded.on_cpu_since or end
            recorded.switched_out(end, "S")
    return tasks, phases.most_common(1)[0][0], end


def workload(tasks, phase, hogs):
    """Times are moved so that the recording's ticks fall on ours, at multiples of the tick."""
    shift = TICK_US - phase
    script = {}
    for pid, task in sorted(tasks.items()):
        name = f"{task.comm.replace('/', '-')}-{pid}"
        if pid in hogs:
            script[name] = {"delay": f"{task.longest()[0] + shift}us", "priority": task.prio - 120, "loop": -1, "run": "1s"}
        elif pid != 0 and task.wakes:
            entry = {"wakes": [[f"{at + shift}us", f"{max(ran, 1)}us"] for at, ran, _ in task.wakes]}
            if task.prio < 100:
                entry.update({"policy": "SCHED_FIFO", "priority": 99})
            else:
                entry["priority"] = task.prio - 120
            script[name] = entry
    return {"tasks": script}, shift


def main():
    uscx, recording, scheduler = sys.argv[1], sys.argv[2], sys.argv[3:]
    tasks, phase, end = read_recording(recording)
    hogs = {pid for pid, task in tasks.items() if task.comm == "wl" and task.wakes and task.longest()[1] > 100000}
    script, shift = workload(tasks, phase, hogs)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "background.json")
        with open(path, "w") as file:
            json.dump(script, file)
        command = [uscx, "run", "--cpus", "1", "--hz", "250", "--workload", path, "--duration", f"{end + shift}us",
                   "--report", "json", *scheduler]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}: status {result.returncode}\n{result.stderr}")
    simulated = {task["name"]: task for task in json.loads(result.stdout)["tasks"]}
    span = end - min(tasks[pid].longest()[0] for pid in hogs)
    failed = False
    print(f"{'task':12} {'nice':>4} {'picks':>6} {'real':>6} {'share':>7} {'real':>7}")
    for pid in sorted(hogs):
        _, real_us, real_picks = tasks[pid].longest()
        ours = simulated[f"wl-{pid}"]
        picks = ours["nvcsw"] + ours["nivcsw"]
        share, real_share = ours["cpu_time_ns"] / 1000 / span, real_us / span
        good = abs(picks - real_picks) <= max(1, PICKS_TOLERANCE * real_picks) and abs(share - real_share) <= SHARE_TOLERANCE
        failed |= not good
        print(f"wl-{pid:<9} {tasks[pid].prio - 120:>4} {picks:>6} {real_picks:>6} {share:>7.4f} {real_share:>7.4f}"
              f"{'' if good else '  <- too far'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
