// SPDX-License-Identifier: GPL-2.0-only
// The fair class: one queue. See fair.h.
//
// Invariants: a queued task is in the tree exactly if it is not rq.fair.curr; tree_load and tree_key_sum are the sums
// over the tree; the slice timer is armed while the current task is fair and another fair task waits.
#include "sched/fair.h"

#include <algorithm>
#include <bit>

namespace uscx::sched {

using machine::Cost;

namespace {

constexpr u64 kBaseSliceNs = 700000;
constexpr u64 kMinTimerNs = 10000;  // The slice timer is not armed for less.

// Weights from nice -20 on: one level is about 10% of CPU time between two hogs (a factor of 1.25).
constexpr u64 kNiceWeights[] = {88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916,
                                9548,  7620,  6100,  4904,  3906,  3121,  2501,  1991,  1586,  1277,
                                1024,  820,   655,   526,   423,   335,   272,   215,   172,   137,
                                110,   87,    70,    56,    45,    36,    29,    23,    18,    15};

// More CPUs make longer slices, up to 8 of them.
u64 scaled_slice_ns(u32 nr_cpus) {
  constexpr u32 kMaxScalingCpus = 8;
  return kBaseSliceNs * std::bit_width(std::min(nr_cpus, kMaxScalingCpus));
}

}  // namespace

u64 weight_of_nice(int nice) {
  CHECK(nice >= -20 && nice <= 19, "nice {}", nice);
  return kNiceWeights[nice + 20];
}

std::unique_ptr<SchedClass> make_fair_class(Kernel &kernel) { return std::make_unique<FairClass>(kernel); }

FairClass::FairClass(Kernel &kernel)
    : SchedClass(kernel, kFair, "fair_sched_class"),
      slice_ns_(scaled_slice_ns(kernel.nr_cpus())),
      waiting_(kernel.nr_cpus()) {
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) {
    kernel.rq(cpu).fair.slice_timer.fn = slice_timer_fired;
    kernel.rq(cpu).fair.slice_timer.owner = this;
  }
}

// --- averages and lag ---

FairClass::Sums FairClass::sums(Rq &rq) const {
  Sums result{rq.fair.tree_key_sum, rq.fair.tree_load};
  if (const Task *curr = queued_curr(rq)) {
    result.key_sum += static_cast<__int128>(key(rq, *curr)) * static_cast<s64>(curr->fair.weight);
    result.load += curr->fair.weight;
  }
  return result;
}

u64 FairClass::average(Rq &rq) const {
  const Sums s = sums(rq);
  if (s.load == 0) return rq.fair.base_vruntime_ns;
  const __int128 load = s.load;
  __int128 mean = s.key_sum / load;
  if (s.key_sum < 0 && s.key_sum % load) mean--;  // Rounds down, so that whoever is at the mean stays eligible.
  return rq.fair.base_vruntime_ns + static_cast<u64>(mean);
}

bool FairClass::eligible(Rq &rq, const Task &p) const {
  const Sums s = sums(rq);
  return s.key_sum >= static_cast<__int128>(key(rq, p)) * static_cast<s64>(s.load);
}

void FairClass::rebase(Rq &rq) {
  const u64 base = average(rq);
  const s64 delta = static_cast<s64>(base - rq.fair.base_vruntime_ns);
  rq.fair.tree_key_sum -= static_cast<__int128>(delta) * static_cast<s64>(rq.fair.tree_load);
  rq.fair.base_vruntime_ns = base;
}

void FairClass::save_lag(Rq &rq, Task &p) {
  // Bounded, so that nobody saves up more than about two requests.
  const s64 limit = static_cast<s64>(to_virtual(std::max(2 * slice_ns_, kernel_.machine().tick_ns()), p));
  const s64 lag = static_cast<s64>(average(rq) - p.fair.vruntime_ns);
  p.fair.vlag_ns = std::clamp(lag, -limit, limit);
}

