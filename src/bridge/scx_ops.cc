// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/scx_ops.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>

#include "abi/scx.h"
#include "bpf/object/prog.h"
#include "bridge/cid_ops.h"
#include "bridge/env.h"
#include "bridge/host.h"
#include "bridge/scx_contexts.h"
#include "bridge/trace_hooks.h"

namespace uscx::bridge {
namespace {

template <size_t N>
bool contains(const char *const (&list)[N], const std::string &name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

// Checks one data member as user space wrote it: 0 or -errno (docs/reference/ops.md, "ops data fields").
int check_data(const std::string &member, const sched_ext_ops &user, u32 hz) {
  if (member == "name") return sched::check_ops_name({user.name, strnlen(user.name, SCX_OPS_NAME_LEN)});
  if (member == "dispatch_max_batch") return sched::check_ops_batch(user.dispatch_max_batch);
  if (member == "flags") return sched::check_ops_flags(user.flags);
  if (member == "timeout_ms") return sched::check_ops_timeout(user.timeout_ms, hz);
  return 0;
}

}  // namespace

bool SchedExtType::may_sleep(const bpf::StructOpsMember &member) const { return callback_may_sleep(member.name); }

bpf::VerifyRules SchedExtType::rules(const bpf::StructOpsMember &member) const {
  return callback_rules(member.name, cid_form_);
}

int SchedExtType::init_member(const bpf::StructOpsMember &member, const void *user_table, void *table) {
  static constexpr const char *kData[] = {"name",          "dispatch_max_batch", "flags",        "timeout_ms",
                                          "exit_dump_len", "hotplug_seq",        "sub_cgroup_id"};
  if (!contains(kData, member.name)) return 0;
  const int error = check_data(member.name, *static_cast<const sched_ext_ops *>(user_table), host_.machine().hz());
  if (error) return error;
  std::memcpy(static_cast<char *>(table) + member.offset, static_cast<const char *>(user_table) + member.offset,
              member.size);
  return 1;
}

int SchedExtType::validate(bpf::StructOpsMap &) { return 0; }

namespace {

// The table as tracing programs see it that are attached to the kernel's functions of registration.
// FIDELITY: traced-registration.
class TracedTable {
 public:
  TracedTable(Host &host, bpf::StructOpsMap &map, const char *function) : host_(host), function_(function) {
    if (!host.system().hooks().any()) return;
    copy_ = bpf::Region::get().alloc_pages(bpf::Half::kReadOnly, sizeof(sched_ext_ops), true);
    std::memcpy(copy_, map.table(), offsetof(sched_ext_ops, priv));  // As far as both forms are the same.
    static_cast<KernelEnv &>(host_.system().env())
        .trace_hooks()
        .fire_function(function_, false, {reinterpret_cast<u64>(copy_), 0});
  }
  void returns(s64 result) {
    if (copy_)
      static_cast<KernelEnv &>(host_.system().env())
          .trace_hooks()
          .fire_function(function_, true, {reinterpret_cast<u64>(copy_), 0, static_cast<u64>(result)});
  }
  ~TracedTable() {
    if (copy_) bpf::Region::get().free_pages(copy_);
  }
  TracedTable(const TracedTable &) = delete;
  TracedTable &operator=(const TracedTable &) = delete;

 private:
  Host &host_;
  const char *const function_;
  void *copy_ = nullptr;
};

}  // namespace

int SchedExtType::reg(bpf::StructOpsMap &map) {
  TracedTable traced(host_, map, "bpf_scx_reg");
  const int error = attach(map);
  traced.returns(error);
  return error;
}

int SchedExtType::attach(bpf::StructOpsMap &map) {
  BpfOps *ops;
  {
    std::lock_guard hold(lock_);
    std::unique_ptr<BpfOps> &entry = loaded_[map.id()];
    if (entry) return -EBUSY;  // Still there from an attachment that exited by itself.
    entry = make_ops(map);
    ops = entry.get();
  }
  // Time passes.
  const int error = ops ? host_.ext().attach(*ops) : -EINVAL;
  if (error) forget(map);
  return error;
}

std::unique_ptr<BpfOps> SchedExtType::make_ops(bpf::StructOpsMap &map) {
  if (!cid_form_) return std::make_unique<BpfOps>(host_, map);
  bpf::ArenaMap *arena = CidOps::only_arena(map);
  return arena ? std::make_unique<CidOps>(host_, map, *arena) : nullptr;
}

void SchedExtType::unreg(bpf::StructOpsMap &map) {
  TracedTable traced(host_, map, "bpf_scx_unreg");
  BpfOps *ops;
  {
    std::lock_guard hold(lock_);
    const auto it = loaded_.find(map.id());
    CHECK(it != loaded_.end());
    ops = it->second.get();
  }
  host_.ext().detach(*ops);
  forget(map);
  traced.returns(0);
}

void SchedExtType::forget(bpf::StructOpsMap &map) {
  std::lock_guard hold(lock_);
  loaded_.erase(map.id());
}

sched::ExtSched *SchedExtType::sched_of(bpf::StructOpsMap *map) {
  SchedExtType *type = map ? dynamic_cast<SchedExtType *>(&map->type()) : nullptr;
  return type ? type->find(*map) : nullptr;
}

sched::ExtSched *SchedExtType::find(const bpf::StructOpsMap &map) {
  std::lock_guard hold(lock_);
  const auto it = loaded_.find(map.id());
  return it == loaded_.end() || !it->second ? nullptr : host_.ext().sched_of(*it->second);
}

}  // namespace uscx::bridge
