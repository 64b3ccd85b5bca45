// SPDX-License-Identifier: GPL-2.0-only
// Names for addresses in programs' memory, through the BTF of the map that has them: for reports, so that nothing here
// need be fast.
#include "bpf/object/address_name.h"

#include <bpf/btf.h>

#include "bpf/object/bpf_system.h"

namespace uscx::bpf {
namespace {

// The member of a struct, or the element of an array (whichever), at `offset` of a value of the type: ".runs",
// "[].head".
std::string path_in(const struct btf *btf, u32 id, u32 offset) {
  static constexpr int kMaxDepth = 8;
  std::string path;
  for (int depth = 0; depth < kMaxDepth; depth++) {
    const s32 resolved = btf__resolve_type(btf, id);
    const btf_type *type = resolved < 0 ? nullptr : btf__type_by_id(btf, static_cast<u32>(resolved));
    if (type == nullptr) break;
    if (btf_is_array(type)) {
      const s64 size = btf__resolve_size(btf, btf_array(type)->type);
      if (size <= 0) break;
      path += "[]";
      offset %= static_cast<u32>(size);
      id = btf_array(type)->type;
    } else if (btf_is_composite(type)) {
      u32 best = btf_vlen(type);
      for (u32 i = 0; i < btf_vlen(type); i++)
        if (btf_member_bit_offset(type, i) / 8 <= offset) best = i;
      if (best == btf_vlen(type)) break;
      path += fmt::format(".{}", btf__name_by_offset(btf, btf_members(type)[best].name_off));
      offset -= btf_member_bit_offset(type, best) / 8;
      id = btf_members(type)[best].type;
    } else {
      break;
    }
  }
  return path;
}

}  // namespace

std::string variable_text(const struct btf *btf, const btf_type *section, u32 offset) {
  for (u32 i = 0; i < btf_vlen(section); i++) {
    const btf_var_secinfo &info = btf_var_secinfos(section)[i];
    if (offset < info.offset || offset >= info.offset + info.size) continue;
    const btf_type *variable = btf__type_by_id(btf, info.type);
    return fmt::format("variable {}{}", btf__name_by_offset(btf, variable->name_off),
                       path_in(btf, variable->type, offset - info.offset));
  }
  return "";
}

namespace {

std::string place_text(const Map &map, u32 offset) {
  const struct btf *btf = map.attr().btf ? map.attr().btf->parsed() : nullptr;
  const btf_type *type = btf ? btf__type_by_id(btf, map.attr().btf_value_type_id) : nullptr;
  if (type != nullptr && btf_is_datasec(type)) {
    if (std::string text = variable_text(btf, type, offset); !text.empty()) return text;
    type = nullptr;
  }
  const std::string path = type != nullptr ? path_in(btf, map.attr().btf_value_type_id, offset) : "";
  return fmt::format("map {}, value{}", map.name(), !path.empty() ? path : offset ? fmt::format(" + {}", offset) : "");
}

}  // namespace

std::string BpfSystem::address_text(u64 address) const {
  const char *place = reinterpret_cast<const char *>(address);
  for (const std::shared_ptr<Map> &map : maps())
    if (const void *value = map->value_around(place))
      return place_text(*map, static_cast<u32>(place - static_cast<const char *>(value)));
  return fmt::format("{:#x}", address);
}

void BpfSystem::unshare_maps() {
  for (const std::shared_ptr<Map> &map : maps()) map->unshare();
}

}  // namespace uscx::bpf
