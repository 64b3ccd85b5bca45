// SPDX-License-Identifier: GPL-2.0-only
// The files by which programs learn about the simulated machine: sysfs on CPUs, nodes, caches and sched_ext, the parts
// of procfs that describe CPUs, load and memory, tasks (task_files.h), control groups (cgroup_files.h). They are added
// to the BpfSystem's files. A directory that a program opens is made as a real one in a temporary place, with an empty
// file for each of ours.
//
// Threading: the simulation's thread.
#ifndef USCX_PROCESS_SYSTEM_FILES_H_
#define USCX_PROCESS_SYSTEM_FILES_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "bridge/host.h"
#include "process/cgroup_files.h"
#include "process/task_files.h"

namespace uscx::process {

inline constexpr u64 kMemoryBytes = 16ull << 30;  // Of the machine; half of it is free.

class SystemFiles {
 public:
  SystemFiles(bridge::Host &host, TaskFiles::CommandLine command_line);
  ~SystemFiles();

  using Kind = bpf::VirtualFiles::Kind;
  using Text = std::function<std::string()>;
  using Writer = std::function<int(std::string_view text)>;  // Takes what one write() wrote; 0 or -errno.
  // What an absolute path is: a file or a directory of ours, one that is not there, or the host's.
  Kind kind(const std::string &path);
  bool is_directory(const std::string &path);
  // Null if a file may only be read.
  const Writer *writer(const std::string &path);
  u64 inode(const std::string &path) const { return cgroups_.inode(path); }  // 0: it has no number of its own.
  CgroupFiles &cgroups() { return cgroups_; }
  // A new descriptor of a file's contents now, or -errno. A pinned object is not opened by its name.
  int open(const std::string &path);

  // An absolute path without "." and "..", and the place of our directories translated back.
  std::string normalize(std::string_view path) const;
  // A descriptor of a real directory with what we have there, or -errno.
  int open_directory(const std::string &path);
  // A descriptor that takes what is written to one of our files, or -errno.
  int open_for_writing(const std::string &path);
  // The file of ours that is behind such a descriptor; null if there is none.
  const std::string *written_file(const std::pair<dev_t, ino_t> &identity) const;
  bool any_open_for_writing() const { return !written_.empty(); }
  // Control groups and pinned objects: what programs make and remove names of. 0 or -errno.
  bool names_change(const std::string &path) const;
  u64 magic(const std::string &path) const;  // Of such a file system, for statfs().
  int make_directory(const std::string &path);
  int remove(const std::string &path, bool directory);

 private:
  void add_sched_ext();
  void add_cpus();
  void add_caches(u32 cpu);
  void add_nodes();
  void add_proc();
  std::string stat_text();
  void add_debug();  // system_files_debug.cc
  std::string debug_text();
  void add_dl_server(const std::string &dir, u32 cpu, bool ext);
  u32 nr_running() const;
  std::string follow_node_link(std::string path) const;
  std::string events_text(const std::string &where);

  // What is directly in a directory of ours; names of directories end in a slash.
  std::set<std::string> list(const std::string &path) const;

  bpf::BpfFs &fs() const { return host_.system().fs(); }

  bridge::Host &host_;
  CgroupFiles cgroups_;
  TaskFiles tasks_;
  void add(const std::string &path, Text contents, Writer write = nullptr);

  // Brings the files of the schedulers that are loaded up to date, before a path of theirs is looked at.
  void sync_schedulers(const std::string &path);

  bpf::VirtualFiles files_;  // Ours, beside those of the BpfSystem, which libbpf in this process sees too.
  std::map<std::string, Writer> writers_;
  std::set<std::string> scheduler_files_;
  std::set<std::string> names_;  // All files, the BpfSystem's too, for directories.
  int make_root();
  int root_lock_ = -1;
  std::string root_;  // Of our directories; empty until the first.
  std::map<std::pair<dev_t, ino_t>, std::string> written_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_SYSTEM_FILES_H_
