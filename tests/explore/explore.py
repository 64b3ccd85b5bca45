#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Explore mode on BPF schedulers: bugs that show in some interleavings are found, replayed and minimized; right
schedulers have none.

Usage: explore.py USCX interleaved.bpf.o interleaved.bpf.c arena_race.bpf.o
"""
import json
import os
import re
import subprocess
import sys
import tempfile

USCX, OBJECT, SOURCE, ARENA_OBJECT = sys.argv[1:5]
SEEDS = (1, 2, 3)
WITHIN = 60  # schedules, from each seed
CLEAN = int(os.environ.get("USCX_EXPLORE_SCHEDULES", "60"))
COUNTER, MAILBOX, SECTION = 1, 2, 3
# All CPUs busy most of the time, so that tasks are queued on several at once.
BUSY = ["--cpus", "3", "--workload", "mixed:hogs=1,interactive=16,run=200us,sleep=500us"]

failures = []


def expect(condition, what, detail=""):
    if not condition:
        failures.append(what)
        print("FAILED:", what, detail)


def uscx(*args):
    done = subprocess.run([USCX, *args], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def explore(bug, *args):
    return uscx("explore", *BUSY, "--set", f"bug={bug}", *args, OBJECT)


def lines_of(mark):
    with open(SOURCE, encoding="utf-8") as source:
        return [number for number, text in enumerate(source, 1) if "MARK " + mark in text]


def races_of(text):
    """Each race as its variable and the lines of its two accesses."""
    found = []
    for line in text.splitlines():
        match = re.match(r"\s+\d+  (variable|map) (.*?): ", line)
        if match:
            lines = {int(number) for number in re.findall(r"interleaved\.bpf\.c:(\d+): ", line)}
            found.append((match.group(1) + " " + match.group(2), lines))
    return found


def schedules_of(text):
    return int(re.search(r": (\d+) schedules", text).group(1))


def the_race_is_reported():
    status, text = explore(COUNTER, "--schedules", "10")
    line = set(lines_of("counter"))
    expect(status == 0, "a race is reported, not failed", text)
    expect(races_of(text) and all(race == ("variable nr_enqueued", line) for race in races_of(text)),
           "the counter's race, with its lines", text)
    status, text = explore(COUNTER, "--schedules", "10", "--races", "fail")
    expect(status == 3 and "program race: variable nr_enqueued" in text, "--races fail", text)
    _, text = explore(MAILBOX, "--schedules", "10")
    both = set(lines_of("mailbox is looked at") + lines_of("mailbox is filled"))
    expect(("map mailbox, value", both) in races_of(text), "the mailbox's race, with both lines", text)


def races_in_arenas_have_names():
    status, text = uscx("explore", *BUSY, "--with-load", "--schedules", "10", ARENA_OBJECT)
    expect(status == 0 and "  variable stats.nr_enqueued[]: " in text, "a race in an arena, by its variable", text)
    expect(not re.search(r"\d  0x[0-9a-f]+: ", text), "no race by an address", text)


def events_are_written_for_people(folder):
    path = os.path.join(folder, "race.json")
    explore(COUNTER, "--schedules", "10", "--races", "fail", "--save", path)
    _, text = uscx("replay", "--events", "200", path)
    expect(re.search(r"sched_switch prev_pid=\d+ prev_state=\d+ next_pid=\d+ ", text), "pids are decimal", text)
    expect(re.search(r'task_new pid=\d+ comm="', text) or re.search(r"dsq_insert pid=\d+ dsq_id=0x", text),
           "texts are texts, and ids of DSQs hexadecimal", text)


def the_right_scheduler_has_nothing():
    for strategy in ("random", "pct"):
        status, text = explore(0, "--schedules", str(CLEAN), "--strategy", strategy)
        expect(status == 0 and "nothing found" in text, f"nothing in the right one ({strategy})", text)


def found_replayed_minimized(bug, words, folder):
    saved, smaller = os.path.join(folder, "a.json"), os.path.join(folder, "b.json")
    for seed in SEEDS:
        status, text = explore(bug, "--schedules", str(WITHIN), "--seed", str(seed), "--save", saved)
        last = text.splitlines()[-2] if status == 3 else ""
        expect(status == 3 and words in last, f"bug {bug} from seed {seed} within {WITHIN} schedules", text)
        if status != 3:
            return
        print(f"bug {bug} seed {seed}: schedule {schedules_of(text)}: {last}")
        for _ in range(2):
            status, again = uscx("replay", saved)
            expect(status == 3 and last in again, f"bug {bug} from seed {seed} replays", again)
    status, text = uscx("minimize", saved, "--save", smaller)
    expect(status == 0, f"bug {bug} is minimized", text)
    with open(saved, encoding="utf-8") as before, open(smaller, encoding="utf-8") as after:
        sizes = [len(json.load(file)["deviations"]) for file in (before, after)]
    print(f"bug {bug}: {sizes[0]} choices, {sizes[1]} when minimized")
    expect(sizes[1] < sizes[0], f"bug {bug}: fewer choices", sizes)
    status, text = uscx("replay", smaller)
    expect(status == 3 and words in text, f"bug {bug}: the minimized schedule replays", text)


def what_does_not_match_is_refused(folder):
    path = os.path.join(folder, "c.json")
    explore(MAILBOX, "--schedules", str(WITHIN), "--save", path)
    with open(path, encoding="utf-8") as file:
        good = json.load(file)
    for change in ({"input_hash": good["scheduler"]["input_hash"] ^ 1}, {"cpus": "2"}, {"workload": ["hogs"]},
                   {"command": []}, {"seed": 1}):
        bad = {**good, "scheduler": {**good["scheduler"], **change}}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(bad, file)
        status, text = uscx("replay", path)
        expect(status == 2, f"replay refuses another {change}", text)


def jit_and_interpreter_agree():
    for command in (["scx_simple"], ["scx_qmap", "-s", "5000"], ["scx_central"]):
        same = [uscx("explore", *mode, "--schedules", "10", *command) for mode in ([], ["--interp"])]
        expect(same[0] == same[1], f"{command[0]}: the same on the interpreter", same)


def our_schedulers_are_right():
    for command in (["scx_simple"], ["scx_qmap"], ["scx_qmap", "-s", "1000"], ["scx_central"]):
        for more in ([], ["--strategy", "pct"], ["--with-load"]):
            status, text = uscx("explore", *more, "--schedules", str(CLEAN), *command)
            expect(status == 0, f"{' '.join(more + command)}: no failure", text)


with tempfile.TemporaryDirectory() as temporary:
    the_race_is_reported()
    races_in_arenas_have_names()
    events_are_written_for_people(temporary)
    the_right_scheduler_has_nothing()
    found_replayed_minimized(MAILBOX, "has waited for", temporary)
    found_replayed_minimized(SECTION, "is in the section of", temporary)
    what_does_not_match_is_refused(temporary)
    jit_and_interpreter_agree()
    our_schedulers_are_right()
sys.exit(1 if failures else 0)