void FairClass::place(Rq &rq, Task &p, u64 flags) {
  const Sums s = sums(rq);
  __int128 lag = p.fair.vlag_ns;
  if (lag < 0 && p.fair.vlag_cpu == static_cast<s32>(rq.cpu)) {
    // FIDELITY: fair-debt. Linux leaves a task that is in debt on the queue until it is eligible, so that sleep does
    // not preserve a debt longer than that. Here the debt is what the average has not yet caught up with.
    const s64 still = static_cast<s64>(average(rq) - p.fair.vruntime_ns);
    lag = std::clamp<__int128>(still, lag, 0);
  }
  // Joining moves the average; the lag is scaled so that it is right afterwards.
  if (s.load) lag = lag * static_cast<s64>(s.load + p.fair.weight) / static_cast<s64>(s.load);
  const s64 old_request = static_cast<s64>(p.fair.deadline_ns - p.fair.vruntime_ns);
  p.fair.vruntime_ns = average(rq) - static_cast<u64>(static_cast<s64>(lag));
  u64 request = to_virtual(slice_ns_, p);
  if (flags & ENQUEUE_INITIAL) request /= 2;  // A new task shows soon what it is like.
  // One that did not sleep goes on with the request it had.
  const bool slept = flags & (ENQUEUE_WAKEUP | ENQUEUE_INITIAL);
  if (!slept && old_request > 0 && static_cast<u64>(old_request) < request) request = static_cast<u64>(old_request);
  p.fair.deadline_ns = p.fair.vruntime_ns + request;
  p.fair.vlag_cpu = -1;
}

// --- the tree ---

void FairClass::insert(Rq &rq, Task &p) {
  rq.fair.tree_key_sum += static_cast<__int128>(key(rq, p)) * static_cast<s64>(p.fair.weight);
  rq.fair.tree_load += p.fair.weight;
  const bool inserted = rq.fair.tree.write().insert(p).second;
  CHECK(inserted);
  set_overloaded(rq);
}

void FairClass::erase(Rq &rq, Task &p) {
  rq.fair.tree.write().erase(rq.fair.tree.racy().iterator_to(p));
  rq.fair.tree_key_sum -= static_cast<__int128>(key(rq, p)) * static_cast<s64>(p.fair.weight);
  rq.fair.tree_load -= p.fair.weight;
  set_overloaded(rq);
}

// The eligible task with the earliest deadline. Deadlines grow with vruntimes, so few are passed over.
Task *FairClass::pick(Rq &rq) {
  Task *curr = queued_curr(rq);
  if (curr && !eligible(rq, *curr)) curr = nullptr;
  if (curr && is_protected(*curr)) return curr;
  Task *best = nullptr;
  for (Task &p : rq.fair.tree.read()) {
    if (!eligible(rq, p)) continue;
    best = &p;
    break;
  }
  if (best && curr) return FairByDeadline()(*best, *curr) ? best : curr;
  if (best || curr) return best ? best : curr;
  // Somebody is always at or behind the average.
  CHECK(rq.fair.tree.racy().empty(), "CPU {}: no fair task is eligible", rq.cpu);
  return queued_curr(rq);
}

// --- class operations ---

void FairClass::update_curr(Rq &rq) {
  Task *curr = rq.fair.curr;
  if (!curr) return;
  const u64 delta = kernel_.update_curr_common(rq);
  if (delta == 0) return;
  kernel_.dl_server_used(rq.fair_server, delta);
  curr->fair.vruntime_ns += to_virtual(delta, *curr);
  curr->ts.se.vruntime = curr->fair.vruntime_ns;
  if (!curr->fair.queued) return;
  rebase(rq);
  if (static_cast<s64>(curr->fair.deadline_ns - curr->fair.vruntime_ns) > 0) return;
  // The request is served, and the next one begins.
  curr->fair.deadline_ns = curr->fair.vruntime_ns + to_virtual(slice_ns_, *curr);
  if (rq.fair.nr_queued > 1) slice_over(rq);
}

// The current task has had what it asked for; another one goes on if it has the better claim.
void FairClass::slice_over(Rq &rq) {
  if (pick(rq) != rq.fair.curr) kernel_.resched_curr(rq);
}

