// SPDX-License-Identifier: GPL-2.0-only
// Recipes: what the user half of a scheduler would do before and after it attaches, as JSON (docs/RECIPES.md): global
// variables, fields of the ops table, contents of maps, syscall programs to run. Names and types are the object's own.
// All errors name the place in the file ("maps.cpu_ctx[2].value.llc").
//
// Threading: a recipe is constant once parsed; it is applied on the thread that runs the simulation.
#ifndef USCX_RUN_RECIPE_H_
#define USCX_RUN_RECIPE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "run/recipe_place.h"
#include "schedulers/common/scx_user.h"
#include "workload/json_tree.h"

namespace uscx::cli {

class Recipe {
 public:
  // An error if it is no JSON, or not of a recipe's shape.
  static Result<std::shared_ptr<Recipe>> parse(std::string_view text);
  // The same of a file, with the values that are in files beside it.
  static Result<std::shared_ptr<const Recipe>> read(const std::string &path);

  // What an object is loaded and run on.
  struct Target {
    schedulers::ScxObject *object = nullptr;
    RecipePlace machine;
    RecipeSaved *saved = nullptr;  // The machine's, to be written.
    // Where the user half runs: the CPU that a program is pinned to.
    std::function<void(u32 cpu)> set_user_cpu;
  };
  // When a step of run_while_attached is due: at a time since the attach, or at each multiple of it.
  struct StepTime {
    u64 ns = 0;
    bool repeats = false;
  };

  // The steps of a recipe, in order. Table, globals, ops, loads and sizes of maps.
  Status before_load(const Target &target) const;
  // Maps, and the programs of run_before_attach.
  Status before_attach(const Target &target) const;
  // Whether the scheduler is to be attached at all.
  Result<bool> attaches(const Target &target) const;
  Status after_attach(const Target &target) const;
  // When the next step of run_while_attached is due, and what is due at exactly that time.
  std::optional<u64> next_step(u64 after_ns) const;
  Status run_step(const Target &target, u64 at_ns) const;

  // The files that values came from.
  const std::vector<std::string> &files() const { return files_; }

 private:
  explicit Recipe(workload::JsonNode root) : root_(std::move(root)) {}
  Status check();
  Status check_attach(const Target &target) const;
  Status run_programs(const Target &target, const char *list, const std::function<bool(size_t)> &wanted) const;

  workload::JsonNode root_;
  std::vector<std::string> files_;
  std::vector<StepTime> times_;  // Of run_while_attached, in its order.
};

}  // namespace uscx::cli

#endif  // USCX_RUN_RECIPE_H_
