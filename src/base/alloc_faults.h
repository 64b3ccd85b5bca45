// SPDX-License-Identifier: GPL-2.0-only
// Allocation failures on request. Every allocation that a load of a scheduler makes belongs to a named site, and a test
// or --fail-alloc can make the nth allocation at a site fail. The code at a site calls strikes() before it allocates;
// if the answer is true, it behaves as if there were no memory. Unloading allocates nothing.
//
// Threading: set from host context, asked by bpf(2) commands and by the enabling thread.
#ifndef USCX_BASE_ALLOC_FAULTS_H_
#define USCX_BASE_ALLOC_FAULTS_H_

#include <string_view>

#include "base/types.h"

namespace uscx::machine {

// X(name, what): in the order in which a load reaches them, first those of bpf(2), then those of sched_ext.
#define USCX_ALLOC_SITES(X)                                                      \
  X(btf, "type information of an object (BPF_BTF_LOAD)")                         \
  X(map, "a map with its elements (BPF_MAP_CREATE)")                             \
  X(prog, "a program (BPF_PROG_LOAD)")                                           \
  X(prog_code, "its native code, or what the interpreter runs")                  \
  X(struct_ops_value, "the operations as they are stored (BPF_MAP_UPDATE_ELEM)") \
  X(link, "the link that holds the scheduler (BPF_LINK_CREATE)")                 \
  X(enable_helper, "the thread scx_enable_helper, which the first load makes")   \
  X(kick_syncs, "the array behind SCX_KICK_WAIT, of each CPU")                   \
  X(tid_hash, "tasks by tid, for SCX_OPS_TID_TO_TASK")                           \
  X(scx_sched, "the scheduler object")                                           \
  X(exit_info, "the exit information")                                           \
  X(exit_bt, "its backtrace")                                                    \
  X(exit_msg, "its message")                                                     \
  X(exit_dump, "its dump buffer")                                                \
  X(dsq_hash, "the table of user DSQs")                                          \
  X(global_dsqs, "the list of global DSQs")                                      \
  X(global_dsq, "the global DSQ of each node")                                   \
  X(sched_cpus, "what the scheduler has for each CPU")                           \
  X(bypass_dsq, "the bypass DSQ of each CPU")                                    \
  X(dispatch_buffers, "the buffers of ops.dispatch")                             \
  X(sched_helper, "the thread sched_ext_helper")                                 \
  X(sched_kobject, "its folder in sysfs")                                        \
  X(user_dsq, "a DSQ (scx_bpf_create_dsq)")

enum class AllocSite : u32 {
#define X(name, what) name,
  USCX_ALLOC_SITES(X)
#undef X
      count
};

inline const char *alloc_site_name(AllocSite site) {
  static constexpr const char *kNames[] = {
#define X(name, what) #name,
      USCX_ALLOC_SITES(X)
#undef X
  };
  return kNames[static_cast<u32>(site)];
}

inline const char *alloc_site_text(AllocSite site) {
  static constexpr const char *kTexts[] = {
#define X(name, what) what,
      USCX_ALLOC_SITES(X)
#undef X
  };
  return kTexts[static_cast<u32>(site)];
}

// AllocSite::count if there is none of that name.
inline AllocSite alloc_site_named(std::string_view name) {
  u32 i = 0;
  while (i < static_cast<u32>(AllocSite::count) && name != alloc_site_name(static_cast<AllocSite>(i))) i++;
  return static_cast<AllocSite>(i);
}

class AllocFaults {
 public:
  // The nth allocation at `site` from now on fails (0: the next one), and all after it if it `lasts`.
  void fail(AllocSite site, u64 nth = 0, bool lasts = false) {
    left_[static_cast<u32>(site)] = nth + 1;
    lasts_[static_cast<u32>(site)] = lasts;
  }
  void stop(AllocSite site) { left_[static_cast<u32>(site)] = 0; }
  void clear() { *this = AllocFaults(); }
  u64 seen(AllocSite site) const { return seen_[static_cast<u32>(site)]; }

  bool strikes(AllocSite site) {
    const u32 i = static_cast<u32>(site);
    seen_[i]++;
    if (!left_[i] || --left_[i]) return false;
    left_[i] = lasts_[i];
    return true;
  }

 private:
  u64 left_[static_cast<u32>(AllocSite::count)] = {};
  u64 seen_[static_cast<u32>(AllocSite::count)] = {};
  bool lasts_[static_cast<u32>(AllocSite::count)] = {};
};

}  // namespace uscx::machine

#endif  // USCX_BASE_ALLOC_FAULTS_H_
