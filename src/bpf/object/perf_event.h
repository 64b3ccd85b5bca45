// SPDX-License-Identifier: GPL-2.0-only
// Performance events, as far as programs use them: counters that are read through a PERF_EVENT_ARRAY, and the buffer
// that bpf_perf_event_output() fills, in the layout that user space maps.
//
// FIDELITY: perf-model. A CPU runs one cycle and one instruction in a nanosecond that it is not idle; every other
// hardware, cache or raw event happens once in a microsecond of that. Software clocks are virtual time.
//
// Threading: lock_ protects the buffer's head and the count of lost records; the tail is user space's. A counter is
// read on its own CPU.
#ifndef USCX_BPF_OBJECT_PERF_EVENT_H_
#define USCX_BPF_OBJECT_PERF_EVENT_H_

#include <linux/perf_event.h>

#include "bpf/object/object.h"
#include "machine/sync.h"

namespace uscx::bpf {

class PerfEvent final : public Object {
 public:
  // perf_event_open(2): a new event, or -errno. What is not modelled is refused with the errno of hardware that has no
  // such event.
  static int create(BpfSystem &system, const perf_event_attr &attr, int pid, int cpu, std::shared_ptr<PerfEvent> *out);
  PerfEvent(BpfSystem &system, const perf_event_attr &attr, int cpu);
  // An event that is a place in the kernel, for programs to be attached to (hooks.h).
  struct Probe {
    s32 hook = -1;  // its number; -1: one where nothing ever happens
    bool tracepoint = false;
    bool on_exit = false;
  };
  const Probe *probe() const { return is_probe_ ? &probe_ : nullptr; }
  ~PerfEvent() override;

  int cpu() const { return cpu_; }
  bool is_output() const { return type_ == PERF_TYPE_SOFTWARE && config_ == PERF_COUNT_SW_BPF_OUTPUT; }
  bool inherits() const { return inherits_; }

  void enable(bool on);
  void reset();
  struct Reading {
    u64 counter, enabled, running;
  };
  Reading read() const;
  // What read(2) gives of a counter, as attr.read_format asked for it.
  std::vector<u64> words() const;

  // Appends a sample; counted as lost where the buffer is full or was never mapped.
  void output(const void *data, u32 size);
  // Whether user space may map so many bytes: 0 or -errno. The first mapping makes the buffer.
  int check_mmap(u64 size, u64 offset);
  bool can_poll() const override { return true; }
  u32 poll_events() const override;

 private:
  u64 now() const;
  perf_event_mmap_page *control() const { return reinterpret_cast<perf_event_mmap_page *>(buffer_); }
  bool append(u32 type, const void *body, u32 body_size, const void *data, u32 data_size);
  void copy_in(u64 at, const void *from, u64 size);

  bool is_probe_ = false;
  Probe probe_;
  const u32 type_;
  const u64 config_;
  const u64 read_format_;
  const int cpu_;
  const bool inherits_;
  bool enabled_;
  u64 counted_ = 0;     // up to the last enabling or disabling
  u64 enabled_ns_ = 0;  // the same for the time
  u64 since_ = 0;       // now() when it was enabled
  u64 since_ns_ = 0;
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "perf buffer"};
  char *buffer_ = nullptr;  // our view: the control page and the data
  u64 data_bytes_ = 0;
  u64 lost_ = 0;  // guarded by lock_
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_PERF_EVENT_H_
