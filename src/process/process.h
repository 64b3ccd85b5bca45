// SPDX-License-Identifier: GPL-2.0-only
// Process and Thread: what the supervisor knows of a program's processes and their threads. Each thread is a task of
// the simulated machine. On the host it is always at one of these places:
//
//   kUnborn    stopped at its birth, until its task first runs
//   kUser      in user code: the only thread of all programs that runs on the host
//   kCall      in a system call that has come to us and is not answered
//   kParked    stopped in user code, because it makes no calls (a CPU hog)
//   kDead      gone
//
// Threading: the supervisor's thread.
#ifndef USCX_PROCESS_PROCESS_H_
#define USCX_PROCESS_PROCESS_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "machine/event_queue.h"
#include "process/call_table.h"
#include "process/notifier.h"
#include "process/posix_timers.h"
#include "process/remote.h"
#include "sched/kernel.h"

namespace uscx::process {

struct Process;

// Where a futex is: private memory of an address space, or a place in shared memory.
struct FutexKey {
  u64 space = 0;  // 0: shared
  std::string memory;
  u64 offset = 0;
  auto operator<=>(const FutexKey &) const = default;
};

// A pipe of the host, and what of it somebody waits for.
struct PipeKey {
  dev_t device = 0;
  ino_t inode = 0;
  short events = 0;
  auto operator<=>(const PipeKey &) const = default;
};

enum class Place : u8 { kUnborn, kUser, kCall, kParked, kDead };

// What a parent has not asked for yet, of a child that lives.
enum class News : u8 { kNone, kStopped, kContinued };

struct Thread {
  Process *process = nullptr;
  pid_t host_tid = 0;
  sched::Task *task = nullptr;  // Referenced.
  int tid = 0;                  // The task's pid.
  Place place = Place::kUnborn;

  // The present call.
  Call call;
  const CallEntry *entry = nullptr;
  bool charged = false;                   // Its cost has been paid.
  bool started = false;                   // Its handler has been called before.
  bool waiting = false;                   // Its task is asleep in it.
  bool woken = false;                     // By wake_thread() since the handler was called last.
  u64 wants_signals = 0;                  // Blocked signals that it waits for.
  bool interrupted = false;               // A signal is to end it early, if it waits.
  u64 until_ns = 0;                       // Handlers' own: when a wait ends, ~0 for never.
  std::function<bool()> probe;            // Asked after anything has happened: is it worth another look?
  std::optional<PipeKey> probed_pipe;     // What the probe asks about, if it is a pipe alone.
  std::unique_ptr<sched::Behavior> slow;  // The path of an Outcome::kSlow under way.
  Outcome slow_outcome = Outcome::gone();

  // Futexes.
  FutexKey futex;
  u32 futex_bits = 0;
  bool queued_on_futex = false;
  u64 clear_tid = 0;  // set_tid_address()

  bool held = false;    // Stopped by the tracer at the end of vfork().
  bool traced = false;  // Was about to be parked when it made its present call.
  // CPU time of the host's process when the present stretch of user code was first found to take long.
  std::optional<u64> stretch_start_ns;
  std::optional<u64> spinning_since_ns;  // From then on all its calls were ones that who waits actively makes.
};

struct Process {
  Process(pid_t host_pid, Notifier &notifier) : remote(host_pid), notifier(&notifier) {}

  Remote remote;
  Notifier *notifier;
  int pid = 0;                 // The simulated pid of its first thread.
  u64 space = 0;               // Its address space, for futexes.
  Process *parent = nullptr;   // Null: a program that the supervisor was asked to start.
  Process *program = nullptr;  // The started one that it descends from; itself.
  std::string name;
  std::vector<Thread *> threads;  // Live ones, in order of creation.
  Thread *vfork_parent = nullptr;
  bool image_is_new = true;  // The next call may be the first of a new program image.
  bool host_dead = false;    // The host's threads are gone; the tasks follow.
  bool closed = false;       // Its last thread has closed its descriptors.
  bool gone = false;         // All tasks have ended.
  bool reaped = false;       // Its parent has waited for it.
  int wait_status = 0;       // As of waitpid(2), once host_dead.
  int stop_signal = 0;       // Stopped by that one, or about to be.
  bool stop_reported = false;
  News news = News::kNone;
  machine::SimEvent alarm;                          // ITIMER_REAL
  u64 alarm_expires_ns = 0, alarm_interval_ns = 0;  // Virtual; 0: disarmed.
  std::pair<Supervisor *, Process *> alarm_owner;
  std::unique_ptr<PosixTimers> timers;
  bool has_signal_fds = false;  // It, or one that it descends from, has made a descriptor of signals.
  bool has_hogs = false;        // Of a started program: some thread of it makes no calls.
  int death_signal = 0;         // PR_SET_PDEATHSIG
  int dumpable = 1;             // PR_SET_DUMPABLE
  bool is_subreaper = false;    // PR_SET_CHILD_SUBREAPER
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_PROCESS_H_
