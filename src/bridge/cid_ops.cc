// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/cid_ops.h"

#include "bpf/memory/fault.h"
#include "bpf/object/prog.h"
#include "bridge/host.h"

namespace uscx::bridge {

using sched::Op;

namespace {

// A window's bits may begin anywhere in their first word, hence the word more.
u32 cmask_words(u32 nr_cids) { return (nr_cids + 63) / 64 + 1; }

}  // namespace

bpf::ArenaMap *CidOps::only_arena(const bpf::StructOpsMap &map) {
  bpf::ArenaMap *found = nullptr;
  for (const bpf::StructOpsMember &member : map.members()) {
    const bpf::Prog *prog = member.is_callback ? map.prog(member.index) : nullptr;
    if (!prog) continue;
    for (const std::shared_ptr<bpf::Map> &used : prog->maps()) {
      bpf::ArenaMap *arena = dynamic_cast<bpf::ArenaMap *>(used.get());
      if (arena && found && arena != found) return nullptr;
      if (arena) found = arena;
    }
  }
  return found;
}

u64 CidOps::scratch_bytes() { return sizeof(scx_cmask) + cmask_words(host().ext().cids().nr()) * sizeof(u64); }

bool CidOps::prepare() {
  if (!has(Op::set_cpumask)) return true;
  const u64 bytes = scratch_bytes() * host().kernel().nr_cpus();
  scratch_ = arena_.alloc_pages(0, static_cast<u32>((bytes + bpf::kPageBytes - 1) / bpf::kPageBytes));
  return scratch_ != 0;
}

CidOps::~CidOps() {
  const u64 bytes = scratch_bytes() * host().kernel().nr_cpus();
  if (scratch_) arena_.free_pages(scratch_, static_cast<u32>((bytes + bpf::kPageBytes - 1) / bpf::kPageBytes));
}

s32 CidOps::cid_of(s32 cpu) { return host().ext().cids().cid_of(static_cast<u32>(cpu)); }

s32 CidOps::select_cpu(task_struct *p, s32 prev_cpu, u64 wake_flags) {
  const s32 cid = BpfOps::select_cpu(p, cid_of(prev_cpu), wake_flags);
  sched::ExtSched *sched = sched::Ext::sched_of(*this);
  return cid < 0 || !sched ? cid : host().ext().cid_to_cpu(*sched, cid);
}

void CidOps::dispatch(s32 cpu, task_struct *prev) { BpfOps::dispatch(cid_of(cpu), prev); }
void CidOps::update_idle(s32 cpu, bool idle) { BpfOps::update_idle(cid_of(cpu), idle); }
void CidOps::dump_cpu(scx_dump_ctx *ctx, s32 cpu, bool idle) { BpfOps::dump_cpu(ctx, cid_of(cpu), idle); }
void CidOps::cpu_online(s32 cpu) { BpfOps::cpu_online(cid_of(cpu)); }
void CidOps::cpu_offline(s32 cpu) { BpfOps::cpu_offline(cid_of(cpu)); }

void CidOps::set_cpumask(task_struct *p, const cpumask *mask) {
  const sched::Cids &cids = host().ext().cids();
  alignas(scx_cmask) char bytes[sizeof(scx_cmask) + ((machine::kMaxCpus + 63) / 64 + 1) * sizeof(u64)] = {};
  scx_cmask &cmask = *reinterpret_cast<scx_cmask *>(bytes);
  cmask.nr_cids = cids.nr();
  cmask.alloc_words = cmask_words(cids.nr());
  const machine::MaskView cpus(mask->bits, cids.nr());
  for (u32 cpu = cpus.first(); cpu < cids.nr(); cpu = cpus.next(cpu + 1)) {
    const u32 cid = static_cast<u32>(cids.cid_of(cpu));
    cmask.bits[cid / 64] |= u64{1} << cid % 64;
  }
  const u64 at = arena_.window_base() + static_cast<u32>(scratch_ + machine::this_cpu() * scratch_bytes());
  // A program can have freed the pages; then it finds nothing there either.
  bpf::probe_copy(reinterpret_cast<void *>(at), bytes, scratch_bytes());
  call(Op::set_cpumask, reinterpret_cast<u64>(p), at);
}

}  // namespace uscx::bridge
