#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Whole programs under uscx: what they see and print, that it is the same twice, and what is left after their deaths.

Usage: process_test.py USCX PROGRAMS BUILD [unittest's arguments]
"""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
import unittest

USCX = os.path.abspath(sys.argv[1])
PROGRAMS = os.path.abspath(sys.argv[2])
BUILD = os.path.abspath(sys.argv[3])
EXAMPLES = os.path.join(BUILD, "linux-source-7.2", "programs")
TIMEOUT_S = 240
SKIPPED = 77


class Case(unittest.TestCase):
    def command(self, program, *args, options=(), duration="20s", cpus="8"):
        path = program if "/" in program else os.path.join(PROGRAMS, program)
        machine = () if "--topology" in options else ("--cpus", cpus)
        return [USCX, "run", *machine, "--duration", duration, "--workload", "hogs:tasks=3", *options, path, *args]

    def run_once(self, *args, status=0, **named):
        done = subprocess.run(self.command(*args, **named), capture_output=True, text=True, timeout=TIMEOUT_S,
                              stdin=subprocess.DEVNULL)
        if status is not None:
            self.assertEqual(done.returncode, status, done.stderr)
        return done

    def run_twice(self, program, *args, **named):
        """Runs it twice, and returns the lines that it printed before the report."""
        first, second = (self.run_once(program, *args, **named) for _ in range(2))
        self.assertEqual(self.without_wall(first.stdout), self.without_wall(second.stdout))
        self.assertEqual(first.stderr, second.stderr)
        return first.stdout[:first.stdout.index("Scheduler ")].splitlines(), first.stderr

    @staticmethod
    def without_wall(text):
        """The report says how long the run took in real time, which is nobody's business here."""
        return [line.split(" in ")[0] + line[line.find(", "):] if line.startswith("Run ") else line
                for line in text.splitlines()]


class Clocks(Case):
    def test_sleeps(self):
        for program in ("clocks", "clocks_static"):
            with self.subTest(program=program):
                lines, _ = self.run_twice(program)
                for line, floor in zip(lines, (1000000, 1500, 2000000)):
                    took = int(line.split()[1])
                    self.assertGreaterEqual(took, floor)
                    self.assertLess(took, floor + 5000)
                self.assertEqual(lines[3], "time 1767225603 gettimeofday 1767225603")
                self.assertEqual(lines[4:], ["difference of clocks 1767225600 s", "cpu time below 1 ms: 1"])


class Threads(Case):
    def test_waits(self):
        lines, _ = self.run_twice("threads")
        self.assertEqual(lines, ["counter 200 in turn 1 sum 60", "timedwait timed out after 3 s",
                                 "main is its own leader 1"])


class Forks(Case):
    def test_children(self):
        lines, errors = self.run_twice("forks")
        self.assertEqual(lines, ["posted, private 1", "child is the one that was forked 1, status 7",
                                 "no other child 1", "killed by 9", "spawned 0", "not yet 0", "status 5", "system 3",
                                 "popen: from a pipe"])
        self.assertEqual(errors, "")


class Pipes(Case):
    def test_full_and_empty(self):
        lines, _ = self.run_twice("pipes")
        self.assertEqual(lines, ["socket: hello", "written 300000, sums agree 1", "empty and nonblocking 1"])


class Polls(Case):
    def test_readiness_and_limits(self):
        lines, _ = self.run_twice("polls")
        self.assertEqual(lines, ["poll 0 after 100 ms", "poll 1 after 150 ms", "select 1 set 1 after 250 ms",
                                 "epoll 1 of 11 after 250 ms", "epoll 1 of 22 after 100 ms", "epoll 0 after 40 ms"])


class Timers(Case):
    def test_expirations(self):
        lines, _ = self.run_twice("timers")
        self.assertEqual(lines, ["8 bytes, 1 expirations after 50 ms", "8 bytes, 5 expirations after 570 ms",
                                 "left 79 ms", "disarmed 1"])


class Signals(Case):
    def test_handlers(self):
        lines, errors = self.run_twice("signals")
        self.assertEqual(lines, ["nanosleep -1 Interrupted system call after 1000 ms, left 4 s, alarms 1",
                                 "read 1 after 600 ms, usr1 1", "blocked, usr1 1", "sigsuspend, usr1 2",
                                 "sigtimedwait -1 after 1000 ms", "sigtimedwait 1", "interrupted, bye"])
        self.assertIn("ended with status 4", errors)


class Files(Case):
    def test_machine(self):
        lines, _ = self.run_twice("files", options=["--topology", "2n:1l:2c:2t"])
        self.assertEqual(lines, [
            "/sys/kernel/sched_ext/state: disabled", "/sys/kernel/sched_ext/root/ops: No such file or directory",
            "/sys/devices/system/cpu/online: 0-7",
            "/sys/devices/system/cpu/possible: 0-7",
            "/sys/devices/system/cpu/cpu3/topology/thread_siblings_list: 3,7",
            "/sys/devices/system/cpu/cpu0/cache/index3/shared_cpu_list: 0-1,4-5",
            "/sys/devices/system/cpu/cpu99/online: No such file or directory",
            "/sys/devices/system/node/node1/cpulist: 2-3,6-7", "/sys/devices/system/node/node1/distance: 20 10",
            "/sys/devices/system/cpu: cpu0 cpu1 cpu2 cpu3 cpu4 cpu5 cpu6 cpu7 isolated kernel_max nohz_full offline "
            "online possible present smt",
            "relative: 1", "btf 1", "may not write 1", "access 0 -1", "processors 8 of 8", "sysconf 8", "release 7.2.",
            "setaffinity 0", "on CPU 5", "CPUs 1", "SCHED_EXT 0, policy 7", "nice 5"])


class VirtualFiles(Case):
    """All names that the simulated kernel's file systems show: what is said of them agrees, nothing is the host's but
    what the table names, and CPUs that are offline are out of all of it."""
    ROOTS = "/proc /sys /sys/fs/cgroup /sys/fs/bpf /sys/kernel/debug /sys/kernel/tracing"
    CPU = "/sys/devices/system/cpu/cpu"
    # Each with CPUs that go offline on the way.
    TOPOLOGIES = {"1n:1l:1c:1t": [], "1n:1l:4c:2t": [3, 7], "2n:1l:2c:2t": [2, 3, 6, 7], "2n:2l:2c:1t": [1],
                  "1n:2l:3c:2t": [1, 11], "4n:1l:1c:1t": [3]}

    def inside(self, script, topology="1n:1l:4c:2t", **named):
        return self.run_twice("/bin/sh", "-c", script, options=["--topology", topology], **named)

    def set_online(self, cpus, value):
        return "; ".join(["true"] + [f"echo {value} > {self.CPU}{cpu}/online" for cpu in cpus])

    def test_every_name(self):
        walk = f"{os.path.join(PROGRAMS, 'walk')} {self.ROOTS}"
        table = subprocess.run([USCX, "list", "host-files"], capture_output=True, text=True, check=True).stdout
        of_host = {line.split()[0] for line in table.splitlines()}
        for topology, gone in self.TOPOLOGIES.items():
            with self.subTest(topology=topology):
                lines, _ = self.inside(
                    f"mkdir /sys/fs/cgroup/a /sys/fs/bpf/b; echo +cpu > /sys/fs/cgroup/cgroup.subtree_control; {walk}; "
                    f"{self.set_online(gone, 0)}; {walk}; {self.set_online(gone, 1)}; {walk}", topology)
                shown = {re.sub(r"^the host's: |(?<=/proc/)[0-9]+(/task/[0-9]+)?", lambda m: "PID" if m[0][0] != "t"
                                else "", line) for line in lines if line.startswith("the host's: ")}
                self.assertGreater(len(shown), 20)
                self.assertLessEqual(shown, of_host)
                lines = [line for line in lines if not line.startswith("the host's: ")]
                self.assertEqual(len(lines), 3 * 7, lines)
                for line in lines:
                    self.assertRegex(line, "^/[a-z/]+: [0-9]+ files, [0-9]+ to write, [0-9]+ directories, [0-9]+ links$"
                                     "|^1 bytes, sum [0-9a-f]+$")
                # What went offline took its topology, its caches and its capacity along; then all is back.
                files = [int(re.search(r": ([0-9]+) files", line)[1]) for line in lines if line.startswith("/sys:")]
                self.assertEqual(files[0] - files[1], len(gone) * (1 + 16 + 4 * 9))
                self.assertEqual(files[0], files[2])

    def test_caches(self):
        cache = self.CPU + "0/cache/index"
        lines, _ = self.inside(f"cat {cache}3/level {cache}3/type {cache}0/type {cache}1/size {cache}3/shared_cpu_list")
        self.assertEqual(lines, ["3", "Unified", "Data", "32K", "0-7"])

    def test_walks_find_all_cpus(self):
        lines, errors = self.inside("find /sys/devices/system/cpu -name core_id | wc -l; "
                                    "find /proc -name sched -path '/proc/2/*' | wc -l; find /sys -type l | wc -l")
        self.assertEqual(lines, ["8", "2", "16"])
        self.assertNotIn("loop", errors)

    def test_offline_cpus(self):
        lines, _ = self.inside(
            f"{self.set_online([3], 0)}; cd /sys/devices/system; ls -d cpu/cpu3/topology cpu/cpu3/cache "
            "cpu/cpu3/node0; "
            "cat cpu/offline cpu/cpu7/topology/thread_siblings_list cpu/cpu0/topology/core_siblings_list "
            "cpu/cpu0/topology/package_cpus cpu/cpu7/cache/index0/shared_cpu_list "
            "cpu/cpu0/cache/index3/shared_cpu_list "
            "node/node0/cpulist node/node0/cpumap; grep -c ^cpu /proc/stat; grep -c ^processor /proc/cpuinfo; "
            "cat cpu/cpu3/online")
        self.assertEqual(lines, ["cpu/cpu3/node0", "3", "7", "0-2,4-7", "f7", "7", "0-2,4-7", "0-2,4-7", "f7", "8", "7",
                                 "0"])
        lines, _ = self.inside(f"{self.set_online([1], 0)}; cd /sys/devices/system/node; "
                               "cat has_cpu online node1/cpulist",
                               "2n:1l:1c:1t")
        self.assertEqual(lines, ["0", "0-1", ""])

    def test_links(self):
        lines, _ = self.inside(
            "cd /sys/devices/system; readlink cpu/cpu5/node0 node/node0/cpu5; cat node/node0/cpu5/topology/core_id "
            "cpu/cpu5/node0/cpulist; readlink /proc/self | grep -c '^[1-9][0-9]*$'; exec 3< cpu/online 4< cpu; "
            "readlink /proc/self/fd/3 /proc/self/fd/4; cat /proc/self/fd/3 /proc/self/fd/4/possible "
            "/proc/self/root/sys/kernel/sched_ext/state /proc/self/cwd/cpu/present")
        self.assertEqual(lines, ["../../node/node0", "../../cpu/cpu5", "1", "0-7", "1",
                                 "/sys/devices/system/cpu/online", "/sys/devices/system/cpu", "0-7", "0-7", "disabled",
                                 "0-7"])

    def test_tasks_of_sched(self):
        lines, _ = self.inside("grep -c ext.enabled /proc/self/sched; "
                               "grep -h ext.enabled /proc/2/sched /proc/$$/sched; "
                               "cut -d' ' -f3 /proc/2/schedstat | grep -c .")
        self.assertEqual(lines[0], "1")
        self.assertEqual([" ".join(line.split()) for line in lines[1:3]], ["ext.enabled : 0"] * 2)
        self.assertEqual(lines[3], "1")

    def test_nothing_of_the_host(self):
        lines, _ = self.inside(
            "cut -d' ' -f2,3 /proc/mounts; for name in /proc/self/mounts /etc/mtab /proc/thread-self/mounts; do "
            "cmp /proc/mounts $name; done; wc -l < /proc/self/mountinfo; stat -f -c %T /sys /proc /sys/fs/cgroup "
            "/sys/kernel/debug /sys/kernel/tracing; ls /sys; ls /sys/fs /sys/kernel; ls -d /proc/interrupts "
            "/proc/self/io /sys/class /sys/block /sys/module /proc/bus; true")
        kernels = ["/proc proc", "/sys sysfs", "/sys/fs/bpf bpf", "/sys/fs/cgroup cgroup2", "/sys/kernel/debug debugfs",
                   "/sys/kernel/debug/tracing tracefs", "/sys/kernel/tracing tracefs"]
        self.assertEqual(lines, ["/ ext4", "/dev devtmpfs", "/dev/shm tmpfs"] + kernels + [
            "10", "sysfs", "proc", "cgroup2fs", "debugfs", "tracefs", "bus", "devices", "fs", "kernel", "/sys/fs:",
            "bpf",
            "cgroup", "", "/sys/kernel:", "btf", "debug", "sched_ext", "tracing"])

    def test_lscpu(self):
        if not shutil.which("lscpu"):
            self.skipTest("lscpu is not there")
        lines, _ = self.inside("lscpu; lscpu -p=CPU,CORE,ONLINE | tail -1", "2n:1l:2c:2t")
        said = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
        self.assertEqual([said[key] for key in ("CPU(s)", "Thread(s) per core", "NUMA node(s)", "NUMA node1 CPU(s)")],
                         ["8", "2", "2", "2,3,6,7"])
        self.assertEqual(lines[-1], "7,3,Y")


class Watched(Case):
    def test_inotify(self):
        lines, _ = self.run_twice("watch")
        self.assertEqual(lines, [
            "root 1", "nothing after 100 ms:", "mkdir after 300 ms: 1 created watched/", "group 2",
            "moved after 0 ms: 2 modified cgroup.procs", "back after 0 ms: 1 modified cgroup.procs",
            "written after 0 ms: 1 modified cgroup.subtree_control",
            "rmdir after 0 ms: 2 gone 2 ignored 1 deleted watched/",
            "again 0, of nothing -1, of the host's 1", "again after 0 ms: 1 created watched/", "one more 0",
            "not watched after 100 ms:"])


class Timed(Case):
    def test_timers_and_descriptors(self):
        lines, errors = self.run_twice("timed")
        self.assertEqual(lines, [
            "create 0, set 0", "taken 5, value 42, by a timer 1, left 69 ms", "blocked 0, overrun 3",
            "let in 1, delete 0, gone -1", "thread after 1 s, flag 7",
            "poll 0 after 100 ms", "poll 1 after 200 ms, read 1, signal 1, value 11",
            "epoll 1 of 5, read 1, child 1", "pidfd 1, poll 0, poll 1 after 300 ms, wait 0, status 4",
            "kill 0, reaped 1, by 15 1, gone 1", "read 1 'd', adopted 1, status 9",
            "dumpable 0, mlockall 0, nonsense -1", "handle 0, is the id 1, opens 1",
            "SCHED_RR 0, SCHED_DEADLINE -1 Invalid argument", "prctl -1 Invalid argument"])
        self.assertIn("scheduling policy 6 (SCHED_DEADLINE) is not implemented", errors)
        self.assertIn("timed: option 12345 of prctl() is not implemented", errors)


class Calls(Case):
    def test_documented(self):
        listed = subprocess.run([USCX, "list", "syscalls"], capture_output=True, text=True, check=True).stdout
        with open(os.path.join(BUILD, "..", "docs", "PROGRAMS.md"), encoding="utf-8") as page:
            self.assertIn(f"```\n{listed}```\n", page.read(),
                          "docs/PROGRAMS.md needs the output of: uscx list syscalls")
        names = listed.split()
        for name in ("openat", "lseek", "ptrace", "sched_setattr", "timer_create"):
            self.assertEqual(names.count(name), 1, name)


class Tasks(Case):
    def test_proc_and_directories(self):
        lines, _ = self.run_twice("tasks", "an argument", options=["--topology", "2n:1l:2c:1t"])
        path = os.path.join(PROGRAMS, "tasks")
        self.assertEqual(lines, [
            "Name:\ttasks", "Kthread:\t0", "Threads:\t1", "Cpus_allowed_list:\t0-3", "Mems_allowed_list:\t0-1",
            f"{path}|an argument|", "stat 1 1 1", "listed 1, self's threads 1", "kthreadd", "Kthread:\t1",
            "/proc/99999/stat: No such file or directory", "relative 6 tasks", "MemTotal:       16777216 kB",
            "SwapFree:              0 kB", "btime 1767225600",
            "first of two", "threads 2, set 0", "second", "first of two", "the other is second",
            "mkdir 0, chdir 0, in /sys/fs/cgroup/here", "mkdir 0, here 1, above 1", "100", "moved 1", "0::/here",
            "chdir 0, in /sys/fs/cgroup/here/below", "file Not a directory, nothing No such file or directory",
            "back 0, in /tmp", "1", "node 1 has CPU 2 1, CPU 0 0, -1"])


class Tuning(Case):
    def test_writes(self):
        lines, _ = self.run_twice("tuning", cpus="4", options=["--nohz-full", "2-3"])
        self.assertEqual(lines, [
            "nohz_full 2-3", "CPU 0 No such file or directory", "nonsense: Invalid argument",
            "off ok, online 0,2-3, count 3", "total_bw 157284 on 3 CPUs", "on ok, online 0-3",
            "total_bw 209712 on 4 CPUs", "runtime 50000000, doubled ok", "total_bw 262141 on 4 CPUs",
            "beyond its period: Invalid argument, period: ok, 2000000000", "total_bw 209712 on 4 CPUs",
            "spins 1, late 0"])


class Stops(Case):
    def test_stop_and_continue(self):
        done = self.run_once("stops")
        self.assertEqual(done.stdout.splitlines()[:4], [
            "stop 0 wait 1 stopped by 19 again 0", "ended meanwhile: 0 continued 1 status 7 after 3000 ms",
            "computes 1, not while stopped 1, killed by 9, gone 1",
            "fields 52, ours 1, threads 2"])


class Raw(Case):
    def test_instructions(self):
        lines, errors = self.run_twice("raw")
        self.assertEqual(lines, ["slept 2 s", "pid 1", "cpu below 8: 1", "refused -38"])
        self.assertIn("raw: system call io_uring_setup (number 425) is not implemented", errors)


class Hog(Case):
    def test_is_parked_and_named(self):
        done = self.run_once("hog", duration="1s", cpus="2")
        self.assertIn("counts as a CPU hog", done.stderr)
        self.assertIn("was killed by signal 2", done.stderr)
        report = json.loads(self.run_once("hog", duration="1s", cpus="2", options=["--report", "json"]).stdout)
        self.assertIn("counts as a CPU hog", report["notes"][0])
        hog = [task for task in report["other_tasks"] if task["name"] == "hog"]
        # One of four tasks on two CPUs.
        self.assertGreater(hog[0]["cpu_time_ns"], 400e6)


class Spins(Case):
    """Threads that wait for each other by looking at memory: the first is given half a second, the others little."""

    def test_many(self):
        start = time.monotonic()
        done = self.run_once("spin", "64", duration="30s", cpus="4")
        took = time.monotonic() - start
        self.assertIn("begun 64", done.stdout)
        self.assertEqual(done.stderr.count("counts as a CPU hog"), 1, done.stderr)
        # Each for itself would take half a second of host time, and a thread that spins has turns meanwhile.
        self.assertLess(took, 64 * 0.5)


class Refused(Case):
    def test_files(self):
        for program, why in (("./nothing", "No such file"), ("/etc/passwd", "not a BPF object")):
            done = self.run_once(program, status=2)
            self.assertIn(why, done.stderr)

    def test_options_of_objects(self):
        done = self.run_once("/bin/true", status=2, options=["--set", "a=1"])
        self.assertIn("--set and --ops are for object files", done.stderr)

    def test_hosts_without_what_is_needed(self):
        for call, number, why in (("ptrace", 101, "cannot be traced"), ("seccomp", 317, "cannot be intercepted"),
                                  ("pidfd_getfd", 438, "descriptors cannot be reached"),
                                  ("process_vm_readv", 310, "memory cannot be read")):
            with self.subTest(call=call):
                command = [os.path.join(PROGRAMS, "deny"), str(number), *self.command("/bin/true")]
                # A sanitizer build looks for leaks by ptrace.
                done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S,
                                      env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(why, done.stderr)
                self.assertIn(call, done.stderr)

    def test_failure_before_attaching(self):
        done = self.run_once("/bin/false", status=2)
        self.assertIn("ended with status 1 without attaching", done.stderr)


class Events(Case):
    """What a BPF program sends, through ring and perf buffers, wakes who polls for it."""

    def test_buffers(self):
        lines, _ = self.run_twice("events", os.path.join(PROGRAMS, "..", "events.bpf.o"))
        self.assertEqual(lines, ["epoll: 5 records, 5 wakeups, 500 ms", "poll of epoll: 5 records, 5 wakeups, 500 ms",
                                 "poll: 5 records, 5 wakeups, 500 ms",
                                 "select: 5 records, 5 wakeups, 500 ms",
                                 "same process 1, own pid 1, leader 1, parent 1, threads 2, events-2",
                                 "perf buffer: 5 records, 5 wakeups, 500 ms", "arena mapped 1",
                                 "counter 16 advanced, short -28, map -22"])


class Examples(Case):
    """The kernel's example schedulers as they are, from `make programs`: half a minute of mixed work on 8 CPUs."""
    # A part of the lines that each prints every second.
    MARKS = {"simple": "local=", "qmap": "stats  : enq=", "central": "[SEQ ", "cpu0": "local=", "flatcg": "[SEQ ",
             "userland": "BPF ENQUEUES", "pair": "[SEQ ", "sdt": "SCHEDULING STATS"}
    EVERY_S = {"flatcg": 2}

    def check(self, version, name, *args):
        path = os.path.join(BUILD, f"linux-source-{version}", "programs", f"scx_{name}")
        if not os.path.exists(path):
            self.skipTest(f"{path} is not built: make programs")
        lines, errors = self.run_twice(path, *args, options=["--workload", "mixed"], duration="30s")
        statistics = [line for line in lines if self.MARKS[name] in line]
        self.assertGreaterEqual(len(statistics), 25 // self.EVERY_S.get(name, 1), lines)
        self.assertEqual(errors.splitlines()[-1], "EXIT: unregistered from user space")


def add_examples():
    versions = {"7.2": ["simple", "simple -f", "qmap", "central", "flatcg", "cpu0", "pair", "userland", "sdt"],
                "6.12": ["simple", "qmap", "central"]}
    for version, names in versions.items():
        for name in names:
            def test(self, version=version, args=name.split()):
                self.check(version, *args)
            setattr(Examples, "test_" + re.sub("[ .-]+", "_", f"{version}_{name}"), test)


class Faults(Case):
    """Fault options of the kernel's scx_qmap end as on a real kernel 7.2: same kind, same words."""
    STALL = (r"EXIT: runnable task stall \((\S+\[\d+\] failed to run for|watchdog failed to check in for) "
             r"[5-9]\.\d{3}s\)")
    ON_CPU = {"7.2": r" on CPU \d+", "6.12": ""}
    ERROR = {"7.2": r"EXIT: scx_bpf_error \(\S*scx_qmap\.bpf\.c:388: test triggering error\) on CPU \d+",
             "6.12": r"EXIT: scx_bpf_error \(test triggering error\)"}

    def check(self, version, options, pattern, status, log):
        path = os.path.join(BUILD, f"linux-source-{version}", "programs", "scx_qmap")
        if not os.path.exists(path):
            self.skipTest(f"{path} is not built: make programs")
        with self.subTest(version=version, options=options):
            errors = self.run_once(path, *options.split(), duration="14s", cpus="2", status=status,
                                   options=["--workload", "mixed"]).stderr
            self.assertRegex(errors.splitlines()[-1], f"^{pattern}$")
            self.assertIn(f'sched_ext: BPF scheduler "qmap" {log}', errors)

    def test_options(self):
        for version in ("7.2", "6.12"):
            stall = self.STALL + self.ON_CPU[version]
            self.check(version, "-e 100", self.ERROR[version], 3, "disabled (scx_bpf_error)")
            self.check(version, "-t 50", stall, 4, "disabled (runnable task stall)")
            self.check(version, "-T 1", stall, 4, "disabled (runnable task stall)")
            self.check(version, "-l 100", stall, 4, "disabled (runnable task stall)")
            self.check(version, "-p", "EXIT: unregistered from user space", 0, "enabled (partial)")

    def test_disallowed_task(self):
        path = os.path.join(EXAMPLES, "scx_qmap")
        python = "/usr/bin/python3"
        if not os.path.exists(path) or not os.path.exists(python):
            self.skipTest(f"{path} is not built: make programs")
        task = ("import os, time; os.sched_setscheduler(0, 7, os.sched_param(0)); print(os.sched_getscheduler(0), "
                "flush=True); time.sleep(1); print(os.sched_getscheduler(0))")
        script = (f"{python} -c '{task}' & P=$!; sleep 0.5; {path} -d $P >/dev/null & Q=$!; sleep 1; "
                  "cat /sys/kernel/sched_ext/nr_rejected; kill -INT $Q; wait")
        lines, _ = self.run_twice("/bin/sh", "-c", script, duration="4s")
        self.assertEqual(lines, ["7", "0", "1"])


class Tools(Case):
    """bpftool looks at a scheduler that runs, and names in the BPF file system keep what they are of."""

    def inside(self, script):
        simple = os.path.join(EXAMPLES, "scx_simple")
        if not os.path.exists(simple) or not shutil.which("bpftool"):
            self.skipTest("bpftool or scx_simple is not there: scripts/setup, make programs")
        return self.run_twice("/bin/sh", "-c", f"{simple} >/dev/null & S=$!; sleep 1; {script}; kill -INT $S; wait",
                              duration="20s")

    def listed(self, what):
        lines, _ = self.inside(f"bpftool --json {what}")
        return json.loads("\n".join(lines))

    def test_lists(self):
        maps = {one["name"]: one for one in self.listed("map list")}
        self.assertEqual(maps["stats"]["type"], "percpu_array")
        self.assertEqual((maps["stats"]["bytes_key"], maps["stats"]["max_entries"]), (4, 2))
        self.assertGreater(maps["stats"]["bytes_memlock"], 0)
        self.assertEqual(maps["scx_simp.rodata"]["frozen"], 1)
        programs = {one["name"]: one for one in self.listed("prog list")}
        self.assertEqual(programs["simple_enqueue"]["type"], "struct_ops")
        self.assertTrue(programs["simple_enqueue"]["jited"])
        self.assertIn(maps["stats"]["id"], programs["simple_enqueue"]["map_ids"])
        self.assertNotEqual(programs["simple_enqueue"]["tag"], programs["simple_init"]["tag"])
        self.assertEqual([link["type"] for link in self.listed("link list")], ["struct_ops"])
        types = self.listed("btf list")
        self.assertEqual((types[0]["id"], types[0]["name"]), (1, "vmlinux"))
        self.assertEqual(types[1]["id"], programs["simple_init"]["btf_id"])
        self.assertEqual([(one["name"], one["kernel_struct_ops"]) for one in self.listed("struct_ops list")],
                         [("simple_ops", "sched_ext_ops")])

    def test_dumps(self):
        table = self.listed("struct_ops dump")[1]["bpf_struct_ops_sched_ext_ops"]
        self.assertEqual(table["common"]["state"], "BPF_STRUCT_OPS_STATE_INUSE")
        self.assertEqual(table["data"]["name"], "simple")
        self.assertIn("simple_enqueue", table["data"]["enqueue"])
        values = self.listed("map dump name stats")
        self.assertEqual([len(one["values"]) for one in values], [8, 8])
        lines, _ = self.inside("bpftool prog dump xlated name simple_enqueue")
        self.assertEqual(lines[0], "void simple_enqueue(unsigned long long * ctx):")
        self.assertTrue(any("map[id:" in line for line in lines))

    def test_pinned_link_keeps_the_scheduler(self):
        name = "/sys/fs/bpf/dir/simple"
        lines, errors = self.inside(
            f"mkdir /sys/fs/bpf/dir; bpftool link pin id 1 {name}; ls /sys/fs/bpf/dir; kill -9 $S; sleep 1; "
            f"cat /sys/kernel/sched_ext/state; rmdir /sys/fs/bpf/dir; bpftool map pin name stats {name}; "
            f"bpftool map pin name stats {name}2; bpftool map show pinned {name}2 | head -1; rm {name}; "
            "cat /sys/kernel/sched_ext/state; ls /sys/fs/bpf/dir")
        self.assertEqual(lines, ["simple", "enabled", "2: percpu_array  name stats  flags 0x0", "disabled", "simple2"])
        self.assertIn("Directory not empty", errors)
        self.assertIn("File exists", errors)


class Killed(Case):
    """SIGKILL at any call and at any time: the scheduler is gone, tasks run on, the next load works, and the same point
    gives the same trace. 20 points for each of the examples."""
    POINTS = 20
    DURATION_S = 0.8

    def script(self, path, points):
        """A shell's, which starts the scheduler again when it has been killed."""
        if points.random() < 0.5:
            return f"{path} & wait; exec {path}", ["--kill", f"call:{points.randrange(60, 900)}"]
        after_us = points.randrange(0, 400000)
        return f"{path} & sleep 0.{after_us:06}; kill -9 $!; wait; exec {path}", []

    def outcome(self, script, options):
        done = self.run_once("/bin/sh", "-c", script, duration=f"{self.DURATION_S}s", cpus="4", status=None,
                             options=["--report", "json", *options])
        self.assertIn(done.returncode, (0, 2), done.stderr)
        if done.returncode == 2:
            self.assertIn("was killed by signal 9 without attaching", done.stderr)
            return None, done.stderr
        return json.loads(done.stdout), done.stderr

    def check(self, path, points):
        script, options = self.script(path, points)
        with self.subTest(script=script, options=options):
            (report, errors), again = (self.outcome(script, options) for _ in range(2))
            self.assertEqual(errors, again[1])
            if report is None:
                return
            self.assertEqual(report["trace_hash"], again[0]["trace_hash"])
            self.assertGreaterEqual(errors.count(" enabled"), 1)
            # scx_userland's own program gives up when it does not find the task that it works for.
            self.assertEqual(errors.count(" enabled"), errors.count(" disabled ("))
            hogs = [task["cpu_time_ns"] for task in report["tasks"] if task["name"].startswith("hog-")]
            self.assertEqual(len(hogs), 3)
            self.assertGreater(sum(hogs), 0.7e9 * self.DURATION_S)
            # The second one, unless it was the shell that was hit.
            if "/bin/sh was killed" not in errors:
                self.assertIn("EXIT: unregistered from user space", errors)


def examples(version, names):
    directory = os.path.join(BUILD, f"linux-source-{version}", "programs")
    return [(version, name, os.path.join(directory, f"scx_{name}")) for name in names]


def add_killed():
    for version, name, path in (examples("7.2", ["simple", "central", "cpu0", "flatcg", "userland", "sdt", "qmap"]) +
                                examples("6.12", ["simple", "qmap", "central"])):
        def test(self, path=path, seed=f"{version} {name}"):
            if not os.path.exists(path):
                self.skipTest(f"{path} is not built: make programs")
            points = random.Random(seed)
            for _ in range(self.POINTS):
                self.check(path, points)
        setattr(Killed, "test_" + re.sub("[ .-]+", "_", f"{version}_{name}"), test)


if __name__ == "__main__":
    add_examples()
    add_killed()
    os.environ["PATH"] += ":/usr/sbin"  # Where Debian has bpftool.
    simple = os.path.join(EXAMPLES, "scx_simple")
    if {"Examples", "Killed", "Faults", "Tools"} & set(sys.argv[4:]) and not os.path.exists(simple):
        print(f"{simple} is not built: make programs")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
