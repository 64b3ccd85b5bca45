// SPDX-License-Identifier: GPL-2.0-only
// What procfs says of the machine as a whole, the files of the BpfSystem (which libbpf in this process reads too), and
// the directories above those that have a tree of their own. It covers all of /proc and /sys that no other tree does.
//
// Threading: as FileTree.
#ifndef USCX_PROCESS_PROC_FILES_H_
#define USCX_PROCESS_PROC_FILES_H_

#include "base/rng.h"
#include "bridge/host.h"
#include "process/file_tree.h"

namespace uscx::process {

class ProcFiles final : public FileTree {
 public:
  explicit ProcFiles(bridge::Host &host);

  bool covers(std::string_view path) const override;
  FileKind kind(std::string_view path) const override;
  bool is_writable(std::string_view) const override { return false; }
  std::string contents(std::string_view path) const override;
  std::vector<FileName> list(std::string_view path) const override;
  int write(std::string_view, std::string_view) override;

  struct Row;

 private:
  std::vector<std::string> names(bool with_hosts) const;

  bridge::Host &host_;
  mutable Rng random_;  // Of random/uuid, which is another one at each look.
  const std::string boot_id_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_PROC_FILES_H_
