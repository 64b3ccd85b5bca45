// SPDX-License-Identifier: GPL-2.0-only
#include "schedulers/user_half.h"

namespace uscx::schedulers {
namespace {

constexpr Scheduler kSchedulers[] = {
    {"scx_central", "one CPU schedules for all; infinite slices and a timer that preempts", make_scx_central},
    {"scx_qmap", "five FIFO queues by weight; shows and tests what a scheduler can do", make_scx_qmap},
    {"scx_simple", "one queue for all CPUs, by weighted virtual time or FIFO", make_scx_simple},
};

}  // namespace

std::span<const Scheduler> schedulers() { return kSchedulers; }

const Scheduler *find_scheduler(std::string_view name) {
  for (const Scheduler &scheduler : kSchedulers)
    if (scheduler.name == name) return &scheduler;
  return nullptr;
}

}  // namespace uscx::schedulers
