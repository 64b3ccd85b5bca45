// SPDX-License-Identifier: GPL-2.0-only
// FileTree: a part of the simulated kernel's file systems that makes its names and contents up when it is asked. Paths
// are absolute and normal; everything is looked up anew at each call, because CPUs, tasks and groups come and go, and
// nothing here refers to what has been looked up before.
//
// Threading: the simulation's thread. What is written changes something by the task that writes, on its CPU.
#ifndef USCX_PROCESS_FILE_TREE_H_
#define USCX_PROCESS_FILE_TREE_H_

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace uscx::process {

enum class FileKind : u8 { kAbsent, kFile, kDirectory, kLink };

struct FileName {
  std::string name;
  FileKind kind = FileKind::kFile;
};

class FileTree {
 public:
  virtual ~FileTree() = default;
  virtual bool covers(std::string_view path) const = 0;  // It is there, or would be.
  virtual FileKind kind(std::string_view path) const = 0;
  virtual bool is_writable(std::string_view path) const = 0;
  virtual std::string contents(std::string_view path) const = 0;
  virtual std::vector<FileName> list(std::string_view path) const = 0;
  // Takes what one write() wrote; 0 or -errno. It may wait.
  virtual int write(std::string_view path, std::string_view text) = 0;
  // A number that means something beyond the file system; 0: it has none.
  virtual u64 inode(std::string_view) const { return 0; }
};

// Whether `path` is `root` or below it.
inline bool is_within(std::string_view path, std::string_view root) {
  return path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
}

// "prefixN" or "prefixN/...": takes that off `path`, with the slash. False if it is something else.
inline bool take_numbered(std::string_view *path, std::string_view prefix, u32 *number) {
  if (!path->starts_with(prefix)) return false;
  const std::string_view rest = path->substr(prefix.size());
  const auto [end, error] = std::from_chars(rest.begin(), rest.end(), *number);
  const auto digits = static_cast<size_t>(end - rest.begin());
  const bool canonical = digits == 1 || (digits > 1 && rest[0] != '0');
  if (error != std::errc() || !canonical || (end != rest.end() && *end != '/')) return false;
  *path = rest.substr(std::min(digits + 1, rest.size()));
  return true;
}

// Of a set of relative paths of files: what `path` is among them, and what is directly in it. `paths` is any range of
// things that a string_view can be made of.
template <typename Paths>
FileKind kind_among(const Paths &paths, std::string_view path) {
  FileKind found = path.empty() ? FileKind::kDirectory : FileKind::kAbsent;
  for (std::string_view one : paths) {
    if (is_within(one, path) && one.size() > path.size()) return FileKind::kDirectory;
    if (one == path) found = FileKind::kFile;
  }
  return found;
}

template <typename Paths>
std::vector<FileName> list_among(const Paths &paths, std::string_view path) {
  std::vector<FileName> names;
  const auto add = [&names](std::string_view name, FileKind kind) {
    for (FileName &known : names) {
      if (known.name != name) continue;
      if (kind == FileKind::kDirectory) known.kind = kind;
      return;
    }
    names.push_back({std::string(name), kind});
  };
  for (std::string_view one : paths) {
    if (!path.empty() && (!is_within(one, path) || one.size() == path.size())) continue;
    const std::string_view rest = path.empty() ? one : one.substr(path.size() + 1);
    const size_t slash = rest.find('/');
    add(rest.substr(0, slash), slash == rest.npos ? FileKind::kFile : FileKind::kDirectory);
  }
  return names;
}

}  // namespace uscx::process

#endif  // USCX_PROCESS_FILE_TREE_H_
