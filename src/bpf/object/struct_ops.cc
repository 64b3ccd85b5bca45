// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/struct_ops.h"

#include <bpf/btf.h>
#include <errno.h>

#include <algorithm>

#include "base/check.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/prog.h"

namespace uscx::bpf {

namespace {

constexpr std::string_view kValuePrefix = "bpf_struct_ops_";

std::vector<StructOpsMember> members_of(const struct btf *btf, const btf_type *type) {
  std::vector<StructOpsMember> members;
  for (u32 i = 0; i < btf_vlen(type); i++) {
    const btf_member &member = btf_members(type)[i];
    StructOpsMember out;
    out.name = btf__name_by_offset(btf, member.name_off);
    out.index = i;
    out.offset = btf_member_bit_offset(type, i) / 8;
    out.size = static_cast<u32>(std::max<s64>(btf__resolve_size(btf, member.type), 0));
    const btf_type *resolved = btf__type_by_id(btf, btf__resolve_type(btf, member.type));
    if (btf_is_ptr(resolved)) {
      const s32 target = btf__resolve_type(btf, resolved->type);
      out.is_callback = target > 0 && btf_is_func_proto(btf__type_by_id(btf, target));
    }
    members.push_back(std::move(out));
  }
  return members;
}

bool all_zero(const u8 *bytes, size_t size) {
  return std::all_of(bytes, bytes + size, [](u8 byte) { return byte == 0; });
}

}  // namespace

int StructOpsMap::create(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out) {
  if (attr.key_size != sizeof(u32) || attr.max_entries != 1 || attr.flags & ~(BPF_F_LINK | BPF_F_VTYPE_BTF_OBJ_FD) ||
      attr.btf_vmlinux_value_type_id == 0)
    return -EINVAL;
  const KernelBtf &kernel = system.kernel_btf();
  const btf_type *value_type = kernel.type(attr.btf_vmlinux_value_type_id);
  if (value_type == nullptr || !btf_is_struct(value_type)) return -EINVAL;
  const std::string_view value_name = kernel.type_name(attr.btf_vmlinux_value_type_id);
  if (value_name.substr(0, kValuePrefix.size()) != kValuePrefix) return -kENotSupp;
  const std::string_view name = value_name.substr(kValuePrefix.size());
  StructOpsType *type = system.struct_ops_type(name);
  if (type == nullptr) {
    system.log(fmt::format("bpf: struct_ops {} is not implemented", name));
    return -kENotSupp;
  }
  if (attr.value_size != value_type->size) return -EINVAL;
  const u32 struct_id = kernel.find(name, BTF_KIND_STRUCT);
  for (u32 i = 0; i < btf_vlen(value_type); i++) {
    if (static_cast<u32>(btf__resolve_type(kernel.parsed(), btf_members(value_type)[i].type)) != struct_id) continue;
    *out = std::make_shared<StructOpsMap>(system, attr, *type, struct_id, btf_member_bit_offset(value_type, i) / 8,
                                          members_of(kernel.parsed(), kernel.type(struct_id)));
    return 0;
  }
  return -EINVAL;
}

StructOpsMap::StructOpsMap(BpfSystem &system, const MapAttr &attr, StructOpsType &type, u32 struct_btf_id,
                           u32 data_offset, std::vector<StructOpsMember> members)
    : Map(system, attr),
      type_(type),
      struct_btf_id_(struct_btf_id),
      data_offset_(data_offset),
      members_(std::move(members)),
      table_(system.kernel_btf().type(struct_btf_id)->size),
      user_value_(attr.value_size),
      progs_(members_.size()) {}

StructOpsMap::~StructOpsMap() {
  CHECK(!attached_, "struct_ops map {} is destroyed while it is registered", name());
  for (const std::shared_ptr<Prog> &prog : progs_) {
    if (prog != nullptr) prog->unused_by(this);
  }
}

Prog *StructOpsMap::prog(u32 member_index) const {
  return member_index < progs_.size() ? progs_[member_index].get() : nullptr;
}

Prog *StructOpsMap::prog(std::string_view member_name) const {
  for (const StructOpsMember &member : members_) {
    if (member.name == member_name) return prog(member.index);
  }
  return nullptr;
}

int StructOpsMap::set_callback(const StructOpsMember &member, u64 fd) {
  if (fd == 0) return 0;
  std::shared_ptr<Object> object = system().object_of_fd(static_cast<int>(fd));
  if (object == nullptr) return -EBADF;
  std::shared_ptr<Prog> prog = std::dynamic_pointer_cast<Prog>(object);
  if (prog == nullptr || prog->type() != BPF_PROG_TYPE_STRUCT_OPS || prog->attr().attach_btf_id != struct_btf_id_ ||
      prog->attr().expected_attach_type != member.index)
    return -EINVAL;
  progs_[member.index] = std::move(prog);
  return 0;
}

int StructOpsMap::fill(const u8 *value) {
  // The common head belongs to the kernel.
  if (!all_zero(value, data_offset_) ||
      !all_zero(value + data_offset_ + table_.size(), value_size() - data_offset_ - table_.size()))
    return -EINVAL;
  const u8 *user_table = value + data_offset_;
  for (const StructOpsMember &member : members_) {
    const int done = type_.init_member(member, user_table, table_.data());
    if (done < 0) return done;
    if (done > 0) continue;
    const u8 *bytes = user_table + member.offset;
    if (!member.is_callback) {
      if (!all_zero(bytes, member.size)) return -EINVAL;
      continue;
    }
    u64 fd;
    std::memcpy(&fd, bytes, sizeof(fd));
    if (int err = set_callback(member, fd); err != 0) return err;
  }
  return type_.validate(*this);
}

int StructOpsMap::user_update(const void *key, const void *value, u64 flags) {
  if (flags != 0) return -EINVAL;
  if (*static_cast<const u32 *>(key) != 0) return -E2BIG;
  if (state_ != State::kInit) return -EBUSY;
  if (system().env().alloc_fails(machine::AllocSite::struct_ops_value)) return -ENOMEM;
  int err = fill(static_cast<const u8 *>(value));
  if (err == 0 && !(attr().flags & BPF_F_LINK)) {
    // Without a link, the update itself registers and user space's delete unregisters.
    err = type_.reg(*this);
    attached_ = err == 0;
  }
  if (err != 0) {
    std::fill(table_.begin(), table_.end(), 0);
    std::fill(progs_.begin(), progs_.end(), nullptr);
    return err;
  }
  for (const std::shared_ptr<Prog> &prog : progs_) {
    if (prog != nullptr) prog->used_by(this);
  }
  std::memcpy(user_value_.data(), value, value_size());
  state_ = attr().flags & BPF_F_LINK ? State::kReady : State::kInUse;
  return 0;
}

int StructOpsMap::user_lookup(const void *key, void *value, u64 flags) {
  if (flags != 0) return -EINVAL;
  if (*static_cast<const u32 *>(key) != 0) return -ENOENT;
  std::memset(value, 0, value_size());
  if (state_ == State::kInit) return 0;
  // User space gets back what it wrote; callbacks read as the ids of their programs.
  std::memcpy(value, user_value_.data(), value_size());
  for (const StructOpsMember &member : members_) {
    const u64 id = prog(member.index) != nullptr ? prog(member.index)->id() : 0;
    if (member.is_callback) std::memcpy(static_cast<u8 *>(value) + data_offset_ + member.offset, &id, sizeof(id));
  }
  const u32 state = static_cast<u32>(state_);
  std::memcpy(static_cast<u8 *>(value) + sizeof(u32), &state, sizeof(state));
  return 0;
}

int StructOpsMap::user_erase(const void *key) {
  if (attr().flags & BPF_F_LINK) return -EOPNOTSUPP;
  if (*static_cast<const u32 *>(key) != 0 || state_ == State::kInit) return -ENOENT;
  if (state_ == State::kToBeFreed) return -EINPROGRESS;
  detach();
  state_ = State::kToBeFreed;
  return 0;
}

int StructOpsMap::attach() {
  if (!(attr().flags & BPF_F_LINK) || state_ != State::kReady) return -EINVAL;
  if (attached_) return -EBUSY;
  const int err = type_.reg(*this);
  attached_ = err == 0;
  return err;
}

void StructOpsMap::detach() {
  if (!attached_) return;
  attached_ = false;
  type_.unreg(*this);
}

void StructOpsMap::user_released() {
  Map::user_released();
  if (!(attr().flags & BPF_F_LINK)) detach();
}

void *StructOpsMap::lookup(const void *) { return nullptr; }
int StructOpsMap::update(const void *, const void *, u64) { return -EINVAL; }
int StructOpsMap::erase(const void *) { return -EINVAL; }
int StructOpsMap::next_key(const void *key, void *next) {
  if (key != nullptr && *static_cast<const u32 *>(key) == 0) return -ENOENT;
  *static_cast<u32 *>(next) = 0;
  return 0;
}

USCX_MAP_TYPE(BPF_MAP_TYPE_STRUCT_OPS, struct_ops, StructOpsMap::create, MAP_KERNEL_VALUE);

// --- The link ---

StructOpsLink::StructOpsLink(BpfSystem &system, std::shared_ptr<StructOpsMap> map)
    : Object(system, ObjectKind::kLink, map->name()), map_(std::move(map)) {}

StructOpsLink::~StructOpsLink() { detach(); }

int StructOpsLink::detach() {
  if (map_ == nullptr) return 0;
  map_->detach();
  map_ = nullptr;
  return 0;
}

void StructOpsLink::user_released() {
  Object::user_released();
  detach();
}

}  // namespace uscx::bpf
