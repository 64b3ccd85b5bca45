#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tries every option that the help of any subcommand offers, once. An option without an example here is a failure, and
so is an example of an option that is not offered.

Usage: options_test.py USCX scx_simple.bpf.o SCX_SIMPLE run|session|explore|others
"""
import json
import os
import re
import subprocess
import sys
import tempfile

# The scheduler as an object and as a program.
USCX, OBJECT, PROGRAM = (os.path.abspath(path) for path in sys.argv[1:4])
TIMEOUT_S = 300

RUN = ("--duration", "5ms", "scx_simple")
RUN_OBJECT = ("--duration", "5ms", OBJECT)
# Of a machine, before what else the command takes. Files are in the folder where all is run.
MACHINE = {
    "--cpus": ["--cpus", "3"],
    "--topology": ["--topology", "2n:1l:2c:2t"],
    "--hz": ["--hz", "1000"],
    "--workload": ["--workload", "hogs"],
    "--seed": ["--seed", "7"],
    "--sysrq": ["--sysrq", "d@1ms,s@2ms"],
    "--cgroup": ["--cgroup", "/web:weight=300"],
    "--hotplug": ["--hotplug", "2:off@1ms,2:on@3ms"],
    "--fail-alloc": ["--fail-alloc", "link:1000"],
    "--nohz-full": ["--nohz-full", "1-3,5"],
    "--trace": ["--trace", "trace.pftrace"],
    "--report": ["--report", "json"],
    "--interp": ["--interp"],
}
EXPLORE = ("--schedules", "3", "fifo")
EXPLORE_SCHEDULER = ("--schedules", "2", "--duration", "1ms", "scx_simple")
# For each subcommand its options: what to run, with `{command}` in front of it.
EXAMPLES = {
    "run": {
        **{option: [*words, *RUN] for option, words in MACHINE.items()},
        # sched_ext schedulers refuse such a machine.
        "--isolcpus": ["--isolcpus", "1-3", "--duration", "5ms", "fair"],
        "--machine": ["--machine", "threads", *RUN],
        "--duration": ["--duration", "7ms", "scx_simple"],
        "--set": ["--set", "fifo_sched=true", *RUN_OBJECT],
        "--ops": ["--ops", "timeout_ms=2000", *RUN_OBJECT],
        "--recipe": ["--recipe", "recipe.json", *RUN_OBJECT],
        "--kill": ["--kill", "1s", "--duration", "5ms", PROGRAM],
        "--fail-on": ["--fail-on", "starved=1s", *RUN],
        "--on-exit": ["--on-exit", "stop", *RUN],
        "--dump": ["--dump", "dump.txt", *RUN],
        "--quiet": ["--quiet", *RUN],
        "--verbose": ["--verbose", *RUN],
        "--rtapp-logs": ["--rtapp-logs", "logs", "--workload", "tasks.json", *RUN],
    },
    "session start": {
        **{option: ["--name", "it", *words] for option, words in MACHINE.items()},
        "--name": ["--name", "it"],
        "--isolcpus": ["--name", "it", "--isolcpus", "1-3"],
    },
    "session exec": {
        "--name": ["--name", "it", "true"],
        "--detach": ["--name", "it", "--detach", "true"],
        "--for": ["--name", "it", "--for", "1s", "true"],
    },
    "session status": {"--name": ["--name", "it"]},
    "session stop": {"--name": ["--name", "it"]},
    "explore": {
        "--strategy": ["--strategy", "pct", *EXPLORE],
        "--depth": ["--strategy", "pct", "--depth", "4", *EXPLORE],
        "--bound": ["--strategy", "exhaustive", "--bound", "1", *EXPLORE],
        "--schedules": ["--schedules", "2", "fifo"],
        "--seed": ["--seed", "7", *EXPLORE],
        "--window-us": ["--window-us", "10", *EXPLORE],
        "--steps": ["--steps", "100000", *EXPLORE],
        "--mutation": ["--mutation", "none", *EXPLORE],
        "--save": ["--save", "schedule.json", *EXPLORE],
        "--races": ["--races", "report", *EXPLORE_SCHEDULER],
        "--cpus": ["--cpus", "2", *EXPLORE_SCHEDULER],
        "--topology": ["--topology", "1n:2l:2c:1t", *EXPLORE_SCHEDULER],
        "--hz": ["--hz", "1000", *EXPLORE_SCHEDULER],
        "--workload": ["--workload", "hogs", *EXPLORE_SCHEDULER],
        "--duration": ["--schedules", "2", "--duration", "2ms", "scx_simple"],
        "--machine-seed": ["--machine-seed", "7", *EXPLORE_SCHEDULER],
        "--set": ["--set", "fifo_sched=true", "--schedules", "2", *RUN_OBJECT],
        "--ops": ["--ops", "timeout_ms=2000", "--schedules", "2", *RUN_OBJECT],
        "--recipe": ["--recipe", "recipe.json", "--schedules", "2", *RUN_OBJECT],
        "--patience": ["--patience", "1s", *EXPLORE_SCHEDULER],
        "--with-load": ["--with-load", *EXPLORE_SCHEDULER],
        "--interp": ["--interp", *EXPLORE_SCHEDULER],
    },
    "replay": {"--events": ["--events", "3", "saved.json"]},
    "minimize": {"--save": ["--save", "smaller.json", "failing.json"]},
    "btf": {"--dump": ["--dump", "vmlinux.h"], "--header": ["--header"]},
    "help": {"--write": ["--write", "pages"]},
    "": {"--version": ["--version"]},
    "inspect": {"--report": ["--report", "json", OBJECT]},
}
PARTS = {"run": ["run"], "session": ["session"], "explore": ["explore", "replay", "minimize"]}


def uscx(*args):
    """What it says goes to a file: a program that --detach leaves behind would keep a pipe open."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        result = subprocess.run([USCX, *args], stdout=output, stderr=subprocess.STDOUT, timeout=TIMEOUT_S)
        output.seek(0)
        return result.returncode, output.read()


