// SPDX-License-Identifier: GPL-2.0-only
// A Behavior is the sequence of a task's steps. The core asks for the next step when the last one is done; next() runs
// on the task's CPU as the task itself (system-call context) and may call the Kernel: wake other tasks, change nice,
// affinity or policy, fork. Workload tasks are state machines (no stack of their own); kernel threads whose code must
// wait use FiberBehavior.
#ifndef USCX_SCHED_BEHAVIOR_H_
#define USCX_SCHED_BEHAVIOR_H_

#include <functional>
#include <memory>

#include "base/types.h"

namespace uscx::sched {

struct Task;
class Kernel;

struct Step {
  enum class Kind : u8 {
    kRun,         // Use ns of CPU time.
    kSleepUntil,  // Sleep until the virtual time ns (a timer wakes it); in the past: like a yield-free no-op.
    kBlock,       // Sleep until Kernel::wake().
    kYield,       // sched_yield().
    kExit,
  };
  Kind kind;
  u64 ns = 0;
  static Step run(u64 ns) { return {Kind::kRun, ns}; }
  static Step sleep_until(u64 ns) { return {Kind::kSleepUntil, ns}; }
  static Step block() { return {Kind::kBlock}; }
  static Step yield() { return {Kind::kYield}; }
  static Step exit() { return {Kind::kExit}; }
};

class Behavior {
 public:
  virtual ~Behavior() = default;
  virtual Step next(Kernel &kernel, Task &self) = 0;
};

// Code on a fiber of its own, for kernel threads. The function's waits are these calls; between them it is one segment.
class KthreadApi {
 public:
  virtual ~KthreadApi() = default;
  virtual Kernel &kernel() = 0;
  virtual Task &self() = 0;
  virtual void run(u64 ns) = 0;  // Use CPU time.
  virtual void block() = 0;      // Until woken; wakeups since the last block are not lost. Callers re-test conditions.
  virtual void sleep(u64 ns) = 0;
};
std::unique_ptr<Behavior> make_fiber_behavior(std::function<void(KthreadApi &)> body);

}  // namespace uscx::sched

#endif  // USCX_SCHED_BEHAVIOR_H_