namespace {

void change_load(Rq &rq, s64 tasks, s64 weight) {
  machine::change(rq.fair.nr_queued, "nr_queued", rq.lock, [=](u64 nr) { return nr + static_cast<u64>(tasks); });
  machine::change(rq.fair.load, "a CPU's load", rq.lock, [=](u64 load) { return load + static_cast<u64>(weight); });
}

}  // namespace

void FairClass::enqueue_task(Rq &rq, Task &p, u64 flags) {
  update_curr(rq);
  place(rq, p, flags);
  p.fair.queued = true;
  p.ts.se.vruntime = p.fair.vruntime_ns;
  change_load(rq, 1, static_cast<s64>(p.fair.weight));
  if (rq.fair.curr != &p) insert(rq, p);
  kernel_.add_nr_running(rq, 1);
  if (rq.fair.nr_queued == 1) kernel_.dl_server_start(rq.fair_server);
  Task *curr = queued_curr(rq);
  if (curr && curr != &p && !rq.fair.slice_timer.queued()) arm_slice_timer(rq, *curr);
}

void FairClass::dequeue_task(Rq &rq, Task &p, u64 flags) {
  update_curr(rq);
  save_lag(rq, p);
  p.fair.vlag_cpu = flags & DEQUEUE_SLEEP ? static_cast<s32>(rq.cpu) : -1;
  if (rq.fair.curr != &p) erase(rq, p);
  p.fair.queued = false;
  change_load(rq, -1, -static_cast<s64>(p.fair.weight));
  rebase(rq);
  kernel_.sub_nr_running(rq, 1);
}

void FairClass::yield_task(Rq &rq) {
  Task &p = *rq.curr;
  update_curr(rq);
  if (rq.fair.nr_queued == 1) return;
  p.fair.protect_vruntime_ns = p.fair.vruntime_ns;
  // It gives up the rest of its request.
  if (!eligible(rq, p)) return;
  p.fair.vruntime_ns = p.fair.deadline_ns;
  p.ts.se.vruntime = p.fair.vruntime_ns;
  p.fair.deadline_ns += to_virtual(slice_ns_, p);
  rebase(rq);
}

void FairClass::wakeup_preempt(Rq &rq, Task &p, u64) {
  Task *curr = queued_curr(rq);
  if (p.sched_class != this || rq.curr->sched_class != this || !curr || curr == &p) return;
  const bool curr_idle = curr->ts.policy == SCHED_IDLE;
  const bool p_idle = p.ts.policy == SCHED_IDLE;
  if (curr_idle && !p_idle) return kernel_.resched_curr(rq);
  // Batch and idle tasks do not preempt.
  if (p_idle || p.ts.policy == SCHED_BATCH) return;
  update_curr(rq);
  if (pick(rq) == &p) kernel_.resched_curr(rq);
}

Task *FairClass::pick_task(Rq &rq, Task *, bool *retry) {
  if (rq.fair.nr_queued == 0) {
    if (rq.picking_server) return nullptr;
    // Looking for work elsewhere may drop the lock; a task of a higher class may come meanwhile.
    if (rq.next_class->above(*this)) rq.next_class = this;
    balance_new_idle(rq);
    *retry = rq.next_class->above(*this);
    // One may also have come by itself while the lock was dropped.
    if (*retry || rq.fair.nr_queued == 0) return nullptr;
  }
  update_curr(rq);
  return pick(rq);
}

void FairClass::put_prev_task(Rq &rq, Task &p, Task *next) {
  CHECK(rq.fair.curr == &p);
  update_curr(rq);
  rq.fair.curr = nullptr;
  if (p.fair.queued) insert(rq, p);
  if (!next || next->sched_class != this) kernel_.machine().cancel_timer(rq.fair.slice_timer);
}

