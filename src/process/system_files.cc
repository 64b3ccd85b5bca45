// SPDX-License-Identifier: GPL-2.0-only
#include "process/system_files.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/hash.h"
#include "process/pass_through.h"

namespace uscx::process {
namespace {

constexpr const char *kFileName = "uscx-file-";  // And the id; of a memfd.
constexpr const char *kRootPrefix = "uscx-files-";

bool is_kernels(std::string_view path) { return is_within(path, "/proc") || is_within(path, "/sys"); }

}  // namespace

// --- the BPF file system ---

FileKind BpfFsFiles::kind(std::string_view path) const {
  switch (fs_.kind(std::string(path))) {
    case bpf::BpfFs::Kind::kDirectory: return FileKind::kDirectory;
    case bpf::BpfFs::Kind::kFile: return FileKind::kFile;
    default: return FileKind::kAbsent;
  }
}

std::vector<FileName> BpfFsFiles::list(std::string_view path) const {
  std::vector<FileName> names;
  for (const std::string &one : fs_.paths_in(std::string(path)))
    names.push_back({one.substr(path.size() + 1), kind(one)});
  return names;
}

int BpfFsFiles::write(std::string_view, std::string_view) { return -EPERM; }

// --- which tree ---

SystemFiles::SystemFiles(bridge::Host &host, TaskFiles::HostDirectory host_directory, std::function<void()> on_change)
    : host_(host),
      cgroups_(host.kernel()),
      tasks_(host.kernel(), std::move(host_directory)),
      cpus_(host.kernel()),
      debug_(host),
      scx_(host.ext()),
      bpf_fs_(host.system().fs()),
      proc_(host),
      watches_(
          host.machine(), [this](const std::string &path) { return list(path); },
          [this](const std::string &path) { return tree_of(path)->kind(path) != FileKind::kAbsent; },
          std::move(on_change)),
      trees_{&cgroups_, &tasks_, &cpus_, &debug_, &scx_, &bpf_fs_, &proc_} {}

SystemFiles::~SystemFiles() {
  std::error_code ignored;
  if (!root_.empty()) std::filesystem::remove_all(root_, ignored);
  if (root_lock_ >= 0) ::close(root_lock_);
}

FileTree *SystemFiles::tree_of(const std::string &path) const {
  for (FileTree *tree : trees_)
    if (tree->covers(path)) return tree;
  CHECK(false, "{} is not the simulated kernel's", path);
}

SystemFiles::Found SystemFiles::find(const std::string &path) const {
  if (!is_kernels(path)) {
    using Kind = bpf::VirtualFiles::Kind;
    const Kind kind = host_.system().files().kind(path);
    return {kind == Kind::kAbsent, FileKind::kAbsent};
  }
  if (std::string there = tasks_.host_path(path); !there.empty()) return {false, FileKind::kAbsent, std::move(there)};
  const FileKind kind = tree_of(path)->kind(path);
  return {kind != FileKind::kAbsent || !passes_through(path), kind};
}

// Most files have none that means anything: one that no other path has, and that is the same in all runs.
u64 SystemFiles::inode(const std::string &path) const {
  constexpr u64 kOfPaths = 1ull << 62;
  const u64 own = is_kernels(path) ? tree_of(path)->inode(path) : 0;  // What is above /proc is not.
  if (own != 0) return own;
  Hash64 hash;
  hash.add_bytes(path.data(), path.size());
  return (hash.value() & (kOfPaths - 1)) | kOfPaths;
}

// A page, but for what programs map.
off_t SystemFiles::size(const std::string &path) const {
  constexpr off_t kPage = 4096;
  return is_within(path, "/sys/kernel/btf") ? static_cast<off_t>(tree_of(path)->contents(path).size()) : kPage;
}

int SystemFiles::make_directory(const std::string &path) {
  const int error = cgroups_.covers(path) ? cgroups_.make_directory(path) : host_.system().fs().make_directory(path);
  if (error == 0) watches_.names_changed(path.substr(0, path.rfind('/')));
  return error;
}

int SystemFiles::remove(const std::string &path, bool directory) {
  const int error = !cgroups_.covers(path) ? host_.system().fs().remove(path, directory)
                    : directory            ? cgroups_.remove_directory(path)
                                           : -EPERM;
  if (error == 0) watches_.names_changed(path.substr(0, path.rfind('/')));
  return error;
}

int SystemFiles::write(const std::string &path, std::string_view text) {
  const int error = tree_of(path)->write(path, text);
  if (error == 0) watches_.modified(path);
  return error;
}

int SystemFiles::watch(int inotify, const std::string &path, FileKind kind, u32 mask) {
  if (root_.empty())
    if (const int error = make_root(); error != 0) return error;
  return watches_.add(root_ + "/watched", inotify, path, kind, mask);
}

// --- paths ---

std::string SystemFiles::normalize(std::string_view path, bool follow) const {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    at = end + 1;
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
  }
  std::string result;
  for (std::string_view part : parts) result.append("/").append(part);
  if (!root_.empty() && is_within(result, root_)) result.erase(0, root_.size());
  return result.empty() ? "/" : cpus_.follow(std::move(result), follow);
}

