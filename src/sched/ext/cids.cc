// SPDX-License-Identifier: GPL-2.0-only
#include "sched/ext/cids.h"

#include <algorithm>
#include <cerrno>
#include <tuple>
#include <vector>

#include "base/check.h"

namespace uscx::sched {

namespace {

constexpr scx_cid_topo kNoPlace = {-1, -1, -1, -1, -1, -1};

void store(scx_cid_topo *to, const scx_cid_topo &from) {
  for (s32 scx_cid_topo::*field : {&scx_cid_topo::core_cid, &scx_cid_topo::core_idx, &scx_cid_topo::llc_cid,
                                   &scx_cid_topo::llc_idx, &scx_cid_topo::node_cid, &scx_cid_topo::node_idx})
    machine::racy_store(to->*field, from.*field);
}

// The unit (core, LLC, node) to which the CPU at this cid belongs: its first cid and its place among those of its kind.
class Units {
 public:
  void enter(u32 unit, s32 cid) {
    if (any_ && unit == unit_) return;
    unit_ = unit;
    first_cid_ = cid;
    index_ = any_ ? index_ + 1 : 0;
    any_ = true;
  }
  s32 first_cid() const { return first_cid_; }
  s32 index() const { return index_; }

 private:
  bool any_ = false;
  u32 unit_ = 0;
  s32 first_cid_ = -1, index_ = -1;
};

}  // namespace

Cids::Cids(const machine::Topology &topology)
    : topology_(topology),
      cid_of_(std::make_unique<machine::Racy<s32>[]>(topology.nr_cpus())),
      cpu_of_(std::make_unique<machine::Racy<s32>[]>(topology.nr_cpus())),
      topo_(std::make_unique<scx_cid_topo[]>(topology.nr_cpus())) {
  for (u32 cpu = 0; cpu < nr(); cpu++) {
    cid_of_[cpu] = -EINVAL;
    cpu_of_[cpu] = -EINVAL;
    topo_[cpu] = kNoPlace;
  }
}

void Cids::place(u32 cpu, u32 cid) {
  cid_of_[cpu] = static_cast<s32>(cid);
  cpu_of_[cid] = static_cast<s32>(cpu);
}

void Cids::build(const machine::CpuMask &online) {
  std::vector<u32> order;
  for (u32 cpu = 0; cpu < nr(); cpu++)
    if (online.test(cpu)) order.push_back(cpu);
  const size_t nr_online = order.size();
  std::sort(order.begin(), order.end(), [this](u32 a, u32 b) {
    auto key = [this](u32 cpu) {
      return std::tuple(topology_.node_of(cpu), topology_.llc_of(cpu), topology_.core_of(cpu), cpu);
    };
    return key(a) < key(b);
  });
  for (u32 cpu = 0; cpu < nr(); cpu++)
    if (!online.test(cpu)) order.push_back(cpu);
  Units cores, llcs, nodes;
  for (u32 cid = 0; cid < nr(); cid++) {
    const u32 cpu = order[cid];
    place(cpu, cid);
    if (cid >= nr_online) {
      store(&topo_[cid], kNoPlace);
      continue;
    }
    const s32 here = static_cast<s32>(cid);
    nodes.enter(topology_.node_of(cpu), here);
    llcs.enter(topology_.llc_of(cpu), here);
    cores.enter(topology_.core_of(cpu), here);
    store(&topo_[cid],
          {cores.first_cid(), cores.index(), llcs.first_cid(), llcs.index(), nodes.first_cid(), nodes.index()});
  }
  built_ = true;
}

std::string Cids::override_order(const s32 *cpu_to_cid) {
  std::vector<bool> taken(nr());
  for (u32 cpu = 0; cpu < nr(); cpu++) {
    const s32 cid = cpu_to_cid[cpu];
    if (!valid(cid)) return fmt::format("invalid cid {}", cid);
    if (taken[static_cast<u32>(cid)]) return fmt::format("cid {} assigned to multiple cpus", cid);
    taken[static_cast<u32>(cid)] = true;
  }
  for (u32 cpu = 0; cpu < nr(); cpu++) {
    place(cpu, static_cast<u32>(cpu_to_cid[cpu]));
    store(&topo_[cpu], kNoPlace);
  }
  return "";
}

scx_cid_topo Cids::topo(u32 cid) const {
  CHECK(cid < nr());
  const scx_cid_topo &t = topo_[cid];
  return {machine::racy_load(t.core_cid), machine::racy_load(t.core_idx), machine::racy_load(t.llc_cid),
          machine::racy_load(t.llc_idx),  machine::racy_load(t.node_cid), machine::racy_load(t.node_idx)};
}

}  // namespace uscx::sched
