// SPDX-License-Identifier: GPL-2.0-only
#include "report/metrics.h"

#include <algorithm>
#include <utility>

#include "abi/scx.h"
#include "base/check.h"
#include "report/names.h"

namespace uscx::report {

using trace::Event;
using trace::EventType;

namespace {
constexpr u64 kMaxPid = 1 << 24;  // Linux has no more than 1 << 22.
}  // namespace

Metrics::Metrics(u32 nr_cpus) : cpus_(nr_cpus), local_dsqs_(nr_cpus) {
  CHECK(nr_cpus > 0);
  for (Figures &figures : phases_) figures.cpu_busy_ns.resize(nr_cpus);
}

const TaskFigures &Metrics::task_figures(Phase phase, size_t task) const {
  static const TaskFigures kNone;
  const std::vector<TaskFigures> &all = figures(phase).tasks;
  return task < all.size() ? all[task] : kNone;
}

u32 Metrics::add_task(u64 pid, std::string name, s64 nice, Who who) {
  CHECK(pid <= kMaxPid, "pid {}", pid);
  if (pid >= task_by_pid_.size()) task_by_pid_.resize(pid + 1, kNoTask);
  const u32 index = task_by_pid_[pid] = static_cast<u32>(tasks_.size());
  TaskMetrics &task = tasks_.emplace_back();
  task.name = std::move(name);
  task.pid = pid;
  task.nice = nice;
  task.who = who;
  now().tasks.resize(tasks_.size());
  return index;
}

u32 Metrics::task_index(u64 pid) {
  if (pid < task_by_pid_.size() && task_by_pid_[pid] != kNoTask) return task_by_pid_[pid];
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
    case EventType::task_exit: {
      TaskMetrics &gone = task(args[0]);
      gone.exited = true;
      gone.runnable = gone.owed = false;
      gone.waking_ns = gone.wait_ns = gone.waiting_since_ns = kNever;
      return;
    }
    case EventType::task_rename: task(args[0]).name = tracer.text_of(args[1]); return;
    case EventType::task_nice: task(args[0]).nice = static_cast<s64>(args[1]); return;
    case EventType::sched_switch: return on_switch(event);
    case EventType::sched_waking: return on_waking(event);
    case EventType::sched_wakeup: return on_wakeup(event);
    case EventType::sched_migrate_task: now().tasks[task_index(args[0])].migrations++; return;
    case EventType::cpu_online: return on_cpu_online(event);
    case EventType::cgroup_mkdir: cgroups_[args[0]].path = tracer.text_of(args[1]); return;
    case EventType::cgroup_attach: return on_cgroup_attach(args[0], args[1]);
    case EventType::scx_enqueue: return on_enqueue(args[0]);
    case EventType::dsq_insert: return on_insert(event);
    case EventType::dsq_remove:
      dsq(args[1], event.cpu).removes++;
      task(args[0]).place = {};
      return;
    case EventType::scx_direct_dispatch: now().direct_dispatches++; return;
    case EventType::scx_kick: now().kicks++; return;
    case EventType::lock_wait: return on_lock_wait(tracer.text_of(args[0]), args[1]);
    case EventType::scx_exit:
      if (phase_ == Phase::kScheduler) change_phase(Phase::kAfter, event.time_ns);
      return on_scheduler_event(event, tracer);
    case EventType::scx_state:
      if (args[0] == SCX_ENABLED) {
        change_phase(Phase::kScheduler, event.time_ns);
        nr_lives_++;
      }
      return on_scheduler_event(event, tracer);
    default: return on_scheduler_event(event, tracer);
  }
}

void Metrics::on_scheduler_event(const Event &event, const trace::Tracer &tracer) {
  const u64 *args = event.args;
  switch (event.type) {
    case EventType::scx_exit:
      exit_.seen = true;
      exit_.measured = !finished_;
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
    case EventType::log: log_.push_back({event.time_ns, tracer.text_of(args[0])}); return;
    default: return;
  }
}

// A lone CPU waits for nobody: what host context took is of a time that the CPU is past already.
void Metrics::on_lock_wait(const std::string &name, u64 wait_ns) {
  if (nr_cpus() == 1) return;
  LockMetrics &lock = now().locks[name];
  lock.waits++;
  lock.wait_ns += wait_ns;
  lock.max_ns = std::max(lock.max_ns, wait_ns);
}

void Metrics::on_cgroup_attach(u64 pid, u64 cgroup) {
  constexpr u64 kRootCgroup = 1;
  task(pid).cgroup = cgroup == kRootCgroup ? 0 : cgroup;
}

std::map<u64, CgroupMetrics> Metrics::cgroups() const {
  std::map<u64, CgroupMetrics> all = cgroups_;
  for (const TaskMetrics &task : tasks_)
    if (task.cgroup != 0) all[task.cgroup].nr_tasks += !task.exited;
  return all;
}

