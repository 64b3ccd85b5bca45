// SPDX-License-Identifier: GPL-2.0-only
// The watchdog (docs/reference/core.md, section 11): a delayed work finds tasks that were runnable for longer than the
// scheduler's timeout, and each tick finds out whether that work itself still runs.
// FIDELITY: check-in-timer. A timer makes the second test too, because CPUs that idle have no ticks.
#include <algorithm>

#include "base/units.h"
#include "sched/ext/impl.h"

namespace uscx::sched {

namespace {

// The scheduler is ejected at three quarters of the soft-lockup threshold of 20 s.
constexpr u64 kSoftLockupNs = 15 * kNsPerSec;

// "7.328s" of a number of jiffies.
std::string format_jiffies(u64 jiffies, u32 hz) {
  const u64 ms = jiffies * 1000 / hz;
  return fmt::format("{}.{:03}s", ms / 1000, ms % 1000);
}

}  // namespace

// Half of the shortest timeout of all.
u64 Ext::Impl::watchdog_interval_ns() {
  u64 jiffies = root->timeout_jiffies;
  for (const ExtSched *s : subtree(*root)) jiffies = std::min(jiffies, s->timeout_jiffies);
  return std::max<u64>(jiffies / 2, 1) * machine.tick_ns();
}

// A sub-scheduler has come or gone.
void Ext::Impl::refresh_watchdog() {
  if (root && !root->exiting()) kernel.works().queue_delayed_unbound(watchdog, watchdog_interval_ns());
}

// Idle CPUs have stopped their ticks, and in a kernel it is the many timers of other subsystems that make them look.
// This timer stands for those: it looks one tick after the watchdog should have run at the latest.
void Ext::Impl::watchdog_checked_in(ExtSched &s) {
  watchdog_at_jiffies = kernel.jiffies();
  check_in_timer.cpu = this_cpu();
  machine.arm_timer(check_in_timer, (watchdog_at_jiffies + s.timeout_jiffies + 1) * machine.tick_ns());
}

void Ext::Impl::start_watchdog(ExtSched &s) {
  watchdog_checked_in(s);
  kernel.works().queue_delayed_unbound(watchdog, watchdog_interval_ns());
}

void Ext::Impl::watchdog_work() {
  ExtSched *s = root;
  if (!s || s->exiting()) return;
  watchdog_checked_in(*s);
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++)
    if (kernel.online_mask().test(cpu) && check_runnable(kernel.rq(cpu))) break;
  if (!mutated(Mutation::watchdog_once)) kernel.works().queue_delayed_unbound(watchdog, watchdog_interval_ns());
}

bool Ext::Impl::check_runnable(Rq &rq) {
  RqGuard guard(rq);
  const u64 now = kernel.jiffies();
  for (Task &p : rq.ext.runnable_list.read()) {
    const u64 since = p.ts.scx.runnable_at;
    ExtSched &s = *p.ext_sched;
    if (now <= since + s.timeout_jiffies || s.exiting()) continue;
    claim_exit(s, SCX_EXIT_ERROR_STALL, 0,
               fmt::format("{} failed to run for {}", task_label(p), format_jiffies(now - since, machine.hz())),
               static_cast<s32>(rq.cpu));
    return true;
  }
  return false;
}

// FIDELITY: endless-callback. A real callback would spin until the watchdog's hrtimer finds it; here the instruction
// budget ends it, and the CPU's time is set to when the watchdog would have come.
std::string Ext::soft_lockup() {
  if (machine::exec().on_cpu) {
    const u64 stuck_until_ns = machine::exec().segment_start_ns + kSoftLockupNs;
    if (now_ns() < stuck_until_ns) machine::charge_ns(stuck_until_ns - now_ns());
  }
  return fmt::format("soft lockup - CPU {} stuck for {}s", this_cpu(), kSoftLockupNs / kNsPerSec);
}

void Ext::hard_lockup(u32 cpu) {
  Impl &impl = *impl_;
  if (!impl.root || (state() != SCX_ENABLING && state() != SCX_ENABLED)) return;
  impl.claim_exit(*impl.root, SCX_EXIT_ERROR, 0, fmt::format("hard lockup - CPU {}", cpu), static_cast<s32>(cpu));
}

void Ext::rcu_cpu_stall() {
  ExtSched *s = impl_->root;
  if (!s || (state() != SCX_ENABLING && state() != SCX_ENABLED)) return;
  impl_->claim_exit(*s, SCX_EXIT_ERROR, 0, "RCU CPU stall detected!", -1);
}

void Ext::Impl::tick_check() {
  ExtSched *s = root;
  if (!enabled || !s) return;
  const u64 now = kernel.jiffies();
  if (now <= watchdog_at_jiffies + s->timeout_jiffies) return;
  claim_exit(*s, SCX_EXIT_ERROR_STALL, 0,
             fmt::format("watchdog failed to check in for {}", format_jiffies(now - watchdog_at_jiffies, machine.hz())),
             static_cast<s32>(this_cpu()));
}

}  // namespace uscx::sched
