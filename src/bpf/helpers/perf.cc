// SPDX-License-Identifier: GPL-2.0-only
// Helpers on performance events.
#include <errno.h>
#include <linux/bpf.h>

#include <cstring>

#include "bpf/exec/exec.h"
#include "bpf/maps/perf_event_array.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/helper.h"

namespace uscx::bpf {

namespace {

PerfEventArray *events(const char *who, Map *map) {
  if (map->type() != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
    Invocation::current()->violation("helper {}: not for maps of type {}", who, map_type_name(map->type()));
  return static_cast<PerfEventArray *>(map);
}

// An event counts on one CPU, where alone it can be read.
int read_event(PerfEventArray *map, u64 flags, PerfEvent::Reading *reading) {
  std::shared_ptr<PerfEvent> event;
  if (int err = map->event_for(flags, &event); err != 0) return err;
  if (event->inherits()) return -EOPNOTSUPP;
  if (event->cpu() != static_cast<int>(BpfSystem::current()->running_cpu())) return -EINVAL;
  *reading = event->read();
  return 0;
}

}  // namespace

USCX_HELPER(BPF_FUNC_perf_event_read_value, 0, perf_event_read_value, s64,
            (Map * map, u64 flags, struct bpf_perf_event_value *buffer, u32 size)) {
  PerfEventArray *from = events("bpf_perf_event_read_value", map);
  Guard::writable("bpf_perf_event_read_value", 3, buffer, size);
  PerfEvent::Reading reading{};
  const int err = size != sizeof(*buffer) ? -EINVAL : read_event(from, flags, &reading);
  if (err != 0) {
    std::memset(buffer, 0, size);
    return err;
  }
  *buffer = {reading.counter, reading.enabled, reading.running};
  return 0;
}

USCX_HELPER(BPF_FUNC_perf_event_read, 0, perf_event_read, u64, (Map * map, u64 flags)) {
  PerfEvent::Reading reading{};
  const int err = read_event(events("bpf_perf_event_read", map), flags, &reading);
  return err != 0 ? static_cast<u64>(s64{err}) : reading.counter;
}

USCX_HELPER(BPF_FUNC_perf_event_output, 0, perf_event_output, s64,
            (const void *ctx, Map *map, u64 flags, const void *data, u64 size)) {
  (void)ctx;
  constexpr u64 kMaxBytes = 0xffff - 64;
  PerfEventArray *to = events("bpf_perf_event_output", map);
  Guard::readable("bpf_perf_event_output", 4, data, size);
  if (size > kMaxBytes) return -E2BIG;
  std::shared_ptr<PerfEvent> event;
  if (int err = to->event_for(flags, &event); err != 0) return err;
  if (!event->is_output()) return -EINVAL;
  if (event->cpu() != static_cast<int>(BpfSystem::current()->running_cpu())) return -EOPNOTSUPP;
  event->output(data, static_cast<u32>(size));
  return 0;
}

}  // namespace uscx::bpf
