// SPDX-License-Identifier: GPL-2.0-only
// Helpers on maps and on task storage.
#include <errno.h>

#include "bpf/exec/exec.h"
#include "bpf/maps/local_storage_map.h"
#include "bpf/maps/prog_array.h"
#include "bpf/object/alloc.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/helper.h"
#include "bpf/object/map.h"
#include "bpf/object/prog.h"
#include "machine/explore_hooks.h"

namespace uscx::bpf {

namespace {

// Types without keys have no element operations: a verifier would refuse the program.
void check_keyed(const char *who, Map *map) {
  if (!map->supports(MAP_KEYED))
    Invocation::current()->violation("helper {}: not for maps of type {}", who, map_type_name(map->type()));
}

void check_writable(const char *who, Map *map) {
  if (!map->supports(MAP_WRITTEN))
    Invocation::current()->violation("helper {}: not for maps of type {}", who, map_type_name(map->type()));
  if (map->attr().flags & BPF_F_RDONLY_PROG)
    Invocation::current()->violation("helper {}: map is read-only for programs", who);
}

LocalStorageMap *local_storage(const char *who, Map *map, u32 type) {
  if (map->type() != type)
    Invocation::current()->violation("helper {}: not for maps of type {}", who, map_type_name(map->type()));
  return static_cast<LocalStorageMap *>(map);
}

constexpr u64 kCreate = BPF_LOCAL_STORAGE_GET_F_CREATE;

void *get_storage(const char *who, LocalStorageMap *storage, ObjectType type, const void *owner, const void *value,
                  u64 flags) {
  if (flags & ~kCreate || owner == nullptr) return nullptr;
  Guard::object(who, 2, type, owner);
  if (value != nullptr) Guard::readable(who, 3, value, storage->value_size());
  return storage->get(owner, flags & kCreate, value);
}

s64 delete_storage(const char *who, LocalStorageMap *storage, ObjectType type, const void *owner) {
  if (owner == nullptr) return -EINVAL;
  Guard::object(who, 2, type, owner);
  return storage->remove(owner);
}

}  // namespace

USCX_HELPER(BPF_FUNC_map_lookup_elem, HELPER_RET_MAP_VALUE_OR_NULL, map_lookup_elem, void *,
            (Map * map, const void *key)) {
  check_keyed("bpf_map_lookup_elem", map);
  Guard::readable("bpf_map_lookup_elem", 2, key, map->key_size());
  return map->lookup(key);
}

USCX_HELPER(BPF_FUNC_map_update_elem, 0, map_update_elem, s64,
            (Map * map, const void *key, const void *value, u64 flags)) {
  check_keyed("bpf_map_update_elem", map);
  check_writable("bpf_map_update_elem", map);
  Guard::readable("bpf_map_update_elem", 2, key, map->key_size());
  Guard::readable("bpf_map_update_elem", 3, value, map->value_size());
  return map->update(key, value, flags);
}

USCX_HELPER(BPF_FUNC_map_delete_elem, 0, map_delete_elem, s64, (Map * map, const void *key)) {
  check_keyed("bpf_map_delete_elem", map);
  check_writable("bpf_map_delete_elem", map);
  Guard::readable("bpf_map_delete_elem", 2, key, map->key_size());
  return map->erase(key);
}

USCX_HELPER(BPF_FUNC_map_lookup_percpu_elem, HELPER_RET_MAP_VALUE_OR_NULL, map_lookup_percpu_elem, void *,
            (Map * map, const void *key, u32 cpu)) {
  check_keyed("bpf_map_lookup_percpu_elem", map);
  Guard::readable("bpf_map_lookup_percpu_elem", 2, key, map->key_size());
  return map->lookup_percpu(key, cpu);
}

USCX_HELPER(BPF_FUNC_map_push_elem, 0, map_push_elem, s64, (Map * map, const void *value, u64 flags)) {
  Guard::readable("bpf_map_push_elem", 2, value, map->value_size());
  return map->push(value, flags);
}

USCX_HELPER(BPF_FUNC_map_pop_elem, 0, map_pop_elem, s64, (Map * map, void *value)) {
  Guard::writable("bpf_map_pop_elem", 2, value, map->value_size());
  return map->pop(value);
}

USCX_HELPER(BPF_FUNC_map_peek_elem, 0, map_peek_elem, s64, (Map * map, void *value)) {
  Guard::writable("bpf_map_peek_elem", 2, value, map->value_size());
  return map->peek(value);
}

USCX_HELPER(BPF_FUNC_task_storage_get, HELPER_RET_MAP_VALUE_OR_NULL, task_storage_get, void *,
            (Map * map, const void *task, const void *value, u64 flags)) {
  static constexpr const char *kWho = "bpf_task_storage_get";
  return get_storage(kWho, local_storage(kWho, map, BPF_MAP_TYPE_TASK_STORAGE), ObjectType::kTask, task, value, flags);
}

USCX_HELPER(BPF_FUNC_task_storage_delete, 0, task_storage_delete, s64, (Map * map, const void *task)) {
  static constexpr const char *kWho = "bpf_task_storage_delete";
  return delete_storage(kWho, local_storage(kWho, map, BPF_MAP_TYPE_TASK_STORAGE), ObjectType::kTask, task);
}

USCX_HELPER(BPF_FUNC_cgrp_storage_get, HELPER_RET_MAP_VALUE_OR_NULL, cgrp_storage_get, void *,
            (Map * map, const void *cgroup, const void *value, u64 flags)) {
  static constexpr const char *kWho = "bpf_cgrp_storage_get";
  return get_storage(kWho, local_storage(kWho, map, BPF_MAP_TYPE_CGRP_STORAGE), ObjectType::kCgroup, cgroup, value,
                     flags);
}

USCX_HELPER(BPF_FUNC_cgrp_storage_delete, 0, cgrp_storage_delete, s64, (Map * map, const void *cgroup)) {
  static constexpr const char *kWho = "bpf_cgrp_storage_delete";
  return delete_storage(kWho, local_storage(kWho, map, BPF_MAP_TYPE_CGRP_STORAGE), ObjectType::kCgroup, cgroup);
}

namespace {

// Calls the program's callback for each element: (map, key, value, ctx).
class ElementCallback final : public Map::Visitor {
 public:
  ElementCallback(Map *map, u32 subprog, u64 ctx) : map_(map), subprog_(subprog), ctx_(ctx) {}
  u64 visit(void *key, void *value) override {
    Invocation *invocation = Invocation::current();
    const RunResult result = invocation->call_back(
        subprog_,
        {reinterpret_cast<u64>(map_->handle()), reinterpret_cast<u64>(key), reinterpret_cast<u64>(value), ctx_});
    aborted = result.aborted();
    return aborted ? 1 : result.r0;
  }
  bool aborted = false;

