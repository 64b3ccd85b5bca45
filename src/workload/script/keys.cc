// SPDX-License-Identifier: GPL-2.0-only
#include "workload/script/keys.h"

#include <algorithm>
#include <set>

#include "base/nearest.h"
#include "workload/script/values.h"

namespace uscx::workload {
namespace {

constexpr u32 kTaskOrPhase = kInTask | kInPhase;
using enum Origin;

// A whole name goes before an event's beginning; of events the first counts, so that "runtime" is asked before "run".
constexpr Key kKeys[] = {
    {"tasks", kInRoot, kRtApp, "object", "", "one member a task; its name is the thread's",
     "Script.BadInputSaysWhatAndWhere", read_tasks},
    {"global", kInRoot, kRtApp, "object", "{}", "what holds for all", "Script.InstancesPoliciesAndCpus", read_global},
    {"resources", kInRoot, kRtApp, "object", "{}", "names of mutexes and so on; declaring one changes nothing",
     "RtApp.ResourcesAreOptional", read_resources},
    {"cgroups", kInRoot, kOurs, "object", "{}", "control groups that are there from the start, with their settings",
     "Groups.ScriptsMoveTasksAndChangeGroups", read_groups},
    {"channels", kInRoot, kOurs, "object", "{}", "channels and how many messages each holds",
     "Waiting.ChannelsAreBounded", read_channels},

    {"type", kInResource, kRtApp, "mutex, wait, signal, broadcast, sync, sleep, run or timer", "mutex",
     "what it is; not needed, as events say it too", "RtApp.ResourcesAreOptional", read_resource_type},
    {"target", kInResource, kObsolete, "anything", "", "", "RtApp.ObsoleteKeysAreWarnings", nullptr},

    {"duration", kInGlobal, kRtApp, "int, seconds; or text with a unit", "-1",
     "how long to run, unless --duration says it; 0 or less: no limit of its own", "RtApp.Durations",
     read_duration_key},
    {"default_policy", kInGlobal, kRtApp, "policy", "SCHED_OTHER", "policy of tasks without one",
     "RtApp.PoliciesAndTheirPriorities", read_default_policy},
    {"calibration", kInGlobal, kRtApp, "int, ns; or \"CPUn\"", "CPU0",
     "what a loop of work takes (100 ns if it is to be measured): only the perf column of logs depends on it",
     "RtAppLog.Columns", read_calibration},
    {"log_size", kInGlobal, kRtApp, "int, MB; or a string", "file",
     "a number: only the last rows are kept. \"disable\" writes all rows, any other string none, as in rt-app 1.0",
     "RtAppLog.SizeAsInVersion1", read_log_size},
    {"log_basename", kInGlobal, kRtApp, "string", "rt-app", "how the names of log files begin", "RtAppLog.FilesAndRows",
     read_log_basename},
    {"cumulative_slack", kInGlobal, kRtApp, "bool", "false", "logs: the sum of a round's slacks, not the last one",
     "RtAppLog.CumulativeSlack", read_cumulative_slack},
    {"mem_buffer_size", kInGlobal, kRtApp, "int, bytes", "4194304", "the most that one write of iorun takes",
     "RtApp.MemoryAndFilesTakeTime", read_mem_buffer_size},
    {"io_device", kInGlobal, kUnused, "string", "/dev/null", "any file costs what /dev/null does",
     "RtApp.MemoryAndFilesTakeTime", read_io_device},
    {"pi_enabled", kInGlobal, kUnused, "bool", "false", "true is a warning: mutexes do not inherit priority",
     "RtApp.WhatIsNotModelledIsAWarning", read_pi_enabled},
    {"ftrace", kInGlobal, kUnused, "bool, or list of main, task, loop, event, stats, none", "none", "--trace traces",
     "RtApp.UnusedKeysAreAccepted", read_ftrace},
    {"gnuplot", kInGlobal, kUnused, "bool", "false", "no plots are written", "RtApp.UnusedKeysAreAccepted",
     ignore_bool},
    {"lock_pages", kInGlobal, kUnused, "bool", "true", "memory is always there", "RtApp.UnusedKeysAreAccepted",
     ignore_bool},
    {"logdir", kInGlobal, kUnused, "string", "./", "--rtapp-logs says where logs go", "RtApp.UnusedKeysAreAccepted",
     ignore_string},
    {"frag", kInGlobal, kObsolete, "anything", "", "", "RtApp.ObsoleteKeysAreWarnings", nullptr},
    {"process", kInGlobal, kOurs, "\"one\" or \"each\"", "see below",
     "all tasks are threads of one process named rt-app, or each is a process", "RtApp.TasksAreThreadsOfOneProcess",
     read_process},

    {"instance", kInTask, kRtApp, "int", "1", "how many of this task; 0: only those that fork makes",
     "Script.InstancesPoliciesAndCpus", read_instance},
    {"loop", kTaskOrPhase, kRtApp, "int", "-1; phases 1",
     "how often; -1 and 0 are for ever, but 0 beside phases is never", "RtApp.Loops", read_loop},
    {"delay", kInTask, kRtApp, "time", "0", "sleep until so long after the start; timers begin there",
     "RtApp.DelayMovesTheTimersStart", read_delay},
    {"phases", kInTask, kRtApp, "object", "", "one member a phase, in order", "Script.PhasesLoopInsideOfTheTaskLoop",
     read_phases},
    {"policy", kTaskOrPhase, kRtApp, "SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_FIFO, SCHED_RR; ours: SCHED_EXT",
     "default_policy", "scheduling policy; of a phase: from its next round on", "RtApp.PhasesChangeThePolicy",
     read_setting_policy},
    {"priority", kTaskOrPhase, kRtApp, "int", "0; FIFO and RR 10",
     "the nice value, -20 to 19, or the real-time priority, 1 to 99; SCHED_IDLE ignores it",
     "RtApp.PoliciesAndTheirPriorities", read_setting_priority},
    {"cpus", kTaskOrPhase, kRtApp, "array of int", "all", "CPUs it may use; a phase without goes back to the task's",
     "RtApp.PhasesHaveCpus", read_cpus},
    {"taskgroup", kTaskOrPhase, kRtApp, "string", "/",
     "control group of the thread; a phase's: when a round of it begins", "RtApp.TaskgroupMovesTheThread",
     read_taskgroup},
    {"nodes_membind", kTaskOrPhase, kUnused, "array of int", "", "memory has no nodes", "RtApp.UnusedKeysAreAccepted",
     read_membind},
    {"util_min", kTaskOrPhase, kUnused, "int, -1 to 1024", "-1", "CPUs have one speed", "RtApp.UnusedKeysAreAccepted",
     read_util},
    {"util_max", kTaskOrPhase, kUnused, "int, -1 to 1024", "-1", "CPUs have one speed", "RtApp.UnusedKeysAreAccepted",
     read_util},
    {"dl-runtime", kTaskOrPhase, kUnused, "time", "0",
     "a warning: there are no deadline tasks and no slices of one's own", "RtApp.WhatIsNotModelledIsAWarning",
     read_dl_time},
    {"dl-period", kTaskOrPhase, kUnused, "time", "dl-runtime", "a warning, as dl-runtime",
     "RtApp.WhatIsNotModelledIsAWarning", read_dl_time},
    {"dl-deadline", kTaskOrPhase, kUnused, "time", "dl-period", "a warning, as dl-runtime",
     "RtApp.WhatIsNotModelledIsAWarning", read_dl_time},
    {"exec", kTaskOrPhase, kObsolete, "int", "", "", "RtApp.ObsoleteKeysAreWarnings", nullptr},
    {"period", kTaskOrPhase, kObsolete, "anything", "", "", "RtApp.ObsoleteKeysAreWarnings", nullptr},
    {"deadline", kTaskOrPhase, kObsolete, "anything", "", "", "RtApp.ObsoleteKeysAreWarnings", nullptr},
    {"lock_order", kTaskOrPhase, kObsolete, "anything", "", "", "RtApp.ObsoleteKeysAreWarnings", nullptr},
    {"resources", kTaskOrPhase, kObsolete, "anything", "", "", "RtApp.ObsoleteKeysAreWarnings", nullptr},
    {"start", kInTask, kOurs, "time", "0", "virtual time at which it is created", "Script.StartIsATimeOfCreation",
     read_start},
    {"nice", kInTask, kOurs, "int", "0", "priority of a normal task under a plainer name",
     "Script.InstancesPoliciesAndCpus", read_start_nice},
    {"kthread", kInTask, kOurs, "bool", "false", "a kernel thread, as PF_KTHREAD says to schedulers",
     "Script.InstancesPoliciesAndCpus", read_kthread},
    {"thread_of", kInTask, kOurs, "string, a task", "", "it is a thread of that task's (first instance's) process",
     "Script.ThreadOfJoinsAProcess", read_thread_of},
    {"parent", kInTask, kOurs, "string, a task", "", "that task's (first instance) is its parent",
     "Script.ParentIsAnotherTask", read_parent},
    {"leading", kInTask, kOurs, "bool", "false", "once all leading tasks are done, the others end too",
     "Waiting.AllEndWithTheLeadingTasks", read_leading},
    {"wakes", kInTask, kOurs, "array of pairs", "", "instead of events: absolute times and what it then runs",
     "Script.WakesAreAtAbsoluteTimes", read_wakes},

    {"sleep", kEvent, kRtApp, "time", "", "sleeps for so long", "Script.EventsRunInTheOrderOfTheFile", read_sleep},
    {"runtime", kEvent, kRtApp, "time", "",
     "computes until so much time has passed, with or without a CPU; looks at the clock every 32us",
     "Script.RuntimeCountsTimeAndNotCpuTime", read_runtime},
    {"run", kEvent, kRtApp, "time", "", "computes for so much CPU time", "Script.EventsRunInTheOrderOfTheFile",
     read_run},
    {"timer", kEvent, kRtApp, "object", "", "sleeps until one period after this timer's last end",
     "RtApp.TimersOfOneName", read_timer},
    {"memrun", kEvent, kRtApp, "object", "", "reads, writes or follows pointers through memory",
     "RtApp.MemoryAndFilesTakeTime", read_memrun},
    {"mem", kEvent, kRtApp, "int, bytes", "", "writes so much memory", "RtApp.MemoryAndFilesTakeTime", read_mem},
    {"iorun", kEvent, kRtApp, "int, bytes", "", "writes so much to a file", "RtApp.MemoryAndFilesTakeTime", read_iorun},
    {"lock", kEvent, kRtApp, "string", "", "takes the mutex, or waits for it", "Waiting.MutexesExclude", read_lock},
    {"unlock", kEvent, kRtApp, "string", "", "gives it back", "Waiting.MutexesExclude", read_unlock},
    {"signal", kEvent, kRtApp, "string", "", "wakes one task that waits; lost if there is none",
     "Waiting.SignalWakesOne", read_signal},
    {"broad", kEvent, kRtApp, "string", "", "wakes all that wait", "Waiting.BroadcastWakesAll", read_broad},
    {"wait", kEvent, kRtApp, "object", "", "gives the mutex back until it is signalled, then takes it again",
     "Waiting.SignalWakesOne", read_wait},
    {"sync", kEvent, kRtApp, "object", "", "signal, then wait; the mutex is to be held", "Waiting.SyncHandsOver",
     read_sync},
    {"barrier", kEvent, kRtApp, "string", "", "waits until all tasks that name it are there",
     "Waiting.BarrierReleasesAllAtOnce", read_barrier},
    {"suspend", kEvent, kRtApp, "string, or nothing", "the task's name", "sleeps until this name is resumed",
     "Waiting.SuspendByValueAndByName", read_suspend},
    {"resume", kEvent, kRtApp, "string", "", "wakes all that are suspended by this name; lost if there is none",
     "Waiting.SuspendByValueAndByName", read_resume},
    {"yield", kEvent, kRtApp, "anything", "", "sched_yield()", "RtApp.Yield", read_yield},
    {"fork", kEvent, kRtApp, "string, a task", "", "one more thread of that task, at once", "RtApp.ForkMakesThreads",
     read_fork},
    {"sem_post", kEvent, kRtApp, "string", "", "adds 1 to the semaphore", "Waiting.SemaphoresRemember", read_sem_post},
    {"sem_wait", kEvent, kRtApp, "string", "", "takes 1 from it, or waits for it", "Waiting.SemaphoresRemember",
     read_sem_wait},

    {"until", kEvent, kOurs, "time", "", "sleeps until this absolute virtual time", "Script.UntilIsAbsolute",
     read_until},
    {"nice", kEvent, kOurs, "int", "", "takes this nice value (in the task itself with a tag: nice1)",
     "RtApp.PhasesChangeThePolicy", read_nice},
    {"sysrq", kEvent, kOurs, "\"s\" or \"d\"", "", "ejects the BPF scheduler, or dumps its state",
     "Script.BadInputSaysWhatAndWhere", read_sysrq},
    {"hotplug", kEvent, kOurs, "\"CPU:off\" or \"CPU:on\"", "", "a CPU goes or comes; waits until it has",
     "Script.HotplugNamesACpu", read_hotplug},
    {"taskgroup", kEvent, kOurs, "string", "", "with a tag (taskgroup1): goes into this control group now",
     "Groups.ScriptsMoveTasksAndChangeGroups", read_move},
    {"cgroup", kEvent, kOurs, "string", "", "changes a control group, or removes it",
     "Groups.ScriptsMoveTasksAndChangeGroups", read_set_group},
    {"join", kEvent, kOurs, "string, a task", "", "sleeps until no thread of that task is left",
     "Waiting.JoinWaitsForTheEnd", read_join},
    {"send", kEvent, kOurs, "string, a channel", "", "puts a message into the channel, once there is room",
     "Waiting.ChannelsAreBounded", read_send},
    {"recv", kEvent, kOurs, "string, a channel", "", "takes a message out of it, once there is one",
     "Waiting.ChannelsAreBounded", read_receive},
    {"exit", kEvent, kOurs, "anything", "", "the end of the thread", "Script.ExitAndExec", read_exit},
    {"exec", kEvent, kOurs, "string", "", "takes this name, as execve() does", "Script.ExitAndExec", read_exec},
    {"migrate_disable", kEvent, kOurs, "anything", "", "stays on its CPU, as the kernel's migrate_disable()",
     "Waiting.MigrationCanBeDisabled", read_migrate_disable},
    {"migrate_enable", kEvent, kOurs, "anything", "", "the end of that", "Waiting.MigrationCanBeDisabled",
     read_migrate_enable},

    {"ref", kInTimer | kInWait, kRtApp, "string", "unknown",
     "name of the timer or condition; timers that begin with \"unique\" are the thread's own", "RtApp.TimersOfOneName",
     read_ref},
    {"period", kInTimer, kRtApp, "time", "0", "how long after its last end", "RtApp.TimersOfOneName", read_period},
    {"mode", kInTimer, kRtApp, "\"relative\" or \"absolute\"", "relative",
     "a relative timer that is late begins again from now; an absolute one catches up", "RtApp.TimerVectors",
     read_mode},
    {"mutex", kInWait, kRtApp, "string", "unknown", "the mutex that is given back while it waits",
     "Waiting.SignalWakesOne", read_mutex},
    {"type", kInMemrun, kRtApp, "\"read\", \"write\" or \"chase\"", "", "what is done", "RtApp.MemoryAndFilesTakeTime",
     read_memrun_type},
    {"size", kInMemrun, kRtApp, "int, bytes", "", "size of the buffer", "RtApp.MemoryAndFilesTakeTime",
     read_memrun_size},
    {"count", kInMemrun, kRtApp, "int", "", "how many bytes or pointers", "RtApp.MemoryAndFilesTakeTime",
     read_memrun_count},
    {"stride", kInMemrun, kRtApp, "int, bytes", "64", "between pointers", "RtApp.MemoryAndFilesTakeTime",
     read_memrun_stride},
    {"pattern", kInMemrun, kRtApp, "\"random\" or \"sequential\"", "random", "order of pointers",
     "RtApp.MemoryAndFilesTakeTime", read_memrun_pattern},
    {"ref", kInMemrun, kRtApp, "string", "", "a buffer for all threads: costs the same", "RtApp.MemoryAndFilesTakeTime",
     ignore_string},
};

struct PlaceName {
  Place place;
  const char *name;
};
constexpr PlaceName kPlaces[] = {{kInRoot, "file"},   {kInGlobal, "global"},   {kInResource, "resource"},
                                 {kInTask, "task"},   {kInPhase, "phase"},     {kEvent, "event"},
                                 {kInTimer, "timer"}, {kInWait, "wait, sync"}, {kInMemrun, "memrun"}};

// rt-app's events have any tag behind them ("run0", "sleep_long"); ours a number, or a word behind a _ or -.
bool is_event(const Key &key, std::string_view name) {
  if (!(key.places & kEvent) || !name.starts_with(key.name)) return false;
  const std::string_view tag = name.substr(std::string_view(key.name).size());
  if (key.origin == kRtApp || tag.empty() || tag[0] == '_' || tag[0] == '-') return true;
  return std::all_of(tag.begin(), tag.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool has_events(Place place) { return place == kInTask || place == kInPhase; }

// The exec of 0.x was a number; a string is an event of ours.
bool is_other_exec(const Key &key, const JsonNode &node) {
  return key.origin == kObsolete && node.key == "exec" && node.kind == JsonNode::Kind::kString;
}

const Key *find_key(Place place, const JsonNode &node) {
  for (const Key &key : kKeys)
    if ((key.places & place) && node.key == key.name && !is_other_exec(key, node)) return &key;
  if (has_events(place))
    for (const Key &key : kKeys)
      if (is_event(key, node.key)) return &key;
  return nullptr;
}

Status unknown_key(Place place, const std::string &name, const JsonPath &path) {
  std::string all;
  const Key *nearest = nullptr;
  size_t least = std::max<size_t>(1, std::min<size_t>(name.size(), 40) / 3) + 1;
  for (const Key &key : kKeys) {
    if (!(key.places & (has_events(place) ? place | kEvent : place)) || key.origin == kObsolete) continue;
    all += (all.empty() ? "" : ", ") + std::string(key.name);
    const size_t letters = edit_distance(std::string_view(name).substr(0, 40), key.name);
    if (letters >= least) continue;
    least = letters;
    nearest = &key;
  }
  if (nearest)
    return error_at(path, "unknown key; it takes {}, the nearest of those in uscx list workload-keys", nearest->name);
  return error_at(path, "unknown key; it takes {}", all);
}

}  // namespace

std::span<const Key> keys() { return kKeys; }

std::string places_text(u32 places) {
  std::string out;
  for (const PlaceName &place : kPlaces)
    if (places & place.place) out += (out.empty() ? "" : ", ") + std::string(place.name);
  return out;
}

const char *origin_text(Origin origin) {
  switch (origin) {
    case kRtApp: return "rt-app";
    case kOurs: return "ours";
    case kUnused: return "no effect";
    case kObsolete: return "obsolete";
  }
  return "?";
}

Status read_key(Place place, Scope &scope, const JsonNode &node, const JsonPath &path) {
  const Key *key = find_key(place, node);
  if (!key) return unknown_key(place, node.key, path);
  if (key->origin == kOurs) scope.file.ours = true;
  if (key->origin == kObsolete) {
    // A task says it once for all of its keys.
    if (scope.task)
      scope.task->obsolete = true;
    else
      scope.file.warn(path.text(), "is ignored, as rt-app does since 1.0");
    return Status::ok_status();
  }
  return key->read(scope, node, path);
}

Status read_members(Place place, Scope &scope, const JsonNode &node, const JsonPath &path) {
  if (Status status = expect(node, path, JsonNode::Kind::kObject); !status.ok()) return status;
  std::set<const Key *> seen;
  for (const JsonNode &member : node.children) {
    const JsonPath at = path.member(member);
    const Key *key = find_key(place, member);
    if (key && !(key->places & kEvent) && !seen.insert(key).second) return error_at(at, "the key is there twice");
    if (Status status = read_key(place, scope, member, at); !status.ok()) return status;
  }
  return Status::ok_status();
}

}  // namespace uscx::workload
