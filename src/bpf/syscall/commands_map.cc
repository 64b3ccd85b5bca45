// SPDX-License-Identifier: GPL-2.0-only
// bpf(2)'s commands on maps and BTF.
#include <bpf/btf.h>
#include <errno.h>

#include <cctype>
#include <cstring>

#include "bpf/object/bpf_system.h"
#include "bpf/object/command.h"
#include "bpf/object/user_memory.h"

namespace uscx::bpf {

bool object_name_ok(const char (&name)[BPF_OBJ_NAME_LEN], std::string *out) {
  const size_t length = strnlen(name, BPF_OBJ_NAME_LEN);
  if (length == BPF_OBJ_NAME_LEN) return false;
  for (size_t i = 0; i < BPF_OBJ_NAME_LEN; i++) {
    const unsigned char c = static_cast<unsigned char>(name[i]);
    if (i < length ? !(std::isalnum(c) || c == '_' || c == '.') : c != 0) return false;
  }
  out->assign(name, length);
  return true;
}

namespace {

// The sizes that the BTF gives to key and value must be the map's.
bool btf_sizes_match(const MapAttr &attr) {
  const struct btf *btf = attr.btf->parsed();
  if (attr.btf_key_type_id != 0 && btf__resolve_size(btf, attr.btf_key_type_id) != attr.key_size) return false;
  if (attr.btf_value_type_id == 0) return true;
  const btf_type *value = btf__type_by_id(btf, attr.btf_value_type_id);
  // A data section may be smaller than the map that holds it.
  if (value != nullptr && btf_is_datasec(value)) return value->size <= attr.value_size;
  return value != nullptr && btf__resolve_size(btf, attr.btf_value_type_id) == attr.value_size;
}

}  // namespace

USCX_BPF_COMMAND(MAP_CREATE, excl_prog_hash_size) {
  MapAttr map;
  map.type = attr->map_type;
  map.key_size = attr->key_size;
  map.value_size = attr->value_size;
  map.max_entries = attr->max_entries;
  map.flags = attr->map_flags;
  map.extra = attr->map_extra;
  map.btf_key_type_id = attr->btf_key_type_id;
  map.btf_value_type_id = attr->btf_value_type_id;
  map.btf_vmlinux_value_type_id = attr->btf_vmlinux_value_type_id;
  if (!object_name_ok(attr->map_name, &map.name)) return -EINVAL;
  if (map.flags & BPF_F_TOKEN_FD || attr->excl_prog_hash != 0 || attr->map_ifindex != 0) {
    system.log("bpf: MAP_CREATE: tokens, exclusive maps and device maps are not implemented");
    return -EINVAL;
  }
  const MapTypeEntry *type = find_map_type(map.type);
  if (type == nullptr) {
    const char *name = map_type_name(map.type);
    system.log(
        fmt::format("bpf: map {}: map type {} is not implemented", map.name, name ? name : std::to_string(map.type)));
    return -EINVAL;
  }
  if (map.btf_vmlinux_value_type_id != 0) {
    if (!(type->uses & MAP_KERNEL_VALUE) || map.btf_key_type_id != 0 || map.btf_value_type_id != 0) return -EINVAL;
  } else if (map.btf_key_type_id != 0 && map.btf_value_type_id == 0) {
    return -EINVAL;
  }
  if (map.extra != 0 && !(type->uses & MAP_EXTRA)) return -EINVAL;
  if (attr->numa_node != 0 && !(map.flags & BPF_F_NUMA_NODE)) return -EINVAL;
  if (map.btf_key_type_id != 0 || map.btf_value_type_id != 0) {
    map.btf = system.get<Btf>(static_cast<int>(attr->btf_fd));
    if (map.btf == nullptr) return system.object_of_fd(static_cast<int>(attr->btf_fd)) == nullptr ? -EBADF : -EINVAL;
    if (map.btf->is_kernel()) return -EACCES;
    if (!btf_sizes_match(map)) return -EINVAL;
  }
  if (type->uses & MAP_HOLDS_MAPS) {
    std::shared_ptr<Map> inner;
    if (int err = system.map_of_fd(attr->inner_map_fd, &inner); err != 0) return err;
    map.inner = std::make_shared<InnerPattern>(InnerPattern{inner->attr(), inner->fields()});
  }
  if (system.env().alloc_fails(machine::AllocSite::map)) return -ENOMEM;
  std::shared_ptr<Map> created;
  if (const int err = type->create(system, map, &created); err != 0) return err;
  return system.install_fd(created);
}

namespace {

// A key as user space gave it: copied, because its buffer has no alignment. Maps without keys take none.
int read_key(const Map &map, u64 user_key, std::vector<u64> *key) {
  if (map.key_size() == 0) return user_key != 0 ? -EINVAL : 0;
  key->resize((map.key_size() + 7) / 8);
  return copy_from_user(key->data(), user_key, map.key_size());
}

}  // namespace

USCX_BPF_COMMAND(MAP_LOOKUP_ELEM, flags) {
  std::shared_ptr<Map> map;
  std::vector<u64> key;
  if (int err = system.map_of_fd(attr->map_fd, &map); err != 0) return err;
  if (map->attr().flags & BPF_F_WRONLY) return -EPERM;
  if (int err = read_key(*map, attr->key, &key); err != 0) return err;
  std::vector<u64> value((map->user_value_size() + 7) / 8);
  if (int err = map->user_lookup(key.data(), value.data(), attr->flags); err != 0) return err;
  return copy_to_user(attr->value, value.data(), map->user_value_size());
}

USCX_BPF_COMMAND(MAP_UPDATE_ELEM, flags) {
  std::shared_ptr<Map> map;
  std::vector<u64> key;
  if (int err = system.map_of_fd(attr->map_fd, &map); err != 0) return err;
  if (map->attr().flags & BPF_F_RDONLY || map->frozen()) return -EPERM;
  if (attr->flags & BPF_F_LOCK && !map->has_field(FieldKind::kSpinLock)) return -EINVAL;
  if (int err = read_key(*map, attr->key, &key); err != 0) return err;
  std::vector<u64> value((map->user_value_size() + 7) / 8);
  if (int err = copy_from_user(value.data(), attr->value, map->user_value_size()); err != 0) return err;
  return map->user_update(key.data(), value.data(), attr->flags);
}

USCX_BPF_COMMAND(MAP_DELETE_ELEM, key) {
  std::shared_ptr<Map> map;
  std::vector<u64> key;
  if (int err = system.map_of_fd(attr->map_fd, &map); err != 0) return err;
  if (map->attr().flags & BPF_F_RDONLY || map->frozen()) return -EPERM;
  if (int err = read_key(*map, attr->key, &key); err != 0) return err;
  return map->user_erase(key.data());
}

USCX_BPF_COMMAND(MAP_GET_NEXT_KEY, next_key) {
  std::shared_ptr<Map> map;
  std::vector<u64> key;
  if (int err = system.map_of_fd(attr->map_fd, &map); err != 0) return err;
  if (map->attr().flags & BPF_F_WRONLY) return -EPERM;
  if (attr->key != 0) {
    if (int err = read_key(*map, attr->key, &key); err != 0) return err;
  }
  std::vector<u64> next((map->key_size() + 7) / 8);
  if (int err = map->next_key(attr->key != 0 ? key.data() : nullptr, next.data()); err != 0) return err;
  return copy_to_user(attr->next_key, next.data(), map->key_size());
}

USCX_BPF_COMMAND(MAP_LOOKUP_AND_DELETE_ELEM, flags) {
  std::shared_ptr<Map> map;
  std::vector<u64> key;
  if (int err = system.map_of_fd(attr->map_fd, &map); err != 0) return err;
  if (attr->flags & ~u64{BPF_F_LOCK}) return -EINVAL;
  if (map->attr().flags & (BPF_F_RDONLY | BPF_F_WRONLY) || map->frozen()) return -EPERM;
  if (int err = read_key(*map, attr->key, &key); err != 0) return err;
  std::vector<u64> value((map->user_value_size() + 7) / 8);
  const int err = map->user_lookup_and_delete(key.data(), value.data(), attr->flags);
  if (err != 0) {
    return err == -EOPNOTSUPP ? -kENotSupp : err;
  }
  return copy_to_user(attr->value, value.data(), map->user_value_size());
}

USCX_BPF_COMMAND(MAP_FREEZE, map_fd) {
  std::shared_ptr<Map> map;
  if (int err = system.map_of_fd(attr->map_fd, &map); err != 0) return err;
  if (map->supports(MAP_KERNEL_VALUE) || !map->fields().empty()) return -kENotSupp;
  return map->freeze();
}

USCX_BPF_COMMAND(BTF_LOAD, btf_token_fd) {
  if (attr->btf_flags != 0) {
    system.log("bpf: BTF_LOAD: tokens are not implemented");
    return -EINVAL;
  }
  constexpr u32 kMaxBtfBytes = 16u << 20;
  if (attr->btf_size > kMaxBtfBytes) return -E2BIG;
  if (system.env().alloc_fails(machine::AllocSite::btf)) return -ENOMEM;
  std::vector<u8> raw(attr->btf_size);
  if (int err = copy_from_user(raw.data(), attr->btf, raw.size()); err != 0) return err;
  std::string why;
  if (int err = validate_btf(raw, &why); err != 0) {
    attr->btf_log_true_size = static_cast<u32>(why.size() + 1);
    write_log(attr->btf_log_buf, attr->btf_log_size, attr->btf_log_level, why);
    return err;
  }
  struct btf *parsed = btf__new(raw.data(), static_cast<u32>(raw.size()));
  if (parsed == nullptr) return -EINVAL;
  return system.install_fd(std::make_shared<Btf>(system, std::move(raw), parsed));
}

}  // namespace uscx::bpf
