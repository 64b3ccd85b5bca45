// SPDX-License-Identifier: GPL-2.0-only
// The files of the simulated kernel, as a program's calls reach them: all of /proc and /sys, each part of it a
// FileTree, but for what pass_through.h gives to the host. A file that a program opens is made as a memfd with its
// contents; a directory as a real one in a temporary place, with an empty file for each of its names. Both are known
// again by what the host shows as the descriptor's target.
//
// Threading: the simulation's thread.
#ifndef USCX_PROCESS_SYSTEM_FILES_H_
#define USCX_PROCESS_SYSTEM_FILES_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bridge/host.h"
#include "process/cgroup_files.h"
#include "process/cpu_files.h"
#include "process/debug_files.h"
#include "process/proc_files.h"
#include "process/scx_files.h"
#include "process/task_files.h"
#include "process/watches.h"

namespace uscx::process {

// The BPF file system: names of pinned objects, which are not opened by them.
class BpfFsFiles final : public FileTree {
 public:
  explicit BpfFsFiles(const bpf::BpfFs &fs) : fs_(fs) {}
  bool covers(std::string_view path) const override { return fs_.owns(std::string(path)); }
  FileKind kind(std::string_view path) const override;
  bool is_writable(std::string_view) const override { return false; }
  std::string contents(std::string_view) const override { return ""; }
  std::vector<FileName> list(std::string_view path) const override;
  int write(std::string_view, std::string_view) override;

 private:
  const bpf::BpfFs &fs_;
};

class SystemFiles {
 public:
  // `on_change` is told when somebody who watches files may have heard something.
  SystemFiles(bridge::Host &host, TaskFiles::HostDirectory host_directory, std::function<void()> on_change);
  ~SystemFiles();

  // What an absolute and normal path is: ours, there or absent, or the host's, maybe under another name there.
  struct Found {
    bool ours = false;
    FileKind kind = FileKind::kAbsent;
    std::string host_path = {};  // Empty: what the program calls it.
  };
  Found find(const std::string &path) const;
  bool is_writable(const std::string &path) const { return tree_of(path)->is_writable(path); }
  u64 inode(const std::string &path) const;
  off_t size(const std::string &path) const;  // As stat() has it.
  std::string link_target(const std::string &path) const { return cpus_.link_target(path); }
  CgroupFiles &cgroups() { return cgroups_; }
  // A new descriptor of a file's contents now, or -errno. What is written to it comes to write().
  int open(const std::string &path, u64 access_mode);
  int write(const std::string &path, std::string_view text);
  // Watches a path of ours by a descriptor of inotify, of ours: the watch, or -errno.
  int watch(int inotify, const std::string &path, FileKind kind, u32 mask);
  void names_changed(const std::string &below) { watches_.names_changed(below); }

  // An absolute path without "." and "..", and without our links before its last name, with `follow` there too. The
  // place of our directories is translated back.
  std::string normalize(std::string_view path, bool follow) const;
  // A descriptor of a real directory with what we have there, or -errno.
  int open_directory(const std::string &path);
  // The path of ours that a descriptor is of, by what the host shows as its target; empty if there is none.
  std::string path_of_target(const std::string &target) const;
  // Whether a file may be one of ours. Asked before that.
  bool may_be_ours(const struct stat &st) const { return st.st_dev == memory_device_ || S_ISDIR(st.st_mode); }

  // Control groups and pinned objects: what programs make and remove names of. 0 or -errno.
  bool names_change(const std::string &path) const { return cgroups_.covers(path) || bpf_fs_.covers(path); }
  int make_directory(const std::string &path);
  int remove(const std::string &path, bool directory);

 private:
  FileTree *tree_of(const std::string &path) const;
  std::vector<FileName> list(const std::string &path) const;
  void fill(const std::string &real, const std::string &path) const;
  int make_root();

  bridge::Host &host_;
  CgroupFiles cgroups_;
  TaskFiles tasks_;
  CpuFiles cpus_;
  DebugFiles debug_;
  ScxFiles scx_;
  BpfFsFiles bpf_fs_;
  ProcFiles proc_;
  Watches watches_;
  const std::vector<FileTree *> trees_;  // The first that covers a path has it.

  dev_t memory_device_ = 0;          // Of memfds.
  std::map<std::string, u64> ids_;   // Of the files that have been opened; they are in the names of the memfds.
  std::vector<std::string> opened_;  // By id.
  int root_lock_ = -1;
  std::string root_;  // Of our directories; empty until the first.
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_SYSTEM_FILES_H_
