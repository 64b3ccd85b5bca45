#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The command from outside: statuses, streams, files, and what a run's report says.

Usage: cli_test.py USCX OTHER_OPS.bpf.o REFUSED.bpf.o [unittest's arguments]
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

USCX = os.path.abspath(sys.argv[1])
OTHER_OPS = os.path.abspath(sys.argv[2])
REFUSED = os.path.abspath(sys.argv[3])
TIMEOUT_S = 120


class Case(unittest.TestCase):
    """Each test runs in an empty folder of its own."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.environment = None

    def uscx(self, *args):
        return subprocess.run([USCX, *args], capture_output=True, text=True, cwd=self.folder.name, timeout=TIMEOUT_S,
                              env=self.environment)

    def write(self, name, text):
        with open(os.path.join(self.folder.name, name), "w", encoding="utf-8") as file:
            file.write(text)

    def wait_until_caught(self, process, number):
        """Until the process has a handler for the signal."""
        caught, until = 0, time.monotonic() + TIMEOUT_S
        while not caught >> (number - 1) & 1:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)
            with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                caught = int(re.search(r"SigCgt:\s+(\w+)", file.read()).group(1), 16)

    def files(self):
        return sorted(os.listdir(self.folder.name))

    def report(self, *args, status=0):
        result = self.uscx("run", "--report", "json", *args)
        self.assertEqual(result.returncode, status, result.stderr)
        return json.loads(result.stdout)


class Refusal(Case):
    """An object that needs what is not there is refused with all of it, and `uscx inspect` says the same."""

    MISSING = (
        "kfunc scx_bpf_not_there is not implemented",
        "kfunc bpf_not_there_either is not implemented",
        "helper bpf_redirect_map is not implemented",
        "helper bpf_get_stackid is not implemented",
        "map type XSKMAP (map sockets) is not implemented",
        "map type LPM_TRIE (map prefixes) is not implemented",
        "program type xdp (SEC(\"xdp\") refused_xdp) is not implemented",
        "program type lsm (SEC(\"lsm/file_open\") refused_lsm) is not implemented",
        "program refused_fentry (SEC(\"fentry/no_such_function\")): no_such_function is not there",
        "program refused_tracepoint (SEC(\"tp_btf/no_such_event\")): no_such_event is not there",
        "program refused_iterator (SEC(\"iter/no_such_things\")): no_such_things is not there",
    )
    NAMES = ("variable no_such_variable", "variable nor_this_one", "CONFIG_NO_SUCH_THING", "CONFIG_NOR_THIS_ONE",
             "task_struct.no_such_field", "task_struct.nor_this_one", "SCX_ENQ_NO_SUCH", "SCX_ENQ_NOR_THIS")

    def test_all_of_it(self):
        run = self.uscx("run", "--duration", "1ms", REFUSED)
        self.assertEqual(run.returncode, 2, run.stderr)
        self.assertEqual(run.stdout, "")
        self.assertRegex(run.stderr, r"\Auscx: [^\n]+: needs what is not there: [^\n]+\n\Z")
        named = run.stderr.strip().split(": needs what is not there: ")[1].split("; ")
        for line in self.MISSING:
            self.assertIn(line, named)
        for name in self.NAMES:
            self.assertEqual(len([line for line in named if re.search(rf"\b{re.escape(name)}\b", line)
                                  and line not in self.MISSING]), 1, f"{name} in {named}")
        self.assertEqual(len(named), len(self.MISSING) + len(self.NAMES), named)

        inspect = self.uscx("inspect", "--report", "json", REFUSED)
        self.assertEqual(inspect.returncode, 2, inspect.stderr)
        inspected = json.loads(inspect.stdout)
        self.assertEqual(inspected["missing"], named)
        self.assertFalse(inspected["loads"])

        refused = self.uscx("run", "--report", "json", "--seed", "7", "--duration", "1ms", REFUSED)
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertEqual(refused.stderr, run.stderr)
        report = json.loads(refused.stdout)
        self.assertEqual((report["scheduler"], report["cpus"], report["seed"]), (REFUSED, 8, 7))
        self.assertEqual(f"uscx: {report['error']}\n", run.stderr)
        self.assertEqual(report["missing"], named)
        for key, value in report["object"].items():
            self.assertEqual(inspected[key], value, key)

        text = self.uscx("inspect", REFUSED)
        self.assertEqual(text.returncode, 2, text.stderr)
        self.assertIn(f"cannot be loaded, {len(named)} things are missing", text.stdout)
        flat = re.sub(r"\s+", " ", text.stdout)
        for line in named:
            self.assertIn(line, flat)


class BadInput(Case):
    """One line that says what and where, status 2, nothing written."""

    def check(self, args, *parts):
        before = self.files()
        result = self.uscx(*args)
        with self.subTest(args=args):
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertEqual(result.stdout, "")
            self.assertRegex(result.stderr, r"\Auscx: [^\n]+\n\Z")
            for part in parts:
                self.assertIn(part, result.stderr)
            self.assertEqual(self.files(), before)

    def test_options(self):
        short = ["--duration", "1ms"]
        self.check(["run", *short], "SCHEDULER is missing")
        self.check(["run", "--no-such-option", "fair"], "--no-such-option")
        self.check(["run", "--cpus", "0", "fair"], "--cpus", "1 to 8192")
        self.check(["run", "--cpus", "8193", "fair"], "--cpus", "1 to 8192")
        self.check(["run", "--cpus", "four", "fair"], "--cpus", "'four'")
        self.check(["run", "--topology", "2n:3y", "fair"], "--topology")
        self.check(["run", "--topology", "9000c", "fair"], "--topology")
        self.check(["run", "--topology", "2x", "fair"], "--topology")
        self.check(["run", "--topology", "2n", "--cpus", "2", "fair"], "--topology", "--cpus")
        self.check(["run", "--hz", "1", "fair"], "--hz", "10 to 10000")
        self.check(["run", "--duration", "10", "fair"], "--duration", "unit")
        self.check(["run", "--duration", "0", "fair"], "--duration", "out of range")
        self.check(["run", "--seed", "-1", "fair"], "--seed")
        self.check(["run", "--report", "xml", "fair"], "--report", "text or json")
        self.check(["run", "--set", "novalue", "scx_simple"], "--set", "VAR=VALUE")
        self.check(["run", "--set", "x=1", "fair"], "--set")
        self.check(["run", *short, "fair", "-x"], "fair takes no arguments")
        self.check(["run", "--fail-alloc", "heap", "fair"], "--fail-alloc", "'heap'", "uscx list alloc-sites")
        self.check(["run", "--fail-alloc", "kick_syncs:0", "fair"], "--fail-alloc", "1 to")
        self.check(["list", "nothing"], "uscx list has no subcommand 'nothing'")
        self.check(["list"], "uscx list needs one of its subcommands, schedulers, workloads")
        self.check(["btf"], "--header", "--dump")
        self.check(["btf", "--header", "--dump", "x.h"], "one of --header and --dump")
        self.check(["replay"], "FILE is required")

    def test_misspelt_names(self):
        """The message names the nearest known name, and the command whose help lists all of them."""
        self.check(["rnu", "--cpus", "4", "fair"], "'rnu' (did you mean 'run'?); see uscx --help")
        self.check(["--versoin"], "--versoin (did you mean '--version'?)")
        self.check(["help", "lst"], "'lst' (did you mean 'list'?)")
        self.check(["help", "session", "strt"], "'strt' (did you mean 'start'?); see uscx session --help")
        self.check(["list", "workload"], "'workload' (did you mean 'workloads'?); see uscx list --help")
        self.check(["run", "--cpu", "4", "fair"], "--cpu (did you mean '--cpus'?); see uscx run --help")
        self.check(["run", "--cpu=4", "fair"], "--cpu=4 (did you mean '--cpus'?)")
        self.check(["session", "start", "--cpu", "4"], "--cpu (did you mean '--cpus'?); see uscx session start --help")
        self.check(["explore", "--cpu", "4", "fifo"], "--cpu (did you mean '--cpus'?); see uscx explore --help")
        self.check(["explore", "fif"], "'fif' (did you mean 'fifo'?)")
        self.check(["explore", "--mutation", "lock_ordr", "fifo"], "'lock_ordr' (did you mean 'lock_order'?)")
        self.check(["replay", "--event", "3", "x.json"], "--event (did you mean '--events'?)")
        self.check(["run", "scx_qmp"], "'scx_qmp' (did you mean 'scx_qmap'?)")
        self.check(["run", "--workload", "hog", "fair"], "'hog' (did you mean 'hogs'?)")
        self.check(["run", "--fail-alloc", "pog", "fair"], "'pog' (did you mean 'prog'?)")
        unlike = self.uscx("resolve")
        self.assertNotIn("did you mean", unlike.stderr)
        refused = self.uscx("session", "exec", "--detah", "x")
        self.assertEqual((refused.returncode, refused.stdout), (125, ""))
        self.assertIn("--detah (did you mean '--detach'?)", refused.stderr)

    def test_new(self):
        for name in ("9", "a-b", "a/b", "", "a.bpf.c", "x" * 101):
            self.check(["new", name], "letters, digits and underscores")
        self.check(["new"], "NAME is required")
        self.write("mine.bpf.c", "precious")
        self.check(["new", "mine"], "mine.bpf.c exists")
        with open(os.path.join(self.folder.name, "mine.bpf.c"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "precious")

    def test_source(self):
        self.check(["run", "none.bpf.c"], "none.bpf.c: No such file or directory")
        self.check(["inspect", "none.bpf.c"], "none.bpf.c: No such file or directory")
        self.write("mine.bpf.c", "int x;\n")
        self.check(["run", "mine.bpf.c", "-s"], "takes no arguments")
        self.environment = {"PATH": self.folder.name}
        self.check(["run", "mine.bpf.c"], "mine.bpf.c: no clang in PATH (clang-22, clang-19, clang were looked for)")
        self.check(["btf", "--dump", "no/such/folder/x"], "no/such/folder/x", "No such file or directory")

    def test_allocations_that_fail(self):
        """A load for which there is no memory is refused; what comes too late for it changes nothing."""
        run = ["run", "--duration", "1ms", "--cpus", "4"]
        sites = [line.split()[0] for line in self.uscx("list", "alloc-sites").stdout.splitlines() if line[0] != " "]
        self.assertIn("kick_syncs", sites)
        for site in ("prog:3+", "struct_ops_value", "link", "kick_syncs:3", "bypass_dsq:4", "exit_dump",
                     "sched_helper"):
            self.assertIn(site.split(":")[0], sites)
            result = self.uscx(*run, "--fail-alloc", site, "scx_simple")
            with self.subTest(site=site):
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertEqual(result.stdout, "")
                self.assertIn("Cannot allocate memory", result.stderr)
        self.report(*run[1:], "--fail-alloc", "kick_syncs:5", "scx_simple")

    def test_workloads(self):
        run = ["run", "--duration", "1ms", "--workload"]
        self.check([*run, "hog", "fair"], "--workload", "unknown workload 'hog'", "hogs, mixed, pingpong")
        self.check([*run, "hogs:task=1", "fair"], "--workload: hogs: unknown key 'task'; it takes tasks, nice")
        self.check([*run, "hogs:tasks=0", "fair"], "--workload: hogs: tasks: 0 is out of range")
        self.check([*run, "./missing.json", "fair"], "./missing.json: No such file or directory")
        self.write("bad.json", '{"tasks": {"t": {"run": 5, "slep": 3}}}')
        self.check([*run, "bad.json", "fair"], "bad.json: tasks.t.slep: unknown key; it takes")
        self.write("bad.json", '{"tasks": {"t": {"run": -5}}}')
        self.check([*run, "bad.json", "fair"], "bad.json: tasks.t.run: -5 is out of range")
        self.write("bad.json", '{"tasks": {"t": {"run" 5}}}')
        self.check([*run, "bad.json", "fair"], "bad.json: line 1, column 24: unexpected '5'; expected ':'")
        self.write("bad.json", '{"tasks": {"t": {"run": 5, "cpus": [0, 8]}}}')
        self.check([*run, "bad.json", "fair"], "bad.json: tasks.t.cpus: CPU 8 is not there")

    def test_traces_of_refused_runs_are_not_left_behind(self):
        self.check(["run", "--trace", "no/such/folder/t", "--duration", "1ms", "fair"], "no/such/folder/t")
        self.write("bad.json", '{"tasks": {"t": {"run": 5, "cpus": [8]}}}')
        self.check(["run", "--trace", "t", "--workload", "bad.json", "fair"], "CPU 8 is not there")
        self.check(["run", "--trace", "t", "--set", "nothing=1", "scx_simple"], "nothing")

    def test_schedulers(self):
        self.check(["run", "scx_none"], "unknown scheduler 'scx_none'", "fair, scx_central, scx_qmap, scx_simple")
        self.check(["run", "./none.bpf.o"], "./none.bpf.o: No such file or directory")
        self.check(["run", "none.bpf.o"], "none.bpf.o: No such file or directory")
        self.write("text.bpf.o", "this is no object\n")
        self.check(["run", "text.bpf.o"], "text.bpf.o")
        self.check(["run", "/"], "/: Is a directory")
        self.check(["run", OTHER_OPS], "sched_ext_ops")
        self.check(["run", "text.bpf.o", "-s", "1"], "takes no arguments")
        self.check(["run", "scx_qmap", "-s", "0x"], "option -s")
        self.check(["run", "scx_qmap", "-Z"], "unknown option -Z")
        self.check(["run", "--set", "nothing=1", "scx_simple"], "--set", "nothing")
        self.check(["run", "--set", "fifo_sched=7", "scx_simple"], "--set", "fifo_sched")
        self.check(["run", "--ops", "nothing=1", "scx_simple"], "--ops", "nothing")


class PartialMode(Case):
    """scx_qmap -p has only the tasks that ask for sched_ext."""

    def run_with(self, policy, *options, status=0):
        task = {"policy": policy, "instance": 2, "loop": -1, "run": 1000, "sleep": 500}
        self.write("tasks.json", json.dumps({"tasks": {"work": task}}))
        return self.report("--duration", "100ms", "--cpus", "1", "--workload", "./tasks.json", "scx_qmap", *options,
                           status=status)

    def test_who_is_switched(self):
        for policy, options, switched in (("SCHED_OTHER", [], True), ("SCHED_EXT", ["-p"], True),
                                          ("SCHED_OTHER", ["-p"], False)):
            with self.subTest(policy=policy, options=options):
                report = self.run_with(policy, *options)
                self.assertEqual(report["dispatch"]["enqueues"] > 0, switched)
                # Beside them is the main thread of their process.
                works = [task for task in report["tasks"] if task["name"].startswith("work")]
                self.assertEqual(len(works), 2)
                self.assertTrue(all(task["cpu_time_ns"] > 20_000_000 for task in works))
                self.assertEqual(any("(partial)" in line for line in report["log"]), "-p" in options)


class CpusAway(Case):
    """CPUs that go offline, have no tick, or are kept apart."""

    RESTART_FOR_HOTPLUG = 1 << 48 | 1 << 32  # SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG

    def test_offline_and_back(self):
        report = self.report("--cpus", "4", "--hotplug", "2:off@100ms,2:on@200ms", "--duration", "500ms", "fair")
        (away,) = report["cpus_offline"]
        self.assertEqual(away["cpu"], 2)
        self.assertTrue(100_000_000 <= away["from_ns"] < away["until_ns"] < 300_000_000, away)

    def test_a_scheduler_without_handlers_asks_to_be_loaded_again(self):
        end = self.report("--cpus", "4", "--hotplug", "2:off@100ms", "--duration", "500ms", "scx_simple")["exit"]
        self.assertEqual(end["kind_name"], "SCX_EXIT_UNREG_KERN")
        self.assertEqual(end["code"], self.RESTART_FOR_HOTPLUG)
        self.assertEqual(end["message"], "cpu 2 going offline, exiting scheduler")
        self.assertEqual(end["stuck_tasks"], 0)

    def test_a_refusal_is_json_for_programs(self):
        result = self.uscx("run", "--report", "json", "--cpus", "4", "--isolcpus", "2-3", "scx_simple")
        self.assertEqual(result.returncode, 2)
        report = json.loads(result.stdout)
        self.assertEqual((report["scheduler"], report["cpus"]), ("scx_simple", 4))
        self.assertIn(report["error"].replace("\n", " "), result.stderr)
        self.assertEqual((report["missing"], report["object"]), ([], None))

    def test_cpu_0_stays(self):
        result = self.uscx("run", "--cpus", "2", "--hotplug", "0:off@1ms", "--duration", "10ms", "fair")
        self.assertEqual(result.returncode, 2)
        self.assertIn("CPU 0 cannot be taken offline", result.stderr)

    def test_isolated_domains_and_sched_ext_exclude_each_other(self):
        result = self.uscx("run", "--cpus", "4", "--isolcpus", "2-3", "--duration", "100ms", "scx_simple")
        self.assertEqual(result.returncode, 2)
        self.assertIn("isolcpus=", result.stdout + result.stderr)

    def test_without_a_tick_work_is_done(self):
        options = ["--cpus", "4", "--nohz-full", "3", "--workload", "hogs:tasks=4", "--duration", "2s"]
        report = self.report(*options, "fair")
        shares = [task["cpu_time_ns"] for task in report["tasks"] if task["name"].startswith("hog")]
        self.assertEqual(len(shares), 4)
        self.assertGreater(min(shares), 1_900_000_000)


class Streams(Case):
    def test_json_is_alone_on_stdout(self):
        result = self.uscx("run", "--report", "json", "--duration", "2s", "--cpus", "2", "scx_simple")
        self.assertEqual(result.returncode, 0, result.stderr)
        report = json.loads(result.stdout)
        self.assertEqual(report["exit"]["kind"], 64)
        self.assertEqual(report["exit"]["kind_name"], "SCX_EXIT_UNREG")
        self.assertRegex(result.stderr, r'(?m)^\[ *\d+\.\d{6}\] sched_ext: BPF scheduler "simple" enabled$')
        self.assertRegex(result.stderr, r"(?m)^local=\d+ global=\d+$")
        self.assertIn("EXIT: unregistered from user space", result.stderr)
        self.assertTrue(any("enabled" in line for line in report["log"]), report["log"])

    def test_report_has_what_programs_read(self):
        report = self.report("--duration", "100ms", "--cpus", "2", "--hz", "1000", "--seed", "7", "fair")
        self.assertEqual((report["scheduler"], report["cpus"], report["hz"], report["seed"]), ("fair", 2, 1000, 7))
        self.assertEqual(report["duration_ns"], 100_000_000)
        self.assertEqual(report["exit"]["kind"], 0)
        self.assertGreater(report["events"], 0)
        self.assertGreater(report["wall_s"], 0)
        self.assertEqual(len(report["cpus_busy"]), 2)
        self.assertLessEqual({"p50", "p90", "p99", "max", "count"}, set(report["latency"]["wakeup_ns"]))
        for task in report["tasks"] + report["kthreads"]:
            self.assertLessEqual({"name", "pid", "nice", "cpu_time_ns", "share", "nvcsw", "nivcsw", "migrations",
                                  "wakeups", "wakeup_ns"}, set(task))

    def test_help_fits_a_terminal(self):
        for args in (["--help"], ["run", "--help"], ["list", "--help"], ["btf", "--help"], ["list", "workloads"],
                     ["list", "schedulers"], ["run", "scx_qmap", "-h"]):
            result = self.uscx(*args)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stderr, "")
            if args[0] != "run" or args[1] == "--help":
                self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80, args)

    def test_lists(self):
        for what, sample in (("schedulers", "scx_qmap"), ("workloads", "pingpong"), ("kfuncs", "scx_bpf_dsq_insert("),
                             ("helpers", "bpf_map_lookup_elem"), ("maps", "task_storage")):
            result = self.uscx("list", what)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn(sample, result.stdout)

    def test_btf_is_written_raw_or_as_c(self):
        self.assertEqual(self.uscx("btf", "--dump", "x.btf").returncode, 0)
        with open(os.path.join(self.folder.name, "x.btf"), "rb") as file:
            self.assertEqual(file.read(2), b"\x9f\xeb")
        self.assertEqual(self.uscx("btf", "--dump", "vmlinux.h").returncode, 0)
        with open(os.path.join(self.folder.name, "vmlinux.h"), encoding="utf-8") as file:
            self.assertIn("struct sched_ext_ops {", file.read())
        self.assertEqual(self.files(), ["vmlinux.h", "x.btf"])

    def test_trace_file_is_there_when_the_run_is(self):
        result = self.uscx("run", "--trace", "t.pftrace", "--duration", "50ms", "--cpus", "2", "fair")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.files(), ["t.pftrace"])
        self.assertGreater(os.path.getsize(os.path.join(self.folder.name, "t.pftrace")), 1000)

    def test_other_ends_are_in_good_order_too(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            with subprocess.Popen([USCX, "run", "--duration", "3000s", "--trace", "t", "scx_simple"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder.name) as process:
                self.wait_until_caught(process, number)
                process.send_signal(number)
                process.communicate(timeout=TIMEOUT_S)
            self.assertEqual((process.returncode, self.files()), (128 + number, ["t"]))

    def test_interrupt_ends_the_run_with_a_report(self):
        process = subprocess.Popen([USCX, "run", "--report", "json", "--duration", "100000s", "fair"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.wait_until_caught(process, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, 128 + signal.SIGINT, errors)
        self.assertLess(json.loads(out)["duration_ns"], 100_000 * 10**9)


class Help(Case):
    def test_help(self):
        for args, start in (([], "Runs sched_ext schedulers"), (["--help"], "Runs sched_ext schedulers"),
                            (["help"], "Runs sched_ext schedulers"), (["help", "run"], "Runs a scheduler"),
                            (["help", "session", "start"], "Makes a machine")):
            result = self.uscx(*args)
            with self.subTest(args=args):
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assertTrue(result.stdout.startswith(start), result.stdout)
        for command in ("run", "session start", "list", "explore"):
            words = command.split()
            self.assertEqual(self.uscx("help", *words).stdout, self.uscx(*words, "--help").stdout)

    def test_version(self):
        result = self.uscx("--version")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertRegex(result.stdout, r"\Auscx \d+\.\d+\.\d+\n\Z")

    def test_each_command_has_a_man_page_and_is_completed(self):
        self.assertEqual(self.uscx("help", "--write", "share").returncode, 0)
        commands = re.findall(r"^  (\w+) {2,}\w", self.uscx().stdout.split("Subcommands:")[1], re.MULTILINE)
        self.assertIn("explore", commands)
        pages = os.listdir(os.path.join(self.folder.name, "share/man/man1"))
        self.assertEqual(sorted(pages), sorted(["uscx.1", *(f"uscx-{command}.1" for command in commands)]))
        for name in ("bash-completion/completions/uscx", "zsh/site-functions/_uscx",
                     "fish/vendor_completions.d/uscx.fish"):
            with open(os.path.join(self.folder.name, "share", name), encoding="utf-8") as file:
                text = file.read()
            for command in commands:
                self.assertIn(command, text)
            self.assertIn("hotplug", text)
        self.assertEqual(self.uscx("help", "--write", "/dev/null/x").returncode, 2)


class Source(Case):
    """X.bpf.c is compiled and runs as the object that the same flags make of it."""

    def test_new_scheduler_runs(self):
        self.assertEqual(self.uscx("new", "mine").returncode, 0)
        run = ["--cpus", "2", "--duration", "100ms"]
        report = self.report(*run, "mine.bpf.c")
        os.chmod(os.path.join(self.folder.name, "mine.bpf.c"), 0o755)
        self.assertEqual(self.report(*run, "./mine.bpf.c")["trace_hash"], report["trace_hash"])
        self.assertEqual(self.files(), ["mine.bpf.c"])
        inspected = self.uscx("inspect", "mine.bpf.c")
        self.assertEqual(inspected.returncode, 0, inspected.stderr)
        self.assertIn("mine_enqueue", inspected.stdout)
        explored = self.uscx("explore", "--cpus", "2", "--schedules", "2", "mine.bpf.c")
        self.assertEqual(explored.returncode, 0, explored.stderr)

    def test_errors_are_clangs(self):
        self.write("bad.bpf.c", '#include "uscx_scx.bpf.h"\nint x\n')
        result = self.uscx("run", "bad.bpf.c")
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertRegex(result.stderr, r"\Abad.bpf.c:2:6: error: expected ';'")
        self.assertRegex(result.stderr, r"\nuscx: bad.bpf.c: clang[-0-9]* does not compile it and says why above\n\Z")
        self.assertEqual(self.files(), ["bad.bpf.c"])

    def test_header_declares_kfuncs(self):
        """vmlinux.h alone suffices to call any kfunc, and is what --header and --dump write."""
        header = self.uscx("btf", "--header")
        self.assertEqual((header.returncode, header.stderr), (0, ""))
        self.assertEqual(self.uscx("btf", "--dump", "vmlinux.h").returncode, 0)
        with open(os.path.join(self.folder.name, "vmlinux.h"), encoding="utf-8") as file:
            self.assertEqual(file.read(), header.stdout)
        names = [re.search(r"(\w+)\(", line).group(1) for line in self.uscx("list", "kfuncs").stdout.splitlines()]
        self.assertGreater(len(names), 100)
        for name in names:
            self.assertRegex(header.stdout, rf"extern .*\b{name}\(.*\) __weak __ksym;")
        self.write("mine.bpf.c", """#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";
SEC("struct_ops/kick_enqueue") void BPF_PROG(kick_enqueue, struct task_struct *p, u64 enq_flags) {
  scx_bpf_kick_cpu(0, SCX_KICK_IDLE);
  scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}
SEC(".struct_ops.link") struct sched_ext_ops kick_ops = {.enqueue = (void *)kick_enqueue, .name = "kick"};
""")
        report = self.report("--cpus", "2", "--duration", "100ms", "mine.bpf.c")
        self.assertGreater(report["dispatch"]["kicks"], 0)


class Host(Case):
    """What the host does not give, or gives without end, is an error in one line, and nothing half done is left."""

    def shell(self, text, error):
        result = subprocess.run(["bash", "-c", text.replace("USCX", USCX)], capture_output=True, text=True,
                                cwd=self.folder.name, timeout=TIMEOUT_S)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertRegex(result.stderr, error)

    def test_standard_streams(self):
        for command in ("list schedulers", f"inspect {REFUSED}", "run --help", "explore fifo --schedules 2",
                        "run --duration 1ms fair"):
            for to in (">/dev/full", ">&-"):
                with self.subTest(command=command, to=to):
                    self.shell(f"USCX {command} {to}", r"uscx: standard output cannot be written\n\Z")
        self.shell("USCX run --duration 1ms scx_simple <&- >&- 2>&-", r"\A\Z")

    def test_files_that_cannot_be_written(self):
        explore = "USCX explore fifo --mutation lock_order --schedules 9 --save"
        self.shell(f"{explore} /dev/full", "uscx: /dev/full: it exists and is not a regular file")
        self.shell(f"ulimit -f 0; {explore} saved 2>&1 >/dev/null | cat >&2; exit ${{PIPESTATUS[0]}}", "File too large")
        self.shell("ulimit -f 4; USCX run --duration 100ms --trace t fair", "uscx: trace file t: File too large")
        self.assertEqual(self.files(), [])

    def test_files_without_end(self):
        for command in ("run /dev/zero", "inspect /dev/zero", "replay /dev/zero"):
            self.shell(f"USCX {command}", "uscx: /dev/zero: longer than")

    def test_schedules_that_are_none(self):
        saved = {"version": 2, "mutation": "none", "failure": "none", "scenario": "fifo", "races_fail": False,
                 "window_ns": 2**64 - 1, "max_steps": 10**6, "deviations": [[0, 1, 1, 2**32 - 1]]}
        self.write("far.json", json.dumps(saved))
        self.assertEqual(self.uscx("replay", "far.json").returncode, 0, "the CPU is not there, and not chosen")
        self.write("deep.json", json.dumps(saved | {"deviations": 0}).replace("0}", "[" * 10**6 + "]" * 10**6 + "}"))
        self.shell("USCX replay deep.json", "deviation 1 is not four numbers")
        self.write("other.json", json.dumps(saved | {"scheduler": 5}))
        self.shell("USCX replay other.json", "'scheduler' is no object")
        self.shell("USCX replay .", "Is a directory")

    def test_limits(self):
        self.shell("ulimit -n 12; USCX run scx_simple", r"\(errno 24\); raise the limit of open files \(ulimit -n\)")
        self.shell("ulimit -v 1000000; USCX run scx_simple", r"is an address space limit \(ulimit -v\) set")


class Outcomes(Case):
    def test_error_exit_has_status_3_and_tasks_go_on(self):
        report = self.report("--cpus", "2", "--duration", "2s", "scx_qmap", "-e", "100", status=3)
        self.assertEqual(report["exit"]["kind"], 1025)
        self.assertEqual(report["exit"]["kind_name"], "SCX_EXIT_ERROR_BPF")
        self.assertEqual(report["exit"]["reason"], "scx_bpf_error")
        self.assertIn("triggering error", report["exit"]["message"])
        self.assertEqual(report["duration_ns"] // 10**9, 2)

    def test_stall_has_status_4(self):
        report = self.report("--cpus", "1", "--duration", "20s", "--workload", "hogs:tasks=3", "--ops",
                             "timeout_ms=2000", "scx_qmap", "-t", "50", status=4)
        self.assertEqual(report["exit"]["kind"], 1026)
        self.assertRegex(report["exit"]["message"], r"failed to run for \d+\.\d{3}s")


class Repeatable(Case):
    RUN = ["--cpus", "4", "--duration", "300ms"]

    def hash_of(self, *args):
        return self.report(*self.RUN, *args)["trace_hash"]

    def test_same_input_same_hash(self):
        for scheduler in ("fair", "scx_simple"):
            with self.subTest(scheduler=scheduler):
                first = self.hash_of("--workload", "mixed", scheduler)
                self.assertEqual(first, self.hash_of("--workload", "mixed", scheduler))
                self.assertEqual(first, self.hash_of("--workload", "mixed", "--trace", "t", scheduler))
                self.assertNotEqual(first, self.hash_of("--workload", "mixed", "--seed", "2", scheduler))
        self.assertEqual(self.hash_of("scx_simple"), self.hash_of("--interp", "scx_simple"))

    def test_hogs_have_no_randomness(self):
        for workload in ("hogs", "pingpong:pairs=3"):
            for scheduler in ("fair", "scx_simple"):
                with self.subTest(workload=workload, scheduler=scheduler):
                    args = ["--workload", workload]
                    self.assertEqual(self.hash_of(*args, scheduler), self.hash_of(*args, "--seed", "2", scheduler))

    def test_workloads_add_up(self):
        report = self.report(*self.RUN, "--workload", "hogs:tasks=2", "--workload", "pingpong", "fair")
        self.assertEqual([task["name"] for task in report["tasks"]], ["hog-0", "hog-1", "ping-0", "pong-0"])


class Shares(Case):
    def shares(self, *args):
        report = self.report(*args)
        total = sum(task["cpu_time_ns"] for task in report["tasks"])
        return [100 * task["cpu_time_ns"] / total for task in report["tasks"]]

    def check(self, shares, expected, within):
        self.assertEqual(len(shares), len(expected))
        for share, wanted in zip(shares, expected):
            self.assertAlmostEqual(share, wanted, delta=within)

    def test_fair_gives_cpu_by_weight(self):
        self.check(self.shares("--cpus", "1", "--hz", "250", "--workload", "hogs:nice=-5/0/5", "fair"),
                   [69.7, 22.9, 7.5], 1.5)

    def test_four_hogs_on_two_cpus_are_equal(self):
        for scheduler in ("fair", "scx_simple"):
            with self.subTest(scheduler=scheduler):
                self.check(self.shares("--cpus", "2", "--workload", "hogs:tasks=4", scheduler), [25] * 4, 1)

    def test_script_times_are_kept(self):
        self.write("t.json", json.dumps({"global": {"duration": 1}, "tasks": {
            "periodic": {"run": 1000, "timer": {"ref": "unique", "period": 10000}},
            "wakes": {"wakes": [["100ms", 500], ["200ms", 700]]},
            "once": {"loop": 2, "phases": {"p": {"loop": 3, "run": "2ms", "sleep": "1ms"}}}}}))
        report = self.report("--workload", "t.json", "--cpus", "2", "fair")
        times = {task["name"]: task["cpu_time_ns"] / 1e6 for task in report["tasks"]}
        # What interrupts and switches take is part of a task's CPU time.
        self.assertAlmostEqual(times["periodic"], 100, delta=2)
        self.assertAlmostEqual(times["wakes"], 1.2, delta=0.1)
        self.assertAlmostEqual(times["once"], 12, delta=0.3)
        self.assertEqual(report["duration_ns"], 10**9)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
