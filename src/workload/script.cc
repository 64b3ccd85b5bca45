// SPDX-License-Identifier: GPL-2.0-only
// From the JSON tree to a Script. Each key of each object is one entry of a table; what is not in it is refused with
// the list of what is.
#include "workload/script.h"

#include <algorithm>
#include <span>

namespace uscx::workload {
namespace {

using Kind = JsonNode::Kind;

template <typename... Args>
Status error_at(const JsonPath &path, fmt::format_string<Args...> format, Args &&...args) {
  const std::string place = path.text();
  return Status::error("{}{}", place.empty() ? "" : place + ": ", fmt::format(format, std::forward<Args>(args)...));
}

Status expect(const JsonNode &node, const JsonPath &path, Kind kind) {
  if (node.kind == kind) return Status::ok_status();
  return error_at(path, "is {}; it takes {}", kind_text(node.kind), kind_text(kind));
}

Status read_integer(const JsonNode &node, const JsonPath &path, s64 low, s64 high, s64 *out) {
  if (node.kind != Kind::kInteger)
    return error_at(path, "is {}; it takes a whole number from {} to {}", kind_text(node.kind), low, high);
  if (node.integer < low || node.integer > high)
    return error_at(path, "{} is out of range; it takes {} to {}", node.integer, low, high);
  *out = node.integer;
  return Status::ok_status();
}

// A number counts microseconds, as in rt-app; a string has its unit.
Status read_duration(const JsonNode &node, const JsonPath &path, u64 low_ns, u64 *out_ns) {
  u64 ns = 0;
  if (node.kind == Kind::kInteger) {
    if (node.integer < 0 || static_cast<u64>(node.integer) > kMaxDurationNs / kNsPerUs)
      return error_at(path, "{} is out of range; it takes microseconds up to {}", node.integer,
                      kMaxDurationNs / kNsPerUs);
    ns = static_cast<u64>(node.integer) * kNsPerUs;
  } else if (node.kind == Kind::kString) {
    Result<u64> parsed = parse_duration(node.text);
    if (!parsed.ok())
      return error_at(path, "{} is not a duration; it takes microseconds, or text such as \"5ms\"", quoted(node.text));
    ns = *parsed;
  } else {
    return error_at(path, "is {}; it takes microseconds, or text such as \"5ms\"", kind_text(node.kind));
  }
  if (ns < low_ns || ns > kMaxDurationNs)
    return error_at(path, "{} is out of range; it takes {} to {}", format_duration(ns), format_duration(low_ns),
                    format_duration(kMaxDurationNs));
  *out_ns = ns;
  return Status::ok_status();
}

Status read_loop(const JsonNode &node, const JsonPath &path, s64 *out) {
  s64 value = 0;
  if (Status status = read_integer(node, path, kForever, INT32_MAX, &value); !status.ok()) return status;
  if (value == 0) return error_at(path, "0 is out of range; it takes -1 (for ever) or 1 to {}", INT32_MAX);
  *out = value;
  return Status::ok_status();
}

struct Policy {
  const char *name;
  int value;
};
constexpr Policy kPolicies[] = {
    {"SCHED_OTHER", SCHED_NORMAL}, {"SCHED_BATCH", SCHED_BATCH}, {"SCHED_EXT", SCHED_EXT}, {"SCHED_FIFO", SCHED_FIFO}};

Status read_policy(const JsonNode &node, const JsonPath &path, int *out) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  std::string names;
  for (const Policy &policy : kPolicies) {
    if (node.text == policy.name) {
      *out = policy.value;
      return Status::ok_status();
    }
    names += (names.empty() ? "" : ", ") + std::string(policy.name);
  }
  return error_at(path, "policy {} is not supported; it takes {}", quoted(node.text), names);
}

// --- tables of keys ---

template <typename Target>
struct Key {
  const char *name;
  Status (*read)(const JsonNode &node, const JsonPath &path, Target &target);
};

template <typename Target>
const Key<Target> *find_key(std::span<const Key<Target>> keys, std::string_view name) {
  for (const Key<Target> &key : keys)
    if (name == key.name) return &key;
  return nullptr;
}

template <typename Target>
std::string list_keys(std::span<const Key<Target>> keys) {
  std::string out;
  for (const Key<Target> &key : keys) out += (out.empty() ? "" : ", ") + std::string(key.name);
  return out;
}

// --- events ---

// The state while one task is read. Its own timers are numbered after all shared ones, whose number is known only at
// the end: own_timer marks them until then.
constexpr u32 kOwnTimer = 1u << 31;
struct TaskReader {
  ScriptTask task;
  Script &script;
  std::optional<s64> priority;
  std::string priority_path;
  std::optional<s64> nice;
  bool has_policy = false;
};

struct TimerReader {
  std::string ref;
  u64 period_ns = 0;
  bool absolute = false;
};

constexpr Key<TimerReader> kTimerKeys[] = {
    {"ref",
     [](const JsonNode &node, const JsonPath &path, TimerReader &timer) {
       if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
       if (node.text.empty()) return error_at(path, "is empty; it takes a name, or \"unique\"");
       timer.ref = node.text;
       return Status::ok_status();
     }},
    {"period", [](const JsonNode &node, const JsonPath &path,
                  TimerReader &timer) { return read_duration(node, path, kNsPerUs, &timer.period_ns); }},
    {"mode",
     [](const JsonNode &node, const JsonPath &path, TimerReader &timer) {
       if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
       if (node.text != "absolute" && node.text != "relative")
         return error_at(path, "{} is unknown; it takes \"relative\" or \"absolute\"", quoted(node.text));
       timer.absolute = node.text == "absolute";
       return Status::ok_status();
     }},
};

template <typename Target>
Status read_object(const JsonNode &node, const JsonPath &path, std::span<const Key<Target>> keys, Target &target) {
  if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
  for (const JsonNode &member : node.children) {
    const JsonPath at = path.member(member);
    const Key<Target> *key = find_key(keys, member.key);
    if (!key) return error_at(at, "unknown key; it takes {}", list_keys(keys));
    if (Status status = key->read(member, at, target); !status.ok()) return status;
  }
  return Status::ok_status();
}

u32 timer_index(TaskReader &reader, const std::string &ref) {
  if (ref == "unique") return kOwnTimer | reader.task.nr_own_timers++;
  std::vector<std::string> &shared = reader.script.shared_timers;
  const auto found = std::find(shared.begin(), shared.end(), ref);
  if (found != shared.end()) return static_cast<u32>(found - shared.begin());
  shared.push_back(ref);
  return static_cast<u32>(shared.size() - 1);
}

Status read_timer(const JsonNode &node, const JsonPath &path, TaskReader &reader, ScriptOp &op) {
  TimerReader timer;
  if (Status status = read_object<TimerReader>(node, path, kTimerKeys, timer); !status.ok()) return status;
  if (timer.ref.empty()) return error_at(path, "ref is missing: the timer's name, or \"unique\"");
  if (timer.period_ns == 0) return error_at(path, "period is missing");
  op.kind = timer.absolute ? ScriptOp::Kind::kTimerAbsolute : ScriptOp::Kind::kTimerRelative;
  op.ns = timer.period_ns;
  op.timer = timer_index(reader, timer.ref);
  return Status::ok_status();
}

Status read_until(const JsonNode &node, const JsonPath &path, TaskReader &, ScriptOp &op) {
  op.kind = ScriptOp::Kind::kUntil;
  return read_duration(node, path, 0, &op.ns);
}

Status read_nice(const JsonNode &node, const JsonPath &path, TaskReader &, ScriptOp &op) {
  op.kind = ScriptOp::Kind::kNice;
  s64 value = 0;
  if (Status status = read_integer(node, path, -20, 19, &value); !status.ok()) return status;
  op.nice = static_cast<s32>(value);
  return Status::ok_status();
}

Status read_sysrq(const JsonNode &node, const JsonPath &path, TaskReader &, ScriptOp &op) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  if (node.text != "s" && node.text != "d")
    return error_at(path, "{} is unknown; it takes \"s\" (eject the BPF scheduler) or \"d\" (dump its state)",
                    quoted(node.text));
  op.kind = node.text == "s" ? ScriptOp::Kind::kSysrqReset : ScriptOp::Kind::kSysrqDump;
  return Status::ok_status();
}

