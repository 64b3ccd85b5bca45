// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/maps/prog_array.h"

#include <bpf/btf.h>

#include "bpf/object/bpf_system.h"
#include "bpf/object/prog.h"

namespace uscx::bpf {

int ProgArray::create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
  constexpr u32 kFlags = BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY;
  if (attr.key_size != sizeof(u32) || attr.value_size != sizeof(u32) || attr.max_entries == 0 || attr.flags & ~kFlags)
    return -EINVAL;
  *out = std::make_shared<ProgArray>(system, attr);
  return 0;
}

ProgArray::ProgArray(BpfSystem &system, const MapAttr &attr) : Map(system, attr), slots_(attr.max_entries) {}

Prog *ProgArray::at(u32 index) {
  if (index >= max_entries()) return nullptr;
  machine::SpinGuard guard(lock_);
  return slots_[index].get();
}

bool ProgArray::fits(const Prog &prog) {
  const btf_type *target = prog.attr().attach_btf_id != 0 && prog.type() == BPF_PROG_TYPE_TRACING
                               ? system().kernel_btf().type(prog.attr().attach_btf_id)
                               : nullptr;
  const Kind kind{prog.type(), prog.attr().expected_attach_type, target != nullptr ? target->type : 0,
                  prog.sleepable()};
  if (!kind_.has_value()) kind_ = kind;
  return *kind_ == kind;
}

int ProgArray::put(u32 index, std::shared_ptr<Prog> prog) {
  {
    machine::SpinGuard guard(lock_);
    std::swap(slots_[index], prog);
  }
  if (prog == nullptr) return -ENOENT;
  system().defer_call([prog] {});
  return 0;
}

int ProgArray::erase(const void *key) { return index_of(key) >= max_entries() ? -E2BIG : put(index_of(key), nullptr); }

int ProgArray::next_key(const void *key, void *next) {
  const u32 index = key != nullptr ? index_of(key) : ~0u;
  if (index < max_entries() && index + 1 >= max_entries()) return -ENOENT;
  const u32 following = index < max_entries() ? index + 1 : 0;
  std::memcpy(next, &following, sizeof(following));
  return 0;
}

int ProgArray::user_lookup(const void *key, void *value, u64 flags) {
  if (flags != 0) return -EINVAL;
  const Prog *prog = at(index_of(key));
  if (prog == nullptr) return -ENOENT;
  const u32 id = prog->id();
  std::memcpy(value, &id, sizeof(id));
  return 0;
}

int ProgArray::user_update(const void *key, const void *value, u64 flags) {
  if (flags != BPF_ANY) return -EINVAL;
  if (index_of(key) >= max_entries()) return -E2BIG;
  s32 fd;
  std::memcpy(&fd, value, sizeof(fd));
  const std::shared_ptr<Object> object = system().object_of_fd(fd);
  if (object == nullptr) return -EBADF;
  const auto prog = std::dynamic_pointer_cast<Prog>(object);
  if (prog == nullptr || prog->program() == nullptr || !fits(*prog)) return -EINVAL;
  put(index_of(key), prog);
  return 0;
}

void ProgArray::user_released() {
  Map::user_released();
  for (u32 i = 0; i < max_entries(); i++) put(i, nullptr);
}

USCX_MAP_TYPE(BPF_MAP_TYPE_PROG_ARRAY, prog_array, ProgArray::create, 0);

}  // namespace uscx::bpf
