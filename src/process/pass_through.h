// SPDX-License-Identifier: GPL-2.0-only
// The paths below /proc and /sys that are the host's, each with the reason: the one table of them. All others there are
// the simulated kernel's, or absent.
//
// Threading: a constant table.
#ifndef USCX_PROCESS_PASS_THROUGH_H_
#define USCX_PROCESS_PASS_THROUGH_H_

#include <span>
#include <string>
#include <string_view>

#include "process/file_tree.h"

namespace uscx::process {

struct PassThrough {
  const char *path;  // "/proc/PID/..." stands for a program's processes and threads; a directory's is all below it too.
  FileKind kind;
  const char *why;
};
std::span<const PassThrough> list_pass_through();

// The row that lets a path through; null if none does. `path` is absolute, and not of a process.
const PassThrough *passes_through(std::string_view path);
// The same of what comes after /proc/PID/ or /proc/PID/task/TID/.
const PassThrough *passes_through_of_process(std::string_view rest);

// Hosts differ in what they have.
bool is_on_host(const std::string &path);

inline constexpr std::string_view kOfProcess = "/proc/PID/";

}  // namespace uscx::process

#endif  // USCX_PROCESS_PASS_THROUGH_H_