Status read_hotplug(const JsonNode &node, const JsonPath &path, TaskReader &reader, ScriptOp &op) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  Result<CpuSwitch> cpu_switch = parse_cpu_switch(node.text);
  if (!cpu_switch.ok()) return cpu_switch.status().at(path.text());
  op.kind = ScriptOp::Kind::kHotplug;
  op.cpu_switch = *cpu_switch;
  u32 &highest = reader.task.highest_cpu_switched;
  highest = std::max(highest, op.cpu_switch.cpu);
  return Status::ok_status();
}

u32 add_group(TaskReader &reader, GroupSpec spec) {
  reader.script.op_groups.push_back(std::move(spec));
  return static_cast<u32>(reader.script.op_groups.size() - 1);
}

Status read_group_path(const JsonNode &node, const JsonPath &path, std::string *out) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  if (Status status = check_group_path(node.text); !status.ok()) return status.at(path.text());
  *out = node.text;
  return Status::ok_status();
}

Status read_move(const JsonNode &node, const JsonPath &path, TaskReader &reader, ScriptOp &op) {
  GroupSpec spec;
  if (Status status = read_group_path(node, path, &spec.path); !status.ok()) return status;
  op.kind = ScriptOp::Kind::kMove;
  op.group = add_group(reader, std::move(spec));
  return Status::ok_status();
}

