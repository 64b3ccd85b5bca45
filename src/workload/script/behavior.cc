// SPDX-License-Identifier: GPL-2.0-only
#include "workload/script/behavior.h"

#include <algorithm>

#include "machine/machine.h"
#include "sched/ext/ext.h"
#include "sched/hotplug.h"
#include "workload/script/round_log.h"

namespace uscx::workload {
namespace {

using sched::Kernel;
using sched::Step;
using sched::Task;

// How often a thread that computes for a stretch of time looks at the clock: after so much work, as rt-app.
constexpr u64 kRuntimeCheckNs = 32 * kNsPerUs;
// A mutex that is free, or that nobody waits for: no system call.
constexpr u64 kUncontendedNs = kMinStepNs;

class ScriptBehavior final : public sched::Behavior {
 public:
  ScriptBehavior(std::shared_ptr<Play> play, PlayThread &thread)
      : play_(std::move(play)),
        thread_(thread),
        task_(play_->script().tasks[thread.task]),
        settings_(task_),
        own_timers_(task_.own_timers.size()) {}

  Step next(Kernel &kernel, Task &self) override {
    now_ns_ = machine::now_ns();
    if (!begun_) {
      begin(self);
      if (task_.delay_ns > 0) return Step::sleep_until(first_ns_);
    }
    if (play_->ended()) return leave(kernel);
    log_.back(now_ns_);
    return task_.wakes.empty() ? next_of_phases(kernel, self) : next_wake(kernel);
  }

 private:
  using Kind = ScriptOp::Kind;

  void begin(Task &self);
  Step leave(Kernel &kernel) {
    play_->thread_gone(kernel, thread_);
    return Step::exit();
  }
  Step next_wake(Kernel &kernel);
  Step next_of_phases(Kernel &kernel, Task &self);
  bool find_round();
  void end_round();
  // Without a value the next op comes at once.
  std::optional<Step> do_op(const ScriptOp &op, Kernel &kernel, Task &self);
  Step do_sleep(u64 until_ns) { return until_ns > now_ns_ ? Step::sleep_until(until_ns) : Step::run(kShortCallNs); }
  std::optional<Step> do_runtime(const ScriptOp &op);
  Step do_timer(const ScriptOp &op);
  Step do_wait(const ScriptOp &op, Kernel &kernel);
  bool try_wait(const ScriptOp &op, Kernel &kernel);
  Step do_call(const ScriptOp &op, Kernel &kernel, Task &self);
  Step run_for(u64 ns);
  u64 time_of(const ScriptOp &op);
  Step call_done(u64 ns = kShortCallNs) {
    op_++;
    return Step::run(ns);
  }

  const std::shared_ptr<Play> play_;
  PlayThread &thread_;
  const ScriptTask &task_;
  Settings settings_;
  std::vector<TimerState> own_timers_;
  u64 now_ns_ = 0;
  bool begun_ = false;
  u64 first_ns_ = 0;                   // Where timers begin.
  std::optional<u64> runtime_end_ns_;  // Of the runtime that is going on.
  bool slept_ = false;                 // Before the run of the present wake.
  bool waited_ = false;                // It has been in a queue for the present op.
  size_t wake_ = 0;
  bool in_round_ = false;
  size_t phase_ = 0, op_ = 0;
  s64 round_ = 0, phase_round_ = 0;

