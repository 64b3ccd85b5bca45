// SPDX-License-Identifier: GPL-2.0-only
#include "report/metrics.h"

#include <algorithm>

#include "abi/scx.h"
#include "base/check.h"
#include "report/names.h"

namespace uscx::report {

using trace::Event;
using trace::EventType;

namespace {
constexpr u64 kMaxPid = 1 << 24;  // Linux has no more than 1 << 22.
}  // namespace

Metrics::Metrics(u32 nr_cpus) : cpus_(nr_cpus), local_dsqs_(nr_cpus) { CHECK(nr_cpus > 0); }

TaskMetrics &Metrics::add_task(u64 pid, std::string name, s64 nice, Who who) {
  CHECK(pid <= kMaxPid, "pid {}", pid);
  if (pid >= task_by_pid_.size()) task_by_pid_.resize(pid + 1, kNoTask);
  task_by_pid_[pid] = static_cast<u32>(tasks_.size());
  TaskMetrics &task = tasks_.emplace_back();
  task.name = std::move(name);
  task.pid = pid;
  task.nice = nice;
  task.who = who;
  return task;
}

TaskMetrics &Metrics::task(u64 pid) {
  if (pid < task_by_pid_.size() && task_by_pid_[pid] != kNoTask) return tasks_[task_by_pid_[pid]];
  return add_task(pid, fmt::format("<{}>", pid), 0, Who::kOther);  // One that the trace never introduced.
}

void Metrics::on_event(const Event &event, const trace::Tracer &tracer) {
  if (finished_) return on_scheduler_event(event, tracer);
  const u64 *args = event.args;
  switch (event.type) {
    case EventType::task_new:
      add_task(args[0], tracer.text_of(args[1]), static_cast<s64>(args[2]),
               static_cast<Who>(std::min<u64>(args[3], 2)));
      return;
    case EventType::task_exit:
      task(args[0]).exited = true;
      task(args[0]).runnable = task(args[0]).owed = false;
      return;
    case EventType::task_rename: task(args[0]).name = tracer.text_of(args[1]); return;
    case EventType::task_nice: task(args[0]).nice = static_cast<s64>(args[1]); return;
    case EventType::sched_switch: return on_switch(event);
    case EventType::sched_waking: return on_waking(event);
    case EventType::sched_wakeup: task(args[0]).runnable = true; return;
    case EventType::sched_migrate_task: task(args[0]).migrations++; return;
    case EventType::cpu_online: return on_cpu_online(event);
    case EventType::cgroup_mkdir: cgroups_[args[0]].path = tracer.text_of(args[1]); return;
    case EventType::cgroup_attach: return on_cgroup_attach(args[0], args[1]);
    case EventType::scx_enqueue: enqueues_++; return;
    case EventType::dsq_insert: return on_insert(event);
    case EventType::dsq_remove: dsq(args[1], event.cpu).removes++; return;
    case EventType::scx_direct_dispatch: direct_dispatches_++; return;
    case EventType::scx_kick: kicks_++; return;
    default: return on_scheduler_event(event, tracer);
  }
}

void Metrics::on_scheduler_event(const Event &event, const trace::Tracer &tracer) {
  const u64 *args = event.args;
  switch (event.type) {
    case EventType::scx_exit:
      exit_.seen = true;
      exit_.time_ns = event.time_ns;
      exit_.kind = args[0];
      exit_.code = static_cast<s64>(args[1]);
      exit_.reason = tracer.text_of(args[2]);
      exit_.message = tracer.text_of(args[3]);
      return mark_owed();
    case EventType::scx_exit_cpu: exit_.cpu = static_cast<s64>(args[0]) - 1; return;
    case EventType::scx_state:
      if (args[0] == SCX_DISABLED && exit_.seen) mark_owed();
      return;
    case EventType::scx_event: scx_events_[tracer.text_of(args[0])] += static_cast<s64>(args[1]); return;
    case EventType::scx_kick_syncs:
      if (!kick_syncs_.seen) kick_syncs_.before = args[0];
      kick_syncs_.seen = true;
      kick_syncs_.loaded = std::max(kick_syncs_.loaded, args[0]);
      kick_syncs_.after = args[0];
      return;
    case EventType::wild_load: wild_loads_[tracer.text_of(args[0])] += args[1]; return;
    case EventType::arena_skip: arena_skips_[tracer.text_of(args[0])] += args[2]; return;
    case EventType::lock_wait: {
      LockMetrics &lock = locks_[tracer.text_of(args[0])];
      lock.waits++;
      lock.wait_ns += args[1];
      lock.max_ns = std::max(lock.max_ns, args[1]);
      return;
    }
    case EventType::log: log_.push_back({event.time_ns, tracer.text_of(args[0])}); return;
    default: return;
  }
}

void Metrics::on_cgroup_attach(u64 pid, u64 cgroup) {
  constexpr u64 kRootCgroup = 1;
  TaskMetrics &moved = task(pid);
  if (moved.cgroup) cgroups_[moved.cgroup].cpu_time_ns += moved.cpu_time_ns - moved.counted_ns;
  moved.counted_ns = moved.cpu_time_ns;
  moved.cgroup = cgroup == kRootCgroup ? 0 : cgroup;
}

std::map<u64, CgroupMetrics> Metrics::cgroups() const {
  std::map<u64, CgroupMetrics> all = cgroups_;
  for (const TaskMetrics &task : tasks_) {
    if (task.cgroup == 0) continue;
    all[task.cgroup].cpu_time_ns += task.cpu_time_ns - task.counted_ns;
    all[task.cgroup].nr_tasks += !task.exited;
  }
  return all;
}

void Metrics::account(Cpu &cpu, u64 time_ns) {
  const u64 ran_ns = time_ns > cpu.since_ns ? time_ns - cpu.since_ns : 0;
  cpu.since_ns = std::max(cpu.since_ns, time_ns);
  if (cpu.current == 0) return;
  cpu.busy_ns += ran_ns;
  task(cpu.current).cpu_time_ns += ran_ns;
}

void Metrics::on_switch(const Event &event) {
  const u64 prev_pid = event.args[0], next_pid = event.args[2];
  const bool prev_runnable = event.args[3] != 0;
  Cpu &cpu = cpus_[event.cpu];
  cpu.current = prev_pid;  // What ran before the first switch of this CPU is known only now.
  account(cpu, event.time_ns);
  cpu.current = next_pid;
  if (prev_pid != 0) {
    TaskMetrics &prev = task(prev_pid);
    prev.on_cpu = false;
    if (prev_runnable) {
      prev.nivcsw++;
      prev.runnable = true;
      prev.waking_ns = TaskMetrics::kNoWaking;
    } else {
      prev.nvcsw++;
      prev.runnable = prev.waking_ns != TaskMetrics::kNoWaking;  // Woken on its way out: it is runnable again.
      prev.owed = false;
    }
  }
  if (next_pid != 0) {
    TaskMetrics &next = task(next_pid);
    next.picks++;
    next.runnable = next.on_cpu = true;
    next.owed = false;
    if (next.waking_ns != TaskMetrics::kNoWaking) {
      const u64 latency_ns = event.time_ns > next.waking_ns ? event.time_ns - next.waking_ns : 0;
      next.waking_ns = TaskMetrics::kNoWaking;
      next.wakeup.add(latency_ns);
      if (next.who == Who::kWorkload) wakeup_.add(latency_ns);
    }
  }
}

void Metrics::on_waking(const Event &event) {
  TaskMetrics &woken = task(event.args[0]);
  woken.wakeups++;
  woken.waking_ns = event.time_ns;
  woken.runnable = true;
}

DsqMetrics &Metrics::dsq(u64 dsq_id, u32 event_cpu) {
  const u64 id = dsq_with_cpu(dsq_id, event_cpu);
  if (dsq_class(id) != DsqClass::kLocal) {
    if (!last_dsq_ || last_dsq_id_ != id) last_dsq_ = &dsqs_[last_dsq_id_ = id];
    return *last_dsq_;
  }
  DsqMetrics *&local = local_dsqs_.at(id & SCX_DSQ_LOCAL_CPU_MASK);
  if (!local) local = &dsqs_[id];
  return *local;
}

void Metrics::on_insert(const Event &event) {
  const u64 dsq_id = event.args[1];
  switch (dsq_class(dsq_id)) {
    case DsqClass::kLocal: local_inserts_++; break;
    case DsqClass::kGlobal: global_inserts_++; break;
    case DsqClass::kBypass: bypass_inserts_++; break;
    case DsqClass::kUser: user_inserts_++; break;
  }
  DsqMetrics &target = dsq(dsq_id, event.cpu);
  target.inserts++;
  target.max_depth = std::max(target.max_depth, event.args[3]);
}

void Metrics::on_cpu_online(const Event &event) {
  constexpr u64 kNotBack = ~u64{0};
  if (!event.args[0]) return offline_.push_back({event.cpu, event.time_ns, kNotBack});
  for (OfflineTime &time : offline_)
    if (time.cpu == event.cpu && time.until_ns == kNotBack) time.until_ns = event.time_ns;
}

void Metrics::mark_owed() {
  exit_.nr_runnable = 0;
  for (TaskMetrics &task : tasks_) {
    task.owed = task.runnable && !task.exited;
    exit_.nr_runnable += task.owed;
  }
}

void Metrics::finish(u64 end_ns) {
  CHECK(!finished_);
  finished_ = true;
  duration_ns_ = end_ns;
  for (Cpu &cpu : cpus_) account(cpu, end_ns);
  for (OfflineTime &time : offline_) time.until_ns = std::min(time.until_ns, end_ns);
  // A task that has been on its CPU since before the scheduler was gone has gone on, if there was any time to.
  for (TaskMetrics &task : tasks_) exit_.nr_stuck += task.owed && !(task.on_cpu && end_ns > exit_.time_ns);
}

}  // namespace uscx::report
