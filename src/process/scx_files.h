// SPDX-License-Identifier: GPL-2.0-only
// /sys/kernel/sched_ext: what all schedulers have in common, and a directory for each as long as it is loaded, below
// that of the one that it is loaded under.
//
// Threading: as FileTree.
#ifndef USCX_PROCESS_SCX_FILES_H_
#define USCX_PROCESS_SCX_FILES_H_

#include "process/file_tree.h"
#include "sched/ext/ext.h"

namespace uscx::process {

class ScxFiles final : public FileTree {
 public:
  explicit ScxFiles(sched::Ext &ext) : ext_(ext) {}

  bool covers(std::string_view path) const override;
  FileKind kind(std::string_view path) const override;
  bool is_writable(std::string_view) const override { return false; }
  std::string contents(std::string_view path) const override;
  std::vector<FileName> list(std::string_view path) const override;
  int write(std::string_view, std::string_view) override;

 private:
  std::vector<std::string> names() const;

  sched::Ext &ext_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_SCX_FILES_H_
