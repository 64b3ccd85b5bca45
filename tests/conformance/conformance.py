#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs the kernel's example schedulers and selftests of sched_ext, unmodified, and prints one table.

Usage: conformance.py USCX BUILD [PATTERN...]

A PATTERN is part of a test's "suite name"; without one all are run, and BUILD/conformance/results.json is written.
An example passes if it runs 30 virtual seconds of the mixed workload twice with the same trace, prints its statistics
and ends as it does on a real kernel; a selftest if the runner says so. The exit status is 1 if a test fails or is
skipped that tests/conformance/expected.json does not name.
"""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EXIT_LINE = "EXIT: unregistered from user space"
TIMEOUT_S = int(os.environ.get("CONFORMANCE_TIMEOUT", "300"))
EXAMPLE_MACHINE = ["--topology", "2n:1l:4c:1t", "--nohz-full", "3", "--workload", "mixed", "--duration", "30s"]
SELFTEST_MACHINE = ["--topology", "2n:1l:2c:1t", "--nohz-full", "3", "--duration", "300s", "--workload",
                    os.path.join(HERE, "background.json")]
# Each example's options, and what its statistics look like.
SIMPLE = r"local=\d+ global=[1-9]\d*"
QMAP = r"stats  : enq=[1-9]\d* dsp=[1-9]\d*"
CENTRAL = r"total   : *[1-9]\d* +local"
EXAMPLES = {
    "7.2": [("scx_simple", [], SIMPLE), ("scx_simple", ["-f"], SIMPLE), ("scx_qmap", [], QMAP),
            ("scx_central", [], CENTRAL), ("scx_flatcg", [], r"\[SEQ +\d+ cpu="),
            ("scx_cpu0", [], r"local=\d+ cpu0=[1-9]\d*"), ("scx_pair", [], r" total: *\d+ dispatch: *[1-9]"),
            ("scx_userland", [], r"\|  user: +[1-9]\d* \|"), ("scx_sdt", [], r"data_allocs=[1-9]")],
    "6.12": [("scx_simple", [], SIMPLE), ("scx_qmap", [], QMAP), ("scx_central", [], CENTRAL)],
}


class Test:
    def __init__(self, suite, name):
        self.suite, self.name = suite, name
        self.verdict, self.detail, self.virtual_s, self.real_s = "fail", "", None, 0.0

    def run(self, uscx):
        started = time.monotonic()
        self.judge(uscx)
        self.real_s = time.monotonic() - started

    def start(self, command):
        """Runs it; the status, standard output and standard error. What it has started ends with it."""
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, errors="replace", start_new_session=True) as process:
            try:
                out, err = process.communicate(timeout=TIMEOUT_S)
                return process.returncode, out, err
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                out, err = process.communicate()
                return None, out, err


class Example(Test):
    def __init__(self, version, program, options, statistics, path):
        super().__init__(f"{version} examples", " ".join([program] + options))
        self.command = EXAMPLE_MACHINE + ["--report", "json", path] + options
        self.statistics = statistics

    def judge(self, uscx):
        hashes = []
        for _ in range(2):
            status, out, err = self.start([uscx, "run"] + self.command)
            self.detail = self.fault(status, err)
            if self.detail:
                return
            report = json.loads(out)
            hashes.append(report["trace_hash"])
        self.virtual_s = 30.0
        if hashes[0] != hashes[1]:
            self.detail = f"two runs differ: traces {hashes[0]} and {hashes[1]}"
            return
        self.verdict, self.detail = "pass", f"trace {hashes[0]}"

    def fault(self, status, err):
        lines = err.splitlines()
        if status is None:
            return f"did not end within {TIMEOUT_S} s"
        if status != 0:
            return f"status {status}: {missing(lines) or (lines or ['no message'])[-1]}"
        if EXIT_LINE not in lines:
            return next((line for line in lines if line.startswith("EXIT: ")), f"no line {EXIT_LINE!r}")
        if not re.search(self.statistics, err):
            return "prints no statistics"
        return ""


class Selftest(Test):
    def __init__(self, version, name, runner):
        super().__init__(f"{version} selftests", name)
        # The machine's uptime at the end is the virtual time that it took.
        script = '"$0" -t "$1"; read -r up _ </proc/uptime; echo "uptime $up"'
        self.command = SELFTEST_MACHINE + ["/bin/sh", "-c", script, runner, name]

    def judge(self, uscx):
        status, out, err = self.start([uscx, "run"] + self.command)
        uptime = re.search(r"^uptime ([\d.]+)$", out, re.M)
        self.virtual_s = float(uptime.group(1)) if uptime else None
        result = re.search(rf"^(not ok|ok) \d+ {re.escape(self.name)} # *(SKIP)?", out, re.M)
        lines = err.splitlines()
        if not result:
            self.detail = f"did not end within {TIMEOUT_S} s" if status is None else "ends without a verdict"
        elif result.group(1) == "ok":
            self.verdict = "skip" if result.group(2) else "pass"
        if self.verdict != "pass":
            self.detail = "; ".join(filter(None, [self.detail, missing(lines)]))


class Unbuilt(Test):
    """A runner that is not there: none of its tests can be named."""

    def judge(self, uscx):
        self.detail = "the runner has not been built: make programs says why"


def missing(lines):
    """What a run says that it lacks or that went wrong; the first few."""
    wanted = re.compile(r"not implemented|not supported|^uscx: |SKIP|^Expected |^Failed |libbpf: .*failed|refused")
    found = []
    for at, line in enumerate(lines):
        if line.startswith("ERR: ") and at + 1 < len(lines):
            found.append(lines[at + 1])
        elif wanted.search(line):
            found.append(line)
    return "; ".join(dict.fromkeys(found[:3]))


def names_of(runner):
    """Older runners cannot list their tests, but name those that they skip."""
    def ask(*options):
        return subprocess.run([runner, *options], capture_output=True, text=True, check=False)
    listed = ask("-l")
    if listed.returncode == 0:
        return listed.stdout.split()
    return re.findall(r"^TEST: (\S+)", ask("-qst", "/").stdout, re.M)


def all_tests(build):
    for version, programs in EXAMPLES.items():
        folder = os.path.join(build, f"linux-source-{version}", "programs")
        for program, options, statistics in programs:
            yield Example(version, program, options, statistics, os.path.join(folder, program))
        runner = os.path.join(folder, "runner")
        if not os.path.exists(runner):
            yield Unbuilt(f"{version} selftests", "runner")
            continue
        for name in names_of(runner):
            yield Selftest(version, name, runner)


def load_commented(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return json.loads(re.sub(r"^//.*$", "", file.read(), flags=re.M))


def print_row(test, reason):
    virtual = "" if test.virtual_s is None else f"{test.virtual_s:.1f}"
    print(f"{test.suite:<15} {test.name:<34} {test.verdict:<7} {virtual:>9} {test.real_s:>9.1f}")
    text = test.detail if test.verdict != "pass" else ""
    for line in filter(None, [text, reason and f"by intent: {reason}"]):
        print(textwrap.fill(line, 80, initial_indent="    ", subsequent_indent="    "))
    sys.stdout.flush()


def write_results(build, tests):
    folder = os.path.join(build, "conformance")
    os.makedirs(folder, exist_ok=True)
    rows = [{"suite": t.suite, "name": t.name, "verdict": t.verdict, "detail": t.detail} for t in tests]
    path = os.path.join(folder, "results.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    uscx, build, patterns = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3:]
    expected = load_commented("expected.json")
    tests = [t for t in all_tests(build) if not patterns or any(p in f"{t.suite} {t.name}" for p in patterns)]
    jobs = int(os.environ.get("CONFORMANCE_JOBS", os.cpu_count() or 1))
    print(f"{'suite':<15} {'test':<34} {'verdict':<7} {'virtual s':>9} {'real s':>9}")
    unexpected = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for test, done in [(t, pool.submit(t.run, uscx)) for t in tests]:
            done.result()
            reason = expected.get(test.suite, {}).get(test.name)
            print_row(test, reason)
            unexpected += test.verdict != "pass" and reason is None
    passed = sum(t.verdict == "pass" for t in tests)
    print(f"{passed} of {len(tests)} pass; {unexpected} unexpected")
    if not patterns:
        write_results(build, tests)
    sys.exit(1 if unexpected else 0)


if __name__ == "__main__":
    main()
