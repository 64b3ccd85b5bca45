// SPDX-License-Identifier: GPL-2.0-only
// What to do about errors of a scheduler whose message can have one cause only. Messages are the kernel's.
#include <string_view>

#include "abi/scx.h"
#include "report/report.h"

namespace uscx::report {
namespace {

struct Hint {
  std::string_view message;  // A part of it.
  const char *text;
};

constexpr Hint kHints[] = {
    {"not allowed for",
     "The task may not run on that CPU: before SCX_DSQ_LOCAL_ON, test bpf_cpumask_test_cpu(cpu, p->cpus_ptr)."},
    {"cannot move migration disabled",
     "The task must stay on its CPU for now: where is_migration_disabled(p), insert it there."},
    {"already direct-dispatched", "The callback has inserted the task before: return after the first insert."},
    {"but trying to direct-dispatch",
     "ops.select_cpu and ops.enqueue may insert only the task that they are called for; others in ops.dispatch."},
    {"non-existent DSQ", "Nobody has made this DSQ: call scx_bpf_create_dsq() with the same id in ops.init."},
    {"invalid DSQ ID", "Nobody has made this DSQ: call scx_bpf_create_dsq() with the same id in ops.init."},
    {"dispatch buffer overflow",
     "ops.dispatch inserted more than ops.dispatch_max_batch tasks: stop when scx_bpf_dispatch_nr_slots() is 0."},
    {"cannot use vtime ordering for built-in DSQs",
     "Local and global DSQs are FIFOs: insert by vtime into a DSQ of scx_bpf_create_dsq()."},
    {"already had FIFO-enqueued tasks", "A DSQ takes tasks either in FIFO order or by vtime, not both at a time."},
    {"already had PRIQ-enqueued tasks", "A DSQ takes tasks either in FIFO order or by vtime, not both at a time."},
    {"built-in idle tracking is disabled",
     "An ops.update_idle switches it off: set SCX_OPS_KEEP_BUILTIN_IDLE in ops.flags to keep it."},
    {"PREEMPT/WAIT cannot be used with SCX_KICK_IDLE", "SCX_KICK_IDLE kicks only CPUs that have nothing to preempt."},
    {"without SCX_OPS_TID_TO_TASK", "Set SCX_OPS_TID_TO_TASK in ops.flags."},
};

}  // namespace

std::string hint_for(const ExitMetrics &exit) {
  if (exit.kind != SCX_EXIT_ERROR) return "";
  for (const Hint &hint : kHints)
    if (exit.message.find(hint.message) != std::string::npos) return hint.text;
  return "";
}

}  // namespace uscx::report
