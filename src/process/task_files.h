// SPDX-License-Identifier: GPL-2.0-only
// What procfs says of tasks: /proc/PID, with a directory for each thread in its task/. Tasks of the workload and kernel
// threads have them too; what only the host knows of a program's process (its memory, its descriptors) is not here.
// Paths are absolute and normal, and pids the simulated ones; all is looked up anew at each call.
//
// Threading: the simulation's thread.
#ifndef USCX_PROCESS_TASK_FILES_H_
#define USCX_PROCESS_TASK_FILES_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sched/kernel.h"

namespace uscx::process {

inline constexpr u64 kUserHz = 100;  // What /proc counts time in.

class TaskFiles {
 public:
  // The arguments of a program's process, each with its NUL; empty for all other tasks.
  using CommandLine = std::function<std::string(int pid)>;
  TaskFiles(sched::Kernel &kernel, CommandLine command_line)
      : kernel_(kernel), command_line_(std::move(command_line)) {}

  static bool covers(std::string_view path);  // It is there, or would be.
  // Whether `rest` names something of a task that is ours, as "/stat" and "/task/7/comm" do.
  static bool has(std::string_view rest);
  bool is_directory(std::string_view path) const;
  bool is_file(std::string_view path) const;
  bool is_writable(std::string_view path) const;
  std::string contents(std::string_view path) const;
  std::vector<std::string> list(std::string_view path) const;  // Names; those of directories end in a slash.
  std::vector<std::string> list_processes() const;
  int write(std::string_view path, std::string_view text);  // 0 or -errno.

  struct File;

 private:
  struct Node {
    sched::Task *task = nullptr;  // Null: there is nothing.
    bool is_thread = false;       // Of task/TID, not of the process.
    bool is_list = false;         // The directory task/.
    const File *file = nullptr;   // Null: a directory.
  };
  Node find(std::string_view path) const;
  static const File *find_file(std::string_view name);

  sched::Kernel &kernel_;
  const CommandLine command_line_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_TASK_FILES_H_
