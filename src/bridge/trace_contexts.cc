// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/trace_contexts.h"

#include <cstring>

#include "abi/trace.h"
#include "bpf/object/prog.h"
#include "sched/task.h"

namespace uscx::bridge {
namespace {

// FIDELITY: short-path.
constexpr size_t kMaxPathBytes = 104;

const task_struct &task_at(u64 arg) { return *reinterpret_cast<const task_struct *>(arg); }

int cpu_of(u64 arg) { return static_cast<int>(sched::task_of(reinterpret_cast<task_struct *>(arg))->cpu); }

void copy_comm(char (&to)[TASK_COMM_LEN], const task_struct &task) { std::memcpy(to, task.comm, sizeof(to)); }

// States as the record has them: what preempts a task is no state of its own.
long recorded_state(bool preempt, u64 state) {
  constexpr long kPreempted = 0x100;
  return preempt ? kPreempted : static_cast<long>(state & 0xff);
}

// The records of events that fire. Each begins with the event's head, which the caller fills in.
u64 record_switch(CallFrame &frame, const trace_entry &ent, std::span<const u64> args) {
  const task_struct &prev = task_at(args[1]), &next = task_at(args[2]);
  trace_event_raw_sched_switch record{};
  record.ent = ent;
  copy_comm(record.prev_comm, prev);
  record.prev_pid = prev.pid;
  record.prev_prio = prev.prio;
  record.prev_state = recorded_state(args[0] & 1, args[3]);
  copy_comm(record.next_comm, next);
  record.next_pid = next.pid;
  record.next_prio = next.prio;
  return frame.copy(&record);
}

u64 record_wakeup(CallFrame &frame, const trace_entry &ent, std::span<const u64> args) {
  const task_struct &task = task_at(args[0]);
  trace_event_raw_sched_wakeup_template record{};
  record.ent = ent;
  copy_comm(record.comm, task);
  record.pid = task.pid;
  record.prio = task.prio;
  record.target_cpu = cpu_of(args[0]);
  return frame.copy(&record);
}

u64 record_exit(CallFrame &frame, const trace_entry &ent, std::span<const u64> args) {
  const task_struct &task = task_at(args[0]);
  trace_event_raw_sched_process_exit record{};
  record.ent = ent;
  copy_comm(record.comm, task);
  record.pid = task.pid;
  record.prio = task.prio;
  record.group_dead = args[1] & 1;
  return frame.copy(&record);
}

u64 record_new_task(CallFrame &frame, const trace_entry &ent, std::span<const u64> args) {
  const task_struct &task = task_at(args[0]);
  trace_event_raw_task_newtask record{};
  record.ent = ent;
  record.pid = task.pid;
  copy_comm(record.comm, task);
  record.clone_flags = args[1];
  return frame.copy(&record);
}

u64 record_rename(CallFrame &frame, const trace_entry &ent, std::span<const u64> args) {
  const task_struct &task = task_at(args[0]);
  trace_event_raw_task_rename record{};
  record.ent = ent;
  record.pid = task.pid;
  copy_comm(record.oldcomm, task);
  std::strncpy(record.newcomm, reinterpret_cast<const char *>(args[1]), sizeof(record.newcomm) - 1);
  return frame.copy(&record);
}

// A record with its texts behind it, cut to what there is room for.
template <typename Head>
struct TextRecord {
  Head head{};
  char text[128] = {};
  u32 used = 0;

