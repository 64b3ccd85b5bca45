// SPDX-License-Identifier: GPL-2.0-only
// What a run's trace says about it, in integers: CPU time, latencies, switches, migrations, queues, the exit. A sink,
// fed by the tracer's one writer; finish() ends the measured time, and only then are the results complete.
//
// Phases. What is measured is kept apart for the time before the first BPF scheduler was enabled, the time in which one
// was, up to its exit, and all other time. A scheduler that is loaded again adds to the second.
//
// Definitions. CPU time of a task runs from the sched_switch to it until the next sched_switch of that CPU (or the end
// of the phase). Its switches are voluntary (it left the run queue) or involuntary (prev_runnable is set). Its wakeup
// latency runs from its last sched_waking, or from the wakeup of a new task, to the sched_switch to it; a waking that
// finds the task still on its CPU and runnable (it never left) starts no latency: it is dropped when the task is then
// switched out runnable. `wakeups` counts all sched_waking events of the task; `picks` the switches to it. A wait is
// any time in which a task is runnable and on no CPU.
// Latencies and waits that are open when a phase ends count there with what they have lasted; those that go on begin
// anew in the next phase.
#ifndef USCX_REPORT_METRICS_H_
#define USCX_REPORT_METRICS_H_

#include <array>
#include <map>
#include <string>
#include <vector>

#include "report/latency.h"
#include "trace/tracer.h"

namespace uscx::report {

enum class Who : u8 { kWorkload = 0, kKthread = 1, kOther = 2 };

enum class Phase : u8 { kBefore = 0, kScheduler = 1, kAfter = 2 };
constexpr u32 kNrPhases = 3;
constexpr Phase kPhases[kNrPhases] = {Phase::kBefore, Phase::kScheduler, Phase::kAfter};

constexpr u64 kNever = ~u64{0};

// Where a task that waits is, as far as sched_ext knows.
struct Place {
  enum class Kind : u8 { kNoQueue, kCustody, kDsq };  // Custody: ops.enqueue took it, and it is in no DSQ.
  Kind kind = Kind::kNoQueue;
  u64 dsq_id = 0;
  auto operator<=>(const Place &) const = default;
};

struct TaskMetrics {
  std::string name;
  u64 pid = 0;
  s64 nice = 0;
  Who who = Who::kOther;
  bool exited = false;

  // State of the computation.
  bool runnable = false, on_cpu = false, has_run = false;
  u64 waking_ns = kNever;         // Of the latency that is open.
  u64 wait_ns = kNever;           // The beginning of the wait that is open, in this phase,
  u64 waiting_since_ns = kNever;  // and in all.
  Place place;
  u64 cgroup = 0;     // Its control group; 0: the root.
  bool owed = false;  // It was runnable when the scheduler was gone, and has not run since.
};

// Of one task in one phase.
struct TaskFigures {
  u64 cpu_time_ns = 0;
  u64 picks = 0, nvcsw = 0, nivcsw = 0, migrations = 0, wakeups = 0;
  u64 longest_wait_ns = 0;
  LatencyHistogram wakeup;
};

struct LockMetrics {
  u64 waits = 0, wait_ns = 0, max_ns = 0;
};

// All that is measured by phase.
struct Figures {
  u64 duration_ns = 0;
  std::vector<u64> cpu_busy_ns;
  std::vector<TaskFigures> tasks;        // Of those of Metrics::tasks() that there were; later ones have none.
  LatencyHistogram wakeup;               // Of workload tasks.
  u64 nr_open = 0, longest_open_ns = 0;  // Of those: the ones that were open at the end of the phase.
  u64 local_inserts = 0, global_inserts = 0, user_inserts = 0, bypass_inserts = 0;
  u64 direct_dispatches = 0, enqueues = 0, kicks = 0;
  std::map<std::string, LockMetrics> locks;
  std::map<u64, u64> cgroup_cpu_time_ns;  // By id: what tasks have run as direct members of the group.
};

// A task that waits at the end of the measured time.
struct OpenWait {
  u32 task;  // Of Metrics::tasks().
  u64 since_ns;
  Place place;
};

struct ExitMetrics {
  bool seen = false;
  u64 time_ns = 0;
  u64 kind = 0;
  s64 code = 0;
  s64 cpu = -1;
  std::string reason, message;
  // Tasks that were runnable when the scheduler was gone (disabled, or at its exit if the trace has no such event), and
  // how many of them have not run afterwards. Where the measured time ended before the scheduler did: those that were
  // runnable and those that starved at that end.
  u64 nr_runnable = 0, nr_stuck = 0;
  bool measured = false;  // The exit is within the measured time.
};

// Of a control group other than the root.
struct CgroupMetrics {
  std::string path;
  u64 nr_tasks = 0;  // Direct members that live at the end of the trace.
};

struct DsqMetrics {
  u64 inserts = 0, removes = 0, max_depth = 0;
};

// Bytes of the arrays behind SCX_KICK_WAIT, without their allocator's overhead.
struct KickSyncsMetrics {
  bool seen = false;
  u64 before = 0;  // When the first scheduler began to be loaded.
  u64 loaded = 0;  // At most.
  u64 after = 0;   // At the end.
};

// A CPU was not there for a while; up to the end of the run if it did not come back.
struct OfflineTime {
  u32 cpu;
  u64 from_ns, until_ns;
};

struct LogLine {
  u64 time_ns;
  std::string text;
};

class Metrics : public trace::Sink {
 public:
  explicit Metrics(u32 nr_cpus);
  void on_event(const trace::Event &event, const trace::Tracer &tracer) override;
  // The measured time ends at end_ns. Called once. Of what comes later (the scheduler is detached), only the
  // scheduler's own events count: its exit, log lines, counters.
  void finish(u64 end_ns);
  bool finished() const { return finished_; }

