// SPDX-License-Identifier: GPL-2.0-only
#include "machine/topology.h"

#include <algorithm>
#include <optional>

#include "base/units.h"

namespace uscx::machine {
namespace {

// The levels in the order in which they nest; the letter is the last character of a part of the text.
enum Level : u32 { kNodes, kLlcs, kCores, kThreads, kNrLevels };
constexpr char kLetters[kNrLevels] = {'n', 'l', 'c', 't'};
constexpr const char *kNames[kNrLevels] = {"nodes", "LLCs per node", "cores per LLC", "threads per core"};

Status parse_part(std::string_view part, std::optional<u32> (&counts)[kNrLevels]) {
  for (u32 level = 0; level < kNrLevels; level++) {
    if (part.empty() || part.back() != kLetters[level]) continue;
    if (counts[level]) return Status::error("the number of {} is given twice", kNames[level]);
    Result<u64> count = parse_number(part.substr(0, part.size() - 1), 1, kMaxCpus);
    if (!count.ok()) return count.status().at(fmt::format("number of {}", kNames[level]));
    counts[level] = static_cast<u32>(*count);
    return Status::ok_status();
  }
  return Status::error(
      "'{}' is not a number followed by n (nodes), l (LLCs per node), c (cores per LLC) or t (threads "
      "per core)",
      part);
}

}  // namespace

Result<Topology> Topology::parse(std::string_view text) {
  std::optional<u32> counts[kNrLevels];
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(':', start), text.size());
    Status status = parse_part(text.substr(start, end - start), counts);
    if (!status.ok()) return status.at(fmt::format("topology '{}'", text));
    start = end + 1;
  }
  u64 nr_cpus = 1;
  for (std::optional<u32> &count : counts) {
    // No product of four counts up to kMaxCpus overflows.
    nr_cpus *= count.value_or(1);
    if (!count) count = 1;
  }
  if (nr_cpus > kMaxCpus)
    return Status::error("topology '{}': {} CPUs are more than the {} that a machine can have", text, nr_cpus,
                         kMaxCpus);
  const u32 llcs = *counts[kNodes] * *counts[kLlcs];
  return Topology(*counts[kNodes], llcs, llcs * *counts[kCores], *counts[kThreads]);
}

Topology Topology::flat(u32 nr_cpus) {
  CHECK(nr_cpus >= 1 && nr_cpus <= kMaxCpus, "{} CPUs", nr_cpus);
  return Topology(1, 1, nr_cpus, 1);
}

Topology::Topology(u32 nodes, u32 llcs, u32 cores, u32 threads_per_core)
    : nr_cpus_(cores * threads_per_core),
      nr_nodes_(nodes),
      nr_llcs_(llcs),
      nr_cores_(cores),
      threads_per_core_(threads_per_core),
      node_of_(nr_cpus_),
      llc_of_(nr_cpus_),
      core_of_(nr_cpus_),
      node_masks_(nodes, CpuMask(nr_cpus_)),
      llc_masks_(llcs, CpuMask(nr_cpus_)),
      core_masks_(cores, CpuMask(nr_cpus_)),
      all_(nr_cpus_) {
  CHECK(llcs % nodes == 0 && cores % llcs == 0);
  for (u32 cpu = 0; cpu < nr_cpus_; cpu++) {
    const u32 core = cpu % cores;
    core_of_[cpu] = core;
    llc_of_[cpu] = core / (cores / llcs);
    node_of_[cpu] = core / (cores / nodes);
    core_masks_[core].set(cpu);
    llc_masks_[llc_of_[cpu]].set(cpu);
    node_masks_[node_of_[cpu]].set(cpu);
    all_.set(cpu);
  }
}

std::string Topology::to_string() const {
  return fmt::format("{}n:{}l:{}c:{}t", nr_nodes_, nr_llcs_ / nr_nodes_, nr_cores_ / nr_llcs_, threads_per_core_);
}

}  // namespace uscx::machine
