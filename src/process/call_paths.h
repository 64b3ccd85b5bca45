// SPDX-License-Identifier: GPL-2.0-only
// What the paths and descriptors mean that a program gives to its calls. Programs know tasks by their simulated pids,
// and directories of ours by what they were opened as; the host knows both by other names.
//
// Threading: the simulation's thread.
#ifndef USCX_PROCESS_CALL_PATHS_H_
#define USCX_PROCESS_CALL_PATHS_H_

#include <fcntl.h>

#include <string>

#include "process/calls.h"
#include "process/file_tree.h"

namespace uscx::process {

struct Target {
  std::string path;  // Absolute and normal; empty if it is a descriptor of the host's.
  bool ours = false;
  FileKind kind = FileKind::kAbsent;  // Of ours.
  std::string link;                   // What one of our links leads to.
  // Of the host's: where it is there, if the call as it stands would not reach it. Else empty.
  std::string host_path;

  bool absent() const { return ours && kind == FileKind::kAbsent; }
  bool directory() const { return ours && kind == FileKind::kDirectory; }
  bool let_through() const { return !ours && host_path.empty(); }
};

inline constexpr u64 kHere = static_cast<u64>(AT_FDCWD);

// How the last name of a path is taken.
struct Lookup {
  bool follow = true;        // A link: where it leads to.
  bool empty_is_fd = false;  // AT_EMPTY_PATH: the descriptor itself.
};

// 0, or -errno if the path cannot be read.
int resolve(Supervisor &s, const Thread &t, u64 dir_fd, u64 address, Lookup lookup, Target *target);
// The same of a descriptor.
Target target_of_fd(Supervisor &s, const Thread &t, int fd);

}  // namespace uscx::process

#endif  // USCX_PROCESS_CALL_PATHS_H_
