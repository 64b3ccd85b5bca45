// SPDX-License-Identifier: GPL-2.0-only
// A native scheduler made of functions, for tests: an operation is implemented if its function is set. Every call is
// counted, written down, and checked against the order in which the core may call (see Checker).
#ifndef USCX_SCHED_NATIVE_SCHEDULER_H_
#define USCX_SCHED_NATIVE_SCHEDULER_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sched/ext/ext.h"
#include "sched/native/machine.h"

namespace uscx::sched {

// The history of one task, from the calls alone.
struct TaskLife {
  bool inited = false, enabled = false, runnable = false, running = false;
  bool custody = false;  // Between enqueue and dequeue, for schedulers that never direct-dispatch.
  u32 enqueues = 0, dequeues = 0;
  std::string calls;  // One letter a call.
};

class TestScheduler : public ExtOps {
 public:
  explicit TestScheduler(const std::string &name = "test", u64 flags = 0) {
    config_.name = name;
    config_.flags = flags;
  }
  OpsConfig &mutable_config() { return config_; }

  std::function<s32(Task &, s32, u64)> on_select_cpu;
  std::function<void(Task &, u64)> on_enqueue;
  std::function<void(Task &, u64)> on_dequeue;
  std::function<void(s32, Task *)> on_dispatch;
  std::function<void(Task &)> on_tick;
  std::function<void(Task &)> on_running;
  std::function<void(Task &, bool)> on_stopping;
  std::function<bool(Task &)> on_yield;
  std::function<void(s32, bool)> on_update_idle;
  std::function<s32(Task &, bool)> on_init_task;
  std::function<void(Task &)> on_enable;
  std::function<s32()> on_init;
  std::function<void(const scx_exit_info &)> on_exit;
  std::function<void()> on_dump;
  std::function<void(s32, bool)> on_dump_cpu;
  std::function<void(Task &)> on_dump_task;
  std::function<void(Task &, u32)> on_set_weight;
  std::function<void(Task &)> on_set_cpumask;
  std::function<void(s32, scx_cpu_release_args *)> on_cpu_release;
  std::function<void(s32)> on_cpu_acquire;
  std::function<void(s32)> on_cpu_online, on_cpu_offline;
  std::function<s32(const OpsConfig &, const std::string &)> on_sub_attach;
  std::function<void(const OpsConfig &, const std::string &)> on_sub_detach;

  // Call before attach: tells the core what is there. With `watch`, all calls of a task's life are implemented too.
  TestScheduler &ready(bool watch = true) {
    auto add = [this](Op op, bool there) {
      if (there) implement(op);
    };
    add(Op::select_cpu, !!on_select_cpu);
    add(Op::enqueue, !!on_enqueue);
    add(Op::dispatch, !!on_dispatch);
    add(Op::tick, !!on_tick);
    add(Op::yield, !!on_yield);
    add(Op::update_idle, !!on_update_idle);
    add(Op::init, !!on_init);
    add(Op::exit, true);
    add(Op::dump, !!on_dump);
    add(Op::dump_cpu, !!on_dump_cpu);
    add(Op::dump_task, !!on_dump_task);
    add(Op::cpu_release, !!on_cpu_release);
    add(Op::cpu_acquire, !!on_cpu_acquire);
    add(Op::cpu_online, !!on_cpu_online);
    add(Op::cpu_offline, !!on_cpu_offline);
    add(Op::sub_attach, !!on_sub_attach);
    add(Op::sub_detach, !!on_sub_detach);
    for (Op op : {Op::dequeue, Op::runnable, Op::running, Op::stopping, Op::quiescent, Op::init_task, Op::exit_task,
                  Op::enable, Op::disable, Op::set_weight, Op::set_cpumask})
      add(op, watch);
    return *this;
  }

  u64 calls(Op op) const { return counts_[static_cast<u32>(op)]; }
  const TaskLife &life(const Task &p) { return lives_[p.pid()]; }
  const std::vector<std::string> &faults() const { return faults_; }
  const std::map<int, TaskLife> &lives() const { return lives_; }
  std::string exit_msg, exit_dump;
  u64 exit_flags = 0;
  s64 exit_code = 0;
  s32 exit_cpu = -1;
  u32 exit_kind = 0;

