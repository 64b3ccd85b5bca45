// SPDX-License-Identifier: GPL-2.0-only
// Built-in idle tracking and CPU selection (docs/reference/idle.md). Masks are global or one pair a node; each has the
// idle CPUs, and the CPUs of wholly idle cores. They live in object space because programs read them live.
//
// Updates of a CPU's own bit come with its rq lock held; claims come from any CPU without a lock, so every access to a
// word is atomic, and only test-and-clear decides who has got a CPU. A mask is a hint, never a promise.
#ifndef USCX_SCHED_EXT_IDLE_H_
#define USCX_SCHED_EXT_IDLE_H_

#include <memory>
#include <vector>

#include "abi/kernel.h"
#include "machine/racy.h"
#include "machine/topology.h"
#include "sched/object_space.h"

namespace uscx::sched {

class Kernel;
struct Task;

class IdleTracker {
 public:
  explicit IdleTracker(Kernel &kernel);
  ~IdleTracker();
  IdleTracker(const IdleTracker &) = delete;
  IdleTracker &operator=(const IdleTracker &) = delete;

  void enable(u64 ops_flags, bool has_update_idle);  // Sets the modes and resets the masks to "everything is idle".
  void disable() { enabled_ = false; }
  void update_topology();  // Which of the LLC and NUMA steps make sense on this machine.
  bool enabled() const { return enabled_; }
  bool per_node() const { return per_node_; }

  void update(u32 cpu, bool idle);
  void cpu_dead(u32 cpu);  // It is offline: nothing is to pick it.
  bool test_and_clear(u32 cpu);
  // -EBUSY if there is none. node is kNoNode in global mode.
  s32 pick_idle(const cpumask *mask, s32 node, u64 flags);
  s32 pick_any(const cpumask *mask, s32 node, u64 flags);
  // The default selection, all steps; a claimed CPU or -EBUSY. allowed may be null: p's own mask.
  s32 select_cpu_dfl(Task &p, s32 prev_cpu, u64 wake_flags, const cpumask *allowed, u64 flags);
  // A random-access pick among mask ∩ other that rotates from this CPU's last one; nr_cpus if there is none.
  u32 any_distribute(machine::MaskView mask, machine::MaskView other);

  static constexpr s32 kNoNode = -1;
  s32 node_if_per_node(u32 cpu) const;
  const cpumask *mask(bool smt, s32 node) const;
  const cpumask *empty_mask() const { return empty_; }
  bool is_idle(u32 cpu) const;  // As the masks say.
  bool core_is_idle(u32 cpu) const;

 private:
  struct Pair {
    cpumask *cpu = nullptr;
    cpumask *smt = nullptr;
  };
  Pair &pair_of(s32 node) { return node < 0 ? global_ : nodes_[static_cast<u32>(node)]; }
  const Pair &pair_of(s32 node) const { return node < 0 ? global_ : nodes_[static_cast<u32>(node)]; }
  machine::MaskView view(const cpumask *mask) const;
  machine::MaskView siblings(u32 cpu) const;  // Those that are online.
  s32 pick_in_node(const cpumask *mask, s32 node, u64 flags);
  s32 pick_other_nodes(const cpumask *mask, s32 node, u64 flags);
  // The spans that the steps of select_cpu_dfl use.
  struct Spans;
  void find_spans(Spans *spans, Task &p, u32 prev, bool own_mask);
  s32 try_waker(const Spans &spans, u32 prev, bool prev_ok, s32 node, u64 flags);
  s32 pick_core(const Spans &spans, u32 prev, bool prev_ok, s32 node, u64 flags);
  s32 pick_single(const Spans &spans, u32 prev, bool prev_ok, s32 node, u64 flags);

  Kernel &kernel_;
  const machine::Topology &topo_;
  const u32 nr_cpus_;
  const bool smt_;
  // Set by the enabling thread and by hotplug.
  machine::Racy<bool> enabled_;
  machine::Racy<bool> per_node_;
  machine::Racy<bool> use_llc_;
  machine::Racy<bool> use_numa_;
  Pair global_;
  std::vector<Pair> nodes_;
  // LLC, NUMA and allowed sets of a selection in progress, by CPU; made at first use.
  struct Scratch {
    cpumask llc, numa, allowed;
  };
  Scratch &scratch();
  std::vector<std::unique_ptr<Scratch>> scratch_;
  cpumask *empty_ = nullptr;
  std::vector<machine::CpuMask> online_cores_;  // By core, while CPUs are offline; else empty.
  std::vector<u32> cursor_;                     // any_distribute's last pick, by CPU.
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_IDLE_H_
