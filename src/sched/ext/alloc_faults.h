// SPDX-License-Identifier: GPL-2.0-only
// Allocation failures on request: every allocation of loading a scheduler has a name, and a test can make the nth at
// one of them fail. A site asks strikes() before it allocates and then behaves as if there were no memory.
//
// Threading: set from host context, asked by the enabling thread.
#ifndef USCX_SCHED_EXT_ALLOC_FAULTS_H_
#define USCX_SCHED_EXT_ALLOC_FAULTS_H_

#include "base/types.h"

namespace uscx::sched {

// X(name): in the order in which a load reaches them. user_dsq is scx_bpf_create_dsq().
#define USCX_ALLOC_SITES(X) \
  X(kick_syncs)             \
  X(scx_sched)              \
  X(exit_info)              \
  X(global_dsqs)            \
  X(sched_cpus)             \
  X(dispatch_buffers)       \
  X(sched_helper)           \
  X(user_dsq)

enum class AllocSite : u32 {
#define X(name) name,
  USCX_ALLOC_SITES(X)
#undef X
      count
};

inline const char *alloc_site_name(AllocSite site) {
  static constexpr const char *kNames[] = {
#define X(name) #name,
      USCX_ALLOC_SITES(X)
#undef X
  };
  return kNames[static_cast<u32>(site)];
}

class AllocFaults {
 public:
  // The nth allocation at `site` from now on fails (0: the next one); the others succeed.
  void fail(AllocSite site, u64 nth = 0) { left_[static_cast<u32>(site)] = nth + 1; }
  void clear() { *this = AllocFaults(); }
  u64 seen(AllocSite site) const { return seen_[static_cast<u32>(site)]; }

  bool strikes(AllocSite site) {
    const u32 i = static_cast<u32>(site);
    seen_[i]++;
    return left_[i] && --left_[i] == 0;
  }

 private:
  u64 left_[static_cast<u32>(AllocSite::count)] = {};
  u64 seen_[static_cast<u32>(AllocSite::count)] = {};
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_ALLOC_FAULTS_H_
