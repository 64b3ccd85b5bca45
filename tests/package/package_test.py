#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The Debian package for somebody who has nothing else: lintian accepts it, and from a folder where it is unpacked the
command, its headers, man pages and completions work.

Usage: package_test.py SOURCES BUILD
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

SOURCES = os.path.abspath(sys.argv.pop(1))
BUILD = os.path.abspath(sys.argv.pop(1))
TIMEOUT_S = 240

# What bash asks a completion function: the words, of which the last is being typed.
BASH = """
source "$1"
COMP_WORDS=(%s) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_uscx
printf '%%s\\n' "${COMPREPLY[@]}"
"""
# The functions of zsh's completion system that ours calls say what they are given.
ZSH = """
_describe() { print -l -- "${(P@)2}" }
_arguments() { print -l -- "$@" }
words=(%s) CURRENT=$#words
source $1
"""


def run(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S,
                          check=False, **options)


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        made = run(os.path.join(SOURCES, "scripts/make-deb"), BUILD, cls.folder.name)
        if made.returncode != 0:
            raise AssertionError(made.stdout)
        cls.deb = made.stdout.strip()
        cls.root = os.path.join(cls.folder.name, "root")
        unpacked = run("dpkg-deb", "-x", cls.deb, cls.root)
        if unpacked.returncode != 0:
            raise AssertionError(unpacked.stdout)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def path(self, name):
        path = os.path.join(self.root, "usr", name)
        self.assertTrue(os.path.exists(path), path)
        return path

    def succeed(self, *command, **options):
        result = run(*command, **options)
        self.assertEqual(result.returncode, 0, result.stdout)
        return result.stdout

    def uscx(self, *args, **options):
        return self.succeed(self.path("bin/uscx"), *args, **options)

    def test_lintian_finds_no_errors(self):
        self.succeed("lintian", "--fail-on", "error", "--allow-root", self.deb)

    def test_all_is_there(self):
        version = self.uscx("--version").split()[1]
        self.assertIn(f"uscx_{version}-1_", os.path.basename(self.deb))
        self.assertEqual(self.succeed("dpkg-deb", "-f", self.deb, "Version").strip(), f"{version}-1")
        for name in ("README.md", "changelog.gz", "copyright", "docs/GUIDE.md"):
            self.path(f"share/doc/uscx/{name}")

    def test_main_job_in_an_empty_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            self.uscx("new", "mine", cwd=folder)
            report = self.uscx("run", "--duration", "100ms", "mine.bpf.c", cwd=folder)
            self.assertIn("SCX_EXIT_UNREG", report)
            self.assertEqual(os.listdir(folder), ["mine.bpf.c"])

    def test_man_pages(self):
        commands = re.findall(r"^  (\w+) {2,}\w", self.uscx("help").split("Subcommands:")[1], re.MULTILINE)
        self.assertIn("run", commands)
        for page in ["uscx", *("uscx-" + command for command in commands)]:
            with self.subTest(page=page):
                path = self.path(f"share/man/man1/{page}.1.gz")
                shown = self.man(path)
                self.assertNotIn("warning", shown)
                self.assertIn("SYNOPSIS", shown)
        self.assertRegex(self.man(self.path("share/man/man1/uscx-run.1.gz")), r"--cpus N\n +Number of CPUs")

    def man(self, path):
        return self.succeed("man", "--warnings", "-l", path,
                            env=dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="80", PAGER="cat"))

    def bash(self, words):
        return self.succeed("bash", "-c", BASH % words, "bash",
                            self.path("share/bash-completion/completions/uscx")).split()

    def test_bash_completion(self):
        self.assertIn("run", self.bash("uscx ''"))
        self.assertEqual(self.bash("uscx ru"), ["run"])
        self.assertEqual(self.bash("uscx run --cp"), ["--cpus"])
        self.assertEqual(self.bash("uscx session st"), ["start", "status", "stop"])
        self.assertEqual(self.bash("uscx session start --fail"), ["--fail-alloc"])
        self.assertEqual(self.bash("uscx run --trace ''"), [], "files, which bash itself completes")
        self.assertEqual(self.bash("uscx run ''"), [], "files")

    def zsh(self, words):
        return self.succeed("zsh", "-f", "-c", ZSH % words, "zsh",
                            self.path("share/zsh/vendor-completions/_uscx")).splitlines()

    def test_zsh_completion(self):
        self.assertTrue(any(line.startswith("run:Runs a scheduler") for line in self.zsh("uscx ''")))
        self.assertTrue(any(line.startswith("*--cpus[Number of CPUs") for line in self.zsh("uscx run ''")))
        self.assertTrue(any(line.startswith("status:") for line in self.zsh("uscx session ''")))
        self.assertTrue(any(line.startswith("*--name[") for line in self.zsh("uscx session stop ''")))

    def fish(self, line):
        path = self.path("share/fish/vendor_completions.d/uscx.fish")
        with tempfile.TemporaryDirectory() as home:
            shown = self.succeed("fish", "--no-config", "-c", f"source {path}; complete -C '{line}'",
                                 env=dict(os.environ, HOME=home, LC_ALL="C.UTF-8"))
        return [entry.split("\t")[0] for entry in shown.splitlines()]

    def test_fish_completion(self):
        self.assertEqual(self.fish("uscx ru"), ["run"])
        self.assertIn("--cpus", self.fish("uscx run --cp"))
        self.assertEqual(sorted(self.fish("uscx session st")), ["start", "status", "stop"])


if __name__ == "__main__":
    unittest.main()
