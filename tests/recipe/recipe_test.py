#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""uscx inspect, and runs of an object with recipes: good ones, and each kind of bad one by the place it names.

Usage: recipe_test.py USCX scx_recipe.bpf.o llc.json MISSING.bpf.o [unittest's arguments]
"""
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

USCX, OBJECT, RECIPE, MISSING = (os.path.abspath(path) for path in sys.argv[1:5])


def uscx(*args):
    return subprocess.run([USCX, *args], capture_output=True, text=True, timeout=120)


def inspect_text(path):
    """In the object's folder, whose name may be of any length."""
    folder, name = os.path.split(path)
    return subprocess.run([USCX, "inspect", name], capture_output=True, text=True, timeout=120, cwd=folder)


class Recipe(unittest.TestCase):
    def setUp(self):
        with open(RECIPE, encoding="utf-8") as file:
            self.good = json.load(file)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def run_with(self, recipe, *options):
        path = os.path.join(self.folder.name, "recipe.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(recipe if isinstance(recipe, str) else json.dumps(recipe))
        return uscx("run", "--duration", "50ms", "--report", "json", *options, "--recipe", path, OBJECT)

    def refused(self, change, *parts):
        recipe = copy.deepcopy(self.good)
        change(recipe)
        result = self.run_with(recipe, "--topology", "1n:2l:2c:1t")
        self.assertEqual(result.returncode, 2, result.stderr)
        for part in ("--recipe", *parts):
            self.assertIn(part, result.stderr)

    def test_runs_on_machines_of_any_shape(self):
        for shape in ("1n:1l:1c:1t", "2n:2l:2c:2t", "1n:4l:8c:2t"):
            with self.subTest(shape=shape):
                result = self.run_with(self.good, "--topology", shape)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertNotIn("was not told", result.stderr)

    def test_the_page_has_this_recipe(self):
        """So that what people copy from it runs."""
        page = os.path.join(os.path.dirname(RECIPE), "..", "..", "docs", "RECIPES.md")
        with open(page, encoding="utf-8") as file:
            blocks = re.findall(r"```json\n(.*?)```", file.read(), re.DOTALL)
        self.assertEqual(json.loads(blocks[-1]), self.good)

    def test_what_is_not_told_is_noticed(self):
        def without(name):
            recipe = copy.deepcopy(self.good)
            del recipe[name]
            return self.run_with(recipe, "--topology", "1n:2l:2c:1t")

        for name, text in (("maps", "llc 0 was not told"), ("run_before_attach", "cpu 0 was not told")):
            result = without(name)
            self.assertIn(text, result.stderr)
            self.assertEqual(result.returncode, 3, result.stderr)

    def test_refusals_name_the_place(self):
        def put(*steps, value):
            def change(recipe):
                node = recipe
                for step in steps[:-1]:
                    node = node[step]
                node[steps[-1]] = value

            return change

        self.refused(put("globals", "nr_lcs", value=1), "globals.nr_lcs", "nr_llcs")
        self.refused(put("globals", "cfg", "mode", value="MODE_X"), "globals.cfg.mode", "MODE_LLC")
        self.refused(put("globals", "cfg", "modes", value=1), "globals.cfg.modes", "slice_ns")
        self.refused(put("globals", "cfg.layers[4].weight", value=1), "cfg.layers[4].weight", "out of range")
        self.refused(put("globals", "nr_llcs", value=-1), "globals.nr_llcs")
        self.refused(put("globals", "nr_llcs", value=None), "globals.nr_llcs", "null")
        self.refused(put("globals", "nr_llcs", value="=llc"), "globals.nr_llcs", "there is no llc here")
        self.refused(put("globals", "nr_llcs", value="=llc(4)"), "globals.nr_llcs", "cpus 0 to 3")
        self.refused(put("globals", "llc_of", "$each", value="socket"), "globals.llc_of[\"$each\"]")
        self.refused(put("globals", "cfg", "mode", value="=all_cpus()"), "globals.cfg.mode", "no set of CPUs")
        self.refused(put("ops", "flags", value=["NO_SUCH"]), "ops.flags", "ENQ_LAST")
        self.refused(put("ops", "enqueue", value=1), "ops.enqueue")
        self.refused(put("load", "nothing", value=True), "load.nothing")
        self.refused(put("max_entries", "llcs", value=0), "max_entries.llcs")
        self.refused(put("maps", "nothing", value=[]), "maps.nothing")
        self.refused(put("maps", "llcs", 0, "value", "id", value="x"), "maps.llcs[0].value.id")
        self.refused(put("maps", "llcs", 0, "valu", value=1), "maps.llcs[0].valu", "each, key, value")
        self.refused(put("max_entries", "llcs", value=1), "maps.llcs[0]", "does not take it")
        self.refused(put("run_before_attach", 0, "program", value="recipe_init"), "run_before_attach[0].program",
                     "no syscall program")
        self.refused(put("run_before_attach", 0, "context", "core", value=1), "run_before_attach[0].context.core")
        self.refused(put("run_before_attach", 0, "pin", value=False), "run_before_attach[0]", "returned -1, not 0")
        self.refused(put("run_after_attach", 0, "context", value={"a": 1}), "run_after_attach[0]", "context_type")
        self.refused(put("globls", value={}), "globls", "run_after_attach")
        self.refused(put("table", value="x"), "table", "recipe_ops")

    def test_files_that_are_no_recipes(self):
        for text in ("", "[]", "{", '{"globals": {"a": 1, "a": 2}}', '{"maps": []}'):
            result = self.run_with(text)
            self.assertEqual(result.returncode, 2, text)
            self.assertIn("recipe.json", result.stderr)

    def test_only_for_object_files(self):
        result = uscx("run", "--recipe", RECIPE, "scx_simple")
        self.assertEqual(result.returncode, 2)
        self.assertIn("object file", result.stderr)


class Inspect(unittest.TestCase):
    def test_says_what_is_there(self):
        result = inspect_text(OBJECT)
        self.assertEqual(result.returncode, 0, result.stderr)
        for part in ("all that it needs is there", "table recipe_ops (sched_ext_ops)", "dispatch enqueue exit init",
                     "optional", "not loaded unless asked", "const u32 nr_llcs = 0", "percpu_array",
                     "const struct config cfg = {", "scx_bpf_create_dsq", "Nothing else"):
            self.assertIn(part, result.stdout)
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80)

    def test_json_has_the_same(self):
        seen = json.loads(uscx("inspect", "--report", "json", OBJECT).stdout)
        self.assertTrue(seen["loads"])
        self.assertIn({"name": "nr_llcs", "type": "u32", "value": "0", "const": True}, seen["globals"])
        self.assertIn("dispatch", seen["tables"][0]["callbacks"])
        self.assertEqual([m["name"] for m in seen["maps"] if m["type"] == "percpu_array"], ["cpus"])
        self.assertIn("timeout_ms", [field["name"] for field in seen["ops"]])

    def test_what_lacks_everything_is_refused_with_the_full_list(self):
        result = uscx("inspect", "--report", "json", MISSING)
        self.assertEqual(result.returncode, 2, result.stderr)
        missing = json.loads(result.stdout)["missing"]
        self.assertGreater(len(missing), 5)
        refused = uscx("run", "--duration", "1ms", MISSING)
        self.assertEqual(refused.returncode, 2)
        for line in missing:
            self.assertIn(line, refused.stderr)
        text = inspect_text(MISSING).stdout
        self.assertIn(f"{len(missing)} things are missing", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[5:])
