// SPDX-License-Identifier: GPL-2.0-only
// The steps of a program's threads: between system calls, in them, and at their end. See supervisor.h.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "process/supervisor.h"
#include "process/tracee.h"
#include "process/user_memory.h"
#include "process/vdso.h"

namespace uscx::process {

namespace {
constexpr int kPollMs = 20, kTurnPollMs = 2;
constexpr u64 kStuckPolls = 100;  // Of kPollMs each: long enough for any call of the host that does not wait.
}  // namespace

sched::Step Supervisor::step(Thread &t) {
  ThreadUserSpace memory(*this, t);
  const bpf::UserSpace::Scope scope(&memory);
  t.waiting = false;
  sched::Step step = sched::Step::exit();
  for (;;) {
    if (t.process->stop_signal != 0 && !t.slow && t.place != Place::kUser && t.place != Place::kDead) {
      t.waiting = true;
      report_stop(*t.process);
      return sched::Step::block();
    }
    switch (t.place) {
      case Place::kUnborn:
        let_go(t.host_tid);
        enter_user(t);
        break;
      case Place::kUser:
        if (await(t, hog_budget_ns(t)) == Arrived::kBudget) return park(t);
        break;
      case Place::kParked: return park(t);
      case Place::kCall:
        if (!t.charged) {
          t.charged = true;
          return sched::Step::run(user_code_ns(t) + (t.entry ? t.entry->cost_ns : 0));
        }
        if (serve(t, &step)) return step;
        break;
      case Place::kDead: return last_steps(t);
    }
  }
}

// --- user code ---

// FIDELITY: user-code-cost. Who only looks at the clock or yields waits actively: the longer it has, the longer it
// takes.
u64 Supervisor::user_code_ns(Thread &t) {
  constexpr u64 kPart = 16;
  const u64 limit_ns = t.entry ? t.entry->spin_ns : 0;
  if (limit_ns == 0 || !t.spinning_since_ns) {
    t.spinning_since_ns = limit_ns == 0 ? std::nullopt : std::optional(now_ns());
    return kUserCodeNs;
  }
  return std::clamp((now_ns() - *t.spinning_since_ns) / kPart, kUserCodeNs, limit_ns);
}

void Supervisor::enter_user(Thread &t) {
  t.place = Place::kUser;
  t.stretch_start_ns.reset();
}

// Who waits for another thread by looking at memory gets nowhere while it is the only one that runs. The run is not
// reproducible any more once a program has such a thread, so that its others are not given as much time to make a call.
u64 Supervisor::hog_budget_ns(const Thread &t) {
  return t.process->program->has_hogs ? kKnownHogBudgetNs : kHogBudgetNs;
}

// Waits, in real time, for what the thread does next on the host.
Supervisor::Arrived Supervisor::await(Thread &t, u64 budget_ns) {
  u64 idle_polls = 0;
  while (t.place == Place::kUser) {
    pollfd polls[2] = {{t.process->notifier->fd(), POLLIN, 0}, {t.process->remote.pidfd(), POLLIN, 0}};
    const int ready = ::poll(polls, 2, budget_ns == kHogBudgetNs ? kPollMs : kTurnPollMs);
    CHECK(ready >= 0 || errno == EINTR, "poll: errno {}", errno);
    if (ready > 0 && polls[0].revents & POLLIN) {
      receive_call(*t.process->notifier);
    } else if (ready > 0 && polls[1].revents != 0) {
      host_process_ends(*t.process);
    } else {
      const u64 cpu_time_ns = t.process->remote.cpu_time_ns();
      if (!t.stretch_start_ns) t.stretch_start_ns = cpu_time_ns;
      const u64 used_ns = cpu_time_ns - *t.stretch_start_ns;
      if (used_ns >= budget_ns) return Arrived::kBudget;
      if (ready == 0) check_stuck(t, used_ns, &idle_polls);
    }
  }
  check_probes();
  return t.place == Place::kDead ? Arrived::kDead : Arrived::kCall;
}

// A thread that neither runs nor comes to us waits in a call that we believed not to wait, or has been stopped.
void Supervisor::check_stuck(Thread &t, u64 used_ns, u64 *idle_polls) {
  if (options_.while_waiting) options_.while_waiting();
  if (t.place != Place::kUser) return;
  const bool stopping = options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed);
  if (++*idle_polls < kStuckPolls) return;
  *idle_polls = 0;
  if (stopping) return kill(*t.process);
  const char state = t.process->remote.thread_state(t.host_tid);
  if (state == 'R' || state == 0) return;
  const long nr = t.process->remote.current_syscall(t.host_tid);
  if (nr == SYS_read || nr == SYS_write) return;  // For the world outside, as it should.
  note(fmt::format("{} [{}] waits on the host, in system call {}, while virtual time stands still ({} ms of CPU time)",
                   t.process->name, t.tid, call_name(static_cast<int>(nr)), used_ns / kNsPerMs));
}

void Supervisor::receive_call(Notifier &notifier) {
  Call call;
  if (!notifier.receive(&call)) return;
  const auto it = threads_.find(call.host_tid);
  CHECK(it != threads_.end(), "a call of thread {}, which is not known", call.host_tid);
  CHECK(it->second->place == Place::kUser, "two calls of thread {} at once", call.host_tid);
  take_call(*it->second, call);
}

