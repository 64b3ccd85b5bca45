// SPDX-License-Identifier: GPL-2.0-only
// Open-coded iterators over bits, tasks and cgroups. What an iterator keeps in the program's bytes is checked again at
// each step, because a program may write there.
#include <errno.h>
#include <linux/bpf.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "abi/kernel.h"
#include "bpf/exec/exec.h"
#include "bpf/memory/fault.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/kfunc.h"

struct bpf_iter_bits {
  u64 opaque[2];
};
struct bpf_iter_task {
  u64 opaque[3];
};
struct bpf_iter_css {
  u64 opaque[3];
};

namespace uscx::bpf {

namespace {

Env &env() { return BpfSystem::current()->env(); }

// --- Bits --- The words are the invocation's; programs read the number through the pointer that next() gives.

struct BitsState {
  u64 unused;
  s32 nr_bits;
  s32 bit;
};
static_assert(sizeof(BitsState) == sizeof(bpf_iter_bits));

constexpr u32 kMaxBitWords = 511;

auto &bit_iterators() { return Invocation::current()->holdings().rarely().bit_iterators; }

// --- Tasks ---

struct TaskState {
  task_struct *first;
  task_struct *pos;
  u32 flags;
  u32 started;
};
static_assert(sizeof(TaskState) == sizeof(bpf_iter_task));

// As the kernel's enum has them; the uapi has no names for them.
enum TaskIter : u32 { kAllProcs, kAllThreads, kProcThreads };

// --- Cgroups ---

struct CssState {
  cgroup_subsys_state *start;
  cgroup_subsys_state *pos;
  u32 order;
  u32 unused;
};
static_assert(sizeof(CssState) == sizeof(bpf_iter_css));

// A part of a cgroup or of its controller's state: no object of its own in the registry of addresses.
bool css_is_live(const cgroup_subsys_state *css) {
  u64 owner = 0;
  const u64 address = reinterpret_cast<u64>(css);
  return Region::in_ro(address) && probe_load(address, sizeof(owner), &owner) &&
         env().is_live(ObjectType::kCgroup, reinterpret_cast<const void *>(owner));
}

}  // namespace

USCX_KFUNC(kGeneric, KF_ITER_NEW, s32, bpf_iter_bits_new,
           (struct bpf_iter_bits * it, const u64 *unsafe_ptr__ign, u32 nr_words)) {
  BitsState *state = reinterpret_cast<BitsState *>(it);
  *state = {};
  state->bit = -1;
  if (unsafe_ptr__ign == nullptr || nr_words == 0) return -EINVAL;
  if (nr_words > kMaxBitWords) return -E2BIG;
  std::vector<u64> words(nr_words);
  const u64 bytes = u64{nr_words} * sizeof(u64);
  const u64 from = reinterpret_cast<u64>(unsafe_ptr__ign);
  if (!Region::contains(from) || !Region::contains(from + bytes - 1) ||
      !probe_copy(words.data(), unsafe_ptr__ign, bytes))
    return -EFAULT;
  bit_iterators()[it] = std::move(words);
  state->nr_bits = static_cast<s32>(nr_words * 64);
  return 0;
}

USCX_KFUNC(kGeneric, KF_ITER_NEXT | KF_RET_NULL, s32 *, bpf_iter_bits_next, (struct bpf_iter_bits * it)) {
  BitsState *state = reinterpret_cast<BitsState *>(it);
  const auto found = bit_iterators().find(it);
  if (found == bit_iterators().end() || state->nr_bits == 0) return nullptr;
  const std::vector<u64> &words = found->second;
  const u64 from = static_cast<u64>(s64{std::max(state->bit, -1)} + 1);
  for (u64 word = from / 64; word < words.size(); word++) {
    const u64 bits = word == from / 64 ? words[word] & (~0ull << (from % 64)) : words[word];
    if (bits == 0) continue;
    state->bit = static_cast<s32>(word * 64 + static_cast<u64>(std::countr_zero(bits)));
    return &state->bit;
  }
  state->bit = state->nr_bits;
  return nullptr;
}

USCX_KFUNC(kGeneric, KF_ITER_DESTROY, void, bpf_iter_bits_destroy, (struct bpf_iter_bits * it)) {
  bit_iterators().erase(it);
}

USCX_KFUNC(kGeneric, KF_ITER_NEW | KF_RCU_PROTECTED, s32, bpf_iter_task_new,
           (struct bpf_iter_task * it, struct task_struct *task__nullable, u32 flags)) {
  TaskState *state = reinterpret_cast<TaskState *>(it);
  *state = {};
  if (flags > kProcThreads || (flags == kProcThreads && task__nullable == nullptr)) return -EINVAL;
  state->first = task__nullable != nullptr ? task__nullable : static_cast<task_struct *>(env().next_task(nullptr));
  state->pos = state->first;
  state->flags = flags;
  return 0;
}

// A process has one thread, so the three kinds of walk differ in where they end.
USCX_KFUNC(kGeneric, KF_ITER_NEXT | KF_RET_NULL, struct task_struct *, bpf_iter_task_next,
           (struct bpf_iter_task * it)) {
  TaskState *state = reinterpret_cast<TaskState *>(it);
  task_struct *task = state->pos;
  if (task == nullptr || !env().is_live(ObjectType::kTask, task)) return nullptr;
  state->pos = state->flags == kProcThreads ? nullptr : static_cast<task_struct *>(env().next_task(task));
  return task;
}

USCX_KFUNC(kGeneric, KF_ITER_DESTROY, void, bpf_iter_task_destroy, (struct bpf_iter_task * it)) {
  *reinterpret_cast<TaskState *>(it) = {};
}

USCX_KFUNC(kGeneric, KF_ITER_NEW | KF_RCU_PROTECTED, s32, bpf_iter_css_new,
           (struct bpf_iter_css * it, struct cgroup_subsys_state *start__ign, u32 flags)) {
  CssState *state = reinterpret_cast<CssState *>(it);
  *state = {};
  if (flags != BPF_CGROUP_ITER_DESCENDANTS_PRE && flags != BPF_CGROUP_ITER_DESCENDANTS_POST &&
      flags != BPF_CGROUP_ITER_ANCESTORS_UP)
    return -EINVAL;
  if (!css_is_live(start__ign))
    Invocation::current()->violation("kfunc bpf_iter_css_new: argument 2 ({:#x}) is no live cgroup's state",
                                     reinterpret_cast<u64>(start__ign));
  state->start = start__ign;
  state->order = flags;
  return 0;
}

USCX_KFUNC(kGeneric, KF_ITER_NEXT | KF_RET_NULL, struct cgroup_subsys_state *, bpf_iter_css_next,
           (struct bpf_iter_css * it)) {
  CssState *state = reinterpret_cast<CssState *>(it);
  if (state->start == nullptr || !css_is_live(state->start) || (state->pos != nullptr && !css_is_live(state->pos)))
    return nullptr;
  state->pos = static_cast<cgroup_subsys_state *>(env().next_css(state->start, state->pos, state->order));
  if (state->pos == nullptr) state->start = nullptr;
  return state->pos;
}

USCX_KFUNC(kGeneric, KF_ITER_DESTROY, void, bpf_iter_css_destroy, (struct bpf_iter_css * it)) {
  *reinterpret_cast<CssState *>(it) = {};
}

}  // namespace uscx::bpf
