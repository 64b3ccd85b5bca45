// SPDX-License-Identifier: GPL-2.0-only
#include "sched/trace_hooks.h"

#include <map>
#include <mutex>
#include <shared_mutex>

namespace uscx::sched {

namespace trace_hooks_detail {

constinit std::atomic<u32> nr_listeners{0};

namespace {

struct Listeners {
  std::shared_mutex lock;  // a leaf
  std::map<const Kernel *, TraceHooks *> by_kernel;
};

Listeners &listeners() {
  static Listeners &all = *new Listeners();
  return all;
}

}  // namespace

void fire(const Kernel &kernel, TracePoint point, u64 a0, u64 a1, u64 a2, u64 a3) {
  TraceHooks *hooks = nullptr;
  {
    std::shared_lock hold(listeners().lock);
    const auto it = listeners().by_kernel.find(&kernel);
    if (it != listeners().by_kernel.end()) hooks = it->second;
  }
  if (hooks) hooks->fire(point, a0, a1, a2, a3);
}

}  // namespace trace_hooks_detail

void set_trace_hooks(const Kernel &kernel, TraceHooks *hooks) {
  std::unique_lock hold(trace_hooks_detail::listeners().lock);
  auto &all = trace_hooks_detail::listeners().by_kernel;
  all.erase(&kernel);
  if (hooks) all[&kernel] = hooks;
  trace_hooks_detail::nr_listeners.store(static_cast<u32>(all.size()), std::memory_order_relaxed);
}

}  // namespace uscx::sched
