// SPDX-License-Identifier: GPL-2.0-only
// A lock for many readers or one writer that nobody sleeps on: the kernel's percpu rwsem where nothing that is done
// under it waits. Like a SpinLock it is never found taken in run mode, and a yield point in explore mode. Readers that
// keep coming can keep a writer out.
//
// Lock order is in docs/LOCKING.md.
#ifndef USCX_MACHINE_RW_LOCK_H_
#define USCX_MACHINE_RW_LOCK_H_

#include "machine/sync.h"

namespace uscx::machine {

class RwSpinLock {
 public:
  explicit RwSpinLock(const char *name) : name_(name), lock_(SpinLock::Kind::kPrivate, name) {}
  void read_lock() {
    while (!take(false)) spin_wait(name_);
  }
  void read_unlock() {
    SpinGuard guard(lock_);
    CHECK(readers_ > 0 && !writer_, "{}", name_);
    readers_--;
  }
  void write_lock() {
    while (!take(true)) spin_wait(name_);
  }
  void write_unlock() {
    SpinGuard guard(lock_);
    CHECK(writer_ && readers_ == 0, "{}", name_);
    writer_ = false;
  }

 private:
  bool take(bool to_write) {
    SpinGuard guard(lock_);
    if (writer_ || (to_write && readers_)) return false;
    writer_ = to_write;
    readers_ += !to_write;
    return true;
  }
  const char *const name_;
  SpinLock lock_;  // Protects the rest; a leaf.
  u32 readers_ = 0;
  bool writer_ = false;
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
