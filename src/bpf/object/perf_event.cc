// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/perf_event.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <bit>
#include <cstring>

#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/hooks.h"

namespace uscx::bpf {

namespace {

constexpr u64 kNsPerRareEvent = 1000;

bool modelled(const perf_event_attr &attr) {
  switch (attr.type) {
    case PERF_TYPE_HARDWARE: return attr.config < PERF_COUNT_HW_MAX;
    case PERF_TYPE_HW_CACHE:
    case PERF_TYPE_RAW: return true;
    case PERF_TYPE_SOFTWARE:
      return attr.config == PERF_COUNT_SW_CPU_CLOCK || attr.config == PERF_COUNT_SW_TASK_CLOCK ||
             attr.config == PERF_COUNT_SW_DUMMY || attr.config == PERF_COUNT_SW_BPF_OUTPUT;
    default: return false;
  }
}

}  // namespace

int PerfEvent::create(BpfSystem &system, const perf_event_attr &attr, int pid, int cpu,
                      std::shared_ptr<PerfEvent> *out) {
  if (pid == -1 && cpu < 0) return -EINVAL;
  if (cpu >= static_cast<int>(system.nr_cpus())) return -EINVAL;
  Probe probe;
  const bool is_probe = attr.type == PERF_TYPE_TRACEPOINT || attr.type == kKprobeEventType;
  if (is_probe) {
    if (int err = find_probe(system, attr, &probe); err != 0) return err;
  } else if (!modelled(attr)) {
    system.log(fmt::format("bpf: perf_event_open: event {} of type {} is not modelled", u64{attr.config}, attr.type));
    return -ENOENT;
  }
  const bool output = attr.type == PERF_TYPE_SOFTWARE && attr.config == PERF_COUNT_SW_BPF_OUTPUT;
  if ((pid != -1 && !is_probe) || attr.sample_type & (output ? ~u64{PERF_SAMPLE_RAW} : ~u64{0})) {
    system.log("bpf: perf_event_open: events of tasks and sampling are not implemented");
    return -EOPNOTSUPP;
  }
  constexpr u64 kReadFormats = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING | PERF_FORMAT_ID;
  if (attr.read_format & ~kReadFormats) {
    system.log(fmt::format("bpf: perf_event_open: read format {:#x} is not implemented", u64{attr.read_format}));
    return -EOPNOTSUPP;
  }
  *out = std::make_shared<PerfEvent>(system, attr, cpu);
  (*out)->is_probe_ = is_probe;
  (*out)->probe_ = probe;
  return 0;
}

PerfEvent::PerfEvent(BpfSystem &system, const perf_event_attr &attr, int cpu)
    : Object(system, ObjectKind::kPerfEvent, ""),
      type_(attr.type),
      config_(attr.config),
      read_format_(attr.read_format),
      cpu_(cpu),
      inherits_(attr.inherit),
      enabled_(!attr.disabled) {
  since_ = now();
  since_ns_ = system.env().now_ns();
}

PerfEvent::~PerfEvent() {
  if (buffer_ != nullptr) ::munmap(buffer_, kPageBytes + data_bytes_);
}

u64 PerfEvent::now() const {
  Env &env = system().env();
  if (type_ == PERF_TYPE_SOFTWARE)
    return config_ == PERF_COUNT_SW_CPU_CLOCK || config_ == PERF_COUNT_SW_TASK_CLOCK ? env.now_ns() : 0;
  const u64 busy_ns = env.busy_ns(static_cast<u32>(cpu_));
  const bool common =
      type_ == PERF_TYPE_HARDWARE && (config_ == PERF_COUNT_HW_CPU_CYCLES || config_ == PERF_COUNT_HW_INSTRUCTIONS ||
                                      config_ == PERF_COUNT_HW_BUS_CYCLES || config_ == PERF_COUNT_HW_REF_CPU_CYCLES);
  return common ? busy_ns : busy_ns / kNsPerRareEvent;
}

void PerfEvent::enable(bool on) {
  if (on == enabled_) return;
  const Reading reading = read();
  counted_ = reading.counter;
  enabled_ns_ = reading.enabled;
  since_ = now();
  since_ns_ = system().env().now_ns();
  enabled_ = on;
}

void PerfEvent::reset() {
  counted_ = 0;
  since_ = now();
}

PerfEvent::Reading PerfEvent::read() const {
  const u64 ns = enabled_ns_ + (enabled_ ? system().env().now_ns() - since_ns_ : 0);
  return {counted_ + (enabled_ ? now() - since_ : 0), ns, ns};
}

std::vector<u64> PerfEvent::words() const {
  const Reading reading = read();
  std::vector<u64> words = {reading.counter};
  if (read_format_ & PERF_FORMAT_TOTAL_TIME_ENABLED) words.push_back(reading.enabled);
  if (read_format_ & PERF_FORMAT_TOTAL_TIME_RUNNING) words.push_back(reading.running);
  if (read_format_ & PERF_FORMAT_ID) words.push_back(id());
  return words;
}

int PerfEvent::check_mmap(u64 size, u64 offset) {
  const u64 pages = size / kPageBytes;
  if (offset != 0 || size % kPageBytes != 0 || pages < 2 || !std::has_single_bit(pages - 1)) return -EINVAL;
  const u64 data_bytes = size - kPageBytes;
  if (buffer_ != nullptr) return data_bytes == data_bytes_ ? 0 : -EINVAL;
  if (int err = resize_memfd(size); err != 0) return err;
  void *view = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memfd(), 0);
  if (view == MAP_FAILED) return -ENOMEM;
  buffer_ = static_cast<char *>(view);
  data_bytes_ = data_bytes;
  control()->data_offset = kPageBytes;
  control()->data_size = data_bytes;
  return 0;
}