  s32 select_cpu(task_struct *ts, s32 prev_cpu, u64 wake_flags) override {
    count(Op::select_cpu);
    Task &p = *task_of(ts);
    expect(life_of(p).enabled && !life_of(p).runnable, p, "select_cpu");
    return on_select_cpu(p, prev_cpu, wake_flags);
  }
  void enqueue(task_struct *ts, u64 enq_flags) override {
    Task &p = note(ts, Op::enqueue, 'E');
    TaskLife &l = life_of(p);
    expect(l.enabled && !l.running, p, "enqueue");
    expect(l.runnable || !has(Op::runnable), p, "enqueue before runnable");
    expect(!l.custody || (enq_flags & SCX_ENQ_REENQ), p, "enqueue while in custody");
    l.enqueues++;
    const bool kept = l.custody;  // A task that is enqueued again has not left; an insert that ends that tells dequeue.
    on_enqueue(p, enq_flags);
    l.custody = kept || p.ts.scx.ddsp_dsq_id == SCX_DSQ_INVALID || !(p.ts.scx.ddsp_dsq_id & SCX_DSQ_FLAG_BUILTIN);
  }
  void dequeue(task_struct *ts, u64 deq_flags) override {
    Task &p = note(ts, Op::dequeue, 'D');
    TaskLife &l = life_of(p);
    expect(l.custody, p, "dequeue without custody");
    l.custody = false;
    l.dequeues++;
    if (on_dequeue) on_dequeue(p, deq_flags);
  }
  void dispatch(s32 cpu, task_struct *prev) override {
    count(Op::dispatch);
    on_dispatch(cpu, prev ? task_of(prev) : nullptr);
  }
  void tick(task_struct *ts) override { on_tick(note(ts, Op::tick, 't')); }
  void runnable(task_struct *ts, u64) override {
    Task &p = note(ts, Op::runnable, 'r');
    expect(life_of(p).enabled && !life_of(p).runnable, p, "runnable");
    life_of(p).runnable = true;
  }
  void running(task_struct *ts) override {
    Task &p = note(ts, Op::running, 'R');
    TaskLife &l = life_of(p);
    expect(l.runnable && !l.running && !l.custody, p, "running");
    l.running = true;
    if (on_running) on_running(p);
  }
  void stopping(task_struct *ts, bool runnable) override {
    Task &p = note(ts, Op::stopping, runnable ? 'S' : 's');
    expect(life_of(p).running, p, "stopping");
    life_of(p).running = false;
    if (on_stopping) on_stopping(p, runnable);
  }
  void quiescent(task_struct *ts, u64) override {
    Task &p = note(ts, Op::quiescent, 'q');
    TaskLife &l = life_of(p);
    expect(l.runnable && !l.running && !l.custody, p, "quiescent");
    l.runnable = false;
  }
  bool yield(task_struct *from, task_struct *) override { return on_yield(note(from, Op::yield, 'y')); }
  void set_weight(task_struct *ts, u32 weight) override {
    Task &p = note(ts, Op::set_weight, 'w');
    expect(life_of(p).enabled, p, "set_weight");
    if (on_set_weight) on_set_weight(p, weight);
  }
  void set_cpumask(task_struct *ts, const cpumask *) override {
    Task &p = note(ts, Op::set_cpumask, 'm');
    expect(life_of(p).enabled, p, "set_cpumask");
    if (on_set_cpumask) on_set_cpumask(p);
  }
  void update_idle(s32 cpu, bool idle) override {
    count(Op::update_idle);
    on_update_idle(cpu, idle);
  }
  s32 init_task(task_struct *ts, scx_init_task_args *args) override {
    Task &p = note(ts, Op::init_task, 'i');
    expect(!life_of(p).inited, p, "init_task");
    const s32 ret = on_init_task ? on_init_task(p, args->fork) : 0;
    life_of(p).inited = ret == 0;
    return ret;
  }
  void exit_task(task_struct *ts, scx_exit_task_args *) override {
    Task &p = note(ts, Op::exit_task, 'x');
    expect(life_of(p).inited && !life_of(p).enabled, p, "exit_task");
    life_of(p).inited = false;
  }
  void enable(task_struct *ts) override {
    Task &p = note(ts, Op::enable, 'e');
    expect(life_of(p).inited && !life_of(p).enabled, p, "enable");
    life_of(p).enabled = true;
    if (on_enable) on_enable(p);
  }
  void disable(task_struct *ts) override {
    Task &p = note(ts, Op::disable, 'd');
    TaskLife &l = life_of(p);
    expect(l.enabled && !l.running, p, "disable");
    l.enabled = l.runnable = false;
  }
  void dump(scx_dump_ctx *) override { on_dump(); }
  void dump_cpu(scx_dump_ctx *, s32 cpu, bool idle) override { on_dump_cpu(cpu, idle); }
  void dump_task(scx_dump_ctx *, task_struct *ts) override { on_dump_task(*task_of(ts)); }
  s32 init() override {
    count(Op::init);
    return on_init();
  }
  void exit(scx_exit_info *info) override {
    // A sub-scheduler whose parent ends while it is loaded may hear of that before its init.
    if (config_.sub_cgroup_id && info->kind == SCX_EXIT_PARENT) exited_ = false;
    count(Op::exit);
    exit_kind = info->kind;
    exit_msg = info->msg;
    exit_dump = info->dump;
    exit_flags = info->flags;
    exit_code = info->exit_code;
    exit_cpu = info->exit_cpu;
    exited_ = true;
    if (on_exit) on_exit(*info);
  }
  s32 sub_attach(const OpsConfig &child, const std::string &path) override {
    count(Op::sub_attach);
    return on_sub_attach(child, path);
  }
  void sub_detach(const OpsConfig &child, const std::string &path) override {
    count(Op::sub_detach);
    on_sub_detach(child, path);
  }
  void cpu_acquire(s32 cpu) override {
    count(Op::cpu_acquire);
    on_cpu_acquire(cpu);
  }
  void cpu_release(s32 cpu, scx_cpu_release_args *args) override {
    count(Op::cpu_release);
    on_cpu_release(cpu, args);
  }

