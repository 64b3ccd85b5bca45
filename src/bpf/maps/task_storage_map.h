// SPDX-License-Identifier: GPL-2.0-only
// TASK_STORAGE: a value per task, found by the task's address, gone with the task. Never walked, so that addresses
// decide nothing. User space's key is a process file descriptor.
#ifndef USCX_BPF_MAPS_TASK_STORAGE_MAP_H_
#define USCX_BPF_MAPS_TASK_STORAGE_MAP_H_

#include <unordered_map>

#include "bpf/map.h"
#include "bpf/region.h"

namespace uscx::bpf {

class TaskStorageMap final : public Map {
 public:
  static int create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out);
  TaskStorageMap(BpfSystem &system, const MapAttr &attr);
  ~TaskStorageMap() override;

  // The task's value; made from `initial` (zero if null) where `create` says so.
  void *get(const void *task, bool create, const void *initial);
  int remove(const void *task);

  void *lookup(const void *) override { return nullptr; }
  int update(const void *, const void *, u64) override { return -EOPNOTSUPP; }
  int erase(const void *) override { return -EOPNOTSUPP; }
  int next_key(const void *, void *) override;
  int user_lookup(const void *key, void *value, u64 flags) override;
  int user_update(const void *key, const void *value, u64 flags) override;
  int user_erase(const void *key) override;

 private:
  RegionPool pool_;
  std::unordered_map<const void *, void *> values_;  // never iterated but to empty it
  // The last task that was asked for: a callback often asks for the same one repeatedly.
  const void *last_task_ = nullptr;
  void *last_value_ = nullptr;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_MAPS_TASK_STORAGE_MAP_H_
