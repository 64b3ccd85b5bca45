// SPDX-License-Identifier: GPL-2.0-only
// The field numbers of Perfetto's trace format that PerfettoSink writes, one enum per message, named as the messages
// and fields are named there. Only constants.
#ifndef USCX_REPORT_PERFETTO_FIELDS_H_
#define USCX_REPORT_PERFETTO_FIELDS_H_

#include <protozero/types.hpp>

#include "base/types.h"

namespace uscx::report::proto {

using Tag = protozero::pbf_tag_type;

struct Trace {
  enum : Tag { packet = 1 };
};
struct TracePacket {
  enum : Tag {
    ftrace_events = 1,
    process_tree = 2,
    timestamp = 8,
    trusted_packet_sequence_id = 10,
    track_event = 11,
    sequence_flags = 13,
    system_info = 45,
    track_descriptor = 60,
    first_packet_on_sequence = 87,
  };
  static constexpr u32 kIncrementalStateCleared = 1;  // A value of sequence_flags.
};
struct SystemInfo {
  enum : Tag { utsname = 1 };
};
struct Utsname {
  enum : Tag { sysname = 1, version = 2, release = 3, machine = 4 };
};
struct ProcessTree {
  enum : Tag { processes = 1, threads = 2 };
};
struct Process {
  enum : Tag { pid = 1, ppid = 2, cmdline = 3 };
};
struct Thread {
  enum : Tag { tid = 1, name = 2, tgid = 3 };
};
struct FtraceEventBundle {
  enum : Tag { cpu = 1, event = 2 };
};
struct FtraceEvent {
  enum : Tag { timestamp = 1, pid = 2, sched_switch = 4, sched_wakeup = 17, sched_waking = 20 };
};
struct SchedSwitch {
  enum : Tag { prev_comm = 1, prev_pid = 2, prev_prio = 3, prev_state = 4, next_comm = 5, next_pid = 6, next_prio = 7 };
};
struct SchedWakeup {
  enum : Tag { comm = 1, pid = 2, prio = 3, success = 4, target_cpu = 5 };
};  // sched_waking too.
struct TrackDescriptor {
  enum : Tag { uuid = 1, name = 2, parent_uuid = 5, counter = 8 };
};
struct CounterDescriptor {
  enum : Tag { unit = 3 };
  static constexpr s32 kUnitCount = 2;
};
struct TrackEvent {
  enum : Tag { type = 9, track_uuid = 11, name = 23, counter_value = 30 };
  static constexpr s32 kTypeInstant = 3, kTypeCounter = 4;
};

}  // namespace uscx::report::proto

#endif  // USCX_REPORT_PERFETTO_FIELDS_H_
