// SPDX-License-Identifier: GPL-2.0-only
// bpf_spin_lock: one word of a map's value that programs and updates with BPF_F_LOCK take. Zero is free.
//
// Threading: any CPU. Where segments are atomic, no other CPU can be in the middle of one. A word that is taken was
// then left taken, or is held by this program itself: try_value_lock() returns false, and a caller that must have the
// lock takes it over.
#ifndef USCX_BPF_MEMORY_VALUE_LOCK_H_
#define USCX_BPF_MEMORY_VALUE_LOCK_H_

#include "base/types.h"
#include "machine/explore_hooks.h"

namespace uscx::bpf {

// False if it is taken and cannot become free while we wait.
inline bool try_value_lock(u32 *lock) {
  for (;;) {
    machine::atomic_read(lock);
    u32 free = 0;
    if (__atomic_compare_exchange_n(lock, &free, 1u, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
      machine::atomic_done(lock);
      return true;
    }
    if (!machine::concurrent()) return false;
    machine::spin_wait("bpf_spin_lock");
  }
}

inline void value_unlock(u32 *lock) {
  machine::atomic_write(lock);
  __atomic_store_n(lock, 0u, __ATOMIC_RELEASE);
}

}  // namespace uscx::bpf

#endif  // USCX_BPF_MEMORY_VALUE_LOCK_H_
