// SPDX-License-Identifier: GPL-2.0-only
// Built-in idle tracking: the masks, claims, and the default choice of a CPU, in the order of docs/reference/idle.md.
#include "sched/ext/idle.h"

#include <cerrno>

#include "sched/kernel.h"

namespace uscx::sched {

using machine::MaskView;
using machine::MaskWord;

namespace {

constexpr u32 kWordBits = 64;

bool atomic_test_and_clear(cpumask *mask, u32 cpu) {
  const MaskWord bit = MaskWord{1} << (cpu % kWordBits);
  machine::atomic_write(&mask->bits[cpu / kWordBits]);
  return __atomic_fetch_and(&mask->bits[cpu / kWordBits], ~bit, __ATOMIC_SEQ_CST) & bit;
}
void atomic_set(cpumask *mask, u32 cpu) {
  machine::atomic_write(&mask->bits[cpu / kWordBits]);
  __atomic_fetch_or(&mask->bits[cpu / kWordBits], MaskWord{1} << (cpu % kWordBits), __ATOMIC_SEQ_CST);
}
void atomic_and_not(cpumask *mask, MaskView other) {
  for (u32 i = 0; i < machine::mask_words(other.nr_cpus()); i++)
    if (other.word_at(i)) __atomic_fetch_and(&mask->bits[i], ~other.word_at(i), __ATOMIC_SEQ_CST);
}
void atomic_or(cpumask *mask, MaskView other) {
  for (u32 i = 0; i < machine::mask_words(other.nr_cpus()); i++)
    if (other.word_at(i)) __atomic_fetch_or(&mask->bits[i], other.word_at(i), __ATOMIC_SEQ_CST);
}
// to = a ∩ b; true if it is not empty.
bool intersect(cpumask *to, MaskView a, MaskView b) {
  MaskWord any = 0;
  for (u32 i = 0; i < machine::mask_words(a.nr_cpus()); i++) {
    const MaskWord word = a.word_at(i) & b.word_at(i);
    machine::racy_store(to->bits[i], word);
    any |= word;
  }
  return any;
}

}  // namespace

// Null where a step is to be skipped.
struct IdleTracker::Spans {
  const cpumask *allowed = nullptr;
  const cpumask *llc = nullptr;
  const cpumask *numa = nullptr;
};

IdleTracker::IdleTracker(Kernel &kernel)
    : kernel_(kernel),
      topo_(kernel.machine().topology()),
      nr_cpus_(topo_.nr_cpus()),
      smt_(topo_.smt_active()),
      scratch_(nr_cpus_),
      cursor_(nr_cpus_, 0) {
  auto make = [&] { return static_cast<cpumask *>(kernel_.objects().alloc(ObjectType::kCpumask, sizeof(cpumask))); };
  auto make_pair = [&] { return Pair{make(), make()}; };
  global_ = make_pair();
  for (u32 node = 0; node < topo_.nr_nodes(); node++) nodes_.push_back(make_pair());
  empty_ = make();
}

IdleTracker::~IdleTracker() {
  auto drop = [&](cpumask *mask) { kernel_.objects().free(ObjectType::kCpumask, mask, sizeof(cpumask)); };
  nodes_.push_back(global_);
  for (const Pair &pair : nodes_) {
    drop(pair.cpu);
    drop(pair.smt);
  }
  drop(empty_);
}

IdleTracker::Scratch &IdleTracker::scratch() {
  std::unique_ptr<Scratch> &scratch = scratch_[machine::this_cpu()];
  if (!scratch) scratch = std::make_unique<Scratch>();
  return *scratch;
}

MaskView IdleTracker::view(const cpumask *mask) const { return MaskView(mask->bits, nr_cpus_); }

s32 IdleTracker::node_if_per_node(u32 cpu) const { return per_node_ ? static_cast<s32>(topo_.node_of(cpu)) : kNoNode; }

const cpumask *IdleTracker::mask(bool smt, s32 node) const {
  const Pair &pair = pair_of(node);
  return smt && smt_ ? pair.smt : pair.cpu;
}

bool IdleTracker::is_idle(u32 cpu) const { return view(pair_of(node_if_per_node(cpu)).cpu).test(cpu); }
bool IdleTracker::core_is_idle(u32 cpu) const { return view(pair_of(node_if_per_node(cpu)).smt).test(cpu); }

MaskView IdleTracker::siblings(u32 cpu) const {
  return online_cores_.empty() ? topo_.smt_mask(cpu).view() : online_cores_[topo_.core_of(cpu)].view();
}

// --- modes and updates ---

void IdleTracker::enable(u64 ops_flags, bool has_update_idle) {
  enabled_ = !has_update_idle || (ops_flags & SCX_OPS_KEEP_BUILTIN_IDLE);
  per_node_ = ops_flags & SCX_OPS_BUILTIN_IDLE_PER_NODE;
  update_topology();
  const MaskView online = kernel_.online_mask();
  intersect(global_.cpu, online, online);
  intersect(global_.smt, online, online);
  for (u32 node = 0; node < topo_.nr_nodes(); node++) {
    intersect(nodes_[node].cpu, online, topo_.node_mask(node));
    intersect(nodes_[node].smt, online, topo_.node_mask(node));
  }
}

// FIDELITY: offline-idle-bit.
void IdleTracker::cpu_dead(u32 cpu) {
  update_topology();
  for (const Pair &pair : {global_, nodes_[topo_.node_of(cpu)]}) {
    atomic_test_and_clear(pair.cpu, cpu);
    atomic_test_and_clear(pair.smt, cpu);
  }
}

void IdleTracker::update_topology() {
  const machine::CpuMask &online = kernel_.online_mask();
  const u32 nr_online = online.view().weight();
  const u32 first = online.view().first();
  auto online_weight = [&](const machine::CpuMask &span) {
    machine::CpuMask mask = span;
    mask.and_with(online);
    return mask.view().weight();
  };
  online_cores_.clear();
  if (smt_ && nr_online < nr_cpus_) {
    for (u32 core = 0; core < topo_.nr_cores(); core++) online_cores_.emplace_back(nr_cpus_);
    for (u32 cpu = first; cpu < nr_cpus_; cpu = online.view().next(cpu + 1)) online_cores_[topo_.core_of(cpu)].set(cpu);
  }
  use_llc_ = false;
  use_numa_ = false;
  if (first >= nr_cpus_) return;
  use_llc_ = online_weight(topo_.llc_mask(topo_.llc_of(first))) < nr_online;
  if (per_node_ || online_weight(topo_.node_mask(topo_.node_of(first))) >= nr_online) return;
  // Where each node is one LLC the NUMA step would repeat the LLC step.
  for (u32 cpu = first; cpu < nr_cpus_ && !use_numa_; cpu = online.view().next(cpu + 1))
    use_numa_ = online_weight(topo_.llc_mask(topo_.llc_of(cpu))) != online_weight(topo_.node_mask(topo_.node_of(cpu)));
}

void IdleTracker::update(u32 cpu, bool idle) {
  Pair &pair = pair_of(node_if_per_node(cpu));
  if (idle)
    atomic_set(pair.cpu, cpu);
  else
    atomic_test_and_clear(pair.cpu, cpu);
  if (!smt_) return;
  const MaskView core = siblings(cpu);
  if (!idle)
    atomic_and_not(pair.smt, core);
  else if (core.subset_of(view(pair.cpu)))
    atomic_or(pair.smt, core);
}

// --- claims ---

bool IdleTracker::test_and_clear(u32 cpu) {
  Pair &pair = pair_of(node_if_per_node(cpu));
  // The core is no longer wholly idle, whoever wins: many claimants would otherwise all try the same core.
  if (smt_ && view(pair.smt).test(cpu)) {
    atomic_and_not(pair.smt, siblings(cpu));
    if (view(pair.smt).test(cpu))
      atomic_test_and_clear(pair.smt, cpu);  // A CPU that is going offline is nobody's sibling, not even its own.
  }
  return atomic_test_and_clear(pair.cpu, cpu);
}

u32 IdleTracker::any_distribute(MaskView mask, MaskView other) {
  u32 &last = cursor_[machine::this_cpu()];
  u32 cpu = mask.next_and(other, last + 1);
  if (cpu >= nr_cpus_) cpu = mask.next_and(other, 0);
  if (cpu < nr_cpus_) last = cpu;
  return cpu;
}

s32 IdleTracker::pick_in_node(const cpumask *mask, s32 node, u64 flags) {
  const Pair &pair = pair_of(node);
  for (;;) {
    u32 cpu = smt_ ? any_distribute(view(pair.smt), view(mask)) : nr_cpus_;
    if (cpu >= nr_cpus_) {
      if (smt_ && (flags & SCX_PICK_IDLE_CORE)) return -EBUSY;
      cpu = any_distribute(view(pair.cpu), view(mask));
      if (cpu >= nr_cpus_) return -EBUSY;
    }
    if (test_and_clear(cpu)) return static_cast<s32>(cpu);
  }
}

// By increasing distance; equal ones by number.
s32 IdleTracker::pick_other_nodes(const cpumask *mask, s32 node, u64 flags) {
  std::vector<bool> seen(topo_.nr_nodes());
  seen[static_cast<u32>(node)] = true;
  for (u32 round = 1; round < topo_.nr_nodes(); round++) {
    u32 best = topo_.nr_nodes();
    for (u32 n = 0; n < topo_.nr_nodes(); n++) {
      if (seen[n]) continue;
      if (best == topo_.nr_nodes() ||
          topo_.node_distance(static_cast<u32>(node), n) < topo_.node_distance(static_cast<u32>(node), best))
        best = n;
    }
    seen[best] = true;
    const s32 cpu = pick_in_node(mask, static_cast<s32>(best), flags);
    if (cpu >= 0) return cpu;
  }
  return -EBUSY;
}

s32 IdleTracker::pick_idle(const cpumask *mask, s32 node, u64 flags) {
  const s32 cpu = pick_in_node(mask, node, flags);
  if (cpu >= 0 || node < 0 || (flags & SCX_PICK_IDLE_IN_NODE)) return cpu;
  return pick_other_nodes(mask, node, flags);
}

s32 IdleTracker::pick_any(const cpumask *mask, s32 node, u64 flags) {
  if (enabled_) {
    const s32 cpu = pick_idle(mask, node, flags);
    if (cpu >= 0) return cpu;
  }
  const bool in_node = node >= 0 && (flags & SCX_PICK_IDLE_IN_NODE);
  const u32 cpu = any_distribute(view(mask), in_node ? topo_.node_mask(static_cast<u32>(node)).view() : view(mask));
  return cpu < nr_cpus_ ? static_cast<s32>(cpu) : -EBUSY;
}

// --- the default selection ---

void IdleTracker::find_spans(Spans *spans, Task &p, u32 prev, bool own_mask) {
  // A task that may run everywhere needs no intersection; the kernel compares with the spans themselves.
  const bool everywhere = own_mask && static_cast<u32>(p.nr_cpus_allowed()) >= nr_cpus_;
  const MaskView allowed = view(spans->allowed);
  auto span_of = [&](cpumask *to, const machine::CpuMask &span) -> const cpumask * {
    return intersect(to, span, everywhere ? MaskView(kernel_.online_mask()) : allowed) ? to : nullptr;
  };
  if (use_numa_) spans->numa = span_of(&scratch().numa, topo_.node_mask(topo_.node_of(prev)));
  if (use_llc_) spans->llc = span_of(&scratch().llc, topo_.llc_mask(topo_.llc_of(prev)));
}

// Steps 2a and 2b: the waker is about to sleep, so stay close to it.
s32 IdleTracker::try_waker(const Spans &spans, u32 prev, bool prev_ok, s32 node, u64 flags) {
  const u32 waker_cpu = machine::this_cpu();
  if (prev_ok && topo_.llc_of(waker_cpu) == topo_.llc_of(prev) && test_and_clear(prev)) return static_cast<s32>(prev);
  Rq &rq = kernel_.rq(waker_cpu);
  const s32 waker_node = node_if_per_node(waker_cpu);
  if (rq.curr->is_exiting() || rq.ext.local_dsq.nr.load() > 0) return -EBUSY;
  if ((flags & SCX_PICK_IDLE_IN_NODE) && waker_node != node) return -EBUSY;
  // If nobody is idle the machine is saturated, and the waker's CPU would be as bad as any.
  if (view(pair_of(waker_node).cpu).empty() || !view(spans.allowed).test(waker_cpu)) return -EBUSY;
  test_and_clear(waker_cpu);
  return static_cast<s32>(waker_cpu);
}

// Step 3: a wholly idle core.
s32 IdleTracker::pick_core(const Spans &spans, u32 prev, bool prev_ok, s32 node, u64 flags) {
  if (prev_ok && view(pair_of(node_if_per_node(prev)).smt).test(prev) && test_and_clear(prev))
    return static_cast<s32>(prev);
  for (const cpumask *span : {spans.llc, spans.numa}) {
    if (!span) continue;
    const s32 cpu = pick_in_node(span, node, SCX_PICK_IDLE_CORE);
    if (cpu >= 0) return cpu;
  }
  return pick_idle(spans.allowed, node, flags | SCX_PICK_IDLE_CORE);
}

// Steps 4 to 6: any idle CPU.
s32 IdleTracker::pick_single(const Spans &spans, u32 prev, bool prev_ok, s32 node, u64 flags) {
  if (prev_ok && test_and_clear(prev)) return static_cast<s32>(prev);
  if (smt_) {
    const MaskView core = siblings(prev);
    for (u32 cpu = core.next_and(view(spans.allowed), 0); cpu < nr_cpus_;
         cpu = core.next_and(view(spans.allowed), cpu + 1))
      if (view(pair_of(node_if_per_node(cpu)).cpu).test(cpu) && test_and_clear(cpu)) return static_cast<s32>(cpu);
  }
  for (const cpumask *span : {spans.llc, spans.numa}) {
    if (!span) continue;
    const s32 cpu = pick_in_node(span, node, 0);
    if (cpu >= 0) return cpu;
  }
  return pick_idle(spans.allowed, node, flags);
}

s32 IdleTracker::select_cpu_dfl(Task &p, s32 prev_cpu, u64 wake_flags, const cpumask *allowed, u64 flags) {
  const u32 prev = static_cast<u32>(prev_cpu);
  Spans spans{p.allowed};
  const bool own_mask = !allowed || allowed == p.cpus_ptr();
  if (!own_mask) {
    const bool everywhere = static_cast<u32>(p.nr_cpus_allowed()) >= nr_cpus_;
    if (everywhere) {
      spans.allowed = allowed;
      if (view(allowed).empty()) return -EBUSY;
    } else {
      if (!intersect(&scratch().allowed, view(allowed), view(p.allowed))) return -EBUSY;
      spans.allowed = &scratch().allowed;
    }
  }
  const bool prev_ok = view(spans.allowed).test(prev);
  const s32 node = node_if_per_node(prev);
  find_spans(&spans, p, prev, own_mask);

  if (wake_flags & WF_SYNC) {
    const s32 cpu = try_waker(spans, prev, prev_ok, node, flags);
    if (cpu >= 0) return cpu;
  }
  if (smt_) {
    const s32 cpu = pick_core(spans, prev, prev_ok, node, flags);
    if (cpu >= 0) return cpu;
    if (flags & SCX_PICK_IDLE_CORE) return -EBUSY;
  }
  return pick_single(spans, prev, prev_ok, node, flags);
}

}  // namespace uscx::sched
