// SPDX-License-Identifier: GPL-2.0-only
// What a run's trace says about it, in integers: CPU time, wakeup latencies, switches, migrations, queues, the exit. A
// sink, fed by the tracer's one writer; finish() ends the measured time, and only then are the results complete.
//
// Definitions. CPU time of a task runs from the sched_switch to it until the next sched_switch of that CPU (or the end
// of the run). Its switches are voluntary (it left the run queue) or involuntary (prev_runnable is set). Its wakeup
// latency runs from its last sched_waking to the sched_switch to it; a waking that finds the task still on its CPU and
// runnable (it never left) starts no latency: it is dropped when the task is then switched out runnable. `wakeups`
// counts all sched_waking events of the task; `picks` the switches to it.
#ifndef USCX_REPORT_METRICS_H_
#define USCX_REPORT_METRICS_H_

#include <map>
#include <string>
#include <vector>

#include "report/latency.h"
#include "trace/tracer.h"

namespace uscx::report {

enum class Who : u8 { kWorkload = 0, kKthread = 1, kOther = 2 };

struct TaskMetrics {
  std::string name;
  u64 pid = 0;
  s64 nice = 0;
  Who who = Who::kOther;
  u64 cpu_time_ns = 0;
  u64 picks = 0, nvcsw = 0, nivcsw = 0, migrations = 0, wakeups = 0;
  LatencyHistogram wakeup;
  bool exited = false;

  // State of the computation.
  static constexpr u64 kNoWaking = ~u64{0};
  u64 waking_ns = kNoWaking;
  bool runnable = false, on_cpu = false;
  u64 cgroup = 0;      // Its control group; 0: the root.
  u64 counted_ns = 0;  // How much of its CPU time groups it has left have.
  bool owed = false;   // It was runnable when the scheduler was gone, and has not run since.
};

struct ExitMetrics {
  bool seen = false;
  u64 time_ns = 0;
  u64 kind = 0;
  s64 code = 0;
  s64 cpu = -1;
  std::string reason, message;
  // Tasks that were runnable when the scheduler was gone (disabled, or at its exit if the trace has no such event), and
  // how many of them have not run afterwards.
  u64 nr_runnable = 0, nr_stuck = 0;
};

// Of a control group other than the root: what tasks have run as its direct members.
struct CgroupMetrics {
  std::string path;
  u64 nr_tasks = 0;  // Members that live at the end of the trace.
  u64 cpu_time_ns = 0;
};

struct DsqMetrics {
  u64 inserts = 0, removes = 0, max_depth = 0;
};

struct LockMetrics {
  u64 waits = 0, wait_ns = 0, max_ns = 0;
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

  u64 duration_ns() const { return duration_ns_; }
  u32 nr_cpus() const { return static_cast<u32>(cpus_.size()); }
  // In order of creation. A pid that is used again gives a second entry.
  const std::vector<TaskMetrics> &tasks() const { return tasks_; }
  const ExitMetrics &exit() const { return exit_; }
  const KickSyncsMetrics &kick_syncs() const { return kick_syncs_; }
  u64 cpu_busy_ns(u32 cpu) const { return cpus_[cpu].busy_ns; }
  const std::vector<OfflineTime> &offline() const { return offline_; }  // In order of their beginnings.
  const LatencyHistogram &wakeup() const { return wakeup_; }            // Of workload tasks.
  const std::vector<LogLine> &log() const { return log_; }
  std::map<u64, CgroupMetrics> cgroups() const;                    // By id.
  const std::map<u64, DsqMetrics> &dsqs() const { return dsqs_; }  // By id; a local DSQ's is SCX_DSQ_LOCAL_ON | cpu.
  const std::map<std::string, LockMetrics> &locks() const { return locks_; }
  const std::map<std::string, s64> &scx_events() const { return scx_events_; }
  const std::map<std::string, u64> &wild_loads() const { return wild_loads_; }    // Loads by place.
  const std::map<std::string, u64> &arena_skips() const { return arena_skips_; }  // Stores by the last one's place.
  u64 local_inserts() const { return local_inserts_; }
  u64 global_inserts() const { return global_inserts_; }
  u64 user_inserts() const { return user_inserts_; }
  u64 bypass_inserts() const { return bypass_inserts_; }
  u64 direct_dispatches() const { return direct_dispatches_; }
  u64 enqueues() const { return enqueues_; }
  u64 kicks() const { return kicks_; }

 private:
  struct Cpu {
    u64 current = 0;
    u64 since_ns = 0;
    u64 busy_ns = 0;
  };
  TaskMetrics &task(u64 pid);
  TaskMetrics &add_task(u64 pid, std::string name, s64 nice, Who who);
  void on_switch(const trace::Event &event);
  void account(Cpu &cpu, u64 time_ns);
  void on_waking(const trace::Event &event);
  void on_insert(const trace::Event &event);
  void on_scheduler_event(const trace::Event &event, const trace::Tracer &tracer);
  void mark_owed();
  void on_cgroup_attach(u64 pid, u64 cgroup);
  void on_cpu_online(const trace::Event &event);
  DsqMetrics &dsq(u64 dsq_id, u32 event_cpu);

  std::vector<Cpu> cpus_;
  std::vector<TaskMetrics> tasks_;
  std::map<u64, CgroupMetrics> cgroups_;  // Without what their present members have run.
  static constexpr u32 kNoTask = ~0u;
  std::vector<u32> task_by_pid_;  // Index into tasks_; pids are small and dense.
  ExitMetrics exit_;
  KickSyncsMetrics kick_syncs_;
  LatencyHistogram wakeup_;
  std::vector<LogLine> log_;
  std::vector<OfflineTime> offline_;
  std::map<u64, DsqMetrics> dsqs_;
  u64 last_dsq_id_ = 0;
  DsqMetrics *last_dsq_ = nullptr;        // Of last_dsq_id_.
  std::vector<DsqMetrics *> local_dsqs_;  // By CPU; into dsqs_, whose nodes stay where they are.
  std::map<std::string, LockMetrics> locks_;
  std::map<std::string, s64> scx_events_;
  std::map<std::string, u64> wild_loads_;
  std::map<std::string, u64> arena_skips_;
  u64 local_inserts_ = 0, global_inserts_ = 0, user_inserts_ = 0, bypass_inserts_ = 0;
  u64 direct_dispatches_ = 0, enqueues_ = 0, kicks_ = 0;
  u64 duration_ns_ = 0;
  bool finished_ = false;
};

}  // namespace uscx::report

#endif  // USCX_REPORT_METRICS_H_