def offered(command=()):
    """Yields (subcommand, its long options) of the command and all below it."""
    _, shown = uscx(*command, "--help")
    yield " ".join(command), set(re.findall(r"^ +(?:-\w,)?(--[a-z][\w-]*)", shown, re.M)) - {"--help"}
    below = shown.partition("\nSubcommands:\n")[2].partition("\n\n")[0]
    for name in re.findall(r"^  ([a-z][\w-]*)", below, re.M):
        yield from offered((*command, name))


def part_of(command):
    first = command.partition(" ")[0]
    return next((part for part, commands in PARTS.items() if first in commands), "others")


def try_option(command, words, failures):
    in_session = command.startswith("session ") and command != "session start"
    if in_session:
        uscx("session", "start", "--name", "it")
    status, text = uscx(*command.split(), *words)
    if command.startswith("session ") and command != "session stop":
        uscx("session", "stop", "--name", "it")
    if status != 0:
        failures.append(f"{command} {' '.join(words)}: status {status}: {text.strip()[-300:]}")


def prepare():
    os.mkdir("logs")
    with open("tasks.json", "w", encoding="utf-8") as file:
        json.dump({"tasks": {"work": {"run": 100, "sleep": 100}}}, file)
    with open("recipe.json", "w", encoding="utf-8") as file:
        file.write('{"globals": {"fifo_sched": true}}')
    # A bug on purpose gives a schedule that fails; without its choices it does not.
    status, text = uscx("explore", "--mutation", "no_qseq", "--save", "failing.json", "requeue")
    if status == 0:
        sys.exit("explore finds no schedule that fails: " + text)
    with open("failing.json", encoding="utf-8") as file:
        schedule = json.load(file)
    with open("saved.json", "w", encoding="utf-8") as file:
        json.dump({**schedule, "deviations": []}, file)


def main():
    part = sys.argv[4]
    failures, tried = [], 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_RUNTIME_DIR"] = folder
        prepare()
        for command, options in offered():
            if part != part_of(command):
                continue
            examples = EXAMPLES.get(command, {})
            failures += [f"{command} {option}: the help offers it, and it has no example here"
                         for option in sorted(options - examples.keys())]
            failures += [f"{command} {option}: it has an example here, and the help does not offer it"
                         for option in sorted(examples.keys() - options)]
            for option in sorted(options & examples.keys()):
                try_option(command, examples[option], failures)
                tried += 1
    print(f"{tried} options tried")
    print("\n".join(failures))
    sys.exit(1 if failures or tried == 0 else 0)


main()
