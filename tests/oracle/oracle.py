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
SAME_INTERRUPT_US = 15
NICE_US = 20      # The rest of a hog's start-up, after it has set its nice value.
FORK_US = 100    # A new task first ran about this long after its fork.


class Recorded:
    """One task of the recording."""

    def __init__(self, comm, prio):
        self.comm, self.prio = comm, prio
        self.wakes = []        # [woken at, ran for, slept again at], in us
        self.woken_at = None
        self.ran_us = 0
        self.on_cpu_since = None
        self.first_us = None   # When it was first seen: woken, or switched to.
        self.stints = []       # [from, to] on the CPU

    def switched_in(self, now):
        self.on_cpu_since = now
        if self.first_us is None:
            self.first_us = now
            self.forked = self.woken_at is None and now > 0
        if self.woken_at is None:
            self.woken_at = now

    def switched_out(self, now, state):
        if self.on_cpu_since is None:
            return
        self.ran_us += now - self.on_cpu_since
        self.stints.append([self.on_cpu_since, now])
        self.on_cpu_since = None
        if not state.startswith("R"):
            self.wakes.append([self.woken_at, self.ran_us, now])
            self.woken_at, self.ran_us = None, 0

    def longest(self):
        return max(self.wakes, key=lambda wake: wake[1])


def read_recording(path):
    """The tasks by pid, and the phase of the tick in us."""
    tasks, phases, end = {}, collections.Counter(), 0
    waking_us = last_us = None

    def task(pid, comm, prio):
        found = tasks.setdefault(pid, Recorded(comm, int(prio)))
        found.comm, found.prio = comm, int(prio)
        return found

    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            now = end = int(row["t_us"])
            if row["event"] == "waking":
                # Those that one interrupt woke, one after the other.
                if waking_us is not None and now - last_us < SAME_INTERRUPT_US:
                    last_us, now = now, waking_us
                else:
                    last_us = waking_us = now
                woken = task(int(row["next_pid"]), row["next_comm"], row["next_prio"])
                if woken.woken_at is None and woken.on_cpu_since is None:
                    woken.woken_at = now
                phases[now % TICK_US] += 1
            else:
                waking_us = None
                task(int(row["prev_pid"]), row["prev_comm"], row["prev_prio"]).switched_out(now, row["prev_state"])
                task(int(row["next_pid"]), row["next_comm"], row["next_prio"]).switched_in(now)
    for recorded in tasks.values():  # What goes on beyond the end of the recording ends there.
        if recorded.on_cpu_since is not None or recorded.ran_us:
            recorded.on_cpu_since = recorded.on_cpu_since or end
            recorded.switched_out(end, "S")
    return tasks, phases.most_common(1)[0][0], end


def with_tick(at_us, phase):
    """Timers that run in the tick's own interrupt wake tasks some us later, but before that CPU reschedules."""
    behind_us = (at_us - phase) % TICK_US
    return at_us - behind_us if behind_us < SAME_INTERRUPT_US else at_us


def hog(task, shift):
    """It is forked, sets its nice value at the end of its own start-up, sleeps, and then computes for good."""
    (_, start_up_us, _), (awake_us, _, _) = task.wakes[:2]
    entry = {"start-up": {"run": f"{start_up_us - NICE_US}us", "nice": task.prio - 120, "run1": f"{NICE_US}us"},
             "work": {"until": f"{awake_us + shift}us", "run": "1000s"}}
    return {"loop": 1, "phases": entry}


def workload(tasks, phase, hogs):
    """Times are moved so that the recording's ticks fall on ours, at multiples of the tick."""
    shift = TICK_US - phase
    script = {}
    for pid, task in sorted(tasks.items()):
        if pid == 0 or not task.wakes:
            continue
        if pid in hogs:
            entry = hog(task, shift)
        else:
            entry = {"wakes": [[f"{with_tick(at, phase) + shift}us", f"{max(ran, 1)}us"] for at, ran, _ in task.wakes]}
            entry["wakes"].append(["1000s", "1us"])  # It does not exit.
        if task.forked:
            entry["start"] = f"{task.first_us + shift - FORK_US}us"
        if task.prio < 100:
            entry.update({"policy": "SCHED_FIFO", "priority": 99})
        elif pid not in hogs:
            entry["priority"] = task.prio - 120
        script[f"{task.comm.replace('/', '-')}-{pid}"] = entry
    return {"tasks": script}, shift


def main():
    uscx, recording, scheduler = sys.argv[1], sys.argv[2], sys.argv[3:]
    tasks, phase, end = read_recording(recording)
    hogs = {pid for pid, task in tasks.items() if task.comm == "wl" and task.wakes and task.longest()[1] > 100000}
    script, shift = workload(tasks, phase, hogs)
    end = min(tasks[pid].longest()[2] for pid in hogs)  # Then the first of them is done.
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
        start = tasks[pid].longest()[0]
        stints = [[since, min(until, end)] for since, until in tasks[pid].stints if start <= since < end]
        real_picks, real_us = len(stints), sum(until - since for since, until in stints)
        ours = simulated[f"wl-{pid}"]
        before = len(tasks[pid].wakes[:tasks[pid].wakes.index(tasks[pid].longest())])
        picks = ours["picks"] - before
        share, real_share = ours["cpu_time_ns"] / 1000 / span, real_us / span
        good = abs(picks - real_picks) <= PICKS_TOLERANCE * real_picks and abs(share - real_share) <= SHARE_TOLERANCE
        failed |= not good
        print(f"wl-{pid:<9} {tasks[pid].prio - 120:>4} {picks:>6} {real_picks:>6} {share:>7.4f} {real_share:>7.4f}"
              f"{'' if good else '  <- too far'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
