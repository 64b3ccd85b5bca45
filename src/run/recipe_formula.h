// SPDX-License-Identifier: GPL-2.0-only
// Formulas of recipes: what a value is on this machine ("llc(cpu) * 2 + 1", "cpus_of_llc(llc)").
//
//   number    123, 0x7f
//   name      of the place that a list goes through: cpu, core, llc, node; of the machine: nr_cpus, nr_cores, nr_llcs,
//             nr_nodes, hz
//   call      core(cpu) llc(cpu) node(cpu) capacity(cpu) thread(cpu) sibling(cpu, i); first_cpu_of_llc(llc) and of
//             core and node; node_of_llc(llc); nr_cpus_of_llc(llc) and of core and node; min(a, b) max(a, b)
//   set       cpus_of_core(core), cpus_of_llc(llc), cpus_of_node(node), all_cpus(): a set of CPUs, which a bitmap takes
//   operator  + - * / % << >> & | and parentheses, with C's precedence, on signed 64-bit numbers
//
// Threading: pure.
#ifndef USCX_RUN_RECIPE_FORMULA_H_
#define USCX_RUN_RECIPE_FORMULA_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machine/topology.h"

namespace uscx::cli {

// The machine, and the place that a list is at.
struct RecipePlace {
  const machine::Topology *topology = nullptr;
  u32 hz = 0;
  std::optional<u32> cpu, core, llc, node;

  // How many of a kind there are ("cpu", "core", "llc", "node"); nothing for another word.
  std::optional<u32> count(std::string_view kind) const;
  // The same machine at number `i` of that kind. A CPU has a core, an LLC and a node; a core an LLC and a node; an LLC
  // a node.
  RecipePlace at(std::string_view kind, u32 i) const;
  // The lowest CPU of what the place is, if it is one.
  std::optional<u32> first_cpu() const;
};

struct FormulaValue {
  s64 number = 0;
  std::optional<machine::CpuMask> cpus;  // a set has no number
};

Result<FormulaValue> evaluate_formula(std::string_view text, const RecipePlace &place);

}  // namespace uscx::cli

#endif  // USCX_RUN_RECIPE_FORMULA_H_
