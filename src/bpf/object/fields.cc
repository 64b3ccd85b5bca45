// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/fields.h"

#include <bpf/btf.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "bpf/object/alloc.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/graph.h"
#include "bpf/object/timers.h"

namespace uscx::bpf {

namespace {

struct NamedField {
  const char *name;
  FieldKind kind;
  u32 size;
};
constexpr NamedField kStructs[] = {
    {"bpf_spin_lock", FieldKind::kSpinLock, 4},  {"bpf_res_spin_lock", FieldKind::kResSpinLock, 4},
    {"bpf_timer", FieldKind::kTimer, 16},        {"bpf_wq", FieldKind::kWorkqueue, 16},
    {"bpf_list_head", FieldKind::kListHead, 16}, {"bpf_list_node", FieldKind::kListNode, 24},
    {"bpf_rb_root", FieldKind::kRbRoot, 16},     {"bpf_rb_node", FieldKind::kRbNode, 32},
    {"bpf_refcount", FieldKind::kRefcount, 4},
};
constexpr NamedField kTags[] = {
    {"kptr", FieldKind::kKptr, 8},
    {"percpu_kptr", FieldKind::kKptr, 8},
    {"kptr_untrusted", FieldKind::kKptrUntrusted, 8},
};

const NamedField *named(const auto &table, std::string_view name) {
  for (const NamedField &field : table) {
    if (name == field.name) return &field;
  }
  return nullptr;
}

// A field that a type as a whole stands for.
const NamedField *special_type(const struct btf *btf, const btf_type *type) {
  if (btf_is_ptr(type)) {
    const btf_type *target = btf__type_by_id(btf, type->type);
    return btf_is_type_tag(target) ? named(kTags, btf__name_by_offset(btf, target->name_off)) : nullptr;
  }
  return btf_is_struct(type) ? named(kStructs, btf__name_by_offset(btf, type->name_off)) : nullptr;
}

void find_in(const struct btf *btf, u32 id, u32 offset, int depth, std::vector<SpecialField> *fields) {
  static constexpr int kMaxDepth = 8;
  const s32 resolved = depth > kMaxDepth ? -1 : btf__resolve_type(btf, id);
  const btf_type *type = resolved < 0 ? nullptr : btf__type_by_id(btf, static_cast<u32>(resolved));
  if (type == nullptr) return;
  if (const NamedField *special = special_type(btf, type)) {
    fields->push_back({special->kind, offset, special->size});
  } else if (btf_is_struct(type)) {
    for (u32 i = 0; i < btf_vlen(type); i++) {
      if (btf_member_bitfield_size(type, i) == 0)
        find_in(btf, btf_members(type)[i].type, offset + btf_member_bit_offset(type, i) / 8, depth + 1, fields);
    }
  } else if (btf_is_datasec(type)) {
    for (u32 i = 0; i < btf_vlen(type); i++) {
      const btf_var_secinfo &info = btf_var_secinfos(type)[i];
      find_in(btf, btf__type_by_id(btf, info.type)->type, offset + info.offset, depth + 1, fields);
    }
  } else if (btf_is_array(type)) {
    const struct btf_array *array = btf_array(type);
    const s64 element = btf__resolve_size(btf, array->type);
    std::vector<SpecialField> first;
    find_in(btf, array->type, 0, depth + 1, &first);
    for (u32 i = 0; element > 0 && !first.empty() && i < array->nelems; i++) {
      for (const SpecialField &field : first)
        fields->push_back({field.kind, offset + static_cast<u32>(i * element) + field.offset, field.size});
    }
  }
}

void release_field(BpfSystem &system, const SpecialField &field, char *at) {
  switch (field.kind) {
    case FieldKind::kTimer:
    case FieldKind::kWorkqueue: return system.timers().forget(at);
    case FieldKind::kListHead: return system.graphs().drop_list(at);
    case FieldKind::kRbRoot: return system.graphs().drop_tree(at);
    case FieldKind::kKptr: {
      const u64 object = __atomic_load_n(reinterpret_cast<u64 *>(at), __ATOMIC_RELAXED);
      return system.release_reference(reinterpret_cast<void *>(object));
    }
    default: return;
  }
}

}  // namespace

std::set<std::string> special_field_names() {
  std::set<std::string> names{"kptr"};
  for (const NamedField &field : kStructs) names.insert(field.name);
  return names;
}

std::vector<SpecialField> find_fields(const struct btf *btf, u32 type_id) {
  std::vector<SpecialField> fields;
  find_in(btf, type_id, 0, 0, &fields);
  std::sort(fields.begin(), fields.end(),
            [](const SpecialField &a, const SpecialField &b) { return a.offset < b.offset; });
  return fields;
}

void release_fields(BpfSystem &system, const std::vector<SpecialField> &fields, void *value) {
  for (const SpecialField &field : fields) {
    char *at = static_cast<char *>(value) + field.offset;
    // Whoever holds the value's lock now still lets go of it.
    if (field.kind == FieldKind::kSpinLock || field.kind == FieldKind::kResSpinLock) continue;
    release_field(system, field, at);
    if (field.size < sizeof(u64)) std::memset(at, 0, field.size);
    for (u32 word = 0; word + sizeof(u64) <= field.size; word += sizeof(u64))
      __atomic_store_n(reinterpret_cast<u64 *>(at + word), 0, __ATOMIC_RELAXED);
  }
}

}  // namespace uscx::bpf
