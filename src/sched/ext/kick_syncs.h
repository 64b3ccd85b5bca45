// SPDX-License-Identifier: GPL-2.0-only
// KickSyncs: the memory behind SCX_KICK_WAIT. For each CPU an array with an entry for each possible CPU: what the
// target's kick_sync was when this CPU kicked it. Together they grow with the square of the number of CPUs (512 MiB at
// 8192), so they exist only while a scheduler is loaded, and as memory that takes no page before it is written.
//
// Threading: alloc() and free() run with the enable mutex held; of() is called by a CPU for itself, in an RCU read-side
// critical section (interrupts off), and may return nullptr at any time: an irq_work can outlive the scheduler that
// asked for it.
// Invariant: a CPU's pointer is null whenever no scheduler is loaded, and live_bytes() is 0 a grace period later.
#ifndef USCX_SCHED_EXT_KICK_SYNCS_H_
#define USCX_SCHED_EXT_KICK_SYNCS_H_

#include <memory>

#include "base/alloc_faults.h"
#include "machine/sync.h"

namespace uscx::sched {

using machine::AllocFaults;

class Kernel;

class KickSyncs {
 public:
  KickSyncs(Kernel &kernel, AllocFaults &faults);
  ~KickSyncs();
  KickSyncs(const KickSyncs &) = delete;
  KickSyncs &operator=(const KickSyncs &) = delete;

  bool alloc();  // False if there is no memory; then nothing is left.
  void free();   // After a grace period.
  u64 *of(u32 cpu) const { return published_[cpu].load_acquire(); }
  u64 live_bytes() const { return live_bytes_; }  // Payload, with what waits for its grace period.

 private:
  u64 *new_array();
  void delete_array(u64 *array);
  void trace_live();
  size_t array_bytes() const;

  Kernel &kernel_;
  AllocFaults &faults_;
  std::unique_ptr<machine::Shared<u64 *>[]> published_;  // Pairs of store_release (alloc, free) and load_acquire (of).
  machine::Racy<u64> live_bytes_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_KICK_SYNCS_H_