Status read_set_group(const JsonNode &node, const JsonPath &path, TaskReader &reader, ScriptOp &op) {
  if (Status status = expect(node, path, Kind::kString); !status.ok()) return status;
  Result<GroupSpec> spec = parse_group(node.text);
  if (!spec.ok()) return spec.status().at(path.text());
  op.kind = ScriptOp::Kind::kSetGroup;
  op.group = add_group(reader, spec.take());
  return Status::ok_status();
}

template <ScriptOp::Kind kKind>
Status read_timed_op(const JsonNode &node, const JsonPath &path, TaskReader &, ScriptOp &op) {
  op.kind = kKind;
  return read_duration(node, path, kMinStepNs, &op.ns);
}

struct EventKey {
  const char *name;
  Status (*read)(const JsonNode &node, const JsonPath &path, TaskReader &reader, ScriptOp &op);
};
constexpr EventKey kEvents[] = {{"run", read_timed_op<ScriptOp::Kind::kRun>},
                                {"runtime", read_timed_op<ScriptOp::Kind::kRuntime>},
                                {"sleep", read_timed_op<ScriptOp::Kind::kSleep>},
                                {"timer", read_timer},
                                {"until", read_until},
                                {"nice", read_nice},
                                {"sysrq", read_sysrq},
                                {"hotplug", read_hotplug},
                                {"taskgroup", read_move},
                                {"cgroup", read_set_group}};

// Events and keys that rt-app has and we do not: they get a message of their own.
constexpr const char *kUnsupported[] = {
    "suspend",       "resume",   "lock",     "unlock",     "wait",      "signal",      "broad",
    "sync",          "barrier",  "sig_and",  "mem",        "iorun",     "yield",       "fork",
    "nodes_membind", "util_min", "util_max", "dl-runtime", "dl-period", "dl-deadline", "cumulative_slack",
    "resources",     "io_device"};

// "run", "run2", "run_b" and "run-b" are all run, as keys of one object must differ.
bool is_event_name(std::string_view key, std::string_view name) {
  if (!key.starts_with(name)) return false;
  const std::string_view suffix = key.substr(name.size());
  if (suffix.empty() || suffix[0] == '_' || suffix[0] == '-') return true;
  return std::all_of(suffix.begin(), suffix.end(), [](char c) { return c >= '0' && c <= '9'; });
}

const EventKey *find_event(std::string_view key) {
  for (const EventKey &event : kEvents)
    if (is_event_name(key, event.name)) return &event;
  return nullptr;
}

constexpr const char *kEventList =
    "run, runtime, sleep, timer, until, nice, sysrq, hotplug, taskgroup, cgroup (with a number behind: run0, run1)";

Status unknown_key(const JsonPath &path, const std::string &key, const std::string &known) {
  for (const char *name : kUnsupported)
    if (is_event_name(key, name))
      return error_at(path, "rt-app's {} is not supported; known are {}", quoted(key), known);
  return error_at(path, "unknown key; it takes {}", known);
}