  void cpu_online(s32 cpu) override {
    count(Op::cpu_online);
    on_cpu_online(cpu);
  }
  void cpu_offline(s32 cpu) override {
    count(Op::cpu_offline);
    on_cpu_offline(cpu);
  }

 private:
  // After exit comes nothing but the next load.
  void count(Op op) {
    counts_[static_cast<u32>(op)]++;
    if (op == Op::init || op == Op::init_task) exited_ = false;
    if (exited_ && has(Op::enable)) faults_.push_back(fmt::format("{} after exit", op_name(op)));
  }
  TaskLife &life_of(const Task &p) { return lives_[p.pid()]; }
  Task &note(task_struct *ts, Op op, char letter) {
    count(op);
    Task &p = *task_of(ts);
    life_of(p).calls += letter;
    return p;
  }
  void expect(bool ok, const Task &p, const char *what) {
    if (!ok && has(Op::enable)) faults_.push_back(fmt::format("{}: {} ({})", p.comm(), what, life_of(p).calls));
  }
  u64 counts_[static_cast<size_t>(Op::count)] = {};
  std::map<int, TaskLife> lives_;
  std::vector<std::string> faults_;
  bool exited_ = false;
};

// A machine with a scheduler on it, its kernel log, and a check of everything after each stretch of time.
struct ExtMachine : TestMachine {
  explicit ExtMachine(machine::Topology topology, KernelConfig config = {}) : TestMachine(topology, config) {
    kernel.set_log_listener([this](u64, const std::string &line) { log.push_back(line); });
  }
  explicit ExtMachine(u32 nr_cpus) : ExtMachine(machine::Topology::flat(nr_cpus)) {}
  Ext &ext() { return kernel.ext(); }
  int attach(TestScheduler &s) { return ext().attach(s); }
  void detach(TestScheduler &s) { ext().detach(s); }
  void run_checked(u64 ns, u64 step_ns = 1000000) {
    for (u64 done = 0; done < ns; done += step_ns) {
      run_for(step_ns);
      kernel.verify_all();
    }
  }
  std::vector<std::string> log;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_NATIVE_SCHEDULER_H_
