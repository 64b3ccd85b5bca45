#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""uscx inspect, and runs of an object with recipes: good ones, and each kind of bad one by the place it names.

Usage: recipe_test.py USCX scx_recipe.bpf.o llc.json MISSING.bpf.o scx_kinds.bpf.o scx_simple.bpf.o
       [unittest's arguments]
"""
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

USCX, OBJECT, RECIPE, MISSING, KINDS, SIMPLE = (os.path.abspath(path) for path in sys.argv[1:7])
PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "RECIPES.md")


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
        self.assertIn(self.good, [json.loads(block) for block in blocks if block.startswith("{\n")])

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
        self.refused(put("maps", "llcs", 0, "valu", value=1), "maps.llcs[0].valu", "each, if, key, value")
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


class Page(unittest.TestCase):
    """What docs/RECIPES.md shows."""

    def setUp(self):
        with open(PAGE, encoding="utf-8") as file:
            self.page = file.read()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def test_recipes_of_the_page_run(self):
        recipes = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", self.page, re.S)]
        recipes = [recipe for recipe in recipes if not any(key.startswith("$") for key in recipe)]
        self.assertGreaterEqual(len(recipes), 3)
        for number, recipe in enumerate(recipes):
            # The first is for scx_simple, the others for the scheduler with a queue for each LLC.
            path = os.path.join(self.folder.name, f"{number}.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(recipe, file)
            for shape in ("2n:2l:2c:2t", "1n:1l:1c:1t"):
                with self.subTest(number=number, shape=shape):
                    result = uscx("run", "--duration", "300ms", "--topology", shape, "--recipe", path,
                                  OBJECT if number else SIMPLE)
                    self.assertEqual(result.returncode, 0, result.stderr)

    def test_every_key_and_name_is_on_the_page(self):
        unknown = uscx("run", "--recipe", self.write('{"x": 1}'), OBJECT).stderr
        names = unknown.split("there are ")[1].strip().split(", ")
        for formula in ("=x", "=x()"):
            text = self.write(json.dumps({"globals": {"nr_llcs": formula}}))
            found = uscx("run", "--recipe", text, OBJECT).stderr
            names += found.split("there are ")[1].split(", names of")[0].strip().split(", ")
        self.assertGreater(len(names), 40)
        for name in names:
            self.assertRegex(self.page, rf"`{name}[`(]")

    def write(self, text):
        path = os.path.join(self.folder.name, "recipe.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path


def number(value):
    return {"globals": {"number": value}, "run_before_attach": [{"program": "get_number", "returns": "any"}]}


# A formula, and what it gives on 2n:2l:2c:2t: 16 CPUs, of which CPU c and c + 8 share a core.
FORMULAS = {
    "max(0, nr_cpus - 18)": 0, "max(0, nr_cpus - 8)": 8, "min(3, 2, 5, 4)": 2, "max(1, 2, nr_llcs, 3)": 4,
    "1 + 2 * 3": 7, "(1 + 2) * 3": 9, "2 < 3 == 1": 1, "1 | 2 == 2": 1, "6 & 3 == 3": 0, "1 << 2 + 1": 8,
    "3 > 2 && 2 >= 2": 1, "1 == 2 || 3 != 3": 0, "!0 + !5": 1, "1 || 0 && 0": 1, "-7 / 2": -3, "-7 % 3": -1,
    "smt": 1, "nr_threads": 2, "smt ? 10 : 20": 10, "0 ? 1 : 0 ? 2 : 3": 3, "1 ? 2 : 1 / 0": 2, "0 && 1 / 0": 0,
    "1 || llc(99)": 1, "nr_cpus == 16 ? sibling(3, 1) : -1": 11, "KINDS_FAST": 8, "KINDS_SLOW + 1 << 1": 16,
    "sizeof(struct kinds_ctx)": 24, "sizeof(u64) + sizeof(s32)": 12, "sizeof(enum kinds_mode)": 4,
    "sizeof(struct kinds_ctx *)": 8, "cpu_by_capacity(0)": 0, "cpu_by_capacity(15)": 15, "cpu_by_llc(0)": 0,
    "cpu_by_llc(1)": 8, "cpu_by_llc(2)": 1, "cpu_by_llc(15)": 15, "-1 < 0xffffffffffffffff": 0, "capacity(3)": 1024,
}
# A formula, and what is said of it.
BAD_FORMULAS = {
    "1 ?": "it ends where", "1 ? 2": ": is missing", "1 = 2": "'= 2' is left over", "max(1)": "two or more arguments",
    "1 / 0": "1 / 0 has no result", "nosuch": "unknown name 'nosuch'", "sizeof(struct nosuch)": "no type",
    "all_cpus() ? 1 : 2": "not a set of CPUs", "cpu_by_llc(16)": "cpus 0 to 15", "1 << -1": "0 to 63",
    "1 &&": "it ends where", "1 < all_cpus()": "not a set of CPUs", "(" * 200 + "1": "nested too deep",
    "1 ? " * 200 + "1": "nested too deep",
}


class Kinds(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def run_with(self, recipe, *options, shape="2n:2l:2c:2t"):
        # The object's ENQ_LAST needs an ops.enqueue, which it lacks.
        recipe = {**recipe, "ops": {"flags": ["-ENQ_LAST"], **recipe.get("ops", {"enable": None})}}
        path = os.path.join(self.folder.name, "recipe.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(recipe, file)
        return uscx("run", "--duration", "100ms", "--topology", shape, *options, "--recipe", path, KINDS)

    def good(self, recipe, **options):
        result = self.run_with(recipe, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def refused(self, recipe, *parts):
        result = self.run_with(recipe)
        self.assertEqual(result.returncode, 2, result.stderr)
        for part in ("--recipe", *parts):
            self.assertIn(part, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)

    def returned(self, program, value, context=None, **more):
        entry = {"program": program, "returns": value, **more}
        return {**entry, "context": context} if context else entry

    def test_formulas(self):
        for formula, value in FORMULAS.items():
            with self.subTest(formula=formula):
                recipe = number("=" + formula)
                recipe["run_before_attach"][0]["returns"] = value
                self.good({**recipe, "attach": False})
        for formula, text in BAD_FORMULAS.items():
            with self.subTest(formula=formula):
                self.refused(number("=" + formula), "globals.number", text)

    def test_callbacks(self):
        missing = "scx_bpf_that_no_kernel_has"
        self.assertIn(missing, uscx("run", "--duration", "1ms", KINDS).stderr)
        for ops, load in (({"enable": None}, {}), ({}, {"kinds_enable": False}), ({"enable": "kinds_quiet"}, {}),
                          ({"enable": "kinds_quiet"}, {"kinds_enable": False}),
                          ({"enable": {"$if": "=smt", "$then": None, "$else": "kinds_enable"}}, {})):
            with self.subTest(ops=ops, load=load):
                self.good({"ops": ops, "load": load})
        loud = self.run_with({"ops": {"enable": "kinds_loud"}})
        self.assertEqual(loud.returncode, 3, loud.stderr)
        self.assertIn("the loud one was called", loud.stderr)
        self.assertIn(missing, self.run_with({"ops": {}}).stderr)
        self.refused({"ops": {"enable": "nosuch"}}, "ops.enable", "no struct_ops program 'nosuch'", "kinds_quiet")
        self.refused({"ops": {"enable": "get_cpu"}}, "ops.enable", "no struct_ops program")
        self.refused({"ops": {"enable": 1}}, "ops.enable", "null or the name")
        self.refused({"ops": {"enable": ""}}, "ops.enable", "null takes")
        self.refused({"ops": {"timeout_ms": None}}, "ops.timeout_ms", "is null")
        self.refused({"load": {"kinds_quiet": True}}, "load.kinds_quiet", "no table has")
        self.refused({"load": {"kinds_quiet": False}}, "load.kinds_quiet", "no table has")
        self.refused({"load": {"kinds_enable": "x"}}, "load.kinds_enable", "a number or a formula")

    def test_flags(self):
        def flags(*names):
            return {"ops": {"enable": None, "flags": list(names)}}

        last = {"$if": "=smt", "$then": "-ENQ_LAST", "$else": "+ENQ_LAST"}
        for names in (["+ENQ_EXITING", "-ENQ_LAST"], ["-SCX_OPS_ENQ_LAST"], ["ENQ_EXITING"], [], [last]):
            with self.subTest(names=names):
                self.good(flags(*names))
        for names in (["+ENQ_EXITING"], ["-ENQ_EXITING"], ["-ENQ_LAST", "+ENQ_LAST"], ["ENQ_LAST"]):
            with self.subTest(names=names):
                refused = self.run_with(flags(*names))
                self.assertEqual(refused.returncode, 3, refused.stderr)  # The core refuses it, while it enables.
                self.assertIn("SCX_OPS_ENQ_LAST requires ops.enqueue()", refused.stderr)
        self.refused(flags("+ENQ_EXITING", "ENQ_LAST"), "ops.flags", "either all", "'ENQ_LAST'")
        self.refused(flags("+"), "ops.flags", "is no flag")
        self.refused(flags(1), "ops.flags[0]", "it takes a string")

    def test_without_attach(self):
        result = self.good({"attach": False, "run_before_attach": [self.returned("tick", 1)]})
        self.assertIn("not attached", result.stderr)
        self.good({"attach": "=nr_cpus > 99"})
        self.assertNotIn("not attached", self.good({"attach": "=smt"}).stderr)
        for section in ({"run_after_attach": []}, {"run_while_attached": []}):
            self.refused({"attach": False, **section}, next(iter(section)), "does not attach")
        self.refused({"attach": "no"}, "attach", "a number or a formula")

    def test_pins(self):
        def at(pin, cpu, **more):
            return {"run_before_attach": [self.returned("get_cpu", cpu, pin=pin, **more)]}

        self.good(at(3, 3))
        self.good(at("=nr_cpus - 1", 15))
        self.good(at(False, 0))
        self.good(at(True, "=first_cpu_of_llc(llc)", each="llc"))
        self.good(at("=i * 2", "=i * 2", each={"count": 4, "as": "i"}))
        self.good(at({"$from": [4, 5], "$at": 1}, 5))
        self.refused(at(16, 16), "run_before_attach[0].pin", "CPUs 0 to 15")
        self.refused(at(-1, 0), "run_before_attach[0].pin", "CPUs 0 to 15")
        self.refused(at(True, 0), "run_before_attach[0].pin", "each")
        self.refused(at("3", 0), "run_before_attach[0].pin", "a number or a formula")

    def test_each(self):
        count = {"count": 4, "as": "i"}
        other = {"each": "node", "as": "other"}
        self.good({"globals": {"numbers": {"$each": {"count": "=nr_llcs * 2", "as": "i"}, "$value": "=i * i"}},
                   "run_before_attach": [self.returned("get_element", "=k * k", {"i": "=k"},
                                                       each={"count": 8, "as": "k"})]})
        self.good({"globals": {"table": {"$each": ["llc", {"count": 8, "as": "j"}], "$value": "=llc * 10 + j + node"}},
                   "run_before_attach": [self.returned("get_cell", "=llc * 10 + j + node", {"i": "=llc", "j": "=j"},
                                                       each=["llc", {"count": 8, "as": "j"}])]})
        self.good({"maps": {"entries": [{"each": ["cpu", other], "key": "=cpu * nr_nodes + other",
                                         "value": "=node == other ? 10 : 20"}]},
                   "run_before_attach": [self.returned("get_entry", "=node == other ? 10 : 20",
                                                       {"i": "=cpu * nr_nodes + other"}, each=[other, "cpu"])]})
        self.good({"run_before_attach": [self.returned("tick", "=l * 2 + t + 1", each=[
            {"each": "llc", "as": "l"}, {"count": "=nr_threads", "as": "t"}])]})
        for each, text in (("socket", "it takes"), (3, "it takes"), ({"count": 4}, "it takes"),
                           ({"each": "cpu"}, "it takes"), ({"count": 4, "each": "cpu", "as": "i"}, "it takes"),
                           ({"each": "x", "as": "i"}, "it takes"), ({"count": -1, "as": "i"}, "out of range"),
                           ({"count": "x", "as": "i"}, "a number or a formula"), ({**count, "x": 1}, "unknown key"),
                           ({"count": 4, "as": "cpu"}, "has a meaning"), ({"count": 4, "as": "1x"}, "is no name"),
                           (["cpu"], "it takes"), (["cpu", "llc"], "need a name"), (["cpu", 1], "it takes")):
            with self.subTest(each=each):
                self.refused({"run_before_attach": [{"program": "tick", "each": each}]}, "run_before_attach[0].each",
                             text)
                self.refused({"globals": {"table": {"$each": each, "$value": 1}}}, 'globals.table["$each"]', text)
        self.refused({"globals": {"numbers": {"$each": {"count": 9, "as": "i"}, "$value": 1}}}, "globals.numbers",
                     "out of range")

    def test_values_of_lists_and_files(self):
        with open(os.path.join(self.folder.name, "values.txt"), "w", encoding="utf-8") as file:
            file.write("10 -11 0x20\n\t18446744073709551615\n")
        with open(os.path.join(self.folder.name, "bad.txt"), "w", encoding="utf-8") as file:
            file.write("1 2 three")

        def taken(source, index, value, variable="number", program="get_number"):
            return {"globals": {variable: {"$from": source, "$at": index}},
                    "run_before_attach": [self.returned(program, value)]}

        for index, value in ((0, 10), (1, -11), (2, 32)):
            self.good(taken("values.txt", index, value))
        self.good(taken("values.txt", 3, -1, "wide", "get_high"))
        self.good(taken([5, "=nr_cpus", "KINDS_SLOW"], "=smt", 16))
        self.good(taken([5, "=nr_cpus", "KINDS_SLOW"], 2, 7))
        self.good({"globals": {"numbers": {"$each": "llc", "$value": {"$from": [9, 8, 7, 6], "$at": "=llc"}}},
                   "run_before_attach": [self.returned("get_element", "=9 - llc", {"i": "=llc"}, each="llc")]})
        self.refused(taken("values.txt", 4, 0), 'globals.number["$at"]', "4 is out of range", "4 values")
        self.refused(taken([1], -1, 0), 'globals.number["$at"]', "out of range")
        self.refused(taken("bad.txt", 0, 0), 'globals.number["$from"]', "value 2", "'three'")
        self.refused(taken("nosuch.txt", 0, 0), 'globals.number["$from"]', "nosuch.txt")
        self.refused(taken(3, 0, 0), 'globals.number["$from"]', "it takes an array")
        self.refused(number({"$from": [1]}), "globals.number", "$at is missing")
        self.refused(number({"$from": [1], "$at": 0, "$x": 1}), "unknown key")
        self.refused(number({"$frm": [1]}), "unknown key", "$from with $at")

    def test_conditions(self):
        def chosen(condition, value):
            return {**number({"$if": condition, "$then": 3, "$else": "=4"}),
                    "run_before_attach": [self.returned("get_number", value)]}

        for condition, value in (("=smt", 3), ("=nr_cpus > 16", 4), (True, 3), (False, 4), (0, 4)):
            self.good(chosen(condition, value))
        self.good({**number({"$if": 0, "$then": 3}), "run_before_attach": [self.returned("get_number", 0)]})
        self.good({"maps": {"entries": [{"each": "cpu", "if": "=thread(cpu) == 0", "key": "=cpu", "value": 1}]},
                   "run_before_attach": [self.returned("get_entry", "=cpu < 8 ? 1 : -1", {"i": "=cpu"}, each="cpu")]})
        self.good({"run_before_attach": [self.returned("tick", "any", each="cpu", **{"if": "=cpu < 3"}),
                                         self.returned("tick", "any", **{"if": "=!smt"}),
                                         self.returned("get_ticks", 3)]})
        self.refused(chosen("smt", 3), 'globals.number["$if"]', "a number or a formula")
        self.refused(number({"$if": 1, "$else": 3}), "globals.number", "$then is missing")
        self.refused(number({"$if": 1, "$then": 3, "$els": 3}), 'globals.number["$els"]', "unknown key")
        self.refused({"run_before_attach": [{"program": "tick", "if": "yes"}]}, "run_before_attach[0].if")
        self.refused({"max_entries": {"entries": {"$if": 0, "$then": 3}}}, "max_entries.entries", "$else is missing")

    def test_enumerators(self):
        for value, result in (("KINDS_FAST", 8), ("=KINDS_FAST * 2", 16)):
            self.good({**number(value), "run_before_attach": [self.returned("get_number", result)]})
        self.good({"globals": {"wide": "=0xffffffffffffffff"}, "run_before_attach": [self.returned("get_high", -1)]})
        self.refused(number("KINDS_NONE"), "globals.number", "neither a number nor an enumerator")

    def test_saved_numbers(self):
        made = {"program": "make", "context": {"i": 4}, "save": {"p": "pointer", "q": "typed", "n": "j"}}
        self.good({"run_before_attach": [made],
                   "run_after_attach": [self.returned("take", "=n", {"pointer": "=p", "typed": "=q", "i": 4,
                                                                     "j": "=n"})]})
        each = {"program": "make", "each": "llc", "context": {"i": "=llc"}, "save": {"p": "pointer"}}
        self.good({"run_before_attach": [each, self.returned(
            "take", 0, {"pointer": "=p(llc)", "typed": "=p(llc)", "i": "=llc"}, each="llc")]})

        def bad(save, *parts):
            self.refused({"run_before_attach": [{"program": "make", "save": save}]}, "run_before_attach[0].save",
                         *parts)

        bad({"p": "nosuch"}, "save.p", "no member 'nosuch'")
        bad({"p": 3}, "save.p", "it takes a string")
        bad({"cpu": "pointer"}, "save.cpu", "has a meaning")
        bad({"a b": "pointer"}, "is no name")
        bad([], "it takes an object")
        self.refused({"run_before_attach": [self.returned("take", "=p", {"i": 1})]}, "unknown name 'p'")
        self.refused({"run_before_attach": [each, self.returned("take", "=p(4)", {"i": 1})]}, "saved 4 times")
        self.refused({"run_before_attach": [{"program": "tick", "save": {"p": "x"}}]}, "context_type")

    def test_steps(self):
        steps = [{"program": "tick", "every": "10ms", "returns": "any"},
                 self.returned("get_ticks", 0, at="5ms"), self.returned("get_ticks", 4, at="45ms"),
                 self.returned("get_ticks", 5, at="50ms"), self.returned("get_ticks", 9, at="99ms", pin=3)]
        self.good({"run_while_attached": steps})
        wrong = self.run_with({"run_while_attached": [*steps, self.returned("get_ticks", 1, at="98ms")]})
        self.assertEqual(wrong.returncode, 2, wrong.stderr)
        self.assertIn("run_while_attached[5]: program get_ticks returned 9, not 1", wrong.stderr)
        self.good({"run_while_attached": [self.returned("get_ticks", 1, at="200ms")]})  # After the end.
        for entry, text in (({}, "at or every"), ({"at": "1ms", "every": "1ms"}, "at or every"), ({"at": 5}, "string"),
                            ({"at": "5"}, "5"), ({"every": "0ms"}, "above 0"), ({"at": "0ms"}, "above 0"),
                            ({"at": "1ms", "x": 1}, "unknown key")):
            with self.subTest(entry=entry):
                self.refused({"run_while_attached": [{"program": "tick", **entry}]}, "run_while_attached[0]", text)
        self.refused({"run_after_attach": [{"program": "tick", "at": "1ms"}]}, "run_after_attach[0].at", "unknown key")


class Inspect(unittest.TestCase):
    def test_says_what_is_there(self):
        result = inspect_text(OBJECT)
        self.assertEqual(result.returncode, 0, result.stderr)
        for part in ("all that it needs is there", "table recipe_ops (sched_ext_ops)", "dispatch enqueue exit init",
                     "optional", "not loaded unless asked", "const u32 nr_llcs = 0", "percpu_array",
                     "const struct config cfg = {", "scx_bpf_dsq_insert", "Nothing else"):
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
    unittest.main(argv=sys.argv[:1] + sys.argv[7:])
