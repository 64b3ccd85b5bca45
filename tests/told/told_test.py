#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What people are told of schedulers that go wrong: in the text, in JSON, by the exit status.

Usage: told_test.py USCX FOLDER_OF_OBJECTS FOLDER_OF_THE_PROJECT [unittest's arguments]
"""
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

USCX, OBJECTS, PROJECT = (os.path.abspath(path) for path in sys.argv[1:4])
TOLD, HOARDS, UNCHECKED = (os.path.join(OBJECTS, f"{name}.bpf.o") for name in ("told", "hoards", "unchecked"))
SOURCES = os.path.dirname(os.path.abspath(__file__))
TIMEOUT_S = 240
# enum fault of told.bpf.c.
LOSES_HALF, WRONG_CPU, WRONG_CPU_AT_ONCE, MISSING_DSQ, MISSING_DSQ_TO_CONSUME, DOUBLE_INSERT, NO_TASKS = range(1, 8)


def line_of(source, mark):
    with open(os.path.join(SOURCES, source), encoding="utf-8") as file:
        (line,) = [number for number, text in enumerate(file, 1) if text.rstrip().endswith("MARK " + mark)]
    return line


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def uscx(self, *args, env=None):
        return subprocess.run([USCX, *args], capture_output=True, text=True, cwd=self.folder.name, timeout=TIMEOUT_S,
                              env=dict(os.environ, **(env or {})))

    def write(self, name, text):
        with open(os.path.join(self.folder.name, name), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        with open(os.path.join(self.folder.name, name), encoding="utf-8") as file:
            return file.read()

    def report(self, *args, status=0):
        result = self.uscx("run", "--report", "json", *args)
        self.assertEqual(result.returncode, status, result.stderr)
        return json.loads(result.stdout)

    def text(self, *args, status=0):
        """With all white space as one space."""
        result = self.uscx("run", *args)
        self.assertEqual(result.returncode, status, result.stderr)
        return re.sub(r"\s+", " ", result.stdout)


class Starving(Case):
    HOGS = ("--cpus", "4", "--workload", "hogs:tasks=32", "--duration", "5s")

    def test_without_dispatch_most_tasks_starve_and_the_report_begins_with_that(self):
        for options, place in (((), "custody"), (("--set", "in_queue=true"), "dsq 0x7")):
            with self.subTest(place=place):
                report = self.report(*self.HOGS, *options, HOARDS)
                self.assertEqual(len(report["starving"]), 28)
                self.assertEqual({wait["place"] for wait in report["starving"]}, {place})
                self.assertFalse(report["has_dispatch"])
                self.assertEqual(report["exit"]["stuck_tasks"], 28)
                latency = report["latency"]["wakeup_ns"]
                self.assertEqual((latency["open"], latency["count"]), (28, 32))
                self.assertGreater(latency["p50"], 4_900_000_000)
                waits = sorted(task["longest_wait_ns"] for task in report["tasks"])
                self.assertGreater(waits[4], 4_900_000_000)
                text = self.text(*self.HOGS, *options, HOARDS)
                self.assertRegex(text, r"^Scheduler \S+ Starving 28 of 32 tasks wait for a CPU at the end of the run")
                self.assertIn("28 in " + ("dsq 0x7 (28 in, 0 out)" if options else
                                          "the scheduler's custody (ops.enqueue took 28, 0 came out)"), text)
                self.assertIn("The scheduler has no ops.dispatch", text)
                self.assertRegex(text, r"hog-\d+\[\d+\] since \d")

    def test_tasks_that_are_lost_are_stuck(self):
        report = self.report(*self.HOGS, "--set", f"fault={LOSES_HALF}", TOLD)
        self.assertEqual(len(report["starving"]), 16)
        self.assertEqual(report["exit"]["stuck_tasks"], 16)
        self.assertTrue(all(wait["pid"] % 2 for wait in report["starving"]))
        self.assertTrue(report["has_dispatch"])
        self.assertIn("The scheduler has an ops.dispatch.", self.text(*self.HOGS, "--set", "fault=1", TOLD))

    def test_nobody_starves_under_a_scheduler_that_works(self):
        for scheduler in ("fair", "scx_simple", TOLD):
            with self.subTest(scheduler=scheduler):
                report = self.report(*self.HOGS, "--fail-on", "starved=1s", scheduler)
                self.assertEqual((report["starving"], report["failed"]), ([], []))
                self.assertNotIn("Starving", self.text(*self.HOGS, scheduler))

    def test_the_first_wait_of_a_new_task_is_a_wait(self):
        self.write("late.json", json.dumps({"global": {"duration": 1}, "tasks": {
            "hog": {"instance": 4, "loop": -1, "run": 20000}, "late": {"start": "100ms", "loop": 1, "run": 1000}}}))
        report = self.report("--cpus", "1", "--workload", "./late.json", "scx_simple", "-f")
        (late,) = [task for task in report["tasks"] if task["name"] == "late"]
        self.assertGreater(late["wakeup_ns"]["max"], 40_000_000)
        self.assertGreaterEqual(report["latency"]["wakeup_ns"]["max"], late["wakeup_ns"]["max"])
        self.assertEqual(late["wakeups"], 0)


class Phases(Case):
    def test_figures_are_the_schedulers(self):
        report = self.report("--cpus", "2", "--duration", "2s", "scx_qmap", "-e", "100", status=3)
        lived_ns = report["exit"]["time_ns"]
        (subject,) = [phase for phase in report["phases"] if phase["subject"]]
        (after,) = [phase for phase in report["phases"] if phase["name"] == "after"]
        self.assertEqual(subject["name"], "scheduler")
        self.assertLess(subject["duration_ns"], 200_000_000)
        self.assertEqual(sum(phase["duration_ns"] for phase in report["phases"]), report["duration_ns"])
        self.assertLessEqual(report["latency"]["wakeup_ns"]["count"], after["latency"]["wakeup_ns"]["count"] / 5)
        self.assertLessEqual(sum(task["cpu_time_ns"] for task in report["tasks"]), 2 * subject["duration_ns"])
        self.assertGreater(sum(task["cpu_time_ns"] for task in after["tasks"]), 2 * lived_ns)
        text = self.text("--cpus", "2", "--duration", "2s", "scx_qmap", "-e", "100", status=3)
        self.assertRegex(text, r"Lived \d\S+; the figures are of that time only")

    def test_a_scheduler_that_ends_at_once(self):
        report = self.report("--cpus", "4", "--duration", "1s", "--set", f"fault={MISSING_DSQ}", TOLD, status=3)
        (subject,) = [phase for phase in report["phases"] if phase["subject"]]
        self.assertLess(subject["duration_ns"], 10_000_000)
        self.assertLess(report["latency"]["wakeup_ns"]["count"], 50)

    def test_the_run_may_end_with_the_scheduler(self):
        options = ("--cpus", "2", "--duration", "10s", "--on-exit", "stop", "scx_qmap", "-e", "100")
        report = self.report(*options, status=3)
        self.assertLess(report["duration_ns"], 1_000_000_000)
        self.assertIsNone(report["exit"]["stuck_tasks"])
        # After hotplug a scheduler asks to be loaded again: that is no end.
        report = self.report("--cpus", "4", "--hotplug", "2:off@100ms", "--duration", "3s", "--on-exit", "stop",
                             "scx_simple")
        self.assertEqual((report["duration_ns"], report["lives"]), (3_000_000_000, 2))
        refused = self.uscx("run", "--on-exit", "wait", "fair")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--on-exit: 'wait' is unknown; it takes stop or continue", refused.stderr)

    def test_no_cpu_is_busy_for_longer_than_there_was_time(self):
        for scheduler in (["scx_simple"], ["scx_qmap", "-l", "100"]):
            report = self.report("--cpus", "1024", "--duration", "20ms", *scheduler)
            self.assertLessEqual(max(report["cpus_busy"]), 1)
        self.assertEqual(self.report("--cpus", "1", "--duration", "1s", "scx_simple")["lock_waits"], [])


class Refused(Case):
    def test_the_reason_and_the_line_are_in_the_error(self):
        result = self.uscx("run", "--duration", "1ms", UNCHECKED)
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"\Auscx: [^\n]+\n\Z")
        self.assertIn("argument prev of ops.dispatch may be NULL and is used unchecked", result.stderr)
        self.assertIn(f"unchecked.bpf.c:{line_of('unchecked.bpf.c', 'unchecked')}", result.stderr)
        for frame in ("BEGIN PROG LOAD LOG", "failed to load object"):
            self.assertNotIn(frame, result.stderr)

    def test_verbose_shows_all(self):
        result = self.uscx("run", "-v", "--duration", "1ms", UNCHECKED)
        self.assertIn("BEGIN PROG LOAD LOG", result.stderr)
        self.assertIn("-q and -v", self.uscx("run", "-q", "-v", "fair").stderr)

    def test_bad_options_are_json_for_programs(self):
        for args in (["--no-such-option", "fair"], ["--cpus", "0", "fair"], ["fair", "-x"], ["scx_none"], [],
                     ["--fail-on", "rain", "fair"], ["fair", "--cpus"], ["--duration"]):
            for where in (0, len(args)) if not args or args[0] != "--duration" else (0,):
                words = args[:]
                words[where:where] = ["--report", "json"]
                with self.subTest(words=words):
                    result = self.uscx("run", *words)
                    self.assertEqual(result.returncode, 2)
                    answer = json.loads(result.stdout)
                    self.assertEqual(f"uscx: {answer['error']}\n", result.stderr)

    def test_options_come_first(self):
        for scheduler in ("fair", "scx_simple"):
            result = self.uscx("run", scheduler, "--cpus", "4")
            self.assertEqual(result.returncode, 2)
            self.assertIn("--cpus", result.stderr)
            self.assertIn("come before it", result.stderr)


class CoreErrors(Case):
    """Errors that the core finds, most of them long after the call: the line is that of the call."""

    def test_the_callback_and_the_line_of_the_call_are_named(self):
        for fault, mark, op, message in (
                (WRONG_CPU, "wrong CPU", "dispatch", "target CPU 1 not allowed for"),
                (WRONG_CPU_AT_ONCE, "wrong CPU at once", "enqueue", "target CPU 1 not allowed for"),
                (MISSING_DSQ, "missing DSQ", "enqueue", "non-existent DSQ 0x8 for"),
                (MISSING_DSQ_TO_CONSUME, "missing DSQ to consume", "dispatch", "invalid DSQ ID 0x0000000000000008"),
                (DOUBLE_INSERT, "double insert", "enqueue", "already direct-dispatched")):
            with self.subTest(mark=mark):
                options = ("--cpus", "4", "--duration", "300ms", "--set", f"fault={fault}")
                end = self.report(*options, TOLD, status=3)["exit"]
                self.assertIn(message, end["message"])
                self.assertTrue(end["where"].startswith(f"ops.{op}: "), end["where"])
                if mark == "missing DSQ to consume" and "/uscx_scx.bpf.h:" in end["where"]:
                    # The compiler has merged the calls of the wrapper, whose own line is all that is known.
                    self.assertIn("scx_bpf_dsq_move_to_local", end["where"])
                    continue
                line = int(re.search(r"/told\.bpf\.c:(\d+): ", end["where"]).group(1))
                # Of a wrapper that is inlined, only what comes before it is known.
                near = 2 if mark == "missing DSQ to consume" else 0
                self.assertLessEqual(abs(line - line_of("told.bpf.c", mark)), near, end["where"])
                self.assertTrue(end["hint"])
                self.assertEqual(end["where"], self.report("--interp", *options, TOLD, status=3)["exit"]["where"])
                text = self.text(*options, TOLD, status=3)
                self.assertIn(f"in ops.{op}: ", text)
                self.assertIn("Hint: ", text)

    def test_the_dump_goes_to_a_file(self):
        options = ("--cpus", "2", "--duration", "300ms", "scx_qmap", "-e", "100")
        result = self.uscx("run", "--dump", "dump.txt", *options)
        self.assertEqual(result.returncode, 3)
        self.assertNotIn("DEBUG DUMP", result.stderr)
        self.assertIn("CPU states", self.read("dump.txt"))
        shown = self.uscx("run", *options)
        self.assertIn("DEBUG DUMP", shown.stderr)
        self.assertLess(shown.stderr.index("DEBUG DUMP"), shown.stderr.index("EXIT: "))
        refused = self.uscx("run", "--dump", "no/such/folder/d", *options)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--dump: no/such/folder/d: No such file or directory", refused.stderr)


class Status(Case):
    def test_conditions(self):
        hogs = Starving.HOGS
        report = self.report(*hogs, "--fail-on", "starved=1s", HOARDS, status=5)
        (failed,) = report["failed"]
        self.assertEqual(failed["condition"], "starved=1s")
        self.assertRegex(failed["what"], r"^28 tasks waited longer for a CPU, hog-\d+\[\d+\] for ")
        self.assertEqual(self.report(*hogs, "--fail-on", "starved=1m", HOARDS)["failed"], [])
        short = ("--cpus", "2", "--duration", "500ms")
        self.report(*short, "--fail-on", "exit=error", "scx_qmap", "-e", "100", status=5)
        report = self.report(*short, "--fail-on", "exit=error", "--fail-on", "wild-loads", "scx_qmap")
        self.assertEqual(report["failed"], [])
        refused = self.uscx("run", "--fail-on", "starved=soon", "fair")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("--fail-on: starved: ", refused.stderr)

    def interrupted(self, number, *args):
        with subprocess.Popen([USCX, "run", "--report", "json", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, cwd=self.folder.name) as process:
            caught, until = 0, time.monotonic() + TIMEOUT_S
            while not caught >> (number - 1) & 1:
                self.assertLess(time.monotonic(), until)
                time.sleep(0.01)
                with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                    caught = int(re.search(r"SigCgt:\s+(\w+)", file.read()).group(1), 16)
            process.send_signal(number)
            out, errors = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, 128 + number, errors)
        return json.loads(out)

    def test_interrupted_runs_are_marked(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number=number):
                report = self.interrupted(number, "--duration", "100000s", "scx_simple")
                self.assertEqual(report["interrupted"], number.name)
                self.assertLess(report["duration_ns"], 100_000 * 10**9)
        self.assertIsNone(self.report("--duration", "1ms", "fair")["interrupted"])

    def test_a_signal_is_heeded_while_tasks_are_created(self):
        self.write("many.json", json.dumps({"tasks": {"t": {"instance": 400000, "loop": -1, "run": 1000}}}))
        report = self.interrupted(signal.SIGTERM, "--cpus", "2", "--duration", "1s", "--workload", "./many.json",
                                  "fair")
        self.assertLess(len(report["tasks"]), 400000)


class Notes(Case):
    def test_weights_of_groups_without_a_scheduler(self):
        groups = ("--cgroup", "/fast:weight=1000", "--workload", "hogs:tasks=2,cgroup=/fast", "--duration", "100ms")
        (note,) = self.report(*groups, "fair")["notes"]
        self.assertIn("the fair class makes nothing of the weights and limits of cgroups (/fast)", note)
        self.assertEqual(self.report(*groups, "scx_simple")["notes"], [])
        self.assertEqual(self.report("--cgroup", "/plain", "--duration", "10ms", "fair")["notes"], [])

    def test_objects_without_their_user_half(self):
        (note,) = self.report("--duration", "100ms", "--set", f"fault={MISSING_DSQ}", TOLD, status=3)["notes"]
        self.assertIn("ran without its user half", note)
        self.assertIn("--recipe", note)
        self.assertEqual(self.report("--duration", "100ms", TOLD)["notes"], [])

    def test_what_is_said_again_is_counted(self):
        result = self.uscx("run", "--cpus", "2", "--workload", "hogs:tasks=36", "--duration", "100ms", "--set",
                           f"fault={NO_TASKS}", TOLD)
        self.assertEqual(result.stderr.count("could not be created"), 1)
        self.assertIn("uscx: 36 tasks could not be created, the first of them hog-0: Cannot allocate memory (errno 12)",
                      result.stderr)
        self.write("idle.json", json.dumps({"tasks": {"t": {"loop": 1, "sleep": "1000s"}}}))
        result = self.uscx("run", "--cpus", "2", "--workload", "./idle.json", "--duration", "9s", "scx_simple")
        self.assertRegex(result.stderr, r"(?m)^local=\d+ global=\d+\n\(the line above \d+ more times\)$")
        lines = [line.split("] ", 1)[-1] for line in result.stderr.splitlines()]
        for before, line in zip(lines, lines[1:]):
            self.assertNotEqual(before, line)

    def test_quiet(self):
        result = self.uscx("run", "-q", "--duration", "100ms", "scx_simple")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("Scheduler   scx_simple", result.stdout)

    def on_terminal(self, env, *args):
        ours, theirs = pty.openpty()
        text = b""
        with subprocess.Popen([USCX, "run", *args], stdout=theirs, stderr=theirs, cwd=self.folder.name,
                              env={"PATH": os.environ["PATH"], **env}):
            os.close(theirs)
            try:
                while block := os.read(ours, 65536):
                    text += block
            except OSError:  # EIO: nobody has the other end any more.
                pass
        os.close(ours)
        return text.decode()

    def test_colours_and_progress_are_for_terminals_that_want_them(self):
        for env, colours in (({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": ""}, True),
                             ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False)):
            with self.subTest(env=env):
                text = self.on_terminal(env, "-q", "--duration", "1ms", "fair")
                self.assertIn("Scheduler", text)
                self.assertEqual("\033[" in text, colours)
        large = ("--cpus", "1024", "--duration", "1ms", "fair")
        self.assertIn("starting 1024 CPUs", self.on_terminal({"TERM": "xterm"}, *large))
        for env, options in (({"TERM": "dumb"}, ()), ({"TERM": "xterm"}, ("-q",))):
            self.assertNotIn("starting", self.on_terminal(env, *options, *large))

    def test_ranges_are_of_numbers_only(self):
        self.assertNotIn("0 to 0", self.uscx("list", "workloads").stdout)


class Validator:
    """As much of JSON Schema as docs/report.schema.json uses."""

    TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}

    def __init__(self, schema):
        self.root = schema

    def is_type(self, value, name):
        if name in ("integer", "number"):
            return isinstance(value, (int, float) if name == "number" else int) and not isinstance(value, bool)
        return isinstance(value, self.TYPES[name])

    def errors(self, value, schema, path=""):
        known = {"$ref", "$schema", "$defs", "title", "description", "type", "const", "enum", "oneOf", "pattern",
                 "minimum", "maximum", "properties", "required", "additionalProperties", "items"}
        if set(schema) - known:
            return [f"the schema has {set(schema) - known}, which this validator does not know"]
        if "$ref" in schema:
            target = self.root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return self.errors(value, target, path)
        found = []
        if "oneOf" in schema:
            answers = [self.errors(value, one, path) for one in schema["oneOf"]]
            if sum(not answer for answer in answers) != 1:
                found += min(answers, key=len) or [f"{path}: more than one form fits"]
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(self.is_type(value, name) for name in types):
            return found + [f"{path}: {value!r} is no {' or '.join(types)}"]
        if "const" in schema and value != schema["const"]:
            found.append(f"{path}: {value!r} is not {schema['const']!r}")
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{path}: {value!r} is none of {schema['enum']}")
        if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
            found.append(f"{path}: {value!r} is not like {schema['pattern']}")
        if self.is_type(value, "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            found.append(f"{path}: {value} is out of range")
        if isinstance(value, dict):
            properties = schema.get("properties", {})
            found += [f"{path}: {key} is missing" for key in schema.get("required", []) if key not in value]
            for key, one in value.items():
                rule = properties.get(key, schema.get("additionalProperties", True))
                if rule is False:
                    found.append(f"{path}: {key} is not known")
                elif rule is not True:
                    found += self.errors(one, rule, f"{path}.{key}")
        if isinstance(value, list) and "items" in schema:
            for i, one in enumerate(value):
                found += self.errors(one, schema["items"], f"{path}[{i}]")
        return found


class Schema(Case):
    def setUp(self):
        super().setUp()
        with open(os.path.join(PROJECT, "docs", "report.schema.json"), encoding="utf-8") as file:
            self.schema = json.load(file)
        self.validator = Validator(self.schema)

    def check(self, *args, status):
        with self.subTest(args=args):
            result = self.uscx("run", "--report", "json", *args)
            self.assertEqual(result.returncode, status, result.stderr)
            answer = json.loads(result.stdout)
            self.assertEqual(self.validator.errors(answer, self.schema), [])
            return answer

    def test_reports_of_all_kinds(self):
        short = ("--cpus", "4", "--duration", "200ms")
        self.check(*short, "fair", status=0)
        self.check(*short, "scx_simple", status=0)
        self.check(*short, "--cgroup", "/a:weight=200", "--workload", "hogs:cgroup=/a", "fair", status=0)
        self.check(*short, "--hotplug", "2:off@50ms,2:on@100ms", "scx_simple", status=0)
        self.check("--cpus", "2", "--duration", "2s", "scx_qmap", "-e", "100", status=3)
        self.check("--cpus", "2", "--duration", "2s", "--on-exit", "stop", "scx_qmap", "-e", "100", status=3)
        self.check("--cpus", "1", "--duration", "20s", "--workload", "hogs:tasks=3", "--ops", "timeout_ms=2000",
                   "scx_qmap", "-t", "50", status=4)
        self.check("--cpus", "4", "--workload", "hogs:tasks=32", "--duration", "3s", "--fail-on", "starved=1s", HOARDS,
                   status=5)
        self.check("--machine", "threads", "--cpus", "2", "--duration", "50ms", "scx_simple", status=0)
        self.check(*short, "/bin/true", status=0)
        self.check(*short, UNCHECKED, status=2)
        self.check(*short, "--cpus", "0", "fair", status=2)
        self.check(*short, "scx_none", status=2)

    def test_the_validator_finds_what_is_wrong(self):
        good = self.check("--cpus", "2", "--duration", "10ms", "scx_simple", status=0)
        for path, value in (("version", 2), ("cpus", "2"), ("trace_hash", "xyz"), ("unknown", 1),
                            ("cpus_busy", [1.5, 0]), ("exit", None), ("lives", None)):
            with self.subTest(path=path):
                self.assertNotEqual(self.validator.errors({**good, path: value}, self.schema), [])
        for key in good:
            if key not in ("cpus_offline", "cgroups"):
                with self.subTest(missing=key):
                    without = {name: value for name, value in good.items() if name != key}
                    self.assertNotEqual(self.validator.errors(without, self.schema), [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