void PerfEvent::copy_in(u64 at, const void *from, u64 size) {
  if (size == 0) return;
  const u64 start = at & (data_bytes_ - 1);
  const u64 first = std::min(size, data_bytes_ - start);
  char *data = buffer_ + kPageBytes;
  std::memcpy(data + start, from, first);
  std::memcpy(data, static_cast<const char *>(from) + first, size - first);
}

bool PerfEvent::append(u32 type, const void *body, u32 body_size, const void *data, u32 data_size) {
  const u64 total = (sizeof(perf_event_header) + body_size + data_size + 7) & ~7ull;
  const u64 head = control()->data_head;
  const u64 tail = __atomic_load_n(&control()->data_tail, __ATOMIC_ACQUIRE);
  if (head - tail + total > data_bytes_) return false;
  const perf_event_header header{type, 0, static_cast<u16>(total)};
  constexpr u64 kZero = 0;
  copy_in(head, &header, sizeof(header));
  copy_in(head + sizeof(header), body, body_size);
  copy_in(head + sizeof(header) + body_size, data, data_size);
  copy_in(head + sizeof(header) + body_size + data_size, &kZero, total - sizeof(header) - body_size - data_size);
  __atomic_store_n(&control()->data_head, head + total, __ATOMIC_RELEASE);
  return true;
}

void PerfEvent::output(const void *data, u32 size) {
  {
    machine::SpinGuard guard(lock_);
    if (buffer_ == nullptr || !enabled_) return;
    const u64 lost[2] = {0, lost_};
    if (lost_ != 0 && append(PERF_RECORD_LOST, lost, sizeof(lost), nullptr, 0)) lost_ = 0;
    // The payload's size, with which the record ends at a multiple of 8.
    const u32 padded = ((size + 4 + 7) & ~7u) - 4;
    if (lost_ != 0 || !append(PERF_RECORD_SAMPLE, &padded, sizeof(padded), data, size)) {
      lost_++;
      return;
    }
  }
  system().env().map_wakeup(*this);
}

u32 PerfEvent::poll_events() const {
  if (buffer_ == nullptr) return EPOLLHUP;
  return control()->data_head != __atomic_load_n(&control()->data_tail, __ATOMIC_RELAXED) ? u32{EPOLLIN} : 0;
}

}  // namespace uscx::bpf