std::string SystemFiles::path_of_target(const std::string &target) const {
  if (!root_.empty() && is_within(target, root_)) return normalize(target, true);
  const std::string start = fmt::format("/memfd:{}", kFileName);
  if (!target.starts_with(start)) return "";
  const u64 id = std::strtoull(target.c_str() + start.size(), nullptr, 10);
  return id < opened_.size() ? opened_[id] : "";
}

// --- files ---

int SystemFiles::open(const std::string &path, u64 access_mode) {
  if (bpf_fs_.covers(path)) return -EIO;
  const auto [it, first] = ids_.emplace(path, opened_.size());
  if (first) opened_.push_back(path);
  const int file =
      bpf::VirtualFiles::open_text(tree_of(path)->contents(path), fmt::format("{}{}", kFileName, it->second).c_str());
  if (file < 0) return file;
  struct stat st;
  CHECK(::fstat(file, &st) == 0);
  memory_device_ = st.st_dev;
  // What does not come to us as write() must not seem to have been written.
  ::fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  const int fd = ::open(fmt::format("/proc/self/fd/{}", file).c_str(), static_cast<int>(access_mode) | O_CLOEXEC);
  const int error = fd < 0 ? -errno : 0;
  ::close(file);
  return error != 0 ? error : fd;
}

// --- directories ---

// Each place of directories is locked while its process lives; what a killed one has left goes when the next is made.
int SystemFiles::make_root() {
  std::error_code error;
  for (const auto &entry : std::filesystem::directory_iterator("/tmp", error)) {
    if (!entry.path().filename().string().starts_with(kRootPrefix)) continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    const bool left =
        fd >= 0 && ::fstat(fd, &st) == 0 && st.st_uid == ::geteuid() && ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    std::error_code ignored;
    if (left) std::filesystem::remove_all(entry.path(), ignored);
    if (fd >= 0) ::close(fd);
  }
  std::string name = fmt::format("/tmp/{}XXXXXX", kRootPrefix);
  if (::mkdtemp(name.data()) == nullptr) return -errno;
  root_ = name;
  root_lock_ = ::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return root_lock_ >= 0 && ::flock(root_lock_, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno;
}

std::vector<FileName> SystemFiles::list(const std::string &path) const {
  std::vector<FileName> names = tree_of(path)->list(path);
  if (path == "/proc")
    for (FileName &process : tasks_.list_processes()) names.push_back(std::move(process));
  return names;
}

// Names come and go, and change what they are.
void SystemFiles::fill(const std::string &real, const std::string &path) const {
  std::map<std::string, FileKind> missing;
  for (FileName &name : list(path)) missing[std::move(name.name)] = name.kind;
  std::error_code error;
  for (const auto &entry : std::filesystem::directory_iterator(real, error)) {
    const auto it = missing.find(entry.path().filename());
    const FileKind is = entry.is_symlink()     ? FileKind::kLink
                        : entry.is_directory() ? FileKind::kDirectory
                                               : FileKind::kFile;
    if (it != missing.end() && it->second == is)
      missing.erase(it);
    else
      std::filesystem::remove_all(entry.path(), error);
  }
  for (const auto &[name, kind] : missing) {
    const std::string place = real + "/" + name;
    if (kind == FileKind::kDirectory) {
      std::filesystem::create_directory(place, error);
    } else if (kind == FileKind::kLink) {
      const std::string to = link_target(path + "/" + name);
      std::filesystem::create_symlink(to.empty() ? "." : to, place, error);
    } else {
      const int file = ::open(place.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
      if (file >= 0) ::close(file);
    }
  }
}

int SystemFiles::open_directory(const std::string &path) {
  if (root_.empty())
    if (const int error = make_root(); error != 0) return error;
  std::error_code error;
  const std::string real = root_ + path;
  std::filesystem::create_directories(real, error);
  fill(real, path);
  const int fd = ::open(real.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

}  // namespace uscx::process
