// SPDX-License-Identifier: GPL-2.0-only
// The file systems of the simulated kernel: what /proc/mounts and its like say, and what stat() and statfs() say of a
// path. One table (mounts.cc); the host's mounts are nobody's business here.
//
// Threading: constant tables.
#ifndef USCX_PROCESS_MOUNTS_H_
#define USCX_PROCESS_MOUNTS_H_

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/types.h"

namespace uscx::process {

struct Mount {
  const char *where, *type, *source, *options;
  u64 magic;  // Of statfs().
};

// The one that an absolute path is on.
const Mount &mount_of(std::string_view path);
dev_t device_of(const Mount &mount);
int mount_id_of(const Mount &mount);

std::string mounts_text();      // /proc/PID/mounts
std::string mountinfo_text();   // /proc/PID/mountinfo
std::string mountstats_text();  // /proc/PID/mountstats
std::string filesystems_text();

}  // namespace uscx::process

#endif  // USCX_PROCESS_MOUNTS_H_
