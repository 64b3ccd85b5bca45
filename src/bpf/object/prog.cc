// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/prog.h"

#include <errno.h>

#include <algorithm>

#include "base/hash.h"
#include "bpf/exec/exec.h"
#include "bpf/exec/jit.h"
#include "bpf/exec/program.h"
#include "bpf/object/bpf_system.h"

namespace uscx::bpf {

Prog::Prog(BpfSystem &system, Attr attr)
    : Object(system, ObjectKind::kProg, attr.name), attr_(std::move(attr)), loaded_ns_(system.env().now_ns()) {}

Prog::~Prog() = default;

std::span<const u8> Prog::code() const {
  const JitCode *jit = program_ != nullptr ? program_->jit() : nullptr;
  return jit != nullptr ? jit->code() : std::span<const u8>();
}

u64 Prog::tag() const {
  Hash64 hash;
  for (size_t i = 0; i < insns_.size(); i++) {
    bpf_insn insn = insns_[i];
    const bool map = insn.code == (BPF_LD | BPF_IMM | BPF_DW) &&
                     (insn.src_reg == BPF_PSEUDO_MAP_FD || insn.src_reg == BPF_PSEUDO_MAP_VALUE);
    if (map) insn.imm = 0;
    hash.add_bytes(&insn, sizeof insn);
  }
  return hash.value();
}

void Prog::print_to(u32 id, std::string_view text) {
  std::lock_guard hold(streams_lock_);
  std::string &to = streams_[id - 1];
  if (to.size() + text.size() <= kMaxStreamBytes) to += text;
}

int Prog::read_stream(u32 id, size_t max_bytes, const std::function<int(std::string_view text)> &take) {
  std::lock_guard hold(streams_lock_);
  std::string &from = streams_[id - 1];
  const size_t bytes = std::min(max_bytes, from.size());
  const int result = take(std::string_view(from).substr(0, bytes));
  if (result == 0) from.erase(0, bytes);
  return result;
}

void Prog::bind_map(std::shared_ptr<Map> map) {
  if (std::find(maps_.begin(), maps_.end(), map) == maps_.end()) maps_.push_back(std::move(map));
}

int Prog::associate(const std::shared_ptr<StructOpsMap> &map) {
  if (assoc_ == Assoc::kOne && assoc_map_ == map.get()) return 0;
  if (assoc_ != Assoc::kNone) return -EBUSY;
  assoc_ = Assoc::kOne;
  assoc_map_ = map.get();
  assoc_ref_ = map;
  return 0;
}

void Prog::used_by(StructOpsMap *map) {
  if (assoc_ == Assoc::kNone) {
    assoc_ = Assoc::kOne;
    assoc_map_ = map;
  } else if (assoc_map_ != map) {
    assoc_ = Assoc::kAmbiguous;
    assoc_map_ = nullptr;
  }
}

void Prog::unused_by(StructOpsMap *map) {
  if (assoc_ == Assoc::kOne && assoc_map_ == map) {
    assoc_ = Assoc::kNone;
    assoc_map_ = nullptr;
  }
}

u64 kernel_text_address(u32 btf_id) { return 0xffffffff81000000ull + u64{btf_id} * 16; }

Prog *running_prog() {
  const Invocation *invocation = Invocation::current();
  BpfSystem *system = BpfSystem::current();
  return invocation != nullptr && system != nullptr ? invocation->program()->owner() : nullptr;
}

}  // namespace uscx::bpf
