// SPDX-License-Identifier: GPL-2.0-only
// The keys of task scripts: one table from which the parser, its messages, `uscx list workload-keys` and
// docs/WORKLOAD_KEYS.md come. A constant table; any thread may read it.
#ifndef USCX_WORKLOAD_SCRIPT_KEYS_H_
#define USCX_WORKLOAD_SCRIPT_KEYS_H_

#include <span>
#include <string>
#include <string_view>

#include "workload/script/scope.h"

namespace uscx::workload {

enum Place : u32 {
  kInRoot = 1 << 0,
  kInGlobal = 1 << 1,
  kInResource = 1 << 2,
  kInTask = 1 << 3,
  kInPhase = 1 << 4,
  kEvent = 1 << 5,  // In a task or a phase, with any tag behind its name.
  kInTimer = 1 << 6,
  kInWait = 1 << 7,  // And sync.
  kInMemrun = 1 << 8,
};
std::string places_text(u32 places);  // "task, phase"

enum class Origin : u8 {
  kRtApp,
  kOurs,
  kUnused,    // rt-app's, with nothing to do on a simulated machine.
  kObsolete,  // Of rt-app before 1.0, which later ones ignore: a warning.
};
const char *origin_text(Origin origin);

struct Key {
  const char *name;
  u32 places;
  Origin origin;
  const char *type;
  const char *default_text;  // "": none.
  const char *meaning;
  const char *test;  // The test that shows it.
  Status (*read)(Scope &scope, const JsonNode &node, const JsonPath &path);
};

std::span<const Key> keys();

// Reads a member of an object: a key by its whole name, or an event by how its name begins. An unknown one is an error
// with the nearest that is known.
Status read_key(Place place, Scope &scope, const JsonNode &node, const JsonPath &path);
// All members of an object; no key that is not an event may be there twice.
Status read_members(Place place, Scope &scope, const JsonNode &node, const JsonPath &path);

// --- the readers, by what they read ---
// read_global.cc
Status read_default_policy(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_duration_key(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_calibration(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_log_size(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_log_basename(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_ftrace(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_pi_enabled(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_io_device(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_mem_buffer_size(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_cumulative_slack(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_process(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_channels(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_resource_type(Scope &scope, const JsonNode &node, const JsonPath &path);
Status ignore_bool(Scope &scope, const JsonNode &node, const JsonPath &path);
Status ignore_string(Scope &scope, const JsonNode &node, const JsonPath &path);
// read_file.cc
Status read_global(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_resources(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_tasks(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_groups(Scope &scope, const JsonNode &node, const JsonPath &path);
// read_task.cc
Status read_instance(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_loop(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_delay(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_start(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_start_nice(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_kthread(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_leading(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_thread_of(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_parent(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_phases(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_wakes(Scope &scope, const JsonNode &node, const JsonPath &path);
// read_settings.cc
Status read_setting_policy(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_setting_priority(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_cpus(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_taskgroup(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_dl_time(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_util(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_membind(Scope &scope, const JsonNode &node, const JsonPath &path);
// read_event.cc
Status read_run(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_runtime(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_sleep(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_timer(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_yield(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_mem(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_iorun(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_memrun(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_ref(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_mutex(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_period(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_mode(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_memrun_type(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_memrun_pattern(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_memrun_size(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_memrun_count(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_memrun_stride(Scope &scope, const JsonNode &node, const JsonPath &path);
// read_sync.cc
Status read_lock(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_unlock(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_wait(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_sync(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_signal(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_broad(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_suspend(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_resume(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_barrier(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_sem_post(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_sem_wait(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_send(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_receive(Scope &scope, const JsonNode &node, const JsonPath &path);
// read_own.cc
Status read_fork(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_join(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_exit(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_exec(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_until(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_nice(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_sysrq(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_hotplug(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_move(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_set_group(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_migrate_disable(Scope &scope, const JsonNode &node, const JsonPath &path);
Status read_migrate_enable(Scope &scope, const JsonNode &node, const JsonPath &path);

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_KEYS_H_
