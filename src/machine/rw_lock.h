// SPDX-License-Identifier: GPL-2.0-only
// A lock for many readers or one writer whose waiters spin: the kernel's percpu rwsem, for cases in which nothing waits
// while it is held. Like a SpinLock it is never found taken in run mode, and is a yield point in explore mode. Readers
// that keep coming can keep a writer out.
//
// Lock order is in docs/LOCKING.md.
#ifndef USCX_MACHINE_RW_LOCK_H_
#define USCX_MACHINE_RW_LOCK_H_

#include "machine/sync.h"

namespace uscx::machine {

class RwSpinLock {
 public:
  explicit RwSpinLock(const char *name) : name_(name) {}
  void read_lock() {
    for (;;) {
      const u32 now = state_.load_acquire();
      if (now != kWriter && state_.compare_exchange(now, now + 1)) return;
      if (now == kWriter) spin_wait(name_);
    }
  }
  void read_unlock() {
    const u32 before = state_.fetch_add(~0u);
    CHECK(before != 0 && before != kWriter, "{}", name_);
    atomic_done(&state_);
  }
  void write_lock() {
    while (state_.load() != 0 || !state_.compare_exchange(0, kWriter)) spin_wait(name_);
  }
  void write_unlock() {
    CHECK(state_.racy() == kWriter, "{}", name_);
    state_.store_release(0);
    atomic_done(&state_);
  }

 private:
  // Who waits looks before it tries, so that in explore mode only those who unlock make progress for others; and they
  // say so when they have, because the yield of an atomic access is before it.
  static constexpr u32 kWriter = ~0u;
  Shared<u32> state_{0};  // How many readers, or kWriter.
  const char *const name_;
};

class ReadGuard {
 public:
  explicit ReadGuard(RwSpinLock &lock) : lock_(lock) { lock_.read_lock(); }
  ~ReadGuard() { lock_.read_unlock(); }
  ReadGuard(const ReadGuard &) = delete;
  ReadGuard &operator=(const ReadGuard &) = delete;

 private:
  RwSpinLock &lock_;
};

class WriteGuard {
 public:
  explicit WriteGuard(RwSpinLock &lock) : lock_(lock) { lock_.write_lock(); }
  ~WriteGuard() { lock_.write_unlock(); }
  WriteGuard(const WriteGuard &) = delete;
  WriteGuard &operator=(const WriteGuard &) = delete;

 private:
  RwSpinLock &lock_;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_RW_LOCK_H_
