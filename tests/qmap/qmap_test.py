#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""scx_qmap of Linux 7.2, the scheduler in cid form: the unmodified program with each of its options, and its object.

Usage: qmap_test.py USCX BUILD [unittest's arguments]
"""
import os
import re
import subprocess
import sys
import unittest

USCX = os.path.abspath(sys.argv[1])
KERNEL = os.path.join(os.path.abspath(sys.argv[2]), "linux-source-7.2")
QMAP = os.path.join(KERNEL, "programs", "scx_qmap")
OBJECT = os.path.join(KERNEL, "scx_qmap.bpf.o")
NICE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nice.json")
SKIPPED, TIMEOUT_S = 77, 240


class Case(unittest.TestCase):
    def run_once(self, *args, options=("--cpus", "8"), workload="mixed", duration="3s", status=0, scheduler=QMAP):
        done = subprocess.run([USCX, "run", *options, "--duration", duration, "--workload", workload, scheduler, *args],
                              capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def run_twice(self, *args, **named):
        """What the program printed, what came to standard error, and the trace hash, which is the same twice."""
        first, second = (self.run_once(*args, **named) for _ in range(2))
        hashes = [re.search(r"(?m)^Trace +([0-9a-f]{16})$", done.stdout).group(1) for done in (first, second)]
        self.assertEqual(hashes[0], hashes[1])
        return first.stdout, first.stderr, hashes[0]

    def ends_well(self, *args, **named):
        out, err, digest = self.run_twice(*args, **named)
        self.assertIn("EXIT: unregistered from user space", err)
        return out, err, digest


class Plain(Case):
    def test_statistics(self):
        out, err, _ = self.ends_well(duration="30s")
        line = r"^stats  : enq=(\d+) dsp=(\d+) delta=-?\d+ reenq/cid0=0/0 deq=\d+ core=0 enq_ddsp=\d+$"
        stats = re.findall(line, out, re.M)
        self.assertEqual(len(stats), 30)
        self.assertLess(int(stats[1][0]), int(stats[29][0]))
        self.assertEqual(len(re.findall(r"^         exp_local=0 exp_remote=0 exp_timer=0 exp_lost=0$", out, re.M)), 30)
        self.assertIn("cpuperf: cur min/avg/max=1024/1024/1024 target min/avg/max=512/512/512", out)
        self.assertIn('sched_ext: BPF scheduler "qmap" enabled\n', err)
        self.assertIn('sched_ext: BPF scheduler "qmap" disabled (unregistered from user space)\n', err)


class Options(Case):
    def test_slice(self):
        self.assertNotEqual(self.ends_well("-s", "5000")[2], self.ends_well()[2])

    def test_batch(self):
        self.ends_well("-b", "8")

    def test_slab(self):
        self.ends_well("-N", "64")
        err = self.run_once("-N", "8", status=3).stderr
        self.assertRegex(err, r"EXIT: scx_bpf_error \(scx_qmap.bpf.c:\d+: task_ctx slab exhausted \(max_tasks=8\)\)")

    def test_prints(self):
        _, err, _ = self.ends_well("-P", "-b", "8", workload=NICE)
        self.assertIn("bpf_trace_printk:           SCX_EV_DISPATCH_KEEP_LAST: ", err)
        self.assertRegex(err, r"Dumping \d+ tasks in SHARED_DSQ in reverse order")

    def test_messages(self):
        _, err, _ = self.ends_well("-M")
        self.assertIn("CGRP INIT 1 weight=100 period=100000 quota=-1 burst=0", err)

    def test_boost(self):
        out, _, _ = self.ends_well("-H", "-b", "8", workload=NICE, options=("--cpus", "4"))
        counts = re.findall(r"exp_local=(\d+) exp_remote=(\d+)", out)[-1]
        self.assertGreater(int(counts[0]) + int(counts[1]), 0)

    def test_disallow(self):
        self.ends_well("-d", "-1")

    def test_dump_length(self):
        long = self.run_once("-D", "65536", "-e", "100", status=3).stderr
        short = self.run_once("-D", "600", "-e", "100", status=3).stderr
        self.assertNotIn("TRUNCATED", long)
        self.assertIn("~~~~ TRUNCATED ~~~~", short)

    def test_no_dump(self):
        err = self.run_once("-S", "-e", "100", status=3).stderr
        self.assertIn("CPU states", err)
        self.assertNotIn("QMAP", err)

    def test_partial(self):
        _, err, _ = self.ends_well("-p")
        self.assertIn('sched_ext: BPF scheduler "qmap" enabled (partial)', err)

    def test_immed(self):
        out, _, _ = self.ends_well("-I", "-F", "5")
        self.assertGreater(int(re.findall(r"reenq/cid0=(\d+)/", out)[-1]), 0)


class Faults(Case):
    """The exit lines of a real kernel; times, CPUs and names of tasks are the machine's."""

    def test_error(self):
        err = self.run_once("-e", "100", status=3).stderr
        self.assertRegex(err, r"EXIT: scx_bpf_error \(\S*scx_qmap.bpf.c:388: test triggering error\) on CPU \d")
        dump = err[err.index("DEBUG DUMP"):]
        for line in (r"qmap: root", r"\S+\[\d+\] triggered exit kind 1025 on CPU \d:",
                     r"  scx_bpf_error \(\S*scx_qmap.bpf.c:388: test triggering error\)",
                     r"  bpf__sched_ext_ops_cid_enqueue", r"QMAP FIFO\[4\]:.*",
                     r"CPU \d   : nr_run=\d+ flags=0x1 cpu_rel=0 ksync=\d+",
                     r"  QMAP: dsp_idx=\d dsp_cnt=\d+ avg_weight=\d+ cpuperf_target=\d+",
                     r"    QMAP: force_local=\d core_sched_seq=\d+"):
            self.assertRegex(dump, f"(?m)^{line}$")

    def stall(self, *args, duration="10s", workload="mixed"):
        err = self.run_once(*args, status=4, duration=duration, options=("--cpus", "2"), workload=workload).stderr
        found = re.search(r"EXIT: runnable task stall \((\S+\[\d+\]|watchdog) failed to (?:run|check in) for "
                          r"(\d+\.\d+)s\) on CPU \d", err)
        self.assertTrue(found, err)
        # Within the timeout of 5 s and one period of the watchdog.
        self.assertLessEqual(float(found.group(2)), 7.5)
        return found.group(1)

    def test_user_stall(self):
        self.assertRegex(self.stall("-t", "50"), r"^inter-\d+\[")

    def test_kernel_stall(self):
        self.assertNotRegex(self.stall("-T", "5", duration="60s"), r"^(inter|hog)")

    def test_endless_dispatch(self):
        self.stall("-l", "50", duration="12s", workload="hogs:tasks=8")


class Cids(Case):
    SHAPE = ("--topology", "2n:2l:2c:2t")

    def test_shuffle(self):
        self.ends_well("-C", "shuffle", options=self.SHAPE)

    def test_wrong_orders(self):
        for mode, message in (("bad-dup", "cid 0 assigned to multiple cpus"), ("bad-range", "invalid cid 16")):
            err = self.run_once("-C", mode, options=self.SHAPE, status=3).stderr
            self.assertIn(f"EXIT: runtime error ({message})", err)

    def test_hotplug(self):
        _, err, _ = self.ends_well(options=(*self.SHAPE, "--hotplug", "3:off@1s,3:on@2s"), duration="4s")
        self.assertEqual(err.count("enabled"), 2, err)
        self.assertIn("EXIT: unregistered from the main kernel (cpu 3 going offline, exiting scheduler)", err)


class Subs(Case):
    """One program below another: the second has the tasks of a control group."""
    WORKLOAD = "mixed:cgroup=/x"

    def shell(self, script, **named):
        return self.run_twice("-c", script.replace("QMAP", f"'{QMAP}'"), scheduler="/bin/sh", workload=self.WORKLOAD,
                              options=("--cpus", "4", "--workload", "hogs:tasks=2"), duration="8s", **named)

    def test_comes_and_goes(self):
        out, err, _ = self.shell("QMAP >/dev/null & first=$!; sleep 1; QMAP -c /sys/fs/cgroup/x & second=$!; sleep 3; "
                                 "cat /sys/kernel/sched_ext/root/sub/sub-$(stat -c %i /sys/fs/cgroup/x)/ops; "
                                 "kill -INT $second; wait $second; sleep 1; kill -INT $first; wait $first")
        self.assertIn('sched_ext: BPF sub-scheduler "qmap" enabled', err)
        self.assertIn("attaching sub-sched[0] on /x", err)
        self.assertIn("detaching sub-sched[0] on /x", err)
        self.assertIn('sched_ext: BPF sub-scheduler "qmap" disabled (unregistered from user space)', err)
        self.assertEqual(err.count("EXIT: unregistered from user space"), 2)
        self.assertIn("\nqmap\n", out)
        counts = [int(count) for count in re.findall(r"^stats  : enq=(\d+)", out, re.M)]
        self.assertGreater(counts[-1], 100)

    def test_parent_ends(self):
        _, err, _ = self.shell("QMAP & first=$!; sleep 1; QMAP -c /sys/fs/cgroup/x & second=$!; sleep 2; "
                               "kill -INT $first; wait $first; wait $second")
        self.assertIn("EXIT: parent exiting", err)
        self.assertIn("EXIT: unregistered from user space", err)

    def test_error(self):
        _, err, _ = self.shell("QMAP & first=$!; sleep 1; QMAP -c /sys/fs/cgroup/x -e 100; kill -INT $first; wait")
        self.assertRegex(err, r"EXIT: scx_bpf_error \(scx_qmap.bpf.c:388: test triggering error\) on CPU \d")
        self.assertRegex(err, r"(?m)^qmap: sub1-\d+ /x$")
        self.assertIn("EXIT: unregistered from user space", err)


class Object(Case):
    SET = ("--set", "max_tasks=1024", "--set", "slice_ns=20000000")

    def test_modes(self):
        digests = {self.run_twice(scheduler=OBJECT, options=("--cpus", "8", *self.SET, *more))[2]
                   for more in ((), ("--interp",))}
        self.assertEqual(len(digests), 1)

    def test_threads(self):
        self.run_once(scheduler=OBJECT, options=("--machine", "threads", "--cpus", "2", *self.SET), duration="1s")

    def test_big_machine(self):
        self.run_once(scheduler=OBJECT, options=("--cpus", "1024", *self.SET, "--set", "max_tasks=16384"),
                      duration="100ms")
        err = self.run_once(scheduler=OBJECT, options=("--cpus", "1025", *self.SET), status=3, duration="10ms").stderr
        self.assertIn("nr_cids=1025 exceeds SCX_QMAP_MAX_CPUS=1024", err)

    def test_explore(self):
        done = subprocess.run([USCX, "explore", "--with-load", "--schedules", "20", "--cpus", "2", *self.SET, OBJECT],
                              capture_output=True, text=True, timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("no failure found", done.stdout)


if __name__ == "__main__":
    needed = OBJECT if sys.argv[3:] == ["Object"] else QMAP
    if not os.path.exists(needed):
        print(f"{needed} is not built: make programs")
        sys.exit(SKIPPED)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