  u64 duration_ns() const { return duration_ns_; }  // Of all phases.
  u32 nr_cpus() const { return static_cast<u32>(cpus_.size()); }
  // The phase that the run is about: the scheduler's, if there was one.
  Phase subject() const { return nr_lives_ || exit_.seen ? Phase::kScheduler : Phase::kBefore; }
  const Figures &figures(Phase phase) const { return phases_[static_cast<u32>(phase)]; }
  const Figures &figures() const { return figures(subject()); }
  const TaskFigures &task_figures(Phase phase, size_t task) const;
  u64 nr_lives() const { return nr_lives_; }  // How often a scheduler was enabled.
  // Tasks that wait at the end, those that wait longest first; and of those, how many for at least kStarvedNs.
  static constexpr u64 kStarvedNs = 1'000'000'000;
  const std::vector<OpenWait> &open_waits() const { return open_waits_; }
  size_t nr_starving() const { return nr_starving_; }
  // Tasks that ops.enqueue took and that went on to a DSQ, or to another scheduler, from there.
  u64 custody_in() const { return custody_in_; }
  u64 custody_out() const { return custody_out_; }
  // In order of creation. A pid that is used again gives a second entry.
  const std::vector<TaskMetrics> &tasks() const { return tasks_; }
  const ExitMetrics &exit() const { return exit_; }
  const KickSyncsMetrics &kick_syncs() const { return kick_syncs_; }
  const std::vector<OfflineTime> &offline() const { return offline_; }  // In order of their beginnings.
  const std::vector<LogLine> &log() const { return log_; }
  std::map<u64, CgroupMetrics> cgroups() const;                    // By id.
  const std::map<u64, DsqMetrics> &dsqs() const { return dsqs_; }  // By id; a local DSQ's is SCX_DSQ_LOCAL_ON | cpu.
  const std::map<std::string, s64> &scx_events() const { return scx_events_; }
  const std::map<std::string, u64> &wild_loads() const { return wild_loads_; }    // Loads by place.
  const std::map<std::string, u64> &arena_skips() const { return arena_skips_; }  // Stores by the last one's place.

 private:
  static constexpr u32 kNoTask = ~0u;
  // Time that a CPU gave to a task, and that may turn out to be after the end of the phase: CPUs go ahead of each
  // other.
  struct Chunk {
    u32 task = kNoTask;
    u64 cgroup = 0;
    u64 from_ns = 0, until_ns = 0;
  };
  struct Cpu {
    u64 current = 0;
    u64 since_ns = 0;
    std::array<Chunk, 16> recent;  // The last ones: more than fit into what a CPU does at one go.
    u32 next_chunk = 0;
  };
  Figures &now() { return phases_[static_cast<u32>(phase_)]; }
  u32 task_index(u64 pid);
  TaskMetrics &task(u64 pid) { return tasks_[task_index(pid)]; }
  u32 add_task(u64 pid, std::string name, s64 nice, Who who);
  void on_switch(const trace::Event &event);
  void on_switch_out(u64 pid, bool runnable, u64 time_ns);
  void on_switch_in(u64 pid, u64 time_ns);
  void account(u32 cpu, u64 time_ns);
  void add_latency(u32 index, u64 latency_ns);
  void begin_wait(TaskMetrics &task, u64 time_ns);
  void end_wait(u32 index, u64 time_ns);
  // The phase ends, and another one begins.
  void change_phase(Phase next, u64 time_ns);
  void close_phase(u64 time_ns, Figures *next);
  void give_back(u32 cpu, u64 time_ns, Figures *next);
  static void credit(Figures &figures, u32 cpu, const Chunk &chunk, s64 ran_ns);
  void find_open_waits();
  void on_waking(const trace::Event &event);
  void on_wakeup(const trace::Event &event);
  void on_enqueue(u64 pid);
  void on_lock_wait(const std::string &lock, u64 wait_ns);
  void on_insert(const trace::Event &event);
  void on_scheduler_event(const trace::Event &event, const trace::Tracer &tracer);
  void mark_owed();
  void on_cgroup_attach(u64 pid, u64 cgroup);
  void on_cpu_online(const trace::Event &event);
  DsqMetrics &dsq(u64 dsq_id, u32 event_cpu);

  std::vector<Cpu> cpus_;
  std::array<Figures, kNrPhases> phases_;
  Phase phase_ = Phase::kBefore;
  u64 phase_began_ns_ = 0;
  u64 nr_lives_ = 0;
  std::vector<OpenWait> open_waits_;
  size_t nr_starving_ = 0;
  u64 custody_in_ = 0, custody_out_ = 0;
  std::vector<TaskMetrics> tasks_;
  std::map<u64, CgroupMetrics> cgroups_;  // Without the number of their tasks.
  std::vector<u32> task_by_pid_;          // Index into tasks_; pids are small and dense.
  ExitMetrics exit_;
  KickSyncsMetrics kick_syncs_;
  std::vector<LogLine> log_;
  std::vector<OfflineTime> offline_;
  std::map<u64, DsqMetrics> dsqs_;
  u64 last_dsq_id_ = 0;
  DsqMetrics *last_dsq_ = nullptr;        // Of last_dsq_id_.
  std::vector<DsqMetrics *> local_dsqs_;  // By CPU; into dsqs_, whose nodes stay where they are.
  std::map<std::string, s64> scx_events_;
  std::map<std::string, u64> wild_loads_;
  std::map<std::string, u64> arena_skips_;
  u64 duration_ns_ = 0;
  bool finished_ = false;
};

}  // namespace uscx::report

#endif  // USCX_REPORT_METRICS_H_
