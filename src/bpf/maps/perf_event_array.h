// SPDX-License-Identifier: GPL-2.0-only
// PERF_EVENT_ARRAY: events by index, usually one for each CPU. User space puts in descriptors of perf_event_open(2).
//
// Threading: lock_ protects the entries; who reads one holds the event meanwhile.
#ifndef USCX_BPF_MAPS_PERF_EVENT_ARRAY_H_
#define USCX_BPF_MAPS_PERF_EVENT_ARRAY_H_

#include <map>
#include <memory>

#include "bpf/object/map.h"
#include "bpf/object/perf_event.h"
#include "machine/sync.h"

namespace uscx::bpf {

class PerfEventArray final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out);
  PerfEventArray(BpfSystem &system, const MapAttr &attr) : Map(system, attr) {}

  // The event that the index in a helper's flags names on this CPU: 0 or -errno.
  int event_for(u64 flags, std::shared_ptr<PerfEvent> *event);

  void *lookup(const void *) override { return nullptr; }
  int update(const void *, const void *, u64) override { return -EOPNOTSUPP; }
  int erase(const void *key) override;
  int next_key(const void *key, void *next) override;
  int user_lookup(const void *, void *, u64) override { return -kENotSupp; }
  int user_update(const void *key, const void *value, u64 flags) override;
  void user_released() override;

 private:
  machine::SpinLock lock_{machine::SpinLock::Kind::kPrivate, "bpf perf array"};
  std::map<u32, std::shared_ptr<PerfEvent>> events_;  // guarded by lock_
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_MAPS_PERF_EVENT_ARRAY_H_