// --- CPU time ---

void Metrics::credit(Figures &figures, u32 cpu, const Chunk &chunk, s64 ran_ns) {
  const u64 ran = static_cast<u64>(ran_ns);  // Sums are right modulo 2^64 too.
  figures.cpu_busy_ns[cpu] += ran;
  figures.tasks[chunk.task].cpu_time_ns += ran;
  if (chunk.cgroup != 0) figures.cgroup_cpu_time_ns[chunk.cgroup] += ran;
}

void Metrics::account(u32 cpu_number, u64 time_ns) {
  Cpu &cpu = cpus_[cpu_number];
  if (time_ns <= cpu.since_ns) return;
  const u64 from_ns = std::exchange(cpu.since_ns, time_ns);
  if (cpu.current == 0) return;
  const u32 index = task_index(cpu.current);
  Chunk &chunk = cpu.recent[cpu.next_chunk++ % cpu.recent.size()];
  chunk = {.task = index, .cgroup = tasks_[index].cgroup, .from_ns = from_ns, .until_ns = time_ns};
  credit(now(), cpu_number, chunk, static_cast<s64>(time_ns - from_ns));
}

// What a CPU that is ahead of others has given to tasks after the end of the phase is the next one's, if there is one.
void Metrics::give_back(u32 cpu, u64 time_ns, Figures *next) {
  for (Chunk &chunk : cpus_[cpu].recent) {
    if (chunk.until_ns <= time_ns) continue;
    const u64 from_ns = std::max(chunk.from_ns, time_ns);
    const s64 late_ns = static_cast<s64>(chunk.until_ns - from_ns);
    credit(now(), cpu, chunk, -late_ns);
    if (next) credit(*next, cpu, chunk, late_ns);
    chunk.from_ns = from_ns;
  }
}

// --- phases ---

void Metrics::change_phase(Phase next, u64 time_ns) {
  if (next == phase_) return;
  Figures &figures = phases_[static_cast<u32>(next)];
  figures.tasks.resize(tasks_.size());
  close_phase(time_ns, &figures);
  phase_ = next;
}

void Metrics::close_phase(u64 time_ns, Figures *next) {
  for (u32 cpu = 0; cpu < cpus_.size(); cpu++) {
    account(cpu, time_ns);
    give_back(cpu, time_ns, next);
  }
  for (u32 i = 0; i < tasks_.size(); i++) {
    TaskMetrics &task = tasks_[i];
    if (task.on_cpu) continue;
    if (task.wait_ns < time_ns) {
      end_wait(i, time_ns);
      task.wait_ns = time_ns;
    }
    if (task.waking_ns >= time_ns) continue;
    const u64 open_ns = time_ns - std::exchange(task.waking_ns, time_ns);
    add_latency(i, open_ns);
    if (task.who != Who::kWorkload) continue;
    now().nr_open++;
    now().longest_open_ns = std::max(now().longest_open_ns, open_ns);
  }
  if (time_ns <= phase_began_ns_) return;
  now().duration_ns += time_ns - std::exchange(phase_began_ns_, time_ns);
}

// --- waits ---

void Metrics::add_latency(u32 index, u64 latency_ns) {
  now().tasks[index].wakeup.add(latency_ns);
  if (tasks_[index].who == Who::kWorkload) now().wakeup.add(latency_ns);
}

void Metrics::begin_wait(TaskMetrics &task, u64 time_ns) {
  if (task.on_cpu || task.wait_ns != kNever) return;
  task.wait_ns = task.waiting_since_ns = time_ns;
}

void Metrics::end_wait(u32 index, u64 time_ns) {
  const u64 since_ns = std::exchange(tasks_[index].wait_ns, kNever);
  if (since_ns == kNever || since_ns >= time_ns) return;
  u64 &longest_ns = now().tasks[index].longest_wait_ns;
  longest_ns = std::max(longest_ns, time_ns - since_ns);
}

void Metrics::on_switch(const Event &event) {
  const u64 prev_pid = event.args[0], next_pid = event.args[2];
  cpus_[event.cpu].current = prev_pid;  // What ran before the first switch of this CPU is known only now.
  account(event.cpu, event.time_ns);
  cpus_[event.cpu].current = next_pid;
  if (prev_pid != 0) on_switch_out(prev_pid, event.args[3] != 0, event.time_ns);
  if (next_pid != 0) on_switch_in(next_pid, event.time_ns);
}

