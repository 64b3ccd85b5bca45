// SPDX-License-Identifier: GPL-2.0-only
// Locks and atomics of the core. In run mode segments are atomic, so a lock is never found taken. The lock keeps its
// owner as a checked invariant, and the virtual time at which it becomes free, so that contention costs time. In
// explore mode these operations are the yield points. On threads the lock is a real one, which spins and then lets the
// host run another thread, because a machine may have more CPUs than its host.
//
// Lock order is in docs/LOCKING.md.
#ifndef USCX_MACHINE_SYNC_H_
#define USCX_MACHINE_SYNC_H_

#include <atomic>

#include "machine/explore_hooks.h"
#include "machine/machine.h"
#include "machine/racy.h"

namespace uscx::machine {

// A raw spinlock taken with interrupts off.
class SpinLock {
 public:
  // `contended` locks (DSQs) charge the wait until their last holder's release in virtual time; private ones (rq locks,
  // task locks) charge only the uncontended cost to keep the hot path short.
  enum class Kind : u8 { kPrivate, kContended };
  // The name is that of the lock's class, for the order of locks; `place` tells locks of one class apart there, which
  // are taken in its order (a CPU number).
  explicit SpinLock(Kind kind = Kind::kPrivate, const char *name = "lock") : name_(name), kind_(kind) {}
  void lock() {
    if (concurrent()) return lock_concurrent();
    CHECK(owner() == kFree, "lock \"{}\" taken on CPU {} is held by CPU {}", name_, this_cpu(), owner());
    take();
  }
  void unlock() {
    CHECK(held_here());
    free_at_ns_ = exec_context.now_ns;
    owner_.store(kFree, std::memory_order_release);
    if (exploring()) explore_hook::after_unlock(*this);
  }
  bool try_lock() {
    if (concurrent()) return try_lock_concurrent();
    if (held()) return false;
    take();
    return true;
  }
  // True only for the CPU that holds it. From other CPUs the answers are hints.
  bool held_here() const { return owner() == this_cpu(); }
  bool held() const { return owner() != kFree; }
  u32 owner() const { return owner_.load(std::memory_order_relaxed); }
  const char *name() const { return name_; }
  u32 place() const { return place_; }
  void set_place(u32 place) { place_ = place; }

 private:
  static constexpr u32 kFree = ~0u;
  void take() {
    owner_.store(this_cpu(), std::memory_order_relaxed);
    if (kind_ == Kind::kContended) wait_for_release();
  }
  // Out of line: explore mode stops here; threads really wait.
  void lock_concurrent();
  bool try_lock_concurrent();
  bool claim() {
    u32 expected = kFree;
    return owner_.compare_exchange_strong(expected, this_cpu(), std::memory_order_acquire, std::memory_order_relaxed);
  }
  void wait_for_release() {
    charge(Cost::spin_lock);
    if (free_at_ns_ <= exec_context.now_ns) return;
    const u64 wait = free_at_ns_ - exec_context.now_ns;
    charge_ns(wait);
    charge(Cost::lock_transfer);
  }
  u64 free_at_ns_ = 0;  // Of virtual time; the holder's to change.
  const char *name_;
  std::atomic<u32> owner_ = kFree;  // Acquire in claim(), release in unlock().
  u32 place_ = 0;
  Kind kind_;
};

class SpinGuard {
 public:
  explicit SpinGuard(SpinLock &lock) : lock_(lock) { lock_.lock(); }
  ~SpinGuard() { lock_.unlock(); }
  SpinGuard(const SpinGuard &) = delete;
  SpinGuard &operator=(const SpinGuard &) = delete;

 private:
  SpinLock &lock_;
};

// A shared field read and written by several CPUs without a common lock, where the order of accesses matters: a yield
// point in explore mode. Where segments are atomic anyway, no locked instruction is paid. Hints, which are looked at
// again under a lock, are Racy<T> (machine/racy.h).
template <typename T>
class Shared {
 public:
  constexpr Shared(T value = T()) : value_(value) {}
  T load() const {
    atomic_read(this);
    return value_.load(std::memory_order_relaxed);
  }
  T load_acquire() const {
    atomic_read(this);
    return value_.load(std::memory_order_acquire);
  }
  void store(T value) {
    atomic_write(this);
    value_.store(value, std::memory_order_relaxed);
  }
  void store_release(T value) {
    atomic_write(this);
    value_.store(value, std::memory_order_release);
  }
  // Returns true and stores `to` if the value was `from`.
  bool compare_exchange(T from, T to) {
    atomic_write(this);
    if (concurrent()) return value_.compare_exchange_strong(from, to);
    const bool same = racy() == from;
    if (same) value_.store(to, std::memory_order_relaxed);
    return same;
  }
  T exchange(T value) {
    atomic_write(this);
    if (concurrent()) return value_.exchange(value);
    const T old = racy();
    value_.store(value, std::memory_order_relaxed);
    return old;
  }
  T fetch_add(T value) {
    atomic_write(this);
    if (concurrent()) return value_.fetch_add(value);
    const T old = racy();
    value_.store(old + value, std::memory_order_relaxed);
    return old;
  }
  // For checks that are no part of the protocol.
  T racy() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<T> value_;
};

// Something that happens once. For code that suspends: nothing of it is inlined (fiber.h).
class Completion {
 public:
  void complete();
  bool is_complete() const;

 private:
  Shared<bool> complete_{false};
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_SYNC_H_
