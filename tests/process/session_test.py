#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""`uscx session`: programs in a machine that stays, the same twice, and nothing left when something dies.

Usage: session_test.py USCX PROGRAMS BUILD [unittest's arguments]
"""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

USCX = os.path.abspath(sys.argv[1])
PROGRAMS = os.path.abspath(sys.argv[2])
EXAMPLES = os.path.join(os.path.abspath(sys.argv[3]), "linux-source-7.2", "programs")
TIMEOUT_S = 120


def processes_with(text):
    """Host processes whose command line has the text."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if text.encode() in file.read() and int(pid) != os.getpid():
                    found.append(int(pid))
        except OSError:
            pass
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.environment = dict(os.environ, XDG_RUNTIME_DIR=self.directory.name)

    def tearDown(self):
        self.uscx("stop")
        self.assertEqual(os.listdir(self.directory.name + "/uscx"), [])
        self.directory.cleanup()

    def command(self, *args):
        return [USCX, "session", *args]

    def uscx(self, *args, text=None, **named):
        stdin = {"stdin": subprocess.DEVNULL} if text is None else {"input": text}
        return subprocess.run(self.command(*args), capture_output=True, text=True, timeout=TIMEOUT_S,
                              env=self.environment, **stdin, **named)

    def start(self, *args):
        done = self.uscx("start", "--cpus", "4", *args)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def popen(self, *args, **named):
        return subprocess.Popen(self.command(*args), env=self.environment, text=True, **named)

    def example(self, name):
        path = os.path.join(EXAMPLES, name)
        if not os.path.exists(path):
            self.skipTest(f"{path} is not built: make programs")
        return path

    def wait_for(self, what):
        """What others do in real time."""
        until = time.monotonic() + TIMEOUT_S
        while not what():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.02)

    def is_ours(self, pid):
        with open(f"/proc/{pid}/environ", "rb") as file:
            return self.directory.name.encode() in file.read()

    def status(self):
        return self.uscx("status").stdout


class Ends(Case):
    def test_signals_end_programs_that_spin(self):
        """SIGTERM to exec ends what it has started at once, also if none of it makes calls."""
        self.start()
        program = self.popen("exec", os.path.join(PROGRAMS, "spin"), "48", "for-ever", stdout=subprocess.PIPE)
        self.assertEqual(program.stdout.readline(), "created\n")
        start = time.monotonic()
        program.terminate()
        self.assertEqual(program.wait(TIMEOUT_S), 128 + signal.SIGTERM)
        self.assertLess(time.monotonic() - start, 10)
        program.stdout.close()
        self.wait_for(lambda: "spin" not in self.status())


class Messages(Case):
    """What comes over the socket is anybody's: it is refused, and the session goes on."""

    @staticmethod
    def message(kind, *strings):
        body = b"".join(len(text).to_bytes(4, "little") + text for text in strings)
        return len(body).to_bytes(4, "little") + bytes([kind]) + body

    def test_any_bytes(self):
        self.start()
        execute, status, unknown = 0, 2, 99
        endless = self.message(execute, b"f", b"/", b"0", b"0", str(2**64 - 1).encode())
        for sent in (endless, self.message(execute), self.message(unknown), self.message(status)):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT_S)
                connection.connect(self.directory.name + "/uscx/default.sock")
                if sent == endless:
                    null = os.open(os.devnull, os.O_RDWR)
                    socket.send_fds(connection, [sent], [null, null, null])
                    os.close(null)
                else:
                    connection.sendall(sent)
                self.assertTrue(connection.recv(4096))
        for sent in (b"\xff" * 9, endless[:7]):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(self.directory.name + "/uscx/default.sock")
                connection.sendall(sent)
        self.assertIn("session default", self.uscx("status").stdout)


