// SPDX-License-Identifier: GPL-2.0-only
#include "process/mounts.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <cstring>
#include <set>

#include "process/file_tree.h"

namespace uscx::process {
namespace {

constexpr const char *kKernelFs = "rw,nosuid,nodev,noexec,relatime";
constexpr Mount kMounts[] = {
    {"/", "ext4", "/dev/root", "rw,relatime", 0xef53},
    {"/dev", "devtmpfs", "devtmpfs", "rw,nosuid,relatime", 0x01021994},
    {"/dev/shm", "tmpfs", "tmpfs", "rw,nosuid,nodev", 0x01021994},
    {"/proc", "proc", "proc", kKernelFs, 0x9fa0},
    {"/sys", "sysfs", "sysfs", kKernelFs, 0x62656572},
    {"/sys/fs/bpf", "bpf", "bpf", kKernelFs, 0xcafe4a11},
    {"/sys/fs/cgroup", "cgroup2", "cgroup2", kKernelFs, 0x63677270},
    {"/sys/kernel/debug", "debugfs", "debugfs", kKernelFs, 0x64626720},
    {"/sys/kernel/debug/tracing", "tracefs", "tracefs", kKernelFs, 0x74726163},
    {"/sys/kernel/tracing", "tracefs", "tracefs", kKernelFs, 0x74726163},
};
constexpr u32 kFirstMinor = 20, kFirstId = 20;

u32 index_of(const Mount &mount) { return static_cast<u32>(&mount - kMounts); }

// The one that it is mounted on.
const Mount &parent_of(const Mount &mount) {
  const std::string_view where = mount.where;
  return where == "/" ? mount : mount_of(where.substr(0, std::max<size_t>(where.rfind('/'), 1)));
}

}  // namespace

const Mount &mount_of(std::string_view path) {
  const Mount *found = &kMounts[0];
  for (const Mount &mount : kMounts)
    if (is_within(path, mount.where) && std::strlen(mount.where) > std::strlen(found->where)) found = &mount;
  return *found;
}

// Both names of tracefs are one file system.
dev_t device_of(const Mount &mount) {
  for (const Mount &first : kMounts)
    if (std::string_view(first.source) == mount.source) return ::makedev(0, kFirstMinor + index_of(first));
  return 0;
}

int mount_id_of(const Mount &mount) { return static_cast<int>(kFirstId + index_of(mount)); }

std::string mounts_text() {
  std::string text;
  for (const Mount &mount : kMounts)
    text += fmt::format("{} {} {} {} 0 0\n", mount.source, mount.where, mount.type, mount.options);
  return text;
}

std::string mountinfo_text() {
  std::string text;
  for (const Mount &mount : kMounts) {
    const dev_t device = device_of(mount);
    const int parent = &mount == &kMounts[0] ? 1 : mount_id_of(parent_of(mount));
    text += fmt::format("{} {} {}:{} / {} {} shared:{} - {} {} rw\n", mount_id_of(mount), parent, major(device),
                        minor(device), mount.where, mount.options, index_of(mount) + 1, mount.type, mount.source);
  }
  return text;
}

std::string mountstats_text() {
  std::string text;
  for (const Mount &mount : kMounts)
    text += fmt::format("device {} mounted on {} with fstype {}\n", mount.source, mount.where, mount.type);
  return text;
}

std::string filesystems_text() {
  std::set<std::string_view> seen;
  std::string text;
  for (const Mount &mount : kMounts)
    if (seen.insert(mount.type).second)
      text += fmt::format("{}\t{}\n", mount.source[0] == '/' ? "" : "nodev", mount.type);
  return text;
}

}  // namespace uscx::process
