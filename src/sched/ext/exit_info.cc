// SPDX-License-Identifier: GPL-2.0-only
// Exit kinds as texts, and the exit record that schedulers read.
#include "sched/ext/exit_info.h"

#include <algorithm>
#include <cstring>

#include "sched/ext/ext.h"

namespace uscx::sched {

namespace {

struct KindText {
  u32 kind;
  const char *name;
  const char *reason;
};
constexpr KindText kKinds[] = {
    {SCX_EXIT_NONE, "SCX_EXIT_NONE", nullptr},
    {SCX_EXIT_DONE, "SCX_EXIT_DONE", nullptr},
    {SCX_EXIT_UNREG, "SCX_EXIT_UNREG", "unregistered from user space"},
    {SCX_EXIT_UNREG_BPF, "SCX_EXIT_UNREG_BPF", "unregistered from BPF"},
    {SCX_EXIT_UNREG_KERN, "SCX_EXIT_UNREG_KERN", "unregistered from the main kernel"},
    {SCX_EXIT_SYSRQ, "SCX_EXIT_SYSRQ", "disabled by sysrq-S"},
    {SCX_EXIT_PARENT, "SCX_EXIT_PARENT", "parent exiting"},
    {SCX_EXIT_ERROR, "SCX_EXIT_ERROR", "runtime error"},
    {SCX_EXIT_ERROR_BPF, "SCX_EXIT_ERROR_BPF", "scx_bpf_error"},
    {SCX_EXIT_ERROR_STALL, "SCX_EXIT_ERROR_STALL", "runnable task stall"},
};

const KindText *find_kind(u32 kind) {
  for (const KindText &text : kKinds)
    if (text.kind == kind) return &text;
  return nullptr;
}

void copy_text(char *to, size_t size, const std::string &text) {
  const size_t length = std::min(text.size(), size - 1);
  std::memcpy(to, text.data(), length);
  to[length] = 0;
}

}  // namespace

const char *exit_reason(u32 kind) {
  const KindText *text = find_kind(kind);
  return text && text->reason ? text->reason : "<UNKNOWN>";
}

const char *exit_kind_name(u32 kind) {
  const KindText *text = find_kind(kind);
  return text ? text->name : "<UNKNOWN>";
}

ExitInfo::ExitInfo(ObjectSpace &objects, u32 dump_bytes)
    : objects_(objects), dump_bytes_(dump_bytes ? dump_bytes : u32{SCX_EXIT_DUMP_DFL_LEN}) {
  char *memory = static_cast<char *>(objects_.alloc(ObjectType::kOther, bytes()));
  info_ = reinterpret_cast<scx_exit_info *>(memory);
  reason_ = memory + sizeof(scx_exit_info);
  msg_ = reason_ + kReasonBytes;
  dump_ = msg_ + SCX_EXIT_MSG_LEN;
  info_->reason = reason_;
  info_->msg = msg_;
  info_->dump = dump_;
  info_->exit_cpu = -1;
}

ExitInfo::~ExitInfo() { objects_.free(ObjectType::kOther, info_, bytes()); }

void ExitInfo::fill(const ExitRecord &record) {
  info_->kind = static_cast<scx_exit_kind>(record.kind);
  info_->exit_cpu = record.exit_cpu;
  info_->exit_code = record.exit_code;
  info_->flags = record.flags;
  copy_text(reason_, kReasonBytes, record.reason);
  copy_text(msg_, SCX_EXIT_MSG_LEN, record.msg);
  copy_text(dump_, dump_bytes_, record.dump);
}

}  // namespace uscx::sched
