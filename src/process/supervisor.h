// SPDX-License-Identifier: GPL-2.0-only
// Supervisor: runs unmodified programs of the host as tasks of the simulated machine. Their system calls come to us
// (notifier.h): those that concern the simulated kernel, time or waiting are carried out here, in virtual time; the
// rest is let through to the host.
//
// A thread's life is a loop, and each round is three steps of its task: its host thread runs until its next call (which
// takes no virtual time); the user code and the call are paid for, as CPU time of the task; the call is carried out,
// and may make the task wait. What the call does is therefore seen at the virtual time at which it ends.
//
// Invariants: at most one thread of all programs runs on the host, while its task is on a simulated CPU and the
// simulation stands still, so that what happens is a function of the run's options; the exception are threads that make
// no calls (kHogBudgetNs), which are named. An object of bpf(2) is held here as long as any descriptor of a live
// process refers to it. All programs end before the supervisor does.
//
// Threading: one thread, the simulation's.
#ifndef USCX_PROCESS_SUPERVISOR_H_
#define USCX_PROCESS_SUPERVISOR_H_

#include <signal.h>
#include <sys/stat.h>

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "base/units.h"
#include "bpf/object/user_space.h"
#include "bridge/host.h"
#include "process/launch.h"
#include "process/pid_fds.h"
#include "process/poll_proxies.h"
#include "process/process.h"
#include "process/timer_fds.h"

namespace uscx::process {

class SystemFiles;

struct SupervisorOptions {
  std::function<void(std::string_view line)> say;  // What people should know: refused calls, hogs.
  const std::atomic<bool> *stop = nullptr;         // Becomes true: a program that does not come back is killed.
  std::function<void()> while_waiting;  // Called some times a second while a program is on the host and makes no calls.
  u64 kill_call = 0;  // Kills the process that makes this call of all (counted from 1), before it is carried out.
};

class Supervisor {
 public:
  // Host CPU time of one stretch of user code from which on its thread is a hog. From then on it gets turns of that
  // much on the host, each charged as kHogTurnNs (call_table.h) of virtual time.
  static constexpr u64 kHogBudgetNs = 500 * kNsPerMs;
  static constexpr u64 kKnownHogBudgetNs = 10 * kNsPerMs;  // Of a program that has one already.
  static constexpr u64 kHogTurnHostNs = 5 * kNsPerMs;
  // CLOCK_REALTIME when the machine boots.
  static constexpr u64 kBootRealtimeNs = 1767225600 * kNsPerSec;

  Supervisor(bridge::Host &host, SupervisorOptions options);
  ~Supervisor();
  Supervisor(const Supervisor &) = delete;
  Supervisor &operator=(const Supervisor &) = delete;

  // --- for the owner, in host context ---
  // Starts a program; its first task is created now. The reference is good as long as the supervisor.
  Result<Process *> start(const ProgramSpec &spec);
  // Have all processes ended, the ones that programs started too?
  bool all_gone() const;
  // Sends a signal to all processes that live.
  void signal_all(int signal);
  // As kill -9 from outside.
  void kill(Process &process);
  u64 nr_calls() const { return nr_calls_; }
  const std::vector<std::string> &notes() const { return notes_; }

  // --- for the handlers of calls ---
  bridge::Host &host() { return host_; }
  sched::Kernel &kernel() { return host_.kernel(); }
  u64 now_ns() const { return machine::now_ns(); }
  TimerFds &timer_fds() { return timer_fds_; }
  PidFds &pid_fds() { return pid_fds_; }
  PollProxies &poll_proxies() { return poll_proxies_; }
  Rng &random() { return random_; }
  SystemFiles &system_files() { return *system_files_; }
  const std::deque<std::unique_ptr<Process>> &processes() const { return processes_; }
  // Says something once.
  void note(const std::string &line);
  // The thread of a simulated tid, or null; the process of a pid.
  Thread *find_thread(int tid) const;
  Process *find_process(int pid) const;
  // A thread that waits in a call looks again at what it waits for.
  void wake_thread(Thread &thread);
  // Something has happened on the host: those who wait for it there look again.
  void check_probes();
  // Delivers a signal now. `thread` null: to one that does not block it.
  // `info` is what goes with it, if it is not just kill()'s.
  int deliver(Process &process, int signal, Thread *thread = nullptr, const siginfo_t *info = nullptr);
  bool is_external(const struct stat &st) const { return external_.contains({st.st_dev, st.st_ino}); }

