#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The checks of the house reject what they are there for: each is run on a small tree with one fault in it.

Usage: checks_test.py SCRIPTS
"""
import pathlib
import subprocess
import sys
import tempfile

SPDX = "// SPDX-License-" + "Identifier: GPL-2.0-only\n"
FIDELITY = "| tag | here | in Linux | why |\n|---|---|---|---|\n"
# (check, files of the tree, what its complaint says; empty: it has none)
CASES = [
    ("check_includes", {"src/base/a.h": '#include "machine/b.h"\n'}, "base must not include machine/"),
    ("check_includes", {"src/machine/a.h": '#include "base/b.h"\n'}, ""),
    ("check_includes", {"src/bpf/isa/a.h": '#include "bpf/exec/b.h"\n'}, "bpf/isa must not include bpf/exec/"),
    ("check_includes", {"src/bpf/isa/a_test.cc": '#include "bpf/exec/b.h"\n'}, ""),
    ("check_includes", {"src/bpf/attic/a.h": '#include "bpf/isa/b.h"\n'}, "does not know the room bpf/attic"),
    ("check_includes", {"src/machine/a.h": '#include "machine/sim/b.h"\n'}, "machine/ must not include machine/sim/"),
    ("check_includes", {"src/attic/a.h": ""}, "does not know what this folder may include"),
    ("check_style", {"src/a.h": "int a;\n"}, "the SPDX line is missing"),
    ("check_style", {"src/a.h": SPDX + "x" * 121 + "\n"}, "121 columns"),
    ("check_style", {"src/a.h": SPDX + "thread_" + "local int a;\n"}, "belongs in bpf::Running"),
    ("check_docs", {"src/a.h": "// FIDELITY: a-tag.\n", "docs/FIDELITY.md": FIDELITY}, "the tag a-tag has no row"),
    ("check_docs", {"docs/FIDELITY.md": FIDELITY + "| a-tag | x | y | z |\n"}, "no code has the tag FIDELITY: a-tag"),
    ("check_docs", {"src/a.h": "// FIDELITY: a-tag.\n",
                    "docs/FIDELITY.md": FIDELITY + "\nText.\n\n| a-tag | x | y | z |\n"}, "outside of the table"),
    ("check_docs", {"docs/FIDELITY.md": FIDELITY + "\nSee `src/gone.h`.\n"}, "there is no src/gone.h"),
    ("check_docs", {"docs/FIDELITY.md": FIDELITY + "\nDo `make gone`.\n"}, "no target gone"),
    ("check_docs", {"docs/FIDELITY.md": FIDELITY + "\nDo `uscx gone`.\n"}, "no subcommand gone"),
    ("check_docs", {"docs/FIDELITY.md": FIDELITY + "\nSee [there](gone.md#part).\n"}, "to gone.md leads nowhere"),
    ("check_docs", {"src/a.h": "// See reference/b.md.\n", "docs/FIDELITY.md": FIDELITY}, "no page reference/b.md"),
    ("check_docs", {"src/a.h": "// docs/b.md, sections 1 and 2.\n", "docs/b.md": "## 1. One\n",
                    "docs/FIDELITY.md": FIDELITY}, "docs/b.md has no section 2"),
    ("check_docs", {"src/a.h": "// docs/b.md, section 1.\n", "docs/b.md": "## 1. One\n",
                    "docs/FIDELITY.md": FIDELITY}, ""),
]


def complaint(scripts, check, files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {"Makefile": "build:\n", **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        subprocess.run(["git", "-C", folder, "init", "-q"], check=True)
        result = subprocess.run([scripts / check, folder], capture_output=True, text=True, check=False)
        return result.stderr if result.returncode else ""


def main():
    scripts = pathlib.Path(sys.argv[1])
    failed = 0
    for check, files, wanted in CASES:
        seen = complaint(scripts, check, files)
        good = wanted in seen if wanted else not seen
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {check}, {sorted(files)[0]}: {seen.strip() or 'no complaint'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
