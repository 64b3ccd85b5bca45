// SPDX-License-Identifier: GPL-2.0-only
// The places at which explore mode may let another CPU go on, or observes what the code does. In other modes each is a
// test of the mode, which run mode patches away (static_branch.h). The core and its locks call these functions;
// machine/explore/explore.h implements them.
//
// Threading: on a CPU, with any locks held. The exception is spin_wait(): its caller may hold only locks that the CPU
// for which it waits does not need.
#ifndef USCX_MACHINE_EXPLORE_HOOKS_H_
#define USCX_MACHINE_EXPLORE_HOOKS_H_

#include <utility>

#include "machine/machine.h"

namespace uscx::machine {

class SpinLock;

// A program's access to memory that others may use too. `program` and `insn` name its place for whoever loaded it.
struct ProgramAccess {
  u64 address = 0;
  u64 size = 0;
  bool write = false, atomic = false;
  const void *program = nullptr;
  u32 insn = 0;
};

namespace explore_hook {
// Out of line, called while exploring only.
void atomic_access(const void *object, bool write);
void atomic_done(const void *object);
void plain_access(const void *object, bool write, const char *what);
void program_access(const ProgramAccess &access);
void change(const void *word, const char *name);
void use(const void *memory, const char *what);
void freed(const void *memory, size_t size, const char *what);
void spin_wait(const char *what);
void before_lock(const SpinLock &lock);
void after_lock(const SpinLock &lock, bool tried = false);
void after_unlock(const SpinLock &lock);
void lock_busy(const SpinLock &lock);
void event_access(u32 cpu);
}  // namespace explore_hook

inline bool exploring() { return kExploreHooks && may_be_concurrent() && exec_context.mode == Mode::kExplore; }

// Whether other CPUs may be in the middle of their segments while this one runs its own.
inline bool concurrent() { return may_be_concurrent() && exec_context.mode != Mode::kRun; }

// A program calls the kernel here: any other CPU may go on first.
inline void explore_point() {
  if (exploring()) explore_hook::atomic_access(nullptr, false);
}
// An atomic access to memory that is no Shared<T>, for instance because programs see it. Orders like one, too.
inline void atomic_read(const void *object) {
  if (exploring()) explore_hook::atomic_access(object, false);
}
inline void atomic_write(const void *object) {
  if (exploring()) explore_hook::atomic_access(object, true);
}
// The atomic access that was looked at with atomic_read() turned out to be a write (a lock was free). No yield.
inline void atomic_done(const void *object) {
  if (exploring()) explore_hook::atomic_done(object);
}
// Before a program's access. A race is a finding about the program, not a failure of ours.
inline void program_access(const ProgramAccess &access) {
  if (exploring()) explore_hook::program_access(access);
}
// A plain access to memory that several CPUs use: a data race if nothing orders it.
inline void plain_read(const void *object, const char *what) {
  if (exploring()) explore_hook::plain_access(object, false, what);
}
inline void plain_write(const void *object, const char *what) {
  if (exploring()) explore_hook::plain_access(object, true, what);
}
// This memory is used, and must not have been freed; and it is freed now (the caller still owns the bytes).
inline void note_use(const void *memory, const char *what) {
  if (exploring()) explore_hook::use(memory, what);
}
inline void note_freed(const void *memory, size_t size, const char *what) {
  if (exploring()) explore_hook::freed(memory, size, what);
}

// In a loop that waits for another CPU, whose turn it is now. In run mode segments are atomic, so that nobody can be in
// the middle of what is waited for: `what` is then a bug. Threads let the host run something else for a while.
void spin_wait(const char *what);

// A value or a container that several CPUs use under a lock or another order. An access that nothing orders is reported
// as a data race in explore mode, by the name that says what it is.
template <typename T>
class Plain {
 public:
  constexpr explicit Plain(const char *name, T value = T()) : value_(std::move(value)), name_(name) {}
  const T &read() const {
    plain_read(this, name_);
    return value_;
  }
  // Not const, because what a container of pointers or of hooks leads to is not its own.
  T &read() {
    plain_read(this, name_);
    return value_;
  }
  T &write() {
    plain_write(this, name_);
    return value_;
  }
  // For what is a hint or is looked at again under the lock, and for checks that are no part of the protocol.
  T &racy() { return value_; }
  const T &racy() const { return value_; }
  Plain(const Plain &) = delete;
  Plain &operator=(const Plain &) = delete;

 private:
  T value_;
  const char *name_;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_EXPLORE_HOOKS_H_