Status read_event(const JsonNode &node, const JsonPath &path, TaskReader &reader, ScriptPhase &phase) {
  ScriptOp op;
  const EventKey *event = find_event(node.key);
  if (Status status = event->read(node, path, reader, op); !status.ok()) return status;
  phase.ops.push_back(op);
  return Status::ok_status();
}

Status read_phase(const JsonNode &node, const JsonPath &path, TaskReader &reader) {
  if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
  ScriptPhase phase;
  for (const JsonNode &member : node.children) {
    const JsonPath at = path.member(member);
    Status status;
    if (find_event(member.key))
      status = read_event(member, at, reader, phase);
    else if (member.key == "loop")
      status = read_loop(member, at, &phase.loop);
    else
      status = unknown_key(at, member.key, fmt::format("loop, {}", kEventList));
    if (!status.ok()) return status;
  }
  if (phase.ops.empty()) return error_at(path, "has no event; it takes {}", kEventList);
  reader.task.phases.push_back(std::move(phase));
  return Status::ok_status();
}

// --- tasks ---

Status read_cpus(const JsonNode &node, const JsonPath &path, TaskReader &reader) {
  if (Status status = expect(node, path, Kind::kArray); !status.ok()) return status;
  if (node.children.empty()) return error_at(path, "is empty; leave it out to allow all CPUs");
  for (size_t i = 0; i < node.children.size(); i++) {
    s64 cpu = 0;
    Status status = read_integer(node.children[i], path.item(i), 0, machine::kMaxCpus - 1, &cpu);
    if (!status.ok()) return status;
    reader.task.cpus.push_back(static_cast<u32>(cpu));
  }
  reader.task.cpus_path = path.text();
  return Status::ok_status();
}

Status read_wakes(const JsonNode &node, const JsonPath &path, TaskReader &reader) {
  if (Status status = expect(node, path, Kind::kArray); !status.ok()) return status;
  if (node.children.empty()) return error_at(path, "is empty; it takes [[wake at, run for], ...]");
  u64 last_ns = 0;
  for (size_t i = 0; i < node.children.size(); i++) {
    const JsonNode &pair = node.children[i];
    const JsonPath at = path.item(i);
    if (pair.kind != Kind::kArray || pair.children.size() != 2)
      return error_at(at, "is not a pair; it takes [wake at, run for]");
    ScriptWake wake{};
    if (Status status = read_duration(pair.children[0], at.item(0), 0, &wake.at_ns); !status.ok()) return status;
    if (Status status = read_duration(pair.children[1], at.item(1), kMinStepNs, &wake.run_ns); !status.ok())
      return status;
    if (wake.at_ns < last_ns) return error_at(at.item(0), "is earlier than the wake before it");
    last_ns = wake.at_ns;
    reader.task.wakes.push_back(wake);
  }
  return Status::ok_status();
}

