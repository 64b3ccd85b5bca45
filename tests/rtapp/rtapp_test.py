#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""rt-app's files under uscx: its own examples, its logs, and the page of keys.

Usage: rtapp_test.py USCX [unittest's arguments]
"""
import glob
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import unittest

USCX = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGES = [os.path.join(ROOT, "build", "rt-app"), "/"]
SKIPPED = 77
TIMEOUT_S = 300


def of_package(path):
    """A path of Debian's package of rt-app; None if it is not there."""
    return next((found for found in (os.path.join(root, path) for root in PACKAGES) if os.path.exists(found)), None)


EXAMPLES = of_package("usr/share/doc/rt-app/examples")
RT_APP = of_package("usr/bin/rt-app")


def read_log(path):
    """The rows of a log, by column."""
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    names = next(line for line in lines if line.startswith("#idx")).lstrip("#").split()
    return [dict(zip(names, map(int, line.split()))) for line in lines if not line.startswith("#")]


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def uscx(self, *args, text=None):
        return subprocess.run([USCX, *args], capture_output=True, text=True, cwd=self.folder, timeout=TIMEOUT_S,
                              input=text)

    def report(self, *args, text=None):
        result = self.uscx("run", "--report", "json", *args, text=text)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


class Keys(Case):
    def test_the_page_is_what_the_command_prints(self):
        with open(os.path.join(ROOT, "docs", "WORKLOAD_KEYS.md"), encoding="utf-8") as file:
            page = file.read()
        table = self.uscx("list", "workload-keys-table").stdout
        self.assertGreater(table.count("\n"), 80)
        self.assertIn(table, page, "write the table of the page anew")

    def test_every_key_is_listed(self):
        text = self.uscx("list", "workload-keys").stdout
        for key in re.findall(r"^\| `([^`]+)`", self.uscx("list", "workload-keys-table").stdout, re.MULTILINE):
            self.assertRegex(text, rf"(?m)^  {re.escape(key)} ")


class Input(Case):
    TASKS = {"tasks": {"t": {"loop": 1, "run": 1000}}}

    def test_standard_input(self):
        names = [task["name"] for task in self.report("--workload", "-", "--duration", "10ms", "fair",
                                                      text=json.dumps(self.TASKS))["tasks"]]
        self.assertEqual(sorted(names), ["rt-app", "t"])

    def test_warnings_are_notes(self):
        self.write("old.json", json.dumps({"global": {"frag": 1}, **self.TASKS}))
        report = self.report("--workload", "old.json", "--duration", "10ms", "fair")
        self.assertEqual(report["notes"], ["old.json: global.frag: is ignored, as rt-app does since 1.0"])

    def test_tasks_that_cannot_go_on_are_named(self):
        self.write("stuck.json", json.dumps({"tasks": {"a": {"lock": "x", "sleep": 10, "suspend": "b"},
                                                       "b": {"sleep": 100, "lock": "x"}}}))
        for scheduler in ("fair", "scx_simple"):
            (note,) = self.report("--workload", "stuck.json", "--duration", "100ms", scheduler)["notes"]
            self.assertRegex(note, r"^stuck\.json cannot go on from \S+ on: a waits for a signal or resume of 'b'; "
                                   r"b waits for mutex 'x', which a has$")

    def test_all_policies_are_scheduled(self):
        tasks = {policy: {"policy": "SCHED_" + policy, "instance": 2, "run": 3000, "sleep": 2000}
                 for policy in ("OTHER", "BATCH", "IDLE", "FIFO", "RR", "EXT")}
        self.write("all.json", json.dumps({"tasks": tasks}))
        for scheduler in ("fair", "scx_simple", "scx_qmap"):
            report = self.report("--workload", "all.json", "--cpus", "4", "--duration", "500ms", scheduler)
            # The weight of SCHED_IDLE is 3: it gets what little the others leave.
            times = {task["name"]: task["cpu_time_ns"] for task in report["tasks"] if task["name"] != "rt-app"}
            self.assertEqual(len(times), 12)
            for name, time_ns in times.items():
                self.assertGreater(time_ns, 10**5 if name.startswith("IDLE") else 10**7, (scheduler, name))


class Logs(Case):
    def test_files_are_those_of_rt_app(self):
        self.write("t.json", json.dumps({"global": {"log_basename": "base"}, "tasks": {
            "a": {"instance": 2, "loop": 3, "run": 1000, "timer": {"ref": "unique", "period": 10000}},
            "b": {"loop": 1, "sleep": 5000}}}))
        arguments = ("--workload", "t.json", "--cpus", "2", "--duration", "100ms", "fair")
        without = self.report(*arguments)
        os.mkdir(os.path.join(self.folder, "logs"))
        self.assertEqual(self.report("--rtapp-logs", "logs", *arguments)["trace_hash"], without["trace_hash"])
        logs = os.path.join(self.folder, "logs")
        self.assertEqual(sorted(os.listdir(logs)), ["base-a-0.log", "base-a-1.log", "base-b-2.log"])
        rows = read_log(os.path.join(logs, "base-a-1.log"))
        self.assertEqual([(row["idx"], row["c_duration"], row["c_period"]) for row in rows], [(1, 1000, 10000)] * 3)

    def test_a_folder_that_is_not_there(self):
        result = self.uscx("run", "--rtapp-logs", "none", "--duration", "1ms", "fair")
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stderr, "uscx: --rtapp-logs: none: No such file or directory\n")


