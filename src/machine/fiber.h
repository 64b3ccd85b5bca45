// SPDX-License-Identifier: GPL-2.0-only
// A fiber carries a kernel path that waits (a kernel worker, KICK_WAIT, synchronize_rcu): the loop resumes it in a
// segment, it runs until it suspends or ends, and it goes on in a later segment. exec() is not part of a fiber: inside,
// it is the resumer's.
//
// Threading: one thread at a time resumes a fiber, not always the same. Compilers keep the address of a thread-local
// variable across calls, so that a function that suspends, or is inlined into one, must not use thread-local variables
// (exec(), this_cpu(), now_ns(), locks, which use them inline) both before and after: it leaves that to functions that
// are [[gnu::noinline]] or in another file. It must not suspend inside of a catch block either, because the exception
// in flight belongs to the thread.
//
// Stacks come from a pool of the process: 64 KiB with a guard page below, so that an overflow faults. A fiber that has
// not ended is unwound when it is destroyed: its suspend() throws a private type through the fiber's frames, whose
// destructors run; no frame may catch it (no catch (...)) and no destructor may suspend.
#ifndef USCX_MACHINE_FIBER_H_
#define USCX_MACHINE_FIBER_H_

#include <functional>
#include <memory>

#include "base/types.h"

namespace uscx::machine {

class Fiber {
 public:
  static constexpr size_t kStackBytes = 64 * 1024;

  explicit Fiber(std::function<void(Fiber &)> body);  // Does not start it.
  ~Fiber();
  Fiber(const Fiber &) = delete;
  Fiber &operator=(const Fiber &) = delete;

  // From outside: starts it or lets it go on; returns when it suspends or ends. CHECKs that it is neither done nor
  // running.
  void resume();
  // From inside: back to the resumer, until the next resume().
  void suspend();
  bool done() const;
  const void *stack_bottom() const;  // kStackBytes from there up.
  // The fiber whose body is running on this thread, or null.
  static Fiber *current();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_FIBER_H_