class Session(Case):
    def test_passes_everything_through(self):
        self.start()
        with tempfile.TemporaryDirectory() as here:
            script = "cat; pwd; echo $WORD >&2; exit 7"
            done = self.uscx("exec", "sh", "-c", script, text="hello\n", cwd=here)
            self.assertEqual(done.stdout, f"hello\n{os.path.realpath(here)}\n")
        self.environment["WORD"] = "word"
        done = self.uscx("exec", "sh", "-c", script, text="")
        self.assertEqual((done.returncode, done.stderr), (7, "word\n"))
        self.assertEqual(self.uscx("exec", "sh", "-c", "kill -9 $$").returncode, 128 + 9)

    def test_time_stands_still_between(self):
        self.start("--seed", "5")
        self.assertIn("virtual time 0ns", self.status())
        self.uscx("exec", "sleep", "3")
        after = self.status()
        self.assertIn("virtual time 3.00", after)
        # It keeps what it was given to write to, so that must be no pipe that somebody reads to its end.
        self.assertEqual(subprocess.call(self.command("exec", "--detach", "sleep", "1000"), env=self.environment,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), 0)
        self.assertIn("sleep", self.status())
        self.assertEqual(self.status().splitlines()[0], after.splitlines()[0])
        self.uscx("exec", "sleep", "2")
        self.assertIn("virtual time 5.0", self.status())
        self.assertEqual(self.uscx("exec", "--for", "1s", "sleep", "1000").returncode, 128 + signal.SIGINT)
        self.assertIn("virtual time 6.0", self.status())

    def test_same_commands_same_trace(self):
        simple = self.example("scx_simple")
        reports = []
        for _ in range(2):
            self.start("--seed", "9")
            with tempfile.TemporaryFile("w+") as output:
                subprocess.run(self.command("exec", "--detach", simple), env=self.environment, stdout=output,
                               stderr=subprocess.DEVNULL, check=True)
                self.uscx("exec", "sleep", "2")
                second = self.uscx("exec", simple)
                self.uscx("exec", "sh", "-c", "sleep 0.5; cat /proc/uptime")
                stopped = self.uscx("stop")
                self.assertEqual(stopped.returncode, 0)
                output.seek(0)
                trace = re.search(r"(?m)^Trace +[0-9a-f]{16}$", stopped.stdout).group()
                reports.append((second.stderr, trace, output.read()))
        self.assertEqual(reports[0], reports[1])
        # The second one finds the place taken.
        self.assertIn("Device or resource busy", reports[0][0])
        self.assertIn("local=", reports[0][2])

    def test_names(self):
        for args in (("exec", "true"), ("status",), ("stop",)):
            done = self.uscx(*args)
            self.assertEqual(done.returncode, 125 if args[0] == "exec" else 2)
            self.assertIn("no session named 'default' runs", done.stderr)
        self.start()
        done = self.uscx("start")
        self.assertEqual(done.returncode, 2)
        self.assertIn("a session named 'default' runs already", done.stderr)
        self.start("--name", "other")
        self.assertEqual(self.uscx("exec", "--name", "other", "true").returncode, 0)
        self.assertEqual(self.uscx("stop", "--name", "other").returncode, 0)
        self.assertIn("is no name", self.uscx("start", "--name", "a/b").stderr)
        self.assertIn("not found in PATH", self.uscx("exec", "no-such-program").stderr)
        self.assertIn("--cpus", self.uscx("start", "--name", "x", "--cpus", "0").stderr)

    def test_many_programs_leave_no_descriptors(self):
        self.start("--workload", "hogs:tasks=1")
        (server,) = [pid for pid in processes_with("session\0start") if self.is_ours(pid)]
        self.uscx("exec", "true")
        before = len(os.listdir(f"/proc/{server}/fd"))
        for _ in range(5):
            self.uscx("exec", "sh", "-c", "true; true | true")
        # The end of the last connection is taken notice of in real time.
        self.wait_for(lambda: len(os.listdir(f"/proc/{server}/fd")) <= before)

    def test_directory_is_private(self):
        os.mkdir(self.directory.name + "/uscx", 0o755)
        done = self.uscx("start")
        self.assertEqual(done.returncode, 2)
        self.assertIn("yours alone", done.stderr)

    def test_interrupt_reaches_the_program(self):
        simple = self.example("scx_simple")
        self.start()
        client = self.popen("exec", simple, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.wait_for(lambda: "scheduler simple" in self.status())
        client.send_signal(signal.SIGINT)
        _, errors = client.communicate(timeout=TIMEOUT_S)
        self.assertEqual(client.returncode, 0)
        self.assertIn("EXIT: unregistered from user space", errors)
        self.assertIn("no scheduler", self.status())

    def test_killed_client_leaves_nothing(self):
        simple = self.example("scx_simple")
        self.start()
        client = self.popen("exec", "sh", "-c", f"sleep 987654 & exec {simple}", stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
        self.wait_for(lambda: "scheduler simple" in self.status())
        client.kill()
        client.wait()
        self.wait_for(lambda: "no scheduler" in self.status())
        self.assertEqual(len(self.status().splitlines()), 1)
        self.assertEqual(processes_with("987654"), [])
        self.assertEqual(self.uscx("exec", "true").returncode, 0)

    def test_killed_client_that_waits_outside(self):
        self.start()
        client = self.popen("exec", "cat", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.wait_for(lambda: processes_with("cat\0"))
        client.kill()
        client.wait()
        client.stdin.close()
        self.assertEqual(self.uscx("exec", "true").returncode, 0)

    def test_killed_session_leaves_nothing(self):
        self.start()
        script = "sleep 876543 & cat"
        client = self.popen("exec", "sh", "-c", script, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)
        self.wait_for(lambda: set(processes_with("876543")) - {client.pid} and processes_with("cat\0"))
        for pid in filter(self.is_ours, processes_with("session\0start")):
            os.kill(pid, signal.SIGKILL)
        client.stdin.close()
        errors = client.stderr.read()
        client.stderr.close()
        self.assertEqual(client.wait(), 125)
        self.assertIn("session default has ended", errors)
        self.wait_for(lambda: not processes_with("876543"))
        # The name is free again, and the socket that was left is none.
        self.start()
        self.assertEqual(self.uscx("exec", "true").returncode, 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