constexpr Key<TaskReader> kTaskKeys[] = {
    {"instance",
     [](const JsonNode &node, const JsonPath &path, TaskReader &reader) {
       s64 value = 0;
       if (Status status = read_integer(node, path, 1, kMaxTasks, &value); !status.ok()) return status;
       reader.task.instances = static_cast<u32>(value);
       return Status::ok_status();
     }},
    {"loop", [](const JsonNode &node, const JsonPath &path,
                TaskReader &reader) { return read_loop(node, path, &reader.task.loop); }},
    {"delay", [](const JsonNode &node, const JsonPath &path,
                 TaskReader &reader) { return read_duration(node, path, 0, &reader.task.delay_ns); }},
    {"start", [](const JsonNode &node, const JsonPath &path,
                 TaskReader &reader) { return read_duration(node, path, 0, &reader.task.start_ns); }},
    {"policy",
     [](const JsonNode &node, const JsonPath &path, TaskReader &reader) {
       reader.has_policy = true;
       return read_policy(node, path, &reader.task.policy);
     }},
    {"priority",
     [](const JsonNode &node, const JsonPath &path, TaskReader &reader) {
       s64 value = 0;
       if (Status status = read_integer(node, path, -20, 99, &value); !status.ok()) return status;
       reader.priority = value;
       reader.priority_path = path.text();
       return Status::ok_status();
     }},
    {"nice",
     [](const JsonNode &node, const JsonPath &path, TaskReader &reader) {
       s64 value = 0;
       if (Status status = read_integer(node, path, -20, 19, &value); !status.ok()) return status;
       reader.nice = value;
       return Status::ok_status();
     }},
    {"cpus", read_cpus},
    {"kthread",
     [](const JsonNode &node, const JsonPath &path, TaskReader &reader) {
       if (Status status = expect(node, path, Kind::kBool); !status.ok()) return status;
       reader.task.kthread = node.integer != 0;
       return Status::ok_status();
     }},
    {"taskgroup", [](const JsonNode &node, const JsonPath &path,
                     TaskReader &reader) { return read_group_path(node, path, &reader.task.cgroup); }},
    {"phases",
     [](const JsonNode &node, const JsonPath &path, TaskReader &reader) {
       if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
       if (!reader.task.phases.empty()) return error_at(path, "stands beside events; put those into a phase");
       for (const JsonNode &phase : node.children)
         if (Status status = read_phase(phase, path.member(phase), reader); !status.ok()) return status;
       return Status::ok_status();
     }},
    {"wakes", read_wakes},
};

// rt-app's priority is the nice value of a normal task and the real-time priority of another.
Status settle_priority(const JsonPath &path, TaskReader &reader) {
  ScriptTask &task = reader.task;
  if (reader.priority && reader.nice) return error_at(path, "has both priority and nice; they are the same");
  if (task.policy == SCHED_FIFO) {
    if (reader.nice) return error_at(path, "nice is not for SCHED_FIFO; it takes priority, 1 to 99");
    const s64 priority = reader.priority.value_or(10);
    if (priority < 1)
      return Status::error("{}: {} is out of range; SCHED_FIFO takes 1 to 99", reader.priority_path, priority);
    task.rt_priority = static_cast<u32>(priority);
    return Status::ok_status();
  }
  const s64 nice = reader.nice ? *reader.nice : reader.priority.value_or(0);
  if (nice > 19)
    return Status::error("{}: {} is out of range; the nice value of a normal task is -20 to 19", reader.priority_path,
                         nice);
  task.nice = static_cast<int>(nice);
  return Status::ok_status();
}

Status read_task(const JsonNode &node, const JsonPath &path, int default_policy, Script &script) {
  if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
  // Names become comms, which reports print as they are, cut to 15 bytes.
  const bool printable = std::all_of(node.key.begin(), node.key.end(), [](char c) { return c >= ' ' && c < 0x7f; });
  if (node.key.empty() || !printable)
    return error_at(path, "a task's name takes one or more printable ASCII characters");
  TaskReader reader{.task = {}, .script = script};
  reader.task.name = node.key;
  reader.task.policy = default_policy;
  ScriptPhase events;
  for (const JsonNode &member : node.children) {
    const JsonPath at = path.member(member);
    const Key<TaskReader> *key = find_key<TaskReader>(kTaskKeys, member.key);
    Status status;
    if (key)
      status = key->read(member, at, reader);
    else if (find_event(member.key))
      status = read_event(member, at, reader, events);
    else
      status = unknown_key(at, member.key, list_keys<TaskReader>(kTaskKeys) + ", " + kEventList);
    if (!status.ok()) return status;
  }
  if (Status status = settle_priority(path, reader); !status.ok()) return status;
  ScriptTask &task = reader.task;
  if (!events.ops.empty() && !task.phases.empty())
    return error_at(path, "has events beside phases; put them into a phase");
  if (!events.ops.empty()) task.phases.push_back(std::move(events));
  if (task.phases.empty() == task.wakes.empty())
    return error_at(path, "{}",
                    task.phases.empty() ? fmt::format("does nothing; it takes phases, wakes, or {}", kEventList)
                                        : "has both events and wakes; it takes one of them");
  script.tasks.push_back(std::move(task));
  return Status::ok_status();
}

// --- the file ---

