// SPDX-License-Identifier: GPL-2.0-only
// What procfs says of tasks: /proc/PID, with a directory for each thread in its task/. Tasks of the workload and kernel
// threads have them too; what only the host knows of a program's process (its memory, its descriptors) is the host's,
// by the table of pass_through.h. Pids are the simulated ones.
//
// Threading: as FileTree.
#ifndef USCX_PROCESS_TASK_FILES_H_
#define USCX_PROCESS_TASK_FILES_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "process/file_tree.h"
#include "sched/kernel.h"

namespace uscx::process {

inline constexpr u64 kUserHz = 100;  // What /proc counts time in.

class TaskFiles final : public FileTree {
 public:
  // Where the host has a program's thread: "/proc/H/task/T"; empty for all other tasks. tid 0: the process's directory.
  using HostDirectory = std::function<std::string(int pid, int tid)>;
  TaskFiles(sched::Kernel &kernel, HostDirectory host_directory)
      : kernel_(kernel), host_directory_(std::move(host_directory)) {}

  bool covers(std::string_view path) const override;
  FileKind kind(std::string_view path) const override;
  bool is_writable(std::string_view path) const override;
  std::string contents(std::string_view path) const override;
  std::vector<FileName> list(std::string_view path) const override;
  int write(std::string_view path, std::string_view text) override;

  std::vector<FileName> list_processes() const;
  // What the host has in place of a path that is its own (pass_through.h), else empty.
  std::string host_path(std::string_view path) const;

  struct File;

 private:
  struct Node {
    sched::Task *task = nullptr;  // Null: there is nothing.
    bool is_thread = false;       // Of task/TID, not of the process.
    bool is_list = false;         // The directory task/.
    std::string_view rest = {};   // The name in it; empty for the directory itself.
  };
  Node find(std::string_view path) const;
  static const File *find_file(const Node &node);
  std::string host_directory(const Node &node) const;

  sched::Kernel &kernel_;
  const HostDirectory host_directory_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_TASK_FILES_H_