 private:
  Map *map_;
  u32 subprog_;
  u64 ctx_;
};

}  // namespace

USCX_HELPER(BPF_FUNC_for_each_map_elem, 0, for_each_map_elem, s64, (Map * map, u64 callback, u64 ctx, u64 flags)) {
  Invocation *invocation = Invocation::current();
  const std::optional<u32> subprog = invocation->program()->callback_subprog(callback);
  if (!subprog.has_value()) invocation->violation("helper bpf_for_each_map_elem: argument 2 is not a function");
  if (flags != 0) return -EINVAL;
  ElementCallback each(map, *subprog, ctx);
  const s64 result = map->for_each(each);
  if (each.aborted) invocation->unwind();
  return result == -EOPNOTSUPP ? -EINVAL : result;
}

USCX_HELPER(BPF_FUNC_loop, 0, loop, s64, (u32 nr_loops, u64 callback, u64 ctx, u64 flags)) {
  constexpr u32 kMaxLoops = 8u << 20;
  Invocation *invocation = Invocation::current();
  const std::optional<u32> subprog = invocation->program()->callback_subprog(callback);
  if (!subprog.has_value()) invocation->violation("helper bpf_loop: argument 2 is not a function");
  if (flags != 0) return -EINVAL;
  if (nr_loops > kMaxLoops) return -E2BIG;
  for (u32 i = 0; i < nr_loops; i++) {
    invocation->charge(1);
    const RunResult result = invocation->call_back(*subprog, {i, ctx});
    if (result.aborted()) invocation->unwind();
    if (result.r0 != 0) return i + 1;
  }
  return nr_loops;
}

// A result is the calling function's, which ends with it; without one the helper fails, and the function goes on.
USCX_HELPER(BPF_FUNC_tail_call, 0, tail_call, s64, (u64 ctx, Map *map, u32 index)) {
  if (map->type() != BPF_MAP_TYPE_PROG_ARRAY)
    Invocation::current()->violation("helper bpf_tail_call: not for maps of type {}", map_type_name(map->type()));
  Prog *prog = static_cast<ProgArray *>(map)->at(index);
  if (prog == nullptr) return -ENOENT;
  const std::optional<u64> result = Invocation::current()->tail_call(*prog->program(), ctx);
  if (!result.has_value()) return -ENOENT;
  Invocation::current()->end_caller();
  return static_cast<s64>(*result);
}

// The old pointer comes from memory that a stray store may have changed, so it is handed on as a plain number.
USCX_HELPER(BPF_FUNC_kptr_xchg, HELPER_RET_PTR_OR_NULL, kptr_xchg, u64, (u64 * field, const void *object)) {
  Guard::writable("bpf_kptr_xchg", 1, field, sizeof(*field));
  BpfSystem *system = BpfSystem::current();
  if (object != nullptr && !system->is_live(ObjectType::kBpfCpumask, object) && !system->allocs().is_live(object) &&
      !system->is_live(ObjectType::kTask, object) && !system->is_live(ObjectType::kCgroup, object))
    Invocation::current()->violation("helper bpf_kptr_xchg: argument 2 ({:#x}) is not a live object",
                                     reinterpret_cast<u64>(object));
  machine::atomic_write(field);
  return __atomic_exchange_n(field, reinterpret_cast<u64>(object), __ATOMIC_SEQ_CST);
}

}  // namespace uscx::bpf
