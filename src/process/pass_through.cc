// SPDX-License-Identifier: GPL-2.0-only
#include "process/pass_through.h"

#include <sys/stat.h>

namespace uscx::process {
namespace {

constexpr const char *kMemory = "programs have the host's memory";
constexpr const char *kFiles = "their descriptors and directories are the host's";
constexpr const char *kSockets = "sockets are the host's";
constexpr const char *kIpc = "System V's shared memory is the host's";
constexpr const char *kUsers = "users are the host's";
constexpr FileKind kFile = FileKind::kFile, kDirectory = FileKind::kDirectory, kLink = FileKind::kLink;

constexpr PassThrough kTable[] = {
    {"/proc/PID/auxv", kFile, kMemory},
    {"/proc/PID/clear_refs", kFile, kMemory},
    {"/proc/PID/environ", kFile, kMemory},
    {"/proc/PID/exe", kLink, kMemory},
    {"/proc/PID/maps", kFile, kMemory},
    {"/proc/PID/map_files", kDirectory, kMemory},
    {"/proc/PID/mem", kFile, kMemory},
    {"/proc/PID/numa_maps", kFile, kMemory},
    {"/proc/PID/oom_score", kFile, kMemory},
    {"/proc/PID/oom_score_adj", kFile, kMemory},
    {"/proc/PID/pagemap", kFile, kMemory},
    {"/proc/PID/smaps", kFile, kMemory},
    {"/proc/PID/smaps_rollup", kFile, kMemory},
    {"/proc/PID/cwd", kLink, kFiles},
    {"/proc/PID/fd", kDirectory, kFiles},
    {"/proc/PID/fdinfo", kDirectory, "their descriptors are the host's; those of objects of bpf(2) are not"},
    {"/proc/PID/root", kLink, kFiles},
    {"/proc/PID/attr", kDirectory, "security labels are the host's"},
    {"/proc/PID/limits", kFile, "the limits of resources are the host's"},
    {"/proc/PID/net", kDirectory, kSockets},
    {"/proc/PID/ns", kDirectory, "programs are in the host's namespaces"},
    {"/proc/PID/gid_map", kFile, kUsers},
    {"/proc/PID/loginuid", kFile, kUsers},
    {"/proc/PID/sessionid", kFile, kUsers},
    {"/proc/PID/uid_map", kFile, kUsers},
    {"/proc/net", kLink, kSockets},
    {"/proc/sys/fs", kDirectory, "all other files are the host's, and so are their limits"},
    {"/proc/sys/kernel/msgmax", kFile, kIpc},
    {"/proc/sys/kernel/msgmnb", kFile, kIpc},
    {"/proc/sys/kernel/msgmni", kFile, kIpc},
    {"/proc/sys/kernel/sem", kFile, kIpc},
    {"/proc/sys/kernel/shmall", kFile, kIpc},
    {"/proc/sys/kernel/shmmax", kFile, kIpc},
    {"/proc/sys/kernel/shmmni", kFile, kIpc},
    {"/proc/sys/net", kDirectory, kSockets},
    {"/proc/sys/vm/max_map_count", kFile, kMemory},
    {"/proc/sys/vm/mmap_min_addr", kFile, kMemory},
    {"/proc/sys/vm/overcommit_memory", kFile, kMemory},
    {"/proc/sysvipc", kDirectory, kIpc},
    {"/proc/tty", kDirectory, "terminals are the host's"},
};

bool matches(std::string_view path, std::string_view start, FileKind kind) {
  return kind == FileKind::kFile ? path == start : is_within(path, start);
}

}  // namespace

bool is_on_host(const std::string &path) {
  struct stat st;
  return ::lstat(path.c_str(), &st) == 0;
}

std::span<const PassThrough> list_pass_through() { return kTable; }

const PassThrough *passes_through(std::string_view path) {
  for (const PassThrough &row : kTable)
    if (matches(path, row.path, row.kind)) return &row;
  return nullptr;
}

const PassThrough *passes_through_of_process(std::string_view rest) {
  for (const PassThrough &row : kTable) {
    const std::string_view path = row.path;
    if (path.starts_with(kOfProcess) && matches(rest, path.substr(kOfProcess.size()), row.kind)) return &row;
  }
  return nullptr;
}

}  // namespace uscx::process
