// SPDX-License-Identifier: GPL-2.0-only
// Schedulers in BPF: an object file alone, or one of ours with its user half. Both are loaded through libbpf on the
// simulated machine's bpf(2). One thread.
#ifndef USCX_RUN_BPF_SCHEDULER_H_
#define USCX_RUN_BPF_SCHEDULER_H_

#include <memory>

#include "run/scheduler.h"
#include "schedulers/user_half.h"

namespace uscx::cli {

// `options` must outlive what is made.
Result<std::unique_ptr<SchedulerUnderTest>> make_object_scheduler(const RunOptions &options);
std::unique_ptr<SchedulerUnderTest> make_own_scheduler(std::unique_ptr<schedulers::UserHalf> half,
                                                       const RunOptions &options);

}  // namespace uscx::cli

#endif  // USCX_RUN_BPF_SCHEDULER_H_
