// SPDX-License-Identifier: GPL-2.0-only
// The machine's shape: nodes, last-level caches, cores, SMT threads. CPU numbers follow the usual x86 layout: first the
// first thread of every core in node, LLC, core order, then the second threads, and so on. Constant after construction.
#ifndef USCX_MACHINE_TOPOLOGY_H_
#define USCX_MACHINE_TOPOLOGY_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machine/cpumask.h"

namespace uscx::machine {

inline constexpr u32 kMaxCpus = 8192;

class Topology {
 public:
  // "2n:4l:8c:2t": 2 nodes, 4 LLCs in each node, 8 cores in each LLC, 2 threads in each core: 128 CPUs. Parts may be
  // left out and are then 1. `--cpus N` is "1n:1l:Nc:1t".
  static Result<Topology> parse(std::string_view text);
  static Topology flat(u32 nr_cpus);

  u32 nr_cpus() const { return nr_cpus_; }
  u32 nr_nodes() const { return nr_nodes_; }
  u32 nr_llcs() const { return nr_llcs_; }
  u32 nr_cores() const { return nr_cores_; }
  bool smt_active() const { return threads_per_core_ > 1; }
  u32 node_of(u32 cpu) const { return node_of_[cpu]; }
  u32 llc_of(u32 cpu) const { return llc_of_[cpu]; }
  u32 core_of(u32 cpu) const { return core_of_[cpu]; }
  const CpuMask &node_mask(u32 node) const { return node_masks_[node]; }
  const CpuMask &llc_mask(u32 llc) const { return llc_masks_[llc]; }
  const CpuMask &smt_mask(u32 cpu) const { return core_masks_[core_of_[cpu]]; }
  const CpuMask &all() const { return all_; }
  // Distance as in the ACPI SLIT: 10 to itself, 20 to another node.
  u32 node_distance(u32 a, u32 b) const { return a == b ? 10 : 20; }
  std::string to_string() const;

 private:
  Topology(u32 nodes, u32 llcs, u32 cores, u32 threads_per_core);
  u32 nr_cpus_, nr_nodes_, nr_llcs_, nr_cores_, threads_per_core_;
  std::vector<u32> node_of_, llc_of_, core_of_;
  std::vector<CpuMask> node_masks_, llc_masks_, core_masks_;
  CpuMask all_;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_TOPOLOGY_H_
