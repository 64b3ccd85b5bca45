// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/maps/arena_name.h"

#include <bpf/btf.h>
#include <errno.h>

#include "bpf/maps/arena_map.h"
#include "bpf/object/address_name.h"
#include "bpf/object/prog.h"

namespace uscx::bpf {
namespace {

// libbpf puts the variables of an arena on its last pages.
std::string arena_text(const ArenaMap &arena, const struct btf *btf, u64 offset) {
  constexpr const char *kSection = ".addr_space.1";
  const s32 id = btf ? btf__find_by_name_kind(btf, kSection, BTF_KIND_DATASEC) : -ENOENT;
  if (id > 0) {
    const btf_type *section = btf__type_by_id(btf, static_cast<u32>(id));
    const u64 pages = (section->size + kPageBytes - 1) / kPageBytes;
    const u64 first = arena.mmap_size() - pages * kPageBytes;
    if (offset >= first)
      if (std::string text = variable_text(btf, section, static_cast<u32>(offset - first)); !text.empty()) return text;
  }
  return fmt::format("arena {} + {:#x}", arena.name(), offset);
}

}  // namespace

std::string address_text_of(const BpfSystem &system, const Prog &program, u64 address) {
  for (const std::shared_ptr<Map> &map : program.maps()) {
    if (map->attr().type != BPF_MAP_TYPE_ARENA) continue;
    const ArenaMap &arena = static_cast<const ArenaMap &>(*map);
    const u64 start = arena.window_base() + static_cast<u32>(arena.user_start());
    if (address >= start && address < start + arena.mmap_size())
      return arena_text(arena, program.attr().btf ? program.attr().btf->parsed() : nullptr, address - start);
  }
  return system.address_text(address);
}

}  // namespace uscx::bpf
