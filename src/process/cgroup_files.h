// SPDX-License-Identifier: GPL-2.0-only
// The cgroup2 file system at /sys/fs/cgroup: a directory for each control group, with the files of the core and of the
// cpu controller.
//
// Threading: as FileTree; so are directories made and removed.
#ifndef USCX_PROCESS_CGROUP_FILES_H_
#define USCX_PROCESS_CGROUP_FILES_H_

#include <string>
#include <string_view>
#include <vector>

#include "process/file_tree.h"
#include "sched/cgroup.h"
#include "sched/kernel.h"

namespace uscx::process {

class CgroupFiles final : public FileTree {
 public:
  explicit CgroupFiles(sched::Kernel &kernel) : kernel_(kernel) {}

  bool covers(std::string_view path) const override;
  FileKind kind(std::string_view path) const override;
  bool is_writable(std::string_view path) const override;
  std::string contents(std::string_view path) const override;
  std::vector<FileName> list(std::string_view path) const override;
  int write(std::string_view path, std::string_view text) override;
  u64 inode(std::string_view path) const override;  // A directory's is its group's id.
  // The directory of a group, and of the one with an id; empty if there is none.
  std::string directory_of(const sched::Cgroup &cgroup) const;
  std::string path_of(u64 id) const;
  // 0 or -errno.
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
