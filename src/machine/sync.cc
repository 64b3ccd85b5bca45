// SPDX-License-Identifier: GPL-2.0-only
#include "machine/sync.h"

#include <sched.h>

#include "machine/owner.h"

namespace uscx::machine {

namespace {

// The holder of a lock is in the middle of a segment, so the wait is short, unless the host runs something else there.
constexpr u32 kSpinsBeforeYield = 64;

void relax(u32 *spins) {
  if (++*spins % kSpinsBeforeYield)
    __builtin_ia32_pause();
  else
    sched_yield();
}

}  // namespace

void SpinLock::lock_concurrent() {
  if (exploring()) {
    explore_hook::before_lock(*this);
    while (held()) explore_hook::lock_busy(*this);
    take();
    explore_hook::after_lock(*this);
    return;
  }
  for (u32 spins = 0; !claim();) {
    CHECK(!held_here(), "CPU {} waits for lock \"{}\", which it holds", this_cpu(), name_);
    while (held() && !held_here()) relax(&spins);
  }
}

bool SpinLock::try_lock_concurrent() {
  if (!exploring()) return claim();
  explore_hook::before_lock(*this);
  if (held()) return false;
  take();
  explore_hook::after_lock(*this, true);
  return true;
}

void Owner::check_held(const SpinLock &lock) {
  CHECK(lock.held_here(), "CPU {} changes what lock \"{}\" protects and does not hold it", this_cpu(), lock.name());
}

void Owner::check_here(u32 cpu) { CHECK(cpu == this_cpu(), "CPU {} changes what is CPU {}'s own", this_cpu(), cpu); }

void Completion::complete() { complete_.store_release(true); }

bool Completion::is_complete() const { return complete_.load_acquire(); }

void spin_wait(const char *what) {
  if (exploring()) return explore_hook::spin_wait(what);
  CHECK(on_threads(), "waiting for another CPU, though segments are atomic: {}", what);
  sched_yield();
}

}  // namespace uscx::machine
