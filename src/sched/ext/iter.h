// SPDX-License-Identifier: GPL-2.0-only
// Iterators over user DSQs (bpf_iter_scx_dsq). A program's storage holds only a handle: the cursor that stands in the
// DSQ's list is ours, because nothing keeps a faulty program from overwriting its own memory.
#ifndef USCX_SCHED_EXT_ITER_H_
#define USCX_SCHED_EXT_ITER_H_

#include <deque>

#include "sched/ext/impl.h"

namespace uscx::sched {

struct DsqIter {
  DsqNode cursor{{}, true};
  Dsq *dsq = nullptr;  // Null: free.
  ExtSched *sched = nullptr;
  u32 generation = 1;
  bool in_list = false;  // The cursor is: its neighbours are not looked at without the DSQ's lock.
  u32 snapshot_seq = 0;  // Tasks that were queued later are not seen.
  u64 flags = 0;
  u64 slice = 0, vtime = 0;  // For the next move, if flags say so.
};

// Slots are reused, never freed, so that a stale handle is recognised by its generation.
struct Ext::Impl::IterPool {
  std::deque<DsqIter> slots;
  std::vector<u32> free_slots;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_ITER_H_
