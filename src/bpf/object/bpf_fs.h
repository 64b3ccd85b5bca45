// SPDX-License-Identifier: GPL-2.0-only
// The BPF file system: names below /sys/fs/bpf. An object that is pinned under a name stays when its last descriptor
// has gone. A pinned link keeps its scheduler.
//
// Threading: as BpfSystem's descriptors.
#ifndef USCX_BPF_OBJECT_BPF_FS_H_
#define USCX_BPF_OBJECT_BPF_FS_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bpf/object/object.h"

namespace uscx::bpf {

// Paths are absolute, without "." and ".."; functions return 0 or -errno.
class BpfFs {
 public:
  bool owns(const std::string &path) const;
  enum class Kind { kAbsent, kDirectory, kFile };
  Kind kind(const std::string &path) const;
  int make_directory(const std::string &path);
  int pin(const std::string &path, std::shared_ptr<Object> object);
  // Null if there is none.
  std::shared_ptr<Object> get(const std::string &path) const;
  bool pins(const Object &object) const;
  // Who takes a name must see to what no descriptor holds either.
  int remove(const std::string &path, bool directory);
  // The paths in a directory, sorted.
  std::vector<std::string> paths_in(const std::string &directory) const;
  void clear() { names_.clear(); }

 private:
  int add(const std::string &path, std::shared_ptr<Object> object);

  const std::string root_ = "/sys/fs/bpf";
  std::map<std::string, std::shared_ptr<Object>> names_;  // null: a directory
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_BPF_FS_H_