struct GlobalReader {
  std::optional<u64> duration_ns;
  int default_policy = SCHED_NORMAL;
};
// About rt-app's measuring and logging on a real machine: without meaning on a simulated one.
Status ignore(const JsonNode &, const JsonPath &, GlobalReader &) { return Status::ok_status(); }
constexpr Key<GlobalReader> kGlobalKeys[] = {
    {"duration",
     [](const JsonNode &node, const JsonPath &path, GlobalReader &global) {
       u64 ns = 0;
       if (node.kind == Kind::kString) {
         if (Status status = read_duration(node, path, kMinStepNs, &ns); !status.ok()) return status;
       } else {
         s64 seconds = 0;
         if (Status status = read_integer(node, path, -1, kMaxDurationNs / kNsPerSec, &seconds); !status.ok())
           return status;
         if (seconds == 0) return error_at(path, "0 is out of range; it takes seconds, or -1 for no limit");
         if (seconds < 0) return Status::ok_status();
         ns = static_cast<u64>(seconds) * kNsPerSec;
       }
       global.duration_ns = ns;
       return Status::ok_status();
     }},
    {"default_policy", [](const JsonNode &node, const JsonPath &path,
                          GlobalReader &global) { return read_policy(node, path, &global.default_policy); }},
    {"calibration", ignore},
    {"ftrace", ignore},
    {"gnuplot", ignore},
    {"lock_pages", ignore},
    {"logdir", ignore},
    {"log_basename", ignore},
    {"log_size", ignore},
    {"pi_enabled", ignore}};

// {"/a": "weight=200,max=20ms/100ms", ...}
Status read_groups(const JsonNode &node, const JsonPath &path, Script &script) {
  if (Status status = expect(node, path, Kind::kObject); !status.ok()) return status;
  for (const JsonNode &member : node.children) {
    const JsonPath at = path.member(member);
    if (Status status = expect(member, at, Kind::kString); !status.ok()) return status;
    Result<GroupSpec> spec = parse_group(member.key + ":" + member.text);
    if (!spec.ok()) return spec.status().at(at.text());
    if (spec->remove) return error_at(at, "a group that is there from the start cannot be removed");
    script.groups.push_back(spec.take());
  }
  return Status::ok_status();
}

// The places of own timers are known once all shared ones are.
void number_own_timers(Script &script) {
  const u32 nr_shared = static_cast<u32>(script.shared_timers.size());
  for (ScriptTask &task : script.tasks)
    for (ScriptPhase &phase : task.phases)
      for (ScriptOp &op : phase.ops)
        if (op.timer & kOwnTimer) op.timer = nr_shared + (op.timer & ~kOwnTimer);
}

}  // namespace

Result<Script> parse_script(const JsonNode &root) {
  const JsonPath top;
  if (root.kind != Kind::kObject) return Status::error("is {}; it takes an object with tasks", kind_text(root.kind));
  for (const JsonNode &member : root.children)
    if (member.key != "tasks" && member.key != "global" && member.key != "cgroups")
      return unknown_key(top.member(member), member.key, "tasks, global, cgroups");
  GlobalReader global;
  if (const JsonNode *node = root.find("global")) {
    if (Status status = read_object<GlobalReader>(*node, top.member(*node), kGlobalKeys, global); !status.ok())
      return status;
  }
  const JsonNode *tasks = root.find("tasks");
  if (!tasks) return Status::error("tasks is missing: an object with one member a task");
  const JsonPath path = top.member(*tasks);
  if (Status status = expect(*tasks, path, Kind::kObject); !status.ok()) return status;
  Script script;
  script.duration_ns = global.duration_ns;
  if (const JsonNode *groups = root.find("cgroups"))
    if (Status status = read_groups(*groups, top.member(*groups), script); !status.ok()) return status;
  u64 nr_tasks = 0;
  for (const JsonNode &task : tasks->children) {
    const JsonPath at = path.member(task);
    if (Status status = read_task(task, at, global.default_policy, script); !status.ok()) return status;
    nr_tasks += script.tasks.back().instances;
    if (nr_tasks > kMaxTasks) return error_at(at, "more than {} tasks in all", kMaxTasks);
  }
  if (script.tasks.empty()) return error_at(path, "is empty; it takes one member a task");
  number_own_timers(script);
  return script;
}

}  // namespace uscx::workload
