// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/scan/scan_core.h"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>

namespace uscx::bpf {

namespace {

// Deeper nesting than any kernel struct has; it ends what loops in corrupt BTF.
constexpr int kMaxDepth = 32;

// Both kinds of enum are one to CO-RE.
u32 core_kind(const btf_type *type) {
  const u32 kind = btf_kind(type);
  return kind == BTF_KIND_ENUM64 ? u32{BTF_KIND_ENUM} : kind;
}

// "0:1:2" as numbers; nothing for other text.
std::optional<std::vector<u32>> parse_access(const std::string &text) {
  static constexpr size_t kMaxSteps = 64;
  std::vector<u32> out;
  const char *at = text.c_str();
  while (out.size() < kMaxSteps) {
    char *end = nullptr;
    if (*at < '0' || *at > '9') return std::nullopt;
    const unsigned long value = std::strtoul(at, &end, 10);
    if (value > 0xffffffffu) return std::nullopt;
    out.push_back(static_cast<u32>(value));
    if (*end == '\0') return out;
    if (*end != ':') return std::nullopt;
    at = end + 1;
  }
  return std::nullopt;
}

const char *enumerator_name(const struct btf *btf, const btf_type *type, u32 index) {
  const u32 name = btf_is_enum(type) ? btf_enum(type)[index].name_off : btf_enum64(type)[index].name_off;
  const char *text = btf__name_by_offset(btf, name);
  return text == nullptr ? "" : text;
}

u64 enumerator_value(const btf_type *type, u32 index) {
  return btf_is_enum(type) ? static_cast<u64>(s64{btf_enum(type)[index].val})
                           : btf_enum64_value(&btf_enum64(type)[index]);
}

CoreAnswer constant(u64 value) { return {.known = true, .value = value}; }

CoreAnswer failure(std::string missing) { return {.failed = true, .missing = std::move(missing)}; }

CoreAnswer corrupt(const bpf_core_relo &relo) {
  return failure(fmt::format("a CO-RE relocation of type {} cannot be understood", relo.type_id));
}

}  // namespace

CoreResolver::CoreResolver(const ObjectFile &object, const struct btf *kernel)
    : object_(object), local_(object.btf()), kernel_(kernel) {
  for (u32 id = 1; kernel != nullptr && id < btf__type_cnt(kernel); id++) {
    const char *name = btf_type_name(kernel, id);
    if (*name != '\0')
      by_name_[{core_kind(btf__type_by_id(kernel, id)), std::string(essential_name(name))}].push_back(id);
  }
}

const std::vector<u32> &CoreResolver::candidates(u32 local_id) const {
  static const std::vector<u32> &none = *new std::vector<u32>();
  const btf_type *type = btf__type_by_id(local_, local_id);
  const auto it = by_name_.find({core_kind(type), std::string(essential_name(btf_type_name(local_, local_id)))});
  return it == by_name_.end() ? none : it->second;
}

CoreAnswer CoreResolver::resolve(const bpf_core_relo &relo) const {
  const std::string access = object_.btf_string(relo.access_str_off);
  if (relo.type_id == 0 || btf__type_by_id(local_, relo.type_id) == nullptr) return corrupt(relo);
  switch (relo.kind) {
    case BPF_CORE_FIELD_BYTE_OFFSET:
    case BPF_CORE_FIELD_BYTE_SIZE:
    case BPF_CORE_FIELD_EXISTS:
    case BPF_CORE_FIELD_SIGNED:
    case BPF_CORE_FIELD_LSHIFT_U64:
    case BPF_CORE_FIELD_RSHIFT_U64: return resolve_field(relo, access);
    case BPF_CORE_TYPE_ID_LOCAL: return constant(relo.type_id);
    case BPF_CORE_TYPE_ID_TARGET:
    case BPF_CORE_TYPE_EXISTS:
    case BPF_CORE_TYPE_SIZE:
    case BPF_CORE_TYPE_MATCHES: return resolve_type(relo);
    case BPF_CORE_ENUMVAL_EXISTS:
    case BPF_CORE_ENUMVAL_VALUE: return resolve_enumerator(relo, access);
  }
  return failure(fmt::format("CO-RE relocation kind {} is not implemented", static_cast<u32>(relo.kind)));
}

// --- Fields ---

CoreAnswer CoreResolver::resolve_field(const bpf_core_relo &relo, const std::string &access) const {
  Path path;
  if (!parse_path(relo.type_id, access, &path)) return corrupt(relo);
  Match best = Match::kNone;
  Place place;
  for (u32 id : candidates(relo.type_id)) {
    const Match match = match_path(id, path, &place);
    best = std::max(best, match);
    if (match == Match::kFound) break;
  }
  CoreAnswer answer;
  if (relo.kind == BPF_CORE_FIELD_EXISTS) {
    answer = constant(best == Match::kFound);
  } else if (best == Match::kFound) {
    const s64 size = relo.kind == BPF_CORE_FIELD_BYTE_SIZE ? btf__resolve_size(kernel_, place.type) : -1;
    if (size >= 0 && !place.bitfield)
      answer = constant(static_cast<u64>(size));
    else if (relo.kind == BPF_CORE_FIELD_BYTE_OFFSET && !place.bitfield)
      answer = constant(place.offset);
  } else {
    answer = failure(path.text + (best == Match::kNone ? " is not modelled" : " is modelled with another type"));
  }
  answer.field = path.text;
  return answer;
}

bool CoreResolver::parse_path(u32 local_id, const std::string &access, Path *path) const {
  const auto indices = parse_access(access);
  path->text = essential_name(btf_type_name(local_, local_id));
  u32 id = object_.skip_modifiers(local_id);
  if (!indices || id == 0 || path->text.empty()) return false;
  path->steps.push_back({.is_index = true, .index = (*indices)[0], .local_type = id});
  for (size_t i = 1; i < indices->size(); i++) {
    const u32 index = (*indices)[i];
    const btf_type *type = btf__type_by_id(local_, id);
    if (btf_is_composite(type)) {
      if (index >= btf_vlen(type)) return false;
      const btf_member &member = btf_members(type)[index];
      const char *name = btf__name_by_offset(local_, member.name_off);
      if (name != nullptr && *name != '\0') {
        path->text += fmt::format(".{}", name);
        path->steps.push_back({.name = name, .local_type = member.type});
      }
      id = object_.skip_modifiers(member.type);
    } else if (btf_is_array(type)) {
      path->text += fmt::format("[{}]", index);
      path->steps.push_back({.is_index = true, .index = index, .local_type = btf_array(type)->type});
      id = object_.skip_modifiers(btf_array(type)->type);
    } else {
      return false;
    }
    if (id == 0) return false;
  }
  return true;
}

CoreResolver::Match CoreResolver::match_path(u32 kernel_id, const Path &path, Place *place) const {
  const s64 size = btf__resolve_size(kernel_, kernel_id);
  *place = {.type = kernel_id, .offset = size > 0 ? path.steps[0].index * static_cast<u64>(size) : 0};
  for (size_t i = 1; i < path.steps.size(); i++) {
    const Step &step = path.steps[i];
    if (step.is_index) {
      if (!match_element(step, place)) return Match::kNone;
    } else if (const Match match = match_member(place->type, step, place, 0); match != Match::kFound) {
      return match;
    }
  }
  return Match::kFound;
}

CoreResolver::Match CoreResolver::match_member(u32 kernel_id, const Step &step, Place *place, int depth) const {
  const u32 id = skip_btf_modifiers(kernel_, kernel_id);
  const btf_type *type = btf__type_by_id(kernel_, id);
  if (id == 0 || !btf_is_composite(type) || depth > kMaxDepth) return Match::kNone;
  for (u32 i = 0; i < btf_vlen(type); i++) {
    const btf_member &member = btf_members(type)[i];
    const char *name = btf__name_by_offset(kernel_, member.name_off);
    const u64 offset = place->offset + btf_member_bit_offset(type, i) / 8;
    if (name == nullptr || *name == '\0') {
      Place inner = *place;
      inner.offset = offset;
      const Match match = match_member(member.type, step, &inner, depth + 1);
      if (match != Match::kNone) {
        *place = inner;
        return match;
      }
    } else if (step.name == name) {
      if (!fields_compatible(step.local_type, member.type, 0)) return Match::kOtherType;
      *place = {.type = member.type,
                .offset = offset,
                .bitfield = btf_member_bitfield_size(type, i) != 0,
                .last_member = i + 1u == btf_vlen(type)};
      return Match::kFound;
    }
  }
  return Match::kNone;
}

bool CoreResolver::match_element(const Step &step, Place *place) const {
  const u32 id = skip_btf_modifiers(kernel_, place->type);
  const btf_type *type = btf__type_by_id(kernel_, id);
  if (id == 0 || !btf_is_array(type)) return false;
  const struct btf_array *array = btf_array(type);
  const bool flexible = array->nelems == 0 && place->last_member;
  if (!flexible && step.index >= array->nelems) return false;
  const s64 size = btf__resolve_size(kernel_, array->type);
  *place = {.type = array->type, .offset = place->offset + (size > 0 ? step.index * static_cast<u64>(size) : 0)};
  return true;
}

bool CoreResolver::fields_compatible(u32 local, u32 kernel, int depth) const {
  const u32 local_id = skip_btf_modifiers(local_, local);
  const u32 kernel_id = skip_btf_modifiers(kernel_, kernel);
  if (local_id == 0 || kernel_id == 0 || depth > kMaxDepth) return false;
  const btf_type *local_type = btf__type_by_id(local_, local_id);
  const btf_type *kernel_type = btf__type_by_id(kernel_, kernel_id);
  if (btf_is_composite(local_type) && btf_is_composite(kernel_type)) return true;
  if (core_kind(local_type) != core_kind(kernel_type)) return false;
  switch (core_kind(local_type)) {
    case BTF_KIND_PTR:
    case BTF_KIND_FLOAT:
    case BTF_KIND_INT: return true;
    case BTF_KIND_FWD:
    case BTF_KIND_ENUM: {
      const std::string_view local_name = essential_name(btf_type_name(local_, local_id));
      const std::string_view kernel_name = essential_name(btf_type_name(kernel_, kernel_id));
      return local_name.empty() || kernel_name.empty() || local_name == kernel_name;
    }
    case BTF_KIND_ARRAY: return fields_compatible(btf_array(local_type)->type, btf_array(kernel_type)->type, depth + 1);
    default: return false;
  }
}

// --- Types ---

CoreAnswer CoreResolver::resolve_type(const bpf_core_relo &relo) const {
  u32 found = 0;
  for (u32 id : candidates(relo.type_id)) {
    if (found == 0 && types_compatible(relo.type_id, id)) found = id;
  }
  switch (relo.kind) {
    case BPF_CORE_TYPE_EXISTS: return constant(found != 0);
    // Whether the members agree too is libbpf's to say.
    case BPF_CORE_TYPE_MATCHES: return found != 0 ? CoreAnswer{} : constant(0);
    default: break;
  }
  if (found == 0) {
    const btf_type *type = btf__type_by_id(local_, relo.type_id);
    const char *kind = btf_is_struct(type)     ? "struct"
                       : btf_is_union(type)    ? "union"
                       : btf_is_any_enum(type) ? "enum"
                                               : "type";
    return failure(fmt::format("{} {} is not modelled", kind, essential_name(btf_type_name(local_, relo.type_id))));
  }
  if (relo.kind == BPF_CORE_TYPE_ID_TARGET) return constant(found);
  const s64 size = btf__resolve_size(kernel_, found);
  return size < 0 ? CoreAnswer{} : constant(static_cast<u64>(size));
}

bool CoreResolver::types_compatible(u32 local, u32 kernel, int depth) const {
  const u32 local_id = skip_btf_modifiers(local_, local);
  const u32 kernel_id = skip_btf_modifiers(kernel_, kernel);
  if (local_id == 0 || kernel_id == 0) return local_id == kernel_id;
  const btf_type *local_type = btf__type_by_id(local_, local_id);
  const btf_type *kernel_type = btf__type_by_id(kernel_, kernel_id);
  if (depth > kMaxDepth || core_kind(local_type) != core_kind(kernel_type)) return false;
  switch (core_kind(local_type)) {
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
    case BTF_KIND_ENUM:
    case BTF_KIND_FWD:
    case BTF_KIND_INT: return true;
    case BTF_KIND_PTR: return types_compatible(local_type->type, kernel_type->type, depth + 1);
    case BTF_KIND_ARRAY: return types_compatible(btf_array(local_type)->type, btf_array(kernel_type)->type, depth + 1);
    case BTF_KIND_FUNC_PROTO: {
      if (btf_vlen(local_type) != btf_vlen(kernel_type)) return false;
      for (u32 i = 0; i < btf_vlen(local_type); i++) {
        if (!types_compatible(btf_params(local_type)[i].type, btf_params(kernel_type)[i].type, depth + 1)) return false;
      }
      return types_compatible(local_type->type, kernel_type->type, depth + 1);
    }
    default: return false;
  }
}

// --- Enumerators ---

CoreAnswer CoreResolver::resolve_enumerator(const bpf_core_relo &relo, const std::string &access) const {
  const auto indices = parse_access(access);
  const u32 local_id = object_.skip_modifiers(relo.type_id);
  const btf_type *local_type = btf__type_by_id(local_, local_id);
  if (!indices || local_id == 0 || !btf_is_any_enum(local_type) || (*indices)[0] >= btf_vlen(local_type))
    return corrupt(relo);
  const std::string_view wanted = essential_name(enumerator_name(local_, local_type, (*indices)[0]));
  for (u32 id : candidates(relo.type_id)) {
    const u32 kernel_id = skip_btf_modifiers(kernel_, id);
    const btf_type *type = btf__type_by_id(kernel_, kernel_id);
    if (kernel_id == 0 || !btf_is_any_enum(type)) continue;
    for (u32 i = 0; i < btf_vlen(type); i++) {
      if (essential_name(enumerator_name(kernel_, type, i)) == wanted)
        return constant(relo.kind == BPF_CORE_ENUMVAL_EXISTS ? 1 : enumerator_value(type, i));
    }
  }
  if (relo.kind == BPF_CORE_ENUMVAL_EXISTS) return constant(0);
  const std::string_view enum_name = essential_name(btf_type_name(local_, relo.type_id));
  return failure(fmt::format("enumerator {} of enum {} is not modelled", wanted, enum_name));
}

}  // namespace uscx::bpf