void Supervisor::take_call(Thread &t, const Call &call) {
  t.place = Place::kCall;
  t.call = call;
  t.entry = call.arch_ok ? find_call(call.nr) : nullptr;
  t.charged = t.started = t.woken = t.interrupted = false;
  t.until_ns = t.wants_signals = 0;
  nr_calls_++;
  if (options_.kill_call == nr_calls_) return kill(*t.process);
  if (t.process->image_is_new) enter_image(t);
}

// The first call after an execve() that may have failed.
void Supervisor::enter_image(Thread &t) {
  Process &process = *t.process;
  process.image_is_new = false;
  bool fresh = false;
  if (Status status = patch_vdso(process.remote, &fresh); !status.ok()) {
    note(status.at(process.name).message());
    return kill(process);
  }
  if (!fresh) return;
  process.name = process.remote.comm(t.host_tid);
  process.space = next_space_++;
  process.timers->clear();
  process.dumpable = 1;
  kernel().rename(*t.task, process.name);
  release_vfork(process);
  // Descriptors that close on exec have gone.
  if (holds_any())
    start_slow(t, [this] {
      release_objects();
      return Outcome::wait(0);
    });
}

// --- calls ---

// Goes on with the call; true if the task has a step to make first.
bool Supervisor::serve(Thread &t, sched::Step *step) {
  const Outcome outcome = t.slow ? run_slow(t, step) : ask_handler(t);
  if (t.slow) return true;
  switch (outcome.kind) {
    case Outcome::Kind::kWait:
      t.waiting = true;
      *step = outcome.value == Outcome::kForever ? sched::Step::block()
                                                 : sched::Step::sleep_until(static_cast<u64>(outcome.value));
      return true;
    case Outcome::Kind::kYield: *step = sched::Step::yield(); return true;
    case Outcome::Kind::kSlow: start_slow(t, outcome.slow); return false;
    default: finish_call(t, outcome); return false;
  }
}

Outcome Supervisor::ask_handler(Thread &t) {
  if (!t.entry) {
    const char *name = t.call.arch_ok ? call_name(t.call.nr) : "of 32-bit code";
    note(fmt::format("{}: system call {} (number {}) is not implemented: {}", t.process->name, name, t.call.nr,
                     t.call.arch_ok ? why_refused(t.call.nr) : "programs are 64-bit code"));
    return Outcome::answer(-ENOSYS);
  }
  t.probe = nullptr;
  t.probed_pipe.reset();
  const Outcome outcome = t.entry->handler(*this, t);
  t.started = true;
  t.woken = false;
  if (t.probe && std::find(probing_.begin(), probing_.end(), &t) == probing_.end()) probing_.push_back(&t);
  return outcome;
}

void Supervisor::start_slow(Thread &t, std::function<Outcome()> body) {
  t.slow_outcome = Outcome::gone();
  t.slow = sched::make_fiber_behavior([&t, body = std::move(body)](sched::KthreadApi &) { t.slow_outcome = body(); });
}

Outcome Supervisor::run_slow(Thread &t, sched::Step *step) {
  *step = t.slow->next(kernel(), *t.task);
  if (step->kind != sched::Step::Kind::kExit) return Outcome::gone();
  t.slow.reset();
  return t.slow_outcome;
}

void Supervisor::finish_call(Thread &t, const Outcome &outcome) {
  if (t.place != Place::kCall || outcome.kind == Outcome::Kind::kGone) return;
  std::erase(probing_, &t);
  enter_user(t);
  if (outcome.kind == Outcome::Kind::kAnswer)
    t.process->notifier->answer(t.call, outcome.value);
  else
    t.process->notifier->let_through(t.call);
  if (t.traced) end_tracing(t.host_tid);
  t.traced = false;
}

// --- hogs ---

// The thread has used up its host time without a call. Its task runs on; on the host it goes on in turns. Where it is
// when it is stopped depends on the host, and so does the time of its next call.
sched::Step Supervisor::park(Thread &t) {
  if (!t.process->program->has_hogs) {
    t.process->program->has_hogs = true;
    note(
        fmt::format("{} [{}] has run {} ms without a system call and counts as a CPU hog: when it makes its next one "
                    "is not reproducible; other threads of its program count after {} ms",
                    t.process->name, t.tid, kHogBudgetNs / kNsPerMs, kKnownHogBudgetNs / kNsPerMs));
  }
  if (t.place == Place::kParked) {
    let_go(t.host_tid);
    enter_user(t);
    if (await(t, kHogTurnHostNs) != Arrived::kBudget) return sched::Step::run(kHogTurnNs);
  }
  switch (stop_thread(*t.process->notifier, t.host_tid)) {
    case Stopped::kStopped: t.place = Place::kParked; break;
    case Stopped::kCalls: t.traced = true; break;
    case Stopped::kDead: host_process_ends(*t.process); break;
  }
  return sched::Step::run(kHogTurnNs);
}

// --- the end ---

// The host's thread is gone. A kernel path under way comes to its end first; the last thread closes what is open.
sched::Step Supervisor::last_steps(Thread &t) {
  sched::Step step = sched::Step::exit();
  Process &process = *t.process;
  for (;;) {
    if (t.slow) {
      run_slow(t, &step);
      if (t.slow) return step;
    }
    if (process.threads.size() > 1 || process.closed) break;
    process.closed = true;
    if (holds_any())
      start_slow(t, [this] {
        release_objects();
        return Outcome::gone();
      });
  }
  bury_thread(t);
  return sched::Step::exit();
}

}  // namespace uscx::process