void Metrics::on_switch_out(u64 pid, bool runnable, u64 time_ns) {
  const u32 index = task_index(pid);
  TaskMetrics &prev = tasks_[index];
  prev.on_cpu = false;
  (runnable ? now().tasks[index].nivcsw : now().tasks[index].nvcsw)++;
  if (runnable) prev.waking_ns = kNever;
  prev.runnable = runnable || prev.waking_ns != kNever;  // Woken on its way out: it is runnable again.
  if (!runnable) prev.owed = false;
  if (prev.runnable && !prev.exited) begin_wait(prev, time_ns);
}

void Metrics::on_switch_in(u64 pid, u64 time_ns) {
  const u32 index = task_index(pid);
  TaskMetrics &next = tasks_[index];
  now().tasks[index].picks++;
  end_wait(index, time_ns);
  next.runnable = next.on_cpu = next.has_run = true;
  next.owed = false;
  next.waiting_since_ns = kNever;
  next.place = {};
  const u64 waking_ns = std::exchange(next.waking_ns, kNever);
  if (waking_ns != kNever) add_latency(index, time_ns > waking_ns ? time_ns - waking_ns : 0);
}

void Metrics::on_waking(const Event &event) {
  const u32 index = task_index(event.args[0]);
  TaskMetrics &woken = tasks_[index];
  now().tasks[index].wakeups++;
  woken.waking_ns = event.time_ns;
  woken.runnable = true;
  begin_wait(woken, event.time_ns);
}

// Of a new task there is no sched_waking.
void Metrics::on_wakeup(const Event &event) {
  TaskMetrics &woken = task(event.args[0]);
  const bool was_runnable = std::exchange(woken.runnable, true);
  if (was_runnable || woken.has_run) return;
  woken.waking_ns = event.time_ns;
  begin_wait(woken, event.time_ns);
}

// --- queues ---

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

// A task that is in custody was taken back by the core meanwhile.
void Metrics::on_enqueue(u64 pid) {
  now().enqueues++;
  Place &place = task(pid).place;
  if (place.kind != Place::Kind::kCustody) custody_in_++;
  place = {.kind = Place::Kind::kCustody};
}

void Metrics::on_insert(const Event &event) {
  const u64 dsq_id = event.args[1];
  Figures &figures = now();
  switch (dsq_class(dsq_id)) {
    case DsqClass::kLocal: figures.local_inserts++; break;
    case DsqClass::kGlobal: figures.global_inserts++; break;
    case DsqClass::kBypass: figures.bypass_inserts++; break;
    case DsqClass::kUser: figures.user_inserts++; break;
  }
  DsqMetrics &target = dsq(dsq_id, event.cpu);
  target.inserts++;
  target.max_depth = std::max(target.max_depth, event.args[3]);
  Place &place = task(event.args[0]).place;
  if (place.kind == Place::Kind::kCustody) custody_out_++;
  place = {.kind = Place::Kind::kDsq, .dsq_id = dsq_with_cpu(dsq_id, event.cpu)};
}

void Metrics::on_cpu_online(const Event &event) {
  if (!event.args[0]) return offline_.push_back({event.cpu, event.time_ns, kNever});
  for (OfflineTime &time : offline_)
    if (time.cpu == event.cpu && time.until_ns == kNever) time.until_ns = event.time_ns;
}

// --- ends ---

void Metrics::mark_owed() {
  if (finished_ && exit_.measured) return;  // Only its end came after the measured time.
  exit_.nr_runnable = 0;
  if (finished_) exit_.nr_stuck = nr_starving_;
  for (TaskMetrics &task : tasks_) {
    task.owed = task.runnable && !task.exited;
    exit_.nr_runnable += task.owed;
  }
}

void Metrics::finish(u64 end_ns) {
  CHECK(!finished_);
  finished_ = true;
  duration_ns_ = end_ns;
  find_open_waits();
  close_phase(end_ns, nullptr);
  for (OfflineTime &time : offline_) time.until_ns = std::min(time.until_ns, end_ns);
  // A task that has been on its CPU since before the scheduler was gone has gone on, if there was any time to.
  for (TaskMetrics &task : tasks_) exit_.nr_stuck += task.owed && !(task.on_cpu && end_ns > exit_.time_ns);
}

void Metrics::find_open_waits() {
  for (u32 i = 0; i < tasks_.size(); i++)
    if (!tasks_[i].on_cpu && tasks_[i].waiting_since_ns < duration_ns_)
      open_waits_.push_back({i, tasks_[i].waiting_since_ns, tasks_[i].place});
  std::stable_sort(open_waits_.begin(), open_waits_.end(),
                   [](const OpenWait &a, const OpenWait &b) { return a.since_ns < b.since_ns; });
  nr_starving_ =
      static_cast<size_t>(std::count_if(open_waits_.begin(), open_waits_.end(), [this](const OpenWait &wait) {
        return duration_ns_ - wait.since_ns >= kStarvedNs;
      }));
}

}  // namespace uscx::report