  // Objects of bpf(2).
  void hold(const std::shared_ptr<bpf::Object> &object);
  bool holds_any() const { return !held_.empty(); }
  // Releases the objects that no descriptor of a live process refers to, `fd` of `closing` not counted. May wait.
  void release_objects(const Process *closing = nullptr, int fd = -1);

  // Births and deaths.
  Thread *adopt_thread(Process &process, pid_t host_tid, const Thread &creator, int *error);
  Process *adopt_process(pid_t host_pid, const Thread &creator, bool shares_memory, int *error);
  // A new image runs in the process, or it has ended: who waits in vfork() goes on.
  void release_vfork(Process &process);
  // The host's process ends now: waits until it has, and lets its tasks follow.
  void host_process_ends(Process &process);
  // The same of one thread.
  void host_thread_ends(Thread &thread);

  // Futexes (calls_futex.cc). Those that are woken or moved are counted.
  void queue_on_futex(Thread &thread, const FutexKey &key, u32 bits);
  void leave_futex(Thread &thread);
  u32 wake_futex(const FutexKey &key, u32 count, u32 bits);
  u32 requeue_futex(const FutexKey &from, const FutexKey &to, u32 count);

 private:
  friend class ThreadBehavior;
  enum class Arrived : u8 { kCall, kDead, kBudget };
  using ObjectKey = std::pair<bpf::ObjectKind, u32>;

  // Where the host has a program's process, or a thread of it if tid is not 0; empty for all others.
  std::string host_directory(int pid, int tid) const;
  Process *new_process(pid_t host_pid, Notifier &notifier);
  Thread *new_thread(Process &process, pid_t host_tid, sched::TaskSpec spec, int *error);
  sched::TaskSpec inherit(const Thread &creator, const std::string &comm) const;

  // The steps of a thread (supervisor_steps.cc).
  sched::Step step(Thread &thread);
  bool serve(Thread &thread, sched::Step *step);
  Outcome ask_handler(Thread &thread);
  Outcome run_slow(Thread &thread, sched::Step *step);
  void finish_call(Thread &thread, const Outcome &outcome);
  void enter_user(Thread &thread);
  u64 user_code_ns(Thread &thread);
  static u64 hog_budget_ns(const Thread &thread);
  Arrived await(Thread &thread, u64 budget_ns);
  void receive_call(Notifier &notifier);
  void take_call(Thread &thread, const Call &call);
  void enter_image(Thread &thread);
  sched::Step park(Thread &thread);
  sched::Step last_steps(Thread &thread);
  void start_slow(Thread &thread, std::function<Outcome()> body);
  void stop_process(Process &process, int signal);
  void continue_process(Process &process);
  void report(Process &process, News news);
  void report_stop(Process &process);
  void check_stuck(Thread &thread, u64 cpu_time_ns, u64 *idle_polls);

  void bury_thread(Thread &thread);
  void leave_orphan(Process &child);
  void keep_signal(const Process &process);
  void bury_process(Process &process);
  bool is_fatal(const Remote::Signals &signals, int signal) const;

  bridge::Host &host_;
  const SupervisorOptions options_;
  const bpf::BpfSystem::Scope system_scope_;  // Calls that wait overlap; none of them may end another's scope.
  Rng random_;
  std::unique_ptr<SystemFiles> system_files_;
  std::deque<std::unique_ptr<Notifier>> notifiers_;
  std::deque<std::unique_ptr<Process>> processes_;
  std::map<pid_t, std::unique_ptr<Thread>> threads_;  // By host tid.
  std::map<FutexKey, std::vector<Thread *>> futexes_;
  std::vector<Thread *> probing_;
  std::map<ObjectKey, std::shared_ptr<bpf::Object>> held_;
  std::set<std::pair<dev_t, ino_t>> external_;  // What programs share with the world outside.
  TimerFds timer_fds_;
  PidFds pid_fds_;
  PollProxies poll_proxies_;
  u64 next_space_ = 1;
  u64 nr_calls_ = 0;
  std::vector<std::string> notes_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_SUPERVISOR_H_
