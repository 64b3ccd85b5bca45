#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The cgroup2 file system as programs see it, from a shell under uscx, and its limits.

Usage: cgroup_files_test.py USCX [unittest's arguments]
"""
import os
import subprocess
import sys
import unittest

USCX = os.path.abspath(sys.argv[1])
TIMEOUT_S = 240
BASE = "/sys/fs/cgroup"


class CgroupFiles(unittest.TestCase):
    def shell(self, script, *options):
        command = [USCX, "run", "--cpus", "2", "--duration", "5s", "--workload", "hogs:tasks=1", *options,
                   "/bin/sh", "-c", f"C={BASE}; " + script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout[:done.stdout.index("Scheduler ")].splitlines()

    def test_directories(self):
        lines = self.shell("mkdir $C/a && mkdir $C/a/b; ls $C $C/a | grep -v '[.]'; "
                           "mkdir $C/a 2>/dev/null || echo exists; "
                           "rmdir $C/a 2>/dev/null || echo busy; rmdir $C/a/b && rmdir $C/a; ls $C | grep -v '[.]'; "
                           "mkdir $C/x/y 2>/dev/null || echo none; rmdir $C/cpu.stat 2>/dev/null || echo file")
        self.assertEqual(lines, [f"{BASE}:", "a", "", f"{BASE}/a:", "b", "exists", "busy", "none", "file"])

    def test_inode_numbers_are_ids(self):
        lines = self.shell("stat -c %i $C; mkdir $C/a $C/b; stat -c %i $C/a; stat -c %i $C/b; rmdir $C/a; mkdir $C/a; "
                           "stat -c %i $C/a")
        numbers = [int(line) for line in lines]
        self.assertEqual(numbers[0], 1)
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_members(self):
        lines = self.shell("mkdir $C/a; echo $$ > $C/a/cgroup.procs; grep -c . $C/a/cgroup.procs; sleep 0.01 & "
                           "grep -c . $C/a/cgroup.procs; rmdir $C/a 2>/dev/null || echo busy; wait; "
                           "cat $C/a/cgroup.events; echo 0 > $C/cgroup.procs; cat $C/a/cgroup.events; rmdir $C/a; "
                           "(echo 99999 > $C/cgroup.procs) 2>/dev/null || echo nobody")
        # Each program that reads is a process of the group too.
        self.assertEqual(lines, ["2", "3", "busy", "populated 1", "frozen 0", "populated 0", "frozen 0", "nobody"])

    def test_settings(self):
        lines = self.shell("cat $C/cgroup.controllers $C/cgroup.subtree_control; mkdir $C/a; A=$C/a/cpu; "
                           "cat $A.weight $A.max; echo 250 > $A.weight; echo '20000 50000' > $A.max; "
                           "echo 1000 > $A.max.burst; cat $A.weight $A.max $A.max.burst; "
                           "echo max > $A.max; cat $A.max; "
                           "echo -5 > $A.weight.nice; cat $A.weight $A.weight.nice; echo 1 > $A.idle; "
                           "cat $A.idle $A.weight; (echo 5 > $A.weight) 2>/dev/null || echo idle; "
                           "cat $C/cpu.weight 2>/dev/null || echo root")
        self.assertEqual(lines, ["cpu", "cpu", "100", "max 100000", "250", "20000 50000", "1000", "max 50000", "305",
                                 "-5", "1", "0", "idle", "root"])

    def test_controller(self):
        lines = self.shell("mkdir $C/a $C/a/b; ls $C/a/b | grep -c cpu[.]; echo +cpu > $C/a/cgroup.subtree_control; "
                           "ls $C/a/b | grep -c cpu[.]; "
                           "(echo -cpu > $C/cgroup.subtree_control) 2>/dev/null || echo busy; "
                           "(echo +memory > $C/cgroup.subtree_control) 2>/dev/null || echo none; "
                           "(echo threaded > $C/a/cgroup.type) 2>/dev/null || echo refused")
        self.assertEqual(lines, ["1", "6", "busy", "none", "refused"])

    def test_groups_of_the_command_line(self):
        lines = self.shell("cat $C/web/cpu.weight $C/web/cpu.max; ls $C | grep -v '[.]'; "
                           "grep -q usage $C/batch/cpu.stat && echo stat", "--cgroup", "/web:weight=300,max=20ms/50ms",
                           "--workload", "hogs:tasks=3,cgroup=/batch/job")
        self.assertEqual(lines, ["300", "20000 50000", "batch", "web", "stat"])

    def test_bad_options(self):
        for text, says in (("web", "is not the path of a cgroup"), ("/a:weight=0", "weight"), ("/a:hue=3", "hue"),
                           ("/a:max=10us", "max"), ("/:weight=5", "weight")):
            done = subprocess.run([USCX, "run", "--cgroup", text, "--duration", "1ms", "fair"], capture_output=True,
                                  text=True, timeout=TIMEOUT_S)
            self.assertEqual(done.returncode, 2)
            self.assertIn(says, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:])
