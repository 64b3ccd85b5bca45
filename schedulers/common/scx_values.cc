// SPDX-License-Identifier: GPL-2.0-only
// A scheduler's variables, fields and enumerators by name, through the object's and the kernel's BTF.
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/units.h"
#include "schedulers/common/scx_user.h"

namespace uscx::schedulers {
namespace {

constexpr std::string_view kEnumeratorPrefix = "SCX_";
constexpr std::string_view kVariablePrefix = "__SCX_";
constexpr std::string_view kFlagPrefix = "SCX_OPS_";
constexpr std::string_view kFlagsEnum = "scx_ops_flags";

// Calls visit(place, linkage) for each variable in the object's data sections until it returns true.
template <typename Visit>
void for_each_variable(bpf_object *object, Visit visit) {
  const btf *types = bpf_object__btf(object);
  bpf_map *map;
  bpf_object__for_each_map(map, object) {
    if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS) continue;
    const u32 section_id = bpf_map__btf_value_type_id(map);
    const btf_type *section = section_id ? btf__type_by_id(types, section_id) : nullptr;
    size_t size = 0;
    u8 *data = static_cast<u8 *>(bpf_map__initial_value(map, &size));
    // What libbpf fills from the kernel's configuration is not the user's to set.
    if (!section || !btf_is_datasec(section) || !data || std::string_view(bpf_map__name(map)) == ".kconfig") continue;
    const btf_var_secinfo *entries = btf_var_secinfos(section);
    for (u32 i = 0; i < btf_vlen(section); i++) {
      const btf_type *variable = btf__type_by_id(types, entries[i].type);
      if (!btf_is_var(variable) || entries[i].offset + entries[i].size > size) continue;
      const BtfPlace place{types, variable->type, data + entries[i].offset,
                           btf__name_by_offset(types, variable->name_off)};
      if (visit(place, btf_var(variable)->linkage)) return;
    }
  }
}

}  // namespace

Status ScxObject::read_kernel_enumerators(const Environment &environment) {
  const btf *types = environment.kernel_btf;
  std::unique_ptr<btf, void (*)(btf *)> loaded(nullptr, btf__free);
  if (!types) {
    loaded.reset(btf__load_vmlinux_btf());
    if (!loaded) return Status::error("the kernel's BTF cannot be read: {}", libbpf_log());
    types = loaded.get();
  }
  for (u32 id = 1; id < btf__type_cnt(types); id++) {
    const btf_type *type = btf__type_by_id(types, id);
    if (!btf_is_any_enum(type)) continue;
    for (u32 i = 0; i < btf_vlen(type); i++) {
      const bool is_64 = btf_is_enum64(type);
      const std::string_view name =
          btf__name_by_offset(types, is_64 ? btf_enum64(type)[i].name_off : btf_enum(type)[i].name_off);
      if (name.substr(0, kEnumeratorPrefix.size()) != kEnumeratorPrefix) continue;
      const u64 value = is_64             ? btf_enum64_value(&btf_enum64(type)[i])
                        : btf_kflag(type) ? static_cast<u64>(static_cast<s64>(btf_enum(type)[i].val))
                                          : static_cast<u32>(btf_enum(type)[i].val);
      enumerators_.emplace(name, Enumerator{value, btf__name_by_offset(types, type->name_off)});
    }
  }
  return {};
}

void ScxObject::fill_enumerators() {
  for_each_variable(object_, [this](const BtfPlace &place, u32) {
    if (place.name.rfind(kVariablePrefix, 0) != 0) return false;
    const auto found = enumerators_.find(std::string_view(place.name).substr(2));
    const u64 value = found == enumerators_.end() ? 0 : found->second.value;
    // A variable of another type is none of the convention's, however it is called.
    (void)write_value(place, fmt::format("{}", value)).ok();
    return false;
  });
}

std::optional<BtfPlace> ScxObject::find_variable(std::string_view name) const {
  std::optional<BtfPlace> found;
  for_each_variable(object_, [&](const BtfPlace &place, u32 linkage) {
    if (place.name != name) return false;
    // A global before a static, whose name may occur several times.
    if (!found || linkage != BTF_VAR_STATIC) found = place;
    return linkage != BTF_VAR_STATIC;
  });
  return found;
}

std::vector<BtfPlace> ScxObject::variable_places() const {
  std::vector<BtfPlace> places;
  for_each_variable(object_, [&](const BtfPlace &place, u32 linkage) {
    if (linkage != BTF_VAR_STATIC && place.name.rfind("__", 0) != 0 && place.name != "_license")
      places.push_back(place);
    return false;
  });
  std::sort(places.begin(), places.end(), [](const BtfPlace &a, const BtfPlace &b) { return a.name < b.name; });
  return places;
}

std::vector<std::string> ScxObject::variables() const {
  std::vector<std::string> names;
  for (const BtfPlace &place : variable_places()) names.push_back(place.name);
  return names;
}

