// SPDX-License-Identifier: GPL-2.0-only
// What inotify hears of files that the host does not have: a watch of one is made of a file or directory in a temporary
// place that stands for it, and what happens to the one is done to the other. As in Linux, names that the kernel makes
// or removes by itself are not heard. Files of cgroup2 that change by themselves (cgroup.events) are not heard yet.
//
// FIDELITY: inotify-reads. Reads, opens and closes are not heard.
//
// Threading: the simulation's thread; populated() is called on any CPU, with locks held.
#ifndef USCX_PROCESS_WATCHES_H_
#define USCX_PROCESS_WATCHES_H_

#include <functional>
#include <set>
#include <string>

#include "machine/machine.h"
#include "process/file_tree.h"

namespace uscx::process {

class Watches {
 public:
  using List = std::function<std::vector<FileName>(const std::string &path)>;
  using IsThere = std::function<bool(const std::string &path)>;
  // `list` gives what is in a directory; `on_change` is told after something has been heard.
  Watches(machine::Machine &machine, List list, IsThere is_there, std::function<void()> on_change);
  ~Watches();

  // Adds a watch of a path of ours to an instance of inotify (a descriptor of ours): the watch, or -errno. `root` is
  // where the files that stand for others are.
  int add(const std::string &root, int inotify, const std::string &path, FileKind kind, u32 mask);
  bool any() const { return !watched_.empty(); }
  // A program has written to a file, or a file of cgroup2 has another text.
  void modified(const std::string &path) const;
  void modified_later(std::string path);  // With locks held.
  // Programs have made or removed names below a directory.
  void names_changed(const std::string &below);

 private:
  static void announce(machine::SimEvent &event);
  std::string place_of(const std::string &path) const { return root_ + path; }
  void make_place(const std::string &path);

  machine::Machine &machine_;
  const List list_;
  const IsThere is_there_;
  const std::function<void()> on_change_;
  std::string root_;               // Empty: nothing is watched.
  std::set<std::string> watched_;  // Directories.
  machine::SimEvent event_;
  std::set<std::string> due_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_WATCHES_H_
