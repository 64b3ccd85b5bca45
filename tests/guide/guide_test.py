#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Runs docs/GUIDE.md literally, in an empty folder, and says which line of the page is not true.

Usage: guide_test.py USCX GUIDE.md

Blocks of the page, by their language:
  console  "$ COMMAND" is run; each line up to the next one must be part of what it prints, in this order. "..." stands
           for lines that are left out. $? is the status of the command before.
  diff     a change of mine.bpf.c as `uscx new mine` writes it; the changes of earlier blocks are undone.
  c        a part of that file.
"""
import os
import re
import subprocess
import sys
import tempfile

TIMEOUT_S = 120
SOURCE = "mine.bpf.c"


class Page:
    def __init__(self, uscx, path):
        self.path = path
        self.folder = tempfile.TemporaryDirectory()
        self.environment = dict(os.environ, PATH=os.path.dirname(uscx) + ":" + os.environ["PATH"], LC_ALL="C.UTF-8")
        self.status = 0
        self.original = None
        self.commands = 0

    def fail(self, number, text):
        sys.exit(f"{self.path}:{number}: {text}")

    def source(self):
        return os.path.join(self.folder.name, SOURCE)

    def run(self, number, command, expected):
        result = subprocess.run(["bash", "-c", f"(exit {self.status}); {command}"], cwd=self.folder.name,
                                env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
        self.status = result.returncode
        self.commands += 1
        at = 0
        for line_number, line in expected:
            if line.strip() in ("", "..."):
                continue
            found = result.stdout.find(line.strip(), at)
            if found < 0:
                self.fail(line_number, f"`{command}` does not print this here: {line}\nIt prints:\n{result.stdout}")
            at = found + len(line.strip())
        if not expected and result.stdout:
            self.fail(number, f"`{command}` prints, of which the page says nothing:\n{result.stdout}")
        if self.original is None and os.path.exists(self.source()):
            with open(self.source(), encoding="utf-8") as file:
                self.original = file.read()

    def console(self, number, lines):
        commands = []
        for at, line in enumerate(lines, number):
            if line.startswith("$ "):
                commands.append((at, line[2:], []))
            else:
                commands[-1][2].append((at, line))
        for command in commands:
            self.run(*command)

    def diff(self, number, lines):
        """Where the lines with a blank and a minus stand come those with a blank and a plus."""
        old = "".join(line[1:] + "\n" for line in lines if line[0] in " -")
        new = "".join(line[1:] + "\n" for line in lines if line[0] in " +")
        if self.original.count(old) != 1:
            self.fail(number, f"the lines that are changed are in {SOURCE} {self.original.count(old)} times")
        with open(self.source(), "w", encoding="utf-8") as file:
            file.write(self.original.replace(old, new))

    def c(self, number, lines):
        if "".join(line + "\n" for line in lines) not in self.original:
            self.fail(number, f"this is no part of {SOURCE}")

    def check(self):
        with open(self.path, encoding="utf-8") as file:
            text = file.read()
        kinds = {"console": self.console, "diff": self.diff, "c": self.c}
        for block in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            number = text.count("\n", 0, block.start()) + 2
            if block.group(1) not in kinds:
                self.fail(number - 1, f"a block of the kind '{block.group(1)}'; there are {', '.join(kinds)}")
            kinds[block.group(1)](number, block.group(2).splitlines())
        if self.commands == 0:
            self.fail(1, "no commands")


def main():
    page = Page(os.path.abspath(sys.argv[1]), sys.argv[2])
    page.check()
    print(f"{page.commands} commands do what the page says")


main()