void FairClass::set_next_task(Rq &rq, Task &p, bool) {
  CHECK(!rq.fair.curr);
  if (p.fair.queued) erase(rq, p);
  rq.fair.curr = &p;
  p.ts.se.exec_start = rq.clock_ns;
  // It runs for a whole request before equals preempt it, unless a part of the request was served before.
  const u64 request_end = p.fair.vruntime_ns + to_virtual(slice_ns_, p);
  const bool partly_served = static_cast<s64>(p.fair.deadline_ns - request_end) < 0;
  p.fair.protect_vruntime_ns = partly_served ? p.fair.deadline_ns : request_end;
  kernel_.machine().cancel_timer(rq.fair.slice_timer);
  if (rq.fair.nr_queued > 1 && p.fair.queued) arm_slice_timer(rq, p);
}

void FairClass::task_tick(Rq &rq, Task &) {
  update_curr(rq);
  balance_at_tick(rq);
}

void FairClass::switched_from(Rq &, Task &p) { p.fair.vlag_cpu = -1; }

void FairClass::switched_to(Rq &rq, Task &p) {
  if (p.on_rq_state() != kOnRqQueued) return;
  if (rq.curr == &p)
    kernel_.resched_curr(rq);
  else
    kernel_.wakeup_preempt(rq, p, 0);
}

// Lag and the rest of the request stay the same in CPU time, so they change in virtual time. It is off the queue now.
void FairClass::reweight_task(Rq &, Task &p) {
  CHECK(!p.fair.queued);
  const u64 old_weight = p.fair.old_weight ? p.fair.old_weight : p.fair.weight;
  const auto scale = [&](s64 v) {
    return static_cast<s64>(static_cast<__int128>(v) * static_cast<s64>(old_weight) / static_cast<s64>(p.fair.weight));
  };
  p.fair.vlag_ns = scale(p.fair.vlag_ns);
  p.fair.deadline_ns =
      p.fair.vruntime_ns + static_cast<u64>(scale(static_cast<s64>(p.fair.deadline_ns - p.fair.vruntime_ns)));
}

// --- the slice timer ---

// How long p may run on until it is ahead of the average. It runs away from the average with the share of the others.
u64 FairClass::ns_until_ineligible(Rq &rq, const Task &p) const {
  const Sums s = sums(rq);
  const s64 ahead = static_cast<s64>(average(rq) - p.fair.vruntime_ns);
  if (ahead <= 0 || s.load <= p.fair.weight) return 0;
  const __int128 ns = static_cast<__int128>(ahead) * static_cast<s64>(p.fair.weight) * static_cast<s64>(s.load) /
                      static_cast<s64>(kNiceZeroWeight * (s.load - p.fair.weight));
  return static_cast<u64>(std::min<__int128>(ns, slice_ns_));
}

// While the task is protected the timer marks the end of that. Afterwards it goes on only as long as it is eligible.
void FairClass::arm_slice_timer(Rq &rq, Task &p) {
  const s64 until_protected = static_cast<s64>(p.fair.protect_vruntime_ns - p.fair.vruntime_ns);
  const s64 until_deadline = static_cast<s64>(p.fair.deadline_ns - p.fair.vruntime_ns);
  u64 ns = static_cast<u64>(std::max<s64>(until_protected > 0 ? until_protected : until_deadline, 0)) * p.fair.weight /
           kNiceZeroWeight;
  if (until_protected <= 0) ns = std::min(ns, ns_until_ineligible(rq, p));
  kernel_.machine().arm_timer(rq.fair.slice_timer, rq.clock_ns + std::max(ns, kMinTimerNs));
}

void FairClass::slice_timer_fired(machine::SimEvent &event) {
  FairClass &self = *static_cast<FairClass *>(event.owner);
  Kernel::charge(Cost::timer_irq);
  Rq &rq = self.kernel_.rq(event.cpu);
  RqGuard guard(rq);
  self.kernel_.update_rq_clock(rq);
  self.update_curr(rq);
  Task *curr = self.queued_curr(rq);
  if (!curr || rq.fair.nr_queued == 1) return;
  if (self.pick(rq) != curr)
    self.kernel_.resched_curr(rq);
  else
    self.arm_slice_timer(rq, *curr);
}

}  // namespace uscx::sched
