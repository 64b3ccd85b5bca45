// SPDX-License-Identifier: GPL-2.0-only
// The cgroup2 file system at /sys/fs/cgroup: a directory for each control group, with the files of the core and of the
// cpu controller. Paths are absolute and normal; everything is looked up anew at each call, because groups come and go.
//
// Threading: the simulation's thread. What changes something is called on a CPU, by the task that does it.
#ifndef USCX_PROCESS_CGROUP_FILES_H_
#define USCX_PROCESS_CGROUP_FILES_H_

#include <string>
#include <string_view>
#include <vector>

#include "sched/cgroup.h"
#include "sched/kernel.h"

namespace uscx::process {

class CgroupFiles {
 public:
  explicit CgroupFiles(sched::Kernel &kernel) : kernel_(kernel) {}

  static bool covers(std::string_view path);  // It is there, or would be.
  bool is_directory(std::string_view path) const;
  bool is_file(std::string_view path) const;
  bool is_writable(std::string_view path) const;
  u64 inode(std::string_view path) const;  // A directory's is its group's id. 0: there is nothing.
  std::string contents(std::string_view path) const;
  std::vector<std::string> list(std::string_view path) const;  // Names; those of directories end in a slash.
  // 0 or -errno.
  int write(std::string_view path, std::string_view text);
  int make_directory(std::string_view path);
  int remove_directory(std::string_view path);
  // The text of /proc/PID/cgroup.
  static std::string of_task(sched::Kernel &kernel, const sched::Task &task);

  struct File;

 private:
  struct Node {
    sched::Cgroup *cgroup = nullptr;  // Null: there is nothing.
    const File *file = nullptr;       // Null: the directory.
  };
  Node find(std::string_view path) const;

  sched::Kernel &kernel_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_CGROUP_FILES_H_
