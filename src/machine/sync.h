// SPDX-License-Identifier: GPL-2.0-only
// Locks, atomics and RCU as the core uses them. In run mode segments are atomic, so a lock is never found taken: it
// keeps its owner as a checked invariant, and the virtual time at which it becomes free, so that contention costs what
// it costs. Explore mode and the threaded machine put their yield points and real atomics behind these same names.
//
// Lock order is in docs/LOCKING.md.
#ifndef USCX_MACHINE_SYNC_H_
#define USCX_MACHINE_SYNC_H_

#include <atomic>

#include "machine/explore_hooks.h"
#include "machine/machine.h"

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
    if (exploring()) explore_lock();
    CHECK(owner_ == kFree, "lock taken on CPU {} is held by CPU {}", this_cpu(), owner_);
    owner_ = this_cpu();
    if (kind_ == Kind::kContended) wait_for_release();
    if (exploring()) explore_hook::after_lock(*this);
  }
  void unlock() {
    CHECK(owner_ == this_cpu());
    owner_ = kFree;
    free_at_ns_ = now_ns();
    if (exploring()) explore_hook::after_unlock(*this);
  }
  bool try_lock() {
    if (exploring()) explore_hook::before_lock(*this);
    if (owner_ != kFree) return false;
    owner_ = this_cpu();
    if (kind_ == Kind::kContended) wait_for_release();
    if (exploring()) explore_hook::after_lock(*this);
    return true;
  }
  bool held_here() const { return owner_ == this_cpu(); }
  bool held() const { return owner_ != kFree; }
  u32 owner() const { return owner_; }
  const char *name() const { return name_; }
  u32 place() const { return place_; }
  void set_place(u32 place) { place_ = place; }

 private:
  static constexpr u32 kFree = ~0u;
  void explore_lock() {
    explore_hook::before_lock(*this);
    while (owner_ != kFree) explore_hook::lock_busy(*this);
  }
  void wait_for_release() {
    charge(Cost::spin_lock);
    if (free_at_ns_ <= now_ns()) return;
    const u64 wait = free_at_ns_ - now_ns();
    charge_ns(wait);
    charge(Cost::lock_transfer);
  }
  u64 free_at_ns_ = 0;
  const char *name_;
  u32 owner_ = kFree;
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

// A shared field read and written by several CPUs without a common lock. Every such access goes through this type.
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
    return value_.compare_exchange_strong(from, to);
  }
  T exchange(T value) {
    atomic_write(this);
    return value_.exchange(value);
  }
  T fetch_add(T value) {
    atomic_write(this);
    return value_.fetch_add(value);
  }

 private:
  std::atomic<T> value_;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_SYNC_H_
