// SPDX-License-Identifier: GPL-2.0-only
// Why a scheduler ended: ExitRecord is ours (in ext.h); ExitInfo is the same as the scheduler sees it, a struct
// scx_exit_info with its texts in object space, where programs can read them. Texts are cut to their buffers' sizes.
#ifndef USCX_SCHED_EXT_EXIT_INFO_H_
#define USCX_SCHED_EXT_EXIT_INFO_H_

#include <string>

#include "abi/scx.h"
#include "sched/object_space.h"

namespace uscx::sched {

struct ExitRecord;

class ExitInfo {
 public:
  ExitInfo(ObjectSpace &objects, u32 dump_bytes);
  ~ExitInfo();
  ExitInfo(const ExitInfo &) = delete;
  ExitInfo &operator=(const ExitInfo &) = delete;

  scx_exit_info *abi() { return info_; }
  size_t dump_capacity() const { return dump_bytes_; }  // With the final NUL.
  void fill(const ExitRecord &record);

 private:
  static constexpr size_t kReasonBytes = 128;
  size_t bytes() const { return sizeof(scx_exit_info) + kReasonBytes + SCX_EXIT_MSG_LEN + dump_bytes_; }
  ObjectSpace &objects_;
  size_t dump_bytes_;
  scx_exit_info *info_;
  char *reason_, *msg_, *dump_;
};

}  // namespace uscx::sched

#endif  // USCX_SCHED_EXT_EXIT_INFO_H_