class Examples(Case):
    """All files of the package that rt-app and its workgen take."""

    def test_all_run(self):
        files = [path for path in sorted(glob.glob(f"{EXAMPLES}/**/*.json", recursive=True)) if "/merge/" not in path]
        self.assertEqual(len(files), 18)
        for path in files:
            for scheduler in ("fair", "scx_simple"):
                with self.subTest(path=os.path.relpath(path, EXAMPLES), scheduler=scheduler):
                    report = self.report("--workload", path, "--cpus", "4", "--duration", "2s", scheduler)
                    self.assertTrue(any(task["name"] == "rt-app" for task in report["tasks"]))
                    self.assertGreater(sum(task["cpu_time_ns"] for task in report["tasks"]), 10**6)

    def test_fragments_run_when_they_are_merged(self):
        merged = {}
        for path in sorted(glob.glob(f"{EXAMPLES}/merge/*.json")):
            with open(path, encoding="utf-8") as file:
                for section, members in json.load(file).items():
                    merged.setdefault(section, {}).update(members)
        self.write("merged.json", json.dumps(merged))
        notes = self.report("--workload", "merged.json", "fair")["notes"]
        self.assertEqual(sum("has nothing but keys of rt-app before 1.0" in note for note in notes), 4)


class Real(Case):
    """What rt-app itself logs of a file, and what is logged here. What the file decides has to agree; a host may have
    other things to do, and its work is faster than the file says."""

    GLOBAL = '"global": {{"duration": {}, "calibration": 100, "lock_pages": false, "logdir":"./", "log_basename":"x"}}'

    def both(self, text):
        for name in ("real", "here"):
            os.mkdir(os.path.join(self.folder, name))
        path = self.write("file.json", text)
        subprocess.run([RT_APP, path], cwd=os.path.join(self.folder, "real"), check=True, timeout=TIMEOUT_S,
                       capture_output=True)
        self.report("--workload", path, "--cpus", "8", "--rtapp-logs", "here", "fair")
        logs = [{name: read_log(os.path.join(self.folder, side, name))
                 for name in os.listdir(os.path.join(self.folder, side))} for side in ("real", "here")]
        self.assertEqual(sorted(logs[0]), sorted(logs[1]))
        for name in logs[0]:
            yield logs[0][name], logs[1][name]

    def example(self, name, duration_s):
        """An example, with what asks for privileges and for a measurement of the host put aside."""
        with open(f"{EXAMPLES}/tutorial/{name}.json", encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
        text = text.replace('"instance" : 12', '"instance" : 2')
        start = text.find('"global"')
        body = text[:start] if start >= 0 else text.rstrip().removesuffix("}").rstrip() + ","
        return body + self.GLOBAL.format(duration_s) + "}"

    def compare(self, name, duration_s=2, finite=False):
        for real, here in self.both(self.example(name, duration_s)):
            self.assertGreater(len(real), 2)
            if finite:
                self.assertEqual(len(real), len(here))
            else:
                # A loop of work takes less than the file says on a fast host: the sleeps alone are a bound.
                self.assertLessEqual(len(real), len(here) * 1.3 + 1)
            for column in ("idx", "c_duration", "c_period"):
                self.assertEqual({row[column] for row in real}, {row[column] for row in here}, column)
            if any(row["c_period"] for row in here):
                median = [statistics.median(row["period"] for row in rows) for rows in (real, here)]
                self.assertGreater(median[0] / median[1], 0.9)

    def test_run_and_sleep(self):
        self.compare("example1")

    def test_timer(self):
        self.compare("example2")

    def test_phases(self):
        self.compare("example3", duration_s=30, finite=True)

    def test_barriers(self):
        self.compare("example7")


if __name__ == "__main__":
    if sys.argv[2:3] in (["Examples"], ["Real"]) and not (EXAMPLES and RT_APP):
        print("Debian's package of rt-app is not here")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