  u32 append(const char *from, size_t room) {
    const size_t bytes = std::min(strnlen(from, room - 1), sizeof(text) - used - 1);
    const u32 at = static_cast<u32>(offsetof(TextRecord, text) + used);
    std::memcpy(text + used, from, bytes);
    used += static_cast<u32>(bytes) + 1;
    return (static_cast<u32>(bytes) + 1) << 16 | at;
  }
};

u64 record_migration(CallFrame &frame, const trace_entry &ent, std::span<const u64> args) {
  const task_struct &task = task_at(args[0]);
  TextRecord<trace_event_raw_sched_migrate_task> record;
  record.head.ent = ent;
  record.head.__data_loc_comm = record.append(task.comm, sizeof(task.comm));
  record.head.pid = task.pid;
  record.head.prio = task.prio;
  record.head.orig_cpu = cpu_of(args[0]);
  record.head.dest_cpu = static_cast<int>(args[1]);
  return frame.copy(&record);
}

u64 record_cgroup(CallFrame &frame, const trace_entry &ent, std::span<const u64> args) {
  const cgroup &cgrp = *reinterpret_cast<const cgroup *>(args[0]);
  TextRecord<trace_event_raw_cgroup> record;
  record.head.ent = ent;
  record.head.level = cgrp.level;
  record.head.id = cgrp.kn->id;
  record.head.__data_loc_path = record.append(reinterpret_cast<const char *>(args[1]), kMaxPathBytes);
  return frame.copy(&record);
}

u64 record_move(CallFrame &frame, const trace_entry &ent, std::span<const u64> args) {
  const cgroup &cgrp = *reinterpret_cast<const cgroup *>(args[0]);
  const task_struct &task = task_at(args[2]);
  TextRecord<trace_event_raw_cgroup_migrate> record;
  record.head.ent = ent;
  record.head.dst_level = cgrp.level;
  record.head.dst_id = cgrp.kn->id;
  record.head.pid = task.pid;
  record.head.__data_loc_dst_path = record.append(reinterpret_cast<const char *>(args[1]), kMaxPathBytes);
  record.head.__data_loc_comm = record.append(task.comm, sizeof(task.comm));
  return frame.copy(&record);
}

struct Recorder {
  const char *event;
  u64 (*record)(CallFrame &frame, const trace_entry &ent, std::span<const u64> args);
};
constexpr Recorder kRecorders[] = {
    {"sched/sched_switch", record_switch},          {"sched/sched_waking", record_wakeup},
    {"sched/sched_wakeup", record_wakeup},          {"sched/sched_wakeup_new", record_wakeup},
    {"sched/sched_migrate_task", record_migration}, {"sched/sched_process_exit", record_exit},
    {"task/task_newtask", record_new_task},         {"task/task_rename", record_rename},
    {"cgroup/cgroup_mkdir", record_cgroup},         {"cgroup/cgroup_rmdir", record_cgroup},
    {"cgroup/cgroup_attach_task", record_move},
};

u64 record_of(CallFrame &frame, const bpf::Hook &hook, std::span<const u64> args, int pid) {
  for (const Recorder &recorder : kRecorders) {
    if (std::strcmp(recorder.event, hook.name) != 0) continue;
    trace_entry ent{};
    ent.type = static_cast<u16>(bpf::kFirstEventId + (&hook - bpf::list_hooks().data()));
    ent.pid = pid;
    return recorder.record(frame, ent, args);
  }
  CHECK(false, "event {} fires and has no record", hook.name);
  return 0;
}

u64 registers_of(CallFrame &frame, std::span<const u64> args, bool on_exit) {
  pt_regs regs{};  // FIDELITY: probe-registers.
  unsigned long *const words[] = {&regs.di, &regs.si, &regs.dx, &regs.cx, &regs.r8, &regs.r9};
  const size_t nr_args = std::min(args.size() - on_exit, std::size(words));
  // What a function was called with is gone when it returns.
  for (size_t i = 0; i < nr_args && !on_exit; i++) *words[i] = args[i];
  if (on_exit) regs.ax = args.back();
  return frame.copy(&regs);
}

}  // namespace

u64 trace_context(CallFrame &frame, const bpf::Prog &prog, const bpf::Hook &hook, std::span<const u64> args,
                  bool on_exit, int pid) {
  switch (prog.type()) {
    case BPF_PROG_TYPE_TRACEPOINT: return record_of(frame, hook, args, pid);
    case BPF_PROG_TYPE_KPROBE: return registers_of(frame, args, on_exit);
    default: return reinterpret_cast<u64>(frame.args());
  }
}

}  // namespace uscx::bridge
