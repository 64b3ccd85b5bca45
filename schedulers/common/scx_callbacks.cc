// SPDX-License-Identifier: GPL-2.0-only
// The callbacks of a scheduler's tables before the load: libbpf keeps a bpf_program pointer in the place of each, and
// loads the programs that it finds there.
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <vector>

#include "base/check.h"
#include "schedulers/common/scx_user.h"

namespace uscx::schedulers {
namespace {

struct Callback {
  const char *name;
  bpf_program **slot;
};

std::vector<Callback> callbacks_of(const bpf_map *table, const btf *types) {
  size_t size = 0;
  u8 *data = static_cast<u8 *>(bpf_map__initial_value(table, &size));
  const btf_type *type = btf__type_by_id(types, bpf_map__btf_value_type_id(table));
  std::vector<Callback> callbacks;
  for (u32 i = 0; i < btf_vlen(type); i++) {
    const btf_member &member = btf_members(type)[i];
    const int pointer = btf__resolve_type(types, member.type);
    if (pointer < 0 || !btf_is_ptr(btf__type_by_id(types, static_cast<u32>(pointer)))) continue;
    const int pointee = btf__resolve_type(types, btf__type_by_id(types, static_cast<u32>(pointer))->type);
    if (pointee < 0 || !btf_is_func_proto(btf__type_by_id(types, static_cast<u32>(pointee)))) continue;
    callbacks.push_back({btf__name_by_offset(types, member.name_off),
                         reinterpret_cast<bpf_program **>(data + btf_member_bit_offset(type, i) / 8)});
  }
  return callbacks;
}

// Calls fn(table, callback) for each callback of each table of the object.
template <typename Fn>
void for_each_callback(const bpf_object *object, Fn fn) {
  bpf_map *map;
  bpf_object__for_each_map(map, object) {
    if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS) continue;
    for (const Callback &callback : callbacks_of(map, bpf_object__btf(object))) fn(map, callback);
  }
}

}  // namespace

bool ScxObject::is_callback(std::string_view field) const {
  for (const Callback &callback : callbacks_of(ops_map_, bpf_object__btf(object_)))
    if (field == callback.name) return true;
  return false;
}

Status ScxObject::set_callback(std::string_view field, const std::string &program) {
  CHECK(!loaded_ && is_callback(field));
  bpf_program *found = nullptr, *one;
  std::vector<std::string> known;
  bpf_object__for_each_program(one, object_) {
    if (bpf_program__type(one) != BPF_PROG_TYPE_STRUCT_OPS) continue;
    known.emplace_back(bpf_program__name(one));
    if (known.back() == program) found = one;
  }
  if (found == nullptr && !program.empty())
    return Status::error("the object has no struct_ops program '{}'; it has {}", program, fmt::join(known, ", "));
  for (const Callback &callback : callbacks_of(ops_map_, bpf_object__btf(object_))) {
    if (field != callback.name) continue;
    bpf_program *before = *callback.slot;
    *callback.slot = found;
    // What no table has any more cannot be loaded.
    if (before != nullptr && !is_in_table(before)) bpf_program__set_autoload(before, false);
  }
  return {};
}

bool ScxObject::remove_callbacks(const bpf_program *program) {
  CHECK(!loaded_);
  bool had = false;
  for_each_callback(object_, [&](const bpf_map *, const Callback &callback) {
    if (*callback.slot != program) return;
    had = true;
    bpf_program__set_autoload(*callback.slot, false);
    *callback.slot = nullptr;
  });
  return had;
}

bool ScxObject::is_in_table(const bpf_program *program) const {
  bool found = false;
  for_each_callback(object_, [&](const bpf_map *, const Callback &callback) { found |= *callback.slot == program; });
  return found;
}

void ScxObject::leave_out_unused_callbacks() {
  bpf_program *program;
  bpf_object__for_each_program(program, object_) {
    if (bpf_program__type(program) == BPF_PROG_TYPE_STRUCT_OPS && !is_in_table(program))
      bpf_program__set_autoload(program, false);
  }
}

std::map<std::string, bool> ScxObject::program_loads() const {
  std::map<std::string, bool> loads, in_tables;
  for_each_callback(object_, [&](const bpf_map *table, const Callback &callback) {
    if (*callback.slot != nullptr) in_tables[bpf_program__name(*callback.slot)] |= bpf_map__autocreate(table);
  });
  bpf_program *program;
  bpf_object__for_each_program(program, object_) loads[bpf_program__name(program)] = bpf_program__autoload(program);
  for (const auto &[name, loaded] : in_tables) loads[name] = loaded;
  return loads;
}

}  // namespace uscx::schedulers
