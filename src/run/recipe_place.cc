// SPDX-License-Identifier: GPL-2.0-only
#include "run/recipe_place.h"

namespace uscx::cli {

const machine::CpuMask &core_mask(const machine::Topology &topology, u32 core) {
  for (u32 cpu = 0; cpu < topology.nr_cpus(); cpu++)
    if (topology.core_of(cpu) == core) return topology.smt_mask(cpu);
  return topology.all();
}

u32 first_of(machine::MaskView cpus) { return cpus.first(); }

std::optional<u32> RecipePlace::count(std::string_view kind) const {
  if (kind == "cpu") return topology->nr_cpus();
  if (kind == "core") return topology->nr_cores();
  if (kind == "llc") return topology->nr_llcs();
  if (kind == "node") return topology->nr_nodes();
  return std::nullopt;
}

RecipePlace RecipePlace::at(std::string_view kind, u32 i) const {
  RecipePlace out = *this;
  out.cpu = out.core = out.llc = std::nullopt;
  const u32 first = kind == "cpu"    ? i
                    : kind == "core" ? first_of(core_mask(*topology, i))
                    : kind == "llc"  ? first_of(topology->llc_mask(i))
                                     : first_of(topology->node_mask(i));
  out.node = topology->node_of(first);
  if (kind == "node") return out;
  out.llc = topology->llc_of(first);
  if (kind == "llc") return out;
  out.core = topology->core_of(first);
  if (kind == "cpu") out.cpu = first;
  return out;
}

RecipePlace RecipePlace::with(std::string name, s64 number) const {
  RecipePlace out = *this;
  out.named.emplace_back(std::move(name), number);
  return out;
}

std::optional<u32> RecipePlace::first_cpu() const {
  if (cpu) return cpu;
  if (core) return first_of(core_mask(*topology, *core));
  if (llc) return first_of(topology->llc_mask(*llc));
  if (node) return first_of(topology->node_mask(*node));
  return std::nullopt;
}

}  // namespace uscx::cli