  std::optional<Rng> rng_;  // Once it draws.
  RoundLog log_;
};

void ScriptBehavior::begin(Task &self) {
  begun_ = true;
  first_ns_ = play_->begin(thread_, self) + task_.delay_ns;
  log_.open(*play_, thread_);
}

Step ScriptBehavior::next_wake(Kernel &kernel) {
  if (wake_ == task_.wakes.size()) return leave(kernel);
  const ScriptWake &wake = task_.wakes[wake_];
  if (!slept_) {
    slept_ = true;
    if (wake.at_ns > now_ns_) return Step::sleep_until(wake.at_ns);
  }
  slept_ = false;
  wake_++;
  return Step::run(wake.run_ns);
}

Step ScriptBehavior::next_of_phases(Kernel &kernel, Task &self) {
  for (;;) {
    if (!in_round_) {
      if (!find_round()) return leave(kernel);
      in_round_ = true;
      log_.begin_round(now_ns_);
      if (settings_.apply(play_->script(), task_.phases[phase_].settings, kernel, self)) return Step::run(kShortCallNs);
    }
    const ScriptPhase &phase = task_.phases[phase_];
    if (op_ == phase.ops.size()) {
      end_round();
      continue;
    }
    if (const std::optional<Step> step = do_op(phase.ops[op_], kernel, self)) return *step;
  }
}

// Goes over the loops that end here; false when the thread is done.
bool ScriptBehavior::find_round() {
  if (task_.loop == 0 || task_.phases.empty()) return false;
  if (phase_ < task_.phases.size()) return true;
  phase_ = 0;
  return task_.loop == kForever || ++round_ < task_.loop;
}

void ScriptBehavior::end_round() {
  const ScriptPhase &phase = task_.phases[phase_];
  in_round_ = false;
  op_ = 0;
  log_.end_round(now_ns_);
  if (phase.loop == kForever || ++phase_round_ < phase.loop) return;
  phase_round_ = 0;
  phase_++;
}

std::optional<Step> ScriptBehavior::do_op(const ScriptOp &op, Kernel &kernel, Task &self) {
  switch (op.kind) {
    case Kind::kRun: op_++; return run_for(time_of(op));
    case Kind::kWork: op_++; return Step::run(op.ns);
    case Kind::kRuntime: return do_runtime(op);
    case Kind::kSleep: op_++; return do_sleep(now_ns_ + time_of(op));
    case Kind::kTimer: op_++; return do_timer(op);
    case Kind::kUntil: op_++; return do_sleep(op.ns);
    case Kind::kYield: op_++; return Step::yield();
    case Kind::kLock:
    case Kind::kWait:
    case Kind::kBarrier:
    case Kind::kSemWait:
    case Kind::kJoin:
    case Kind::kSend:
    case Kind::kReceive: return do_wait(op, kernel);
    case Kind::kExit: return leave(kernel);
    default: return do_call(op, kernel, self);
  }
}

u64 ScriptBehavior::time_of(const ScriptOp &op) {
  if (!op.draw) return op.ns;
  if (!rng_) rng_ = play_->rng_of(thread_);
  return play_->script().distributions[op.draw - 1].draw(*rng_);
}

Step ScriptBehavior::run_for(u64 ns) {
  log_.run(now_ns_, ns, ns);
  return Step::run(std::max(ns, kMinStepNs));
}

// The clock is looked at after the work, so that it takes up to a piece more.
std::optional<Step> ScriptBehavior::do_runtime(const ScriptOp &op) {
  const bool first = !runtime_end_ns_;
  const u64 asked_ns = first ? time_of(op) : 0;
  if (first) runtime_end_ns_ = now_ns_ + asked_ns;
  if (!first && now_ns_ >= *runtime_end_ns_) {
    runtime_end_ns_.reset();
    op_++;
    return std::nullopt;
  }
  log_.run(now_ns_, asked_ns, kRuntimeCheckNs);
  return Step::run(kRuntimeCheckNs);
}

Step ScriptBehavior::do_timer(const ScriptOp &op) {
  const size_t nr_shared = play_->script().shared_timers.size();
  const size_t own = op.object - nr_shared;
  const u64 period_ns = time_of(op);
  const Tick tick = op.object < nr_shared
                        ? play_->tick(op.object, period_ns, first_ns_)
                        : next_tick(own_timers_[own], task_.own_timers[own].absolute, period_ns, first_ns_);
  log_.timer(period_ns, tick);
  return tick.slack_ns > 0 ? Step::sleep_until(tick.at_ns) : Step::run(kShortCallNs);
}

// Waits until it is in no queue any more, and asks again if what it waited for may be gone.
Step ScriptBehavior::do_wait(const ScriptOp &op, Kernel &kernel) {
  if (play_->waiting(thread_)) return Step::block();
  if (!try_wait(op, kernel)) return Step::block();
  waited_ = false;
  return call_done(op.kind == Kind::kLock ? kUncontendedNs : kShortCallNs);
}

bool ScriptBehavior::try_wait(const ScriptOp &op, Kernel &kernel) {
  const bool first = !waited_;
  waited_ = true;
  switch (op.kind) {
    case Kind::kLock: return play_->lock(kernel, thread_, op.object);
    case Kind::kSemWait: return play_->sem_wait(kernel, thread_, op.object);
    case Kind::kSend: return play_->send(kernel, thread_, op.object);
    case Kind::kReceive: return play_->receive(kernel, thread_, op.object);
    case Kind::kJoin: return play_->join(kernel, thread_, op.object);
    case Kind::kBarrier: return !first || play_->barrier(kernel, thread_, op.object);
    case Kind::kWait:
      if (!first) return play_->lock(kernel, thread_, op.mutex);
      play_->wait(kernel, thread_, op.object, op.mutex);
      return false;
    default: CHECK(false, "op {} does not wait", static_cast<int>(op.kind));
  }
}

Step ScriptBehavior::do_call(const ScriptOp &op, Kernel &kernel, Task &self) {
  const Script &script = play_->script();
  switch (op.kind) {
    case Kind::kUnlock: play_->unlock(kernel, op.object); return call_done(kUncontendedNs);
    case Kind::kSignal: play_->signal(kernel, op.object, false); break;
    case Kind::kBroadcast: play_->signal(kernel, op.object, true); break;
    case Kind::kSemPost: play_->sem_post(kernel, op.object); break;
    case Kind::kFork: fork_thread(play_, kernel, self, op.object); break;
    case Kind::kExec: kernel.rename(self, script.names[op.object]); break;
    case Kind::kNice: kernel.set_user_nice(self, op.number); break;
    case Kind::kSysrqReset: kernel.ext().sysrq_reset(); break;
    case Kind::kSysrqDump: kernel.ext().sysrq_dump(); break;
    case Kind::kMove: tell(kernel, self, move_to_group(kernel, script.op_groups[op.object].path, self)); break;
    case Kind::kSetGroup: tell(kernel, self, apply_group(kernel, script.op_groups[op.object])); break;
    case Kind::kMigrateDisable: kernel.migrate_disable(self); break;
    case Kind::kMigrateEnable:
      if (self.migration_disabled()) kernel.migrate_enable(self);
      break;
    case Kind::kHotplug:
      op_++;
      kernel.hotplug().request(op.cpu_switch.cpu, op.cpu_switch.online, [&](int) { kernel.wake(self); });
      return Step::block();
    default: CHECK(false, "op {} is no call", static_cast<int>(op.kind));
  }
  return call_done();
}

// --- the leader ---

class JoiningBehavior final : public sched::Behavior {
 public:
  explicit JoiningBehavior(std::shared_ptr<Play> play) : play_(std::move(play)) {}
  Step next(Kernel &, Task &self) override { return play_->all_gone(self) ? Step::exit() : Step::block(); }

 private:
  const std::shared_ptr<Play> play_;
};

}  // namespace

std::unique_ptr<sched::Behavior> make_script_behavior(std::shared_ptr<Play> play, PlayThread &thread) {
  return std::make_unique<ScriptBehavior>(std::move(play), thread);
}

std::unique_ptr<sched::Behavior> make_joining_behavior(std::shared_ptr<Play> play) {
  return std::make_unique<JoiningBehavior>(std::move(play));
}

}  // namespace uscx::workload
