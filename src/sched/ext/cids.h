// SPDX-License-Identifier: GPL-2.0-only
// Cids: CPUs numbered without gaps along the machine's shape, so that neighbours share a core, an LLC, a node. First
// the CPUs that are online when a scheduler is loaded, then the other possible ones, which have no place in the shape.
//
// Threading: build() and override_order() on the enabling thread only; everybody else may read at any time, and sees
// old and new entries mixed while a scheduler is being loaded, before anything of it depends on them.
#ifndef USCX_SCHED_EXT_CIDS_H_
#define USCX_SCHED_EXT_CIDS_H_

#include <memory>
#include <string>

#include "abi/scx.h"
#include "machine/cpumask.h"
#include "machine/racy.h"
#include "machine/topology.h"

namespace uscx::sched {

class Cids {
 public:
  explicit Cids(const machine::Topology &topology);

  void build(const machine::CpuMask &online);
  // An order of the scheduler's own, by CPU: empty if it was taken, or what is wrong with it.
  std::string override_order(const s32 *cpu_to_cid);

  u32 nr() const { return topology_.nr_cpus(); }  // One for each possible CPU.
  bool valid(s32 cid) const { return cid >= 0 && static_cast<u32>(cid) < nr(); }
  bool built() const { return built_; }
  s32 cid_of(u32 cpu) const { return cid_of_[cpu]; }
  s32 cpu_of(u32 cid) const { return cpu_of_[cid]; }
  scx_cid_topo topo(u32 cid) const;

 private:
  void place(u32 cpu, u32 cid);

  const machine::Topology &topology_;
  machine::Racy<bool> built_;
  std::unique_ptr<machine::Racy<s32>[]> cid_of_, cpu_of_;
  std::unique_ptr<scx_cid_topo[]> topo_;  // By cid.
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_CIDS_H_
