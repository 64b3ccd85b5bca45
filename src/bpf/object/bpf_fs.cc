// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/bpf_fs.h"

#include <errno.h>

#include <algorithm>

#include "bpf/object/bpf_system.h"
#include "bpf/object/command.h"
#include "bpf/object/user_memory.h"

namespace uscx::bpf {

bool BpfFs::owns(const std::string &path) const {
  return path.starts_with(root_) && (path.size() == root_.size() || path[root_.size()] == '/');
}

BpfFs::Kind BpfFs::kind(const std::string &path) const {
  if (path == root_) return Kind::kDirectory;
  const auto it = names_.find(path);
  if (it == names_.end()) return Kind::kAbsent;
  return it->second == nullptr ? Kind::kDirectory : Kind::kFile;
}

int BpfFs::add(const std::string &path, std::shared_ptr<Object> object) {
  if (!owns(path)) return -EPERM;
  if (kind(path) != Kind::kAbsent) return -EEXIST;
  const size_t slash = path.rfind('/');
  // Names with a dot are the kernel's own.
  if (path.find('.', slash) != std::string::npos) return -EPERM;
  switch (kind(path.substr(0, slash))) {
    case Kind::kAbsent: return -ENOENT;
    case Kind::kFile: return -ENOTDIR;
    case Kind::kDirectory: break;
  }
  names_[path] = std::move(object);
  return 0;
}

int BpfFs::pin(const std::string &path, std::shared_ptr<Object> object) {
  const ObjectKind kind = object->kind();
  if (kind != ObjectKind::kMap && kind != ObjectKind::kProg && kind != ObjectKind::kLink) return -EINVAL;
  return add(path, std::move(object));
}

std::shared_ptr<Object> BpfFs::get(const std::string &path) const {
  const auto it = names_.find(path);
  return it == names_.end() ? nullptr : it->second;
}

bool BpfFs::pins(const Object &object) const {
  return std::any_of(names_.begin(), names_.end(), [&](const auto &name) { return name.second.get() == &object; });
}

int BpfFs::make_directory(const std::string &path) { return add(path, nullptr); }

int BpfFs::remove(const std::string &path, bool directory) {
  switch (kind(path)) {
    case Kind::kAbsent: return -ENOENT;
    case Kind::kFile:
      if (directory) return -ENOTDIR;
      break;
    case Kind::kDirectory:
      if (!directory) return -EISDIR;
      if (path == root_) return -EBUSY;
      if (!paths_in(path).empty()) return -ENOTEMPTY;
      break;
  }
  names_.erase(path);
  return 0;
}

std::vector<std::string> BpfFs::paths_in(const std::string &directory) const {
  std::vector<std::string> paths;
  for (const auto &[path, object] : names_)
    if (path.rfind('/') == directory.size() && path.starts_with(directory)) paths.push_back(path);
  return paths;
}

// --- bpf(2) ---

namespace {

int read_path(u64 address, std::string *path) {
  constexpr size_t kMaxPath = 4096;
  for (char c = 1; path->size() < kMaxPath; *path += c) {
    if (copy_from_user(&c, address + path->size(), 1) != 0) return -EFAULT;
    if (c == 0) return 0;
  }
  return -ENAMETOOLONG;
}

}  // namespace

USCX_BPF_COMMAND(OBJ_PIN, path_fd) {
  if (attr->file_flags != 0 || attr->path_fd != 0) {
    if (attr->file_flags & BPF_F_PATH_FD)
      system.log("bpf: OBJ_PIN: paths from a directory's descriptor are not implemented");
    return -EINVAL;
  }
  std::string path;
  if (int err = read_path(attr->pathname, &path); err != 0) return err;
  std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(attr->bpf_fd));
  // In this process nobody takes pins away again.
  if (UserSpace::current() == nullptr) return -EPERM;
  return object == nullptr ? -EBADF : system.fs().pin(path, std::move(object));
}

USCX_BPF_COMMAND(OBJ_GET, path_fd) {
  constexpr u32 kAccess = BPF_F_RDONLY | BPF_F_WRONLY;
  if (attr->bpf_fd != 0 || attr->file_flags & ~kAccess || attr->path_fd != 0) return -EINVAL;
  std::string path;
  if (int err = read_path(attr->pathname, &path); err != 0) return err;
  if (system.fs().owns(path) && system.fs().kind(path) == BpfFs::Kind::kAbsent) return -ENOENT;
  const std::shared_ptr<Object> object = system.fs().get(path);
  return object == nullptr ? -EACCES : system.install_fd(object);
}

// What is delegated with a token needs none in the first user namespace.
USCX_BPF_COMMAND(TOKEN_CREATE, token_create.bpffs_fd) { return attr->token_create.flags != 0 ? -EINVAL : -EOPNOTSUPP; }

}  // namespace uscx::bpf
