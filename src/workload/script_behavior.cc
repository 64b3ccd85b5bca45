// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>

#include "machine/machine.h"
#include "sched/ext/ext.h"
#include "sched/hotplug.h"
#include "workload/script.h"

namespace uscx::workload {
namespace {

// How often a task that computes for a stretch of time looks at the clock.
constexpr u64 kRuntimeCheckNs = 100 * kNsPerUs;
// A system call that does not sleep: a new nice value, or a sleep until a time that has passed.
constexpr u64 kShortCallNs = 200;

class ScriptBehavior final : public sched::Behavior {
 public:
  ScriptBehavior(std::shared_ptr<const Script> script, size_t index, std::shared_ptr<TimerTable> shared_timers)
      : script_(std::move(script)),
        task_(script_->tasks[index]),
        shared_timers_(std::move(shared_timers)),
        own_timers_(task_.nr_own_timers) {}

  sched::Step next(sched::Kernel &kernel, sched::Task &self) override {
    const u64 now_ns = machine::now_ns();
    if (!delayed_) {
      delayed_ = true;
      if (task_.delay_ns > 0) return sched::Step::sleep_until(now_ns + task_.delay_ns);
    }
    if (!started_) {
      started_ = true;
      start_ns_ = now_ns;
    }
    return task_.wakes.empty() ? next_of_phases(kernel, self, now_ns) : next_wake(now_ns);
  }

 private:
  sched::Step next_wake(u64 now_ns) {
    if (wake_ == task_.wakes.size()) return sched::Step::exit();
    const ScriptWake &wake = task_.wakes[wake_];
    if (!slept_) {
      slept_ = true;
      if (wake.at_ns > now_ns) return sched::Step::sleep_until(wake.at_ns);
    }
    slept_ = false;
    wake_++;
    return sched::Step::run(wake.run_ns);
  }

  sched::Step next_of_phases(sched::Kernel &kernel, sched::Task &self, u64 now_ns) {
    for (;;) {
      const ScriptOp *op = current();
      if (!op) return sched::Step::exit();
      switch (op->kind) {
        case ScriptOp::Kind::kRun: op_++; return sched::Step::run(op->ns);
        case ScriptOp::Kind::kSleep: op_++; return sched::Step::sleep_until(now_ns + op->ns);
        case ScriptOp::Kind::kRuntime:
          if (runtime_end_ns_ == 0) runtime_end_ns_ = now_ns + op->ns;
          if (now_ns < runtime_end_ns_) return sched::Step::run(std::min(runtime_end_ns_ - now_ns, kRuntimeCheckNs));
          runtime_end_ns_ = 0;
          op_++;
          break;
        case ScriptOp::Kind::kUntil:
          op_++;
          return op->ns > now_ns ? sched::Step::sleep_until(op->ns) : sched::Step::run(kShortCallNs);
        case ScriptOp::Kind::kNice:
          op_++;
          kernel.set_user_nice(self, op->nice);
          return sched::Step::run(kShortCallNs);
        case ScriptOp::Kind::kSysrqReset:
          op_++;
          kernel.ext().sysrq_reset();
          return sched::Step::run(kShortCallNs);
        case ScriptOp::Kind::kSysrqDump:
          op_++;
          kernel.ext().sysrq_dump();
          return sched::Step::run(kShortCallNs);
        case ScriptOp::Kind::kMove:
          op_++;
          tell(kernel, self, move_to_group(kernel, script_->op_groups[op->group].path, self));
          return sched::Step::run(kShortCallNs);
        case ScriptOp::Kind::kSetGroup:
          op_++;
          tell(kernel, self, apply_group(kernel, script_->op_groups[op->group]));
          return sched::Step::run(kShortCallNs);
        case ScriptOp::Kind::kHotplug:
          op_++;
          kernel.hotplug().request(op->cpu_switch.cpu, op->cpu_switch.online, [&](int) { kernel.wake(self); });
          return sched::Step::block();
        case ScriptOp::Kind::kTimerRelative:
        case ScriptOp::Kind::kTimerAbsolute: {
          op_++;
          u64 &timer_ns = timer(op->timer);
          if (timer_ns == 0) timer_ns = start_ns_;
          timer_ns += op->ns;
          if (timer_ns > now_ns) return sched::Step::sleep_until(timer_ns);
          if (op->kind == ScriptOp::Kind::kTimerRelative) timer_ns = now_ns;
          return sched::Step::run(kShortCallNs);
        }
      }
    }
  }

  // What cannot be done (a scheduler may refuse it) is in the kernel log, and the task goes on.
  static void tell(sched::Kernel &kernel, const sched::Task &self, const Status &status) {
    if (!status.ok()) kernel.log(fmt::format("workload: {} [{}]: {}", self.comm(), self.pid(), status.message()));
  }

  // The op to do now, after the loops that end here; null when the task is done.
  const ScriptOp *current() {
    for (;;) {
      if (phase_ == task_.phases.size()) {
        if (task_.loop != kForever && ++round_ >= task_.loop) return nullptr;
        phase_ = 0;
      }
      const ScriptPhase &phase = task_.phases[phase_];
      if (op_ < phase.ops.size()) return &phase.ops[op_];
      op_ = 0;
      if (phase.loop == kForever || ++phase_round_ < phase.loop) continue;
      phase_round_ = 0;
      phase_++;
    }
  }

  u64 &timer(u32 index) {
    const size_t nr_shared = shared_timers_->size();
    return index < nr_shared ? (*shared_timers_)[index] : own_timers_[index - nr_shared];
  }

  const std::shared_ptr<const Script> script_;
  const ScriptTask &task_;
  const std::shared_ptr<TimerTable> shared_timers_;
  TimerTable own_timers_;
  bool delayed_ = false;
  bool started_ = false;
  bool slept_ = false;  // Before the run of the present wake.
  u64 start_ns_ = 0;
  u64 runtime_end_ns_ = 0;
  size_t wake_ = 0;
  size_t phase_ = 0, op_ = 0;
  s64 round_ = 0, phase_round_ = 0;
};

}  // namespace

std::unique_ptr<sched::Behavior> make_script_behavior(std::shared_ptr<const Script> script, size_t index,
                                                      std::shared_ptr<TimerTable> shared_timers) {
  return std::make_unique<ScriptBehavior>(std::move(script), index, std::move(shared_timers));
}

}  // namespace uscx::workload
