// SPDX-License-Identifier: GPL-2.0-only
// The parts of the Explorer that need Boost.Context: a CPU's fiber, and how sanitizers are told of a switch. Included
// by explore.cc and detect.cc only.
#ifndef USCX_MACHINE_EXPLORE_CONTEXT_H_
#define USCX_MACHINE_EXPLORE_CONTEXT_H_

#include <boost/context/fiber.hpp>
#include <vector>

#include "machine/explore/explore.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace uscx::machine {

struct StackView {
  const void *bottom = nullptr;
  size_t size = 0;
};

// One switch, on the stack that is left and comes back. For kernel threads, whose code has a stack of its own inside of
// a CPU's context, the stack of a context is the one that left last.
class StackSwitch {
 public:
  void leave([[maybe_unused]] const StackView &to, [[maybe_unused]] void *to_thread) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fake_, to.bottom, to.size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to_thread, 0);
#endif
  }
  // Returns the stack from which execution came here.
  StackView arrive() {
    StackView from;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_, &from.bottom, &from.size);
#endif
    return from;
  }
  static StackView first_arrival() {
    StackView from;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.size);
#endif
    return from;
  }
  static void last_leave([[maybe_unused]] const StackView &to, [[maybe_unused]] void *to_thread) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(nullptr, to.bottom, to.size);
#endif
#if defined(__SANITIZE_THREAD__)
    __tsan_switch_to_fiber(to_thread, 0);
#endif
  }
  static void *thread() {
#if defined(__SANITIZE_THREAD__)
    return __tsan_get_current_fiber();
#else
    return nullptr;
#endif
  }
  static void *new_thread() {
#if defined(__SANITIZE_THREAD__)
    return __tsan_create_fiber(0);
#else
    return nullptr;
#endif
  }

 private:
  [[maybe_unused]] void *fake_ = nullptr;
};

struct Explorer::Context {
  u32 cpu = 0;
  bool active = false;  // In a segment.
  bool quit = false;
  SimEvent *event = nullptr;
  u64 event_time_ns = 0;
  u64 steps = 0;
  u32 visits = 0;  // Points since the last step at which it was the default.
  ExecContext exec;
  std::vector<u64> locals;
  boost::context::fiber fiber;  // While it does not run: its innermost code, which may be a kernel thread's.
  boost::context::stack_context mapped;
  StackView stack;
  void *thread = nullptr;
  // Blocked: on a lock, or until somebody else makes progress.
  const SpinLock *waits_for = nullptr;
  bool spinning = false;
  u64 spin_progress = 0;
  static constexpr u64 kNoLook = ~u64{0};
  u64 first_look =
      kNoLook;  // progress_ at the first access since the last spin: what came after it may have been missed.
  const char *spin_what = "";
  std::vector<const SpinLock *> held;
  Clock clock;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_EXPLORE_CONTEXT_H_