Result<BtfPlace> ScxObject::variable_place(std::string_view path) const {
  const size_t end = std::min(path.find_first_of(".["), path.size());
  const std::optional<BtfPlace> variable = find_variable(path.substr(0, end));
  if (!variable) {
    const std::vector<std::string> names = variables();
    if (names.empty()) return Status::error("{} has no variables", name_);
    return Status::error("{} has no variable '{}'; it has {}", name_, path.substr(0, end), fmt::join(names, ", "));
  }
  return walk_path(*variable, path.substr(end));
}

Status ScxObject::set_variable(std::string_view path, std::string_view value) {
  CHECK(!loaded_);
  Result<BtfPlace> place = variable_place(path);
  return place.ok() ? write_value(*place, value) : place.status();
}

s64 ScxObject::variable(std::string_view path) const {
  const size_t end = std::min(path.find_first_of(".["), path.size());
  const std::optional<BtfPlace> variable = find_variable(path.substr(0, end));
  CHECK(variable.has_value(), "{} has no variable {}", name_, path);
  Result<BtfPlace> place = walk_path(*variable, path.substr(end));
  CHECK(place.ok(), "{}", path);
  return read_integer(*place);
}

std::optional<BtfPlace> ScxObject::find_exit_record() const {
  std::optional<BtfPlace> found;
  for_each_variable(object_, [&](const BtfPlace &place, u32) {
    if (type_name(place.types, place.type_id) != "struct user_exit_info") return false;
    found = place;
    return true;
  });
  return found;
}

BtfPlace ScxObject::ops_place() const {
  size_t size = 0;
  return BtfPlace{bpf_object__btf(object_), bpf_map__btf_value_type_id(ops_map_),
                  static_cast<u8 *>(bpf_map__initial_value(ops_map_, &size)), ""};
}

std::vector<std::string> ScxObject::ops_fields() const {
  const BtfPlace ops = ops_place();
  const btf_type *type = btf__type_by_id(ops.types, ops.type_id);
  std::vector<std::string> fields;
  for (u32 i = 0; i < btf_vlen(type); i++) {
    const btf_member &member = btf_members(type)[i];
    // Pointers are callbacks, and the kernel's private word.
    const int member_type = btf__resolve_type(ops.types, member.type);
    if (member_type < 0 || btf_is_ptr(btf__type_by_id(ops.types, static_cast<u32>(member_type)))) continue;
    fields.emplace_back(btf__name_by_offset(ops.types, member.name_off));
  }
  return fields;
}

Result<BtfPlace> ScxObject::ops_field_place(std::string_view field) const {
  const std::vector<std::string> fields = ops_fields();
  if (std::find(fields.begin(), fields.end(), field) == fields.end())
    return Status::error("{} has no field '{}' that can be set; it has {}", bpf_map__name(ops_map_), field,
                         fmt::join(fields, ", "));
  return find_member(ops_place(), field);
}

Result<u64> ScxObject::parse_flags(std::string_view text) const {
  if (!text.empty() && text[0] >= '0' && text[0] <= '9') return parse_number(text, 0, ~0ULL);
  u64 flags = 0;
  do {
    const size_t bar = std::min(text.find('|'), text.size());
    std::string name(text.substr(0, bar));
    if (name.rfind(kFlagPrefix, 0) != 0) name.insert(0, kFlagPrefix);
    const auto found = enumerators_.find(name);
    if (found == enumerators_.end() || found->second.type != kFlagsEnum) {
      std::vector<std::string> names;
      for (const auto &[known, enumerator] : enumerators_)
        if (enumerator.type == kFlagsEnum) names.push_back(known.substr(kFlagPrefix.size()));
      return Status::error("'{}' is no flag of this kernel; it has {}", text.substr(0, bar), fmt::join(names, ", "));
    }
    flags |= found->second.value;
    text.remove_prefix(std::min(bar + 1, text.size()));
  } while (!text.empty());
  return flags;
}

Status ScxObject::set_ops_field(std::string_view field, std::string_view value) {
  CHECK(!loaded_);
  Result<BtfPlace> place = ops_field_place(field);
  if (!place.ok()) return place.status();
  if (field != "flags") return write_value(*place, value);
  Result<u64> flags = parse_flags(value);
  if (!flags.ok()) return flags.status().at("flags");
  return write_value(*place, fmt::format("{}", *flags));
}

Status ScxObject::set_ops_flag(std::string_view flag, bool on) {
  Result<u64> value = parse_flags(flag);
  if (!value.ok()) return value.status().at("flags");
  Result<s64> flags = ops_field("flags");
  if (!flags.ok()) return flags.status();
  const u64 now = static_cast<u64>(*flags);
  return set_ops_field("flags", fmt::format("{}", on ? now | *value : now & ~*value));
}

Result<s64> ScxObject::ops_field(std::string_view field) const {
  Result<BtfPlace> place = ops_field_place(field);
  if (!place.ok()) return place.status();
  return read_integer(*place);
}

}  // namespace uscx::schedulers
