// SPDX-License-Identifier: GPL-2.0-only
// Sysfs on CPUs, their caches and NUMA nodes. As in Linux, a CPU that is offline has no topology/ and no cache/, and no
// list of siblings, of sharers or of a node's CPUs names it; a CPU and its node have links to each other.
//
// Threading: as FileTree.
#ifndef USCX_PROCESS_CPU_FILES_H_
#define USCX_PROCESS_CPU_FILES_H_

#include "process/file_tree.h"
#include "sched/kernel.h"

namespace uscx::process {

class CpuFiles final : public FileTree {
 public:
  explicit CpuFiles(sched::Kernel &kernel) : kernel_(kernel) {}

  bool covers(std::string_view path) const override;
  FileKind kind(std::string_view path) const override;
  bool is_writable(std::string_view path) const override;
  std::string contents(std::string_view path) const override;
  std::vector<FileName> list(std::string_view path) const override;
  int write(std::string_view path, std::string_view text) override;

  // What the links in `path` lead to; with `last`, also where all of it is a link.
  std::string follow(std::string path, bool last) const;
  std::string link_target(std::string_view path) const;  // As readlink() gives it; empty if it is no link.

  struct Row;

 private:
  struct Place {
    const std::vector<Row> *rows = nullptr;  // Of the directory that it is in; null: there is no such directory.
    u32 number = 0;                          // The CPU's or node's.
    std::string_view rest;                   // The path below that directory.
  };
  Place find(std::string_view path) const;
  const Row *find_row(const Place &place) const;
  std::vector<std::string_view> names_of(const Place &place) const;
  bool linked(u32 cpu, u32 node) const;

  sched::Kernel &kernel_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_CPU_FILES_H_
