// SPDX-License-Identifier: GPL-2.0-only
// The fair class: which CPU a task goes to, and how waiting tasks get to CPUs that have time for them. See fair.h.
//
// A CPU that is about to be idle takes a waiting task; a busy one evens out loads at some ticks; and a CPU on which
// tasks wait wakes an idle one that could take them. Only waiting tasks are moved. FIDELITY: fair-balance. Linux
// balances between groups of CPUs by utilisation and load averages; here queues are compared by the weights of their
// tasks.
#include "sched/fair.h"

namespace uscx::sched {

using machine::MaskView;

namespace {

constexpr u64 kBalanceIntervalTicks = 8;      // Within the LLC.
constexpr u64 kFarBalanceIntervalTicks = 64;  // Over the whole machine.
constexpr u32 kMaxScannedTasks = 32;          // Tasks of a queue that are tried for a move.

}  // namespace

void FairClass::set_overloaded(Rq &rq) {
  const bool waiting = !rq.fair.tree.read().empty();
  if (waiting == waiting_.test(rq.cpu)) return;
  waiting_.set_shared(rq.cpu, waiting);
  nr_waiting_cpus_.add(waiting ? 1 : ~0u);
}

// --- where a woken task goes ---

// The first idle CPU of the domain that p may use, from `from` on and around.
u32 FairClass::find_idle_in(const Task &p, MaskView domain, u32 from) const {
  const MaskView allowed(p.allowed->bits, kernel_.nr_cpus());
  const MaskView idle = kernel_.idle_cpus();
  const u32 nr_words = machine::mask_words(kernel_.nr_cpus());
  const u32 start = from / 64;
  const auto usable = [&](u32 i) { return allowed.word_at(i) & idle.word_at(i) & domain.word_at(i); };
  const machine::MaskWord above = ~machine::MaskWord{0} << (from % 64);
  for (u32 n = 0; n <= nr_words; n++) {
    const u32 i = (start + n) % nr_words;
    machine::MaskWord word = usable(i);
    if (n == 0) word &= above;
    if (n == nr_words) word &= ~above;
    if (word) return i * 64 + static_cast<u32>(std::countr_zero(word));
  }
  return kernel_.nr_cpus();
}

u32 FairClass::find_idle_cpu(const Task &p, u32 near_cpu) const {
  const auto &topology = kernel_.machine().topology();
  const u32 found = find_idle_in(p, topology.llc_mask(topology.llc_of(near_cpu)), near_cpu);
  if (found < kernel_.nr_cpus() || topology.nr_llcs() == 1) return found;
  return find_idle_in(p, topology.all(), near_cpu);
}

u32 FairClass::find_idlest_cpu(const Task &p, u32 near_cpu) const {
  const MaskView allowed(p.allowed->bits, kernel_.nr_cpus());
  u32 best = near_cpu;
  u64 best_load = ~u64{0};
  for (u32 cpu = allowed.first(); cpu < kernel_.nr_cpus(); cpu = allowed.next(cpu + 1)) {
    const Rq &rq = kernel_.rq(cpu);
    if (rq.fair.load >= best_load || (!kernel_.attracts(rq) && cpu != near_cpu)) continue;
    best = cpu;
    best_load = rq.fair.load;
  }
  return best;
}

u32 FairClass::select_task_rq(Task &p, u32 prev_cpu, u64 wake_flags) {
  if (p.allowed_on(prev_cpu) && kernel_.idle_cpus().test(prev_cpu)) return prev_cpu;
  const u32 idle = find_idle_cpu(p, prev_cpu);
  if (idle < kernel_.nr_cpus()) return idle;
  return wake_flags & WF_FORK ? find_idlest_cpu(p, prev_cpu) : prev_cpu;
}

// --- moving waiting tasks ---

// A waiting task of `from` that may run on to's CPU and weighs less than max_weight.
Task *FairClass::movable_task(Rq &from, const Rq &to, u64 max_weight) const {
  u32 scanned = 0;
  for (Task &p : from.fair.tree.read()) {
    if (scanned++ == kMaxScannedTasks) break;
    if (p.fair.weight < max_weight && p.allowed_on(to.cpu)) return &p;
  }
  return nullptr;
}

void FairClass::pull_task(Rq &rq, Rq &from, Task &p) {
  Kernel::charge(machine::Cost::migrate_task);
  kernel_.update_rq_clock(from);
  kernel_.deactivate_task(from, p, DEQUEUE_NOCLOCK);
  kernel_.set_task_cpu(p, rq.cpu);
  kernel_.update_rq_clock(rq);
  kernel_.activate_task(rq, p, ENQUEUE_NOCLOCK);
  kernel_.wakeup_preempt(rq, p, 0);
}

// Takes one task from the most loaded CPU of the domain that has one to give. An idle CPU takes any; a busy one only if
// the difference between the two gets smaller by it.
bool FairClass::pull_from_domain(Rq &rq, MaskView domain, bool idle) {
  const MaskView waiting = waiting_;
  const auto max_weight = [&](const Rq &from) {
    if (idle) return ~u64{0};
    const u64 from_load = from.fair.load, load = rq.fair.load;
    return from_load > load ? from_load - load : 0;
  };
  // Two running: a task that alone is on its way to an idle CPU is left to it. A CPU whose queue is in use is passed
  // over, because its lock may be waited for only in order.
  const auto can_give = [&](Rq &from) {
    if (from.nr_running <= 1 || !from.lock.try_lock()) return false;
    const bool can = movable_task(from, rq, max_weight(from));
    rq_unlock(from);
    return can;
  };
  Rq *busiest = nullptr;
  u64 busiest_load = 0;
  for (u32 cpu = waiting.next_and(domain, 0); cpu < kernel_.nr_cpus(); cpu = waiting.next_and(domain, cpu + 1)) {
    Rq &from = kernel_.rq(cpu);
    const u64 load = from.fair.load;
    if (&from == &rq || from.isolated || (busiest && load <= busiest_load) || !can_give(from)) continue;
    busiest = &from;
    busiest_load = load;
  }
  if (!busiest) return false;
  kernel_.double_lock(rq, *busiest);
  // With both locks: is it still so?
  Task *p = busiest->nr_running > 1 ? movable_task(*busiest, rq, max_weight(*busiest)) : nullptr;
  if (p) pull_task(rq, *busiest, *p);
  rq_unlock(*busiest);
  kernel_.update_rq_clock(rq);
  return p;
}

bool FairClass::balance_new_idle(Rq &rq) {
  if (nr_waiting_cpus_ == 0 || !kernel_.attracts(rq)) return false;
  const auto &topology = kernel_.machine().topology();
  if (pull_from_domain(rq, topology.llc_mask(topology.llc_of(rq.cpu)), true)) return true;
  if (topology.nr_llcs() == 1) return false;
  if (pull_from_domain(rq, topology.node_mask(topology.node_of(rq.cpu)), true)) return true;
  return topology.nr_nodes() > 1 && pull_from_domain(rq, topology.all(), true);
}

void FairClass::balance_at_tick(Rq &rq) {
  if (nr_waiting_cpus_ == 0 || !kernel_.attracts(rq)) return;
  if (waiting_.test(rq.cpu)) kick_idle_cpu_for_waiters(rq);
  // CPUs take turns, so that not all of them look at one tick.
  const auto &topology = kernel_.machine().topology();
  const u64 turn = kernel_.jiffies() + rq.cpu;
  if (turn % kFarBalanceIntervalTicks == 0 && topology.nr_llcs() > 1)
    pull_from_domain(rq, topology.all(), false);
  else if (turn % kBalanceIntervalTicks == 0)
    pull_from_domain(rq, topology.llc_mask(topology.llc_of(rq.cpu)), false);
}

void FairClass::kick_idle_cpu_for_waiters(Rq &rq) {
  u32 scanned = 0;
  for (const Task &p : rq.fair.tree.read()) {
    if (scanned++ == kMaxScannedTasks) return;
    if (p.migration_disabled()) continue;
    const u32 cpu = find_idle_cpu(p, rq.cpu);
    if (cpu == kernel_.nr_cpus()) continue;
    kernel_.kick_idle_balance(cpu);
    return;
  }
}

}  // namespace uscx::sched
