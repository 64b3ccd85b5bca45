// SPDX-License-Identifier: GPL-2.0-only
// Recipes: what the user half of a scheduler would do before and after it attaches, as JSON (docs/RECIPES.md): global
// variables, fields of the ops table, contents of maps, syscall programs to run. Names and types are the object's own.
// All errors name the place in the file ("maps.cpu_ctx[2].value.llc").
//
// Threading: a recipe is constant once parsed; it is applied on the thread that runs the simulation.
#ifndef USCX_RUN_RECIPE_H_
#define USCX_RUN_RECIPE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "run/recipe_formula.h"
#include "schedulers/common/scx_user.h"
#include "workload/json_tree.h"

namespace uscx::cli {

class Recipe {
 public:
  // The steps of a recipe, in order. Errors: no JSON, or not of a recipe's shape.
  static Result<std::shared_ptr<const Recipe>> parse(std::string_view text);
  static Result<std::shared_ptr<const Recipe>> read(const std::string &path);

  // What an object is loaded and run on.
  struct Target {
    schedulers::ScxObject *object = nullptr;
    RecipePlace machine;
    // Where the user half runs: the CPU that a program is pinned to.
    std::function<void(u32 cpu)> set_user_cpu;
  };
  // Table, globals, ops, loads and sizes of maps.
  Status before_load(const Target &target) const;
  // Maps, and the programs of run_before_attach.
  Status before_attach(const Target &target) const;
  Status after_attach(const Target &target) const;

  // Programs that the recipe loads, or does not, by name.
  std::map<std::string, bool> loads() const;

 private:
  explicit Recipe(workload::JsonNode root) : root_(std::move(root)) {}
  Status check() const;
  Status run_programs(const Target &target, const char *list) const;

  const workload::JsonNode root_;
};

// Writes a JSON value into memory that BTF describes; exported for tests.
Status write_recipe_value(const schedulers::BtfPlace &place, const workload::JsonNode &node,
                          const workload::JsonPath &path, const RecipePlace &machine);

}  // namespace uscx::cli

#endif  // USCX_RUN_RECIPE_H_
