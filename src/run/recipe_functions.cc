// SPDX-License-Identifier: GPL-2.0-only
// The functions of the machine that formulas call.
#include <algorithm>
#include <numeric>
#include <tuple>

#include "run/recipe_formula.h"

namespace uscx::cli {
namespace {

using machine::Topology;
using schedulers::Integer;

// All CPUs of a machine are equal.
constexpr s64 kFullCapacity = 1024;
s64 capacity_of(const Topology &, u32, s64) { return kFullCapacity; }

// The place of a CPU among the threads of its core.
s64 thread_of(const Topology &topology, u32 cpu, s64) {
  s64 number = 0;
  for (u32 other = 0; other < cpu; other++) number += topology.core_of(other) == topology.core_of(cpu);
  return number;
}

s64 sibling_of(const Topology &topology, u32 cpu, s64 index) {
  for (u32 other = 0; other < topology.nr_cpus(); other++) {
    if (topology.core_of(other) == topology.core_of(cpu) && index-- == 0) return other;
  }
  return -1;
}

// The CPU that is the i-th when they are in the order of `key`.
template <typename Key>
s64 cpu_in_order(const Topology &topology, u32 i, Key key) {
  std::vector<u32> cpus(topology.nr_cpus());
  std::iota(cpus.begin(), cpus.end(), 0);
  std::nth_element(cpus.begin(), cpus.begin() + i, cpus.end(), [&](u32 a, u32 b) { return key(a) < key(b); });
  return cpus[i];
}

s64 cpu_by_capacity(const Topology &t, u32 i, s64) {
  return cpu_in_order(t, i, [&](u32 cpu) { return std::tuple(-capacity_of(t, cpu, 0), cpu); });
}

s64 cpu_by_llc(const Topology &t, u32 i, s64) {
  return cpu_in_order(t, i, [&](u32 cpu) { return std::tuple(t.llc_of(cpu), t.core_of(cpu), cpu); });
}

u32 count_of(machine::MaskView cpus) { return cpus.weight(); }
const machine::CpuMask &llc_mask(const Topology &topology, u32 llc) { return topology.llc_mask(llc); }
const machine::CpuMask &node_mask(const Topology &topology, u32 node) { return topology.node_mask(node); }
const machine::CpuMask &all_cpus(const Topology &topology, u32) { return topology.all(); }

// One function. `domain` is what its first argument is a number of.
struct Function {
  const char *name;
  u32 nr_args;
  const char *domain;
  s64 (*number)(const Topology &, u32 first, s64 second);
  const machine::CpuMask &(*cpus)(const Topology &, u32 first);
};
const Function kFunctions[] = {
    {"core", 1, "cpu", [](const Topology &t, u32 cpu, s64) -> s64 { return t.core_of(cpu); }, nullptr},
    {"llc", 1, "cpu", [](const Topology &t, u32 cpu, s64) -> s64 { return t.llc_of(cpu); }, nullptr},
    {"node", 1, "cpu", [](const Topology &t, u32 cpu, s64) -> s64 { return t.node_of(cpu); }, nullptr},
    {"capacity", 1, "cpu", capacity_of, nullptr},
    {"thread", 1, "cpu", thread_of, nullptr},
    {"sibling", 2, "cpu", sibling_of, nullptr},
    {"cpu_by_capacity", 1, "cpu", cpu_by_capacity, nullptr},
    {"cpu_by_llc", 1, "cpu", cpu_by_llc, nullptr},
    {"node_of_llc", 1, "llc", [](const Topology &t, u32 i, s64) -> s64 { return t.node_of(first_of(llc_mask(t, i))); },
     nullptr},
    {"first_cpu_of_core", 1, "core", [](const Topology &t, u32 i, s64) -> s64 { return first_of(core_mask(t, i)); },
     nullptr},
    {"first_cpu_of_llc", 1, "llc", [](const Topology &t, u32 i, s64) -> s64 { return first_of(llc_mask(t, i)); },
     nullptr},
    {"first_cpu_of_node", 1, "node", [](const Topology &t, u32 i, s64) -> s64 { return first_of(node_mask(t, i)); },
     nullptr},
    {"nr_cpus_of_core", 1, "core", [](const Topology &t, u32 i, s64) -> s64 { return count_of(core_mask(t, i)); },
     nullptr},
    {"nr_cpus_of_llc", 1, "llc", [](const Topology &t, u32 i, s64) -> s64 { return count_of(llc_mask(t, i)); },
     nullptr},
    {"nr_cpus_of_node", 1, "node", [](const Topology &t, u32 i, s64) -> s64 { return count_of(node_mask(t, i)); },
     nullptr},
    {"cpus_of_core", 1, "core", nullptr, core_mask},
    {"cpus_of_llc", 1, "llc", nullptr, llc_mask},
    {"cpus_of_node", 1, "node", nullptr, node_mask},
    {"all_cpus", 0, "", nullptr, all_cpus},
};

Result<FormulaValue> apply(const Function &function, const std::vector<Integer> &args, const Topology &topology) {
  if (args.size() != function.nr_args)
    return Status::error("{}() takes {} argument{}, not {}", function.name, function.nr_args,
                         function.nr_args == 1 ? "" : "s", args.size());
  u32 first = 0;
  if (!args.empty()) {
    const s64 count = *RecipePlace{.topology = &topology}.count(function.domain);
    if (args[0].value < 0 || args[0].value >= count)
      return Status::error("{}({}): this machine has {}s 0 to {}", function.name, args[0].text(), function.domain,
                           count - 1);
    first = static_cast<u32>(args[0].value);
  }
  if (function.cpus) return FormulaValue{{}, function.cpus(topology, first)};
  return FormulaValue{{function.number(topology, first, args.size() > 1 ? args[1].value : 0), false}, {}};
}

Result<FormulaValue> extreme(std::string_view name, const std::vector<Integer> &args) {
  if (args.size() < 2) return Status::error("{}() takes two or more arguments, not {}", name, args.size());
  return FormulaValue{name == "min" ? *std::min_element(args.begin(), args.end(), is_less)
                                    : *std::max_element(args.begin(), args.end(), is_less),
                      {}};
}

}  // namespace

bool is_less(Integer a, Integer b) {
  if (a.is_unsigned || b.is_unsigned) return static_cast<u64>(a.value) < static_cast<u64>(b.value);
  return a.value < b.value;
}

Result<FormulaValue> call_function(std::string_view name, const std::vector<Integer> &args, const Topology &topology) {
  if (name == "min" || name == "max") return extreme(name, args);
  std::string known;
  for (const Function &function : kFunctions) {
    if (name == function.name) return apply(function, args, topology);
    known += fmt::format("{}, ", function.name);
  }
  return Status::error("unknown function '{}'; there are {}min, max, sizeof", name, known);
}

}  // namespace uscx::cli
