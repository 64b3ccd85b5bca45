// SPDX-License-Identifier: GPL-2.0-only
// A loaded table of the cid form. It translates the CPU numbers of the core to cids, and affinity masks to cmasks in
// the scheduler's arena. There is one cmask for each CPU that calls, valid during the call. Threading: as BpfOps.
#ifndef USCX_BRIDGE_CID_OPS_H_
#define USCX_BRIDGE_CID_OPS_H_

#include "bpf/maps/arena_map.h"
#include "bridge/scx_ops.h"
#include "sched/ext/cids.h"

namespace uscx::bridge {

class CidOps final : public BpfOps {
 public:
  CidOps(Host &host, bpf::StructOpsMap &map, bpf::ArenaMap &arena) : BpfOps(host, map, true), arena_(arena) {}
  ~CidOps() override;
  // The arena of the table's programs, if they use exactly one.
  static bpf::ArenaMap *only_arena(const bpf::StructOpsMap &map);

  bool prepare() override;
  s32 select_cpu(task_struct *p, s32 prev_cpu, u64 wake_flags) override;
  void dispatch(s32 cpu, task_struct *prev) override;
  void set_cpumask(task_struct *p, const cpumask *mask) override;
  void update_idle(s32 cpu, bool idle) override;
  void dump_cpu(scx_dump_ctx *ctx, s32 cpu, bool idle) override;
  void cpu_online(s32 cpu) override;
  void cpu_offline(s32 cpu) override;

 private:
  s32 cid_of(s32 cpu);
  u64 scratch_bytes();  // Of one CPU.

  bpf::ArenaMap &arena_;  // Its programs keep it.
  u64 scratch_ = 0;       // User address; 0: none.
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_CID_OPS_H_
