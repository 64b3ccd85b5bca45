// SPDX-License-Identifier: GPL-2.0-only
// The scheduler's files in debugfs: what is on each CPU, and the reservations of the deadline servers, which can be
// written.
//
// Threading: as FileTree.
#ifndef USCX_PROCESS_DEBUG_FILES_H_
#define USCX_PROCESS_DEBUG_FILES_H_

#include "bridge/host.h"
#include "process/file_tree.h"

namespace uscx::process {

class DebugFiles final : public FileTree {
 public:
  explicit DebugFiles(bridge::Host &host) : host_(host) {}

  bool covers(std::string_view path) const override;
  FileKind kind(std::string_view path) const override;
  bool is_writable(std::string_view path) const override;
  std::string contents(std::string_view path) const override;
  std::vector<FileName> list(std::string_view path) const override;
  int write(std::string_view path, std::string_view text) override;

 private:
  // A number of a deadline server; null: the path is something else.
  struct Parameter {
    sched::DlServer *server = nullptr;
    u64 sched::DlServer::*number = nullptr;
  };
  Parameter find(std::string_view path) const;
  std::string debug_text() const;

  bridge::Host &host_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_DEBUG_FILES_H_
