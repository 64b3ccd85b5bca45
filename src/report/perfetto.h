// SPDX-License-Identifier: GPL-2.0-only
// Writes a run's trace as a file that opens in Perfetto: ftrace scheduling events (so that each CPU has a scheduling
// track and each task its states), a counter track for each DSQ's depth, and instants for what happens to the
// scheduler.
//
// Threading: a sink, called by the tracer's one writer. Invariants: FILE exists only when it is complete: packets go to
// FILE.tmp, which finish() renames and which vanishes if finish() fails or is never called; ftrace events of a CPU are
// written in order of time.
#ifndef USCX_REPORT_PERFETTO_H_
#define USCX_REPORT_PERFETTO_H_

#include <cstdio>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "trace/tracer.h"

namespace uscx::report {

class PerfettoSink : public trace::Sink {
 public:
  // An existing file is replaced by finish(); what is no regular file (a device, a directory) is refused.
  static Result<std::unique_ptr<PerfettoSink>> create(const std::string &path, u32 nr_cpus);
  ~PerfettoSink() override;

  void on_event(const trace::Event &event, const trace::Tracer &tracer) override;
  // Completes the file. The first failed write of the run is reported here.
  Status finish(const trace::Tracer &tracer);

 private:
  struct Task {
    u64 comm = 0;  // Text id.
    s32 prio = 120;
  };
  // One ftrace event that waits for its bundle; comms are those of its time.
  struct Pending {
    u64 time_ns;
    trace::EventType type;
    s32 on_cpu_pid;
    s32 pid, next_pid;
    s32 prio, next_prio;
    u64 comm, next_comm;
    s64 state;       // sched_switch
    u32 target_cpu;  // sched_waking, sched_wakeup
  };
  struct Cpu {
    std::vector<Pending> pending;
    u64 written_until_ns = 0;
    s32 current = 0;
  };

  PerfettoSink(std::string path, FILE *file, u32 nr_cpus);
  void write_preamble();
  void write_packet(const std::string &packet);
  void write_track(u64 uuid, const std::string &name, bool counter);
  void write_counter(u64 uuid, u64 time_ns, u64 value);
  void write_instant(u64 uuid, u64 time_ns, const std::string &name);
  void write_task(u64 pid, const std::string &comm, bool kthread, u64 time_ns);
  void write_depth(const trace::Event &event, u64 dsq_id, u64 depth);
  void add_sched_event(const trace::Event &event, const trace::Tracer &tracer);
  void flush_cpu(u32 cpu, const trace::Tracer &tracer);

  const std::string path_, temporary_path_;
  FILE *file_;
  int error_ = 0;  // errno of the first failed write.
  size_t bundle_events_;
  std::vector<Cpu> cpus_;
  std::unordered_map<u64, Task> tasks_;        // By pid; looked up only.
  std::unordered_map<u64, u64> depth_tracks_;  // DSQ id to track uuid; looked up only.
  u64 next_track_uuid_;
};

}  // namespace uscx::report

#endif  // USCX_REPORT_PERFETTO_H_
