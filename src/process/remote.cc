// SPDX-License-Identifier: GPL-2.0-only
#include "process/remote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/units.h"

namespace uscx::process {

std::string read_host_file(const std::string &path) {
  std::string text;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char block[4096];
  ssize_t got;
  while ((got = ::read(fd, block, sizeof block)) > 0) text.append(block, static_cast<size_t>(got));
  ::close(fd);
  return text;
}

u64 eventfd_id(const std::string &fdinfo_path) {
  constexpr std::string_view kName = "eventfd-id:";
  const std::string info = read_host_file(fdinfo_path);
  const size_t at = info.find(kName);
  return at == std::string::npos ? 0 : std::strtoull(info.c_str() + at + kName.size(), nullptr, 10) + 1;
}

namespace {
std::string read_host_link(const std::string &path) {
  char target[4096];
  const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
  return length < 0 ? std::string() : std::string(target, static_cast<size_t>(length));
}
}  // namespace

Remote::Remote(pid_t host_pid) : host_pid_(host_pid), pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, host_pid, 0))) {
  CHECK(pidfd_ >= 0, "pidfd_open({}): errno {}", host_pid, errno);
}

Remote::~Remote() { forget(); }

void Remote::forget() {
  if (pidfd_ >= 0) ::close(pidfd_);
  pidfd_ = -1;
}

std::string Remote::proc(const std::string &rest) const { return fmt::format("/proc/{}/{}", host_pid_, rest); }

bool Remote::dead() const {
  pollfd poll{pidfd_, POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1;
}

void Remote::wait_dead() const {
  pollfd poll{pidfd_, POLLIN, 0};
  while (::poll(&poll, 1, -1) < 0) CHECK(errno == EINTR);
}

// --- memory ---

int Remote::read(void *to, u64 from, size_t size) const {
  if (size == 0) return 0;
  const iovec local{to, size};
  const iovec remote{reinterpret_cast<void *>(from), size};
  return ::process_vm_readv(host_pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size) ? 0 : -EFAULT;
}

int Remote::write(u64 to, const void *from, size_t size) const {
  if (size == 0) return 0;
  const iovec local{const_cast<void *>(from), size};
  const iovec remote{reinterpret_cast<void *>(to), size};
  return ::process_vm_writev(host_pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(size) ? 0 : -EFAULT;
}

int Remote::write_code(u64 to, const void *from, size_t size) const {
  const int fd = ::open(proc("mem").c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return -EFAULT;
  const ssize_t written = ::pwrite(fd, from, size, static_cast<off_t>(to));
  ::close(fd);
  return written == static_cast<ssize_t>(size) ? 0 : -EFAULT;
}

int Remote::get_string(std::string *text, u64 from, size_t limit) const {
  constexpr u64 kPage = 4096;
  text->clear();
  while (text->size() < limit) {
    // Up to the end of a page, beyond which nothing may be mapped.
    char block[kPage];
    const size_t size = std::min<size_t>(kPage - (from + text->size()) % kPage, limit - text->size());
    if (read(block, from + text->size(), size) != 0) return -EFAULT;
    const size_t length = ::strnlen(block, size);
    text->append(block, length);
    if (length < size) return 0;
  }
  return -ENAMETOOLONG;
}

// --- descriptors ---

bool Remote::stat_fd(int fd, struct stat *st) const { return ::stat(proc(fmt::format("fd/{}", fd)).c_str(), st) == 0; }

std::string Remote::link_of_fd(int fd) const { return read_host_link(proc(fmt::format("fd/{}", fd))); }

std::string Remote::cwd() const { return read_host_link(proc("cwd")); }

int Remote::borrow_fd(int fd) const {
  const long result = ::syscall(SYS_pidfd_getfd, pidfd_, fd, 0);
  return result < 0 ? -errno : static_cast<int>(result);
}

int Remote::status_flags(int fd) const {
  const int own = borrow_fd(fd);
  if (own < 0) return own;
  const int flags = ::fcntl(own, F_GETFL);
  ::close(own);
  return flags;
}

std::vector<int> Remote::fds() const {
  std::vector<int> all;
  DIR *dir = ::opendir(proc("fd").c_str());
  if (dir == nullptr) return all;
  while (const dirent *entry = ::readdir(dir)) {
    if (entry->d_name[0] != '.') all.push_back(std::atoi(entry->d_name));
  }
  ::closedir(dir);
  return all;
}

// --- what the host's kernel says ---

Remote::Signals Remote::signals(pid_t host_tid) const {
  Signals signals;
  const std::string status = read_host_file(proc(fmt::format("task/{}/status", host_tid)));
  const auto mask = [&status](const char *name) -> u64 {
    const size_t at = status.find(name);
    return at == std::string::npos ? 0 : std::strtoull(status.c_str() + at + std::strlen(name), nullptr, 16);
  };
  signals.blocked = mask("\nSigBlk:\t");
  signals.ignored = mask("\nSigIgn:\t");
  signals.caught = mask("\nSigCgt:\t");
  signals.pending = mask("\nSigPnd:\t") | mask("\nShdPnd:\t");
  return signals;
}

char Remote::thread_state(pid_t host_tid) const {
  const std::string stat = read_host_file(proc(fmt::format("task/{}/stat", host_tid)));
  const size_t paren = stat.rfind(')');
  return paren == std::string::npos || paren + 2 >= stat.size() ? 0 : stat[paren + 2];
}

long Remote::current_syscall(pid_t host_tid) const {
  const std::string text = read_host_file(proc(fmt::format("task/{}/syscall", host_tid)));
  return text.empty() || text[0] == 'r' ? -1 : std::strtol(text.c_str(), nullptr, 10);
}

u64 Remote::cpu_time_ns() const {
  clockid_t clock;
  timespec time{};
  if (::clock_getcpuclockid(host_pid_, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
  return static_cast<u64>(time.tv_sec) * kNsPerSec + static_cast<u64>(time.tv_nsec);
}

std::string Remote::comm(pid_t host_tid) const {
  std::string comm = read_host_file(proc(fmt::format("task/{}/comm", host_tid)));
  if (!comm.empty() && comm.back() == '\n') comm.pop_back();
  return comm;
}

std::optional<u64> Remote::auxv(u64 type) const {
  const std::string text = read_host_file(proc("auxv"));
  for (size_t at = 0; at + 16 <= text.size(); at += 16) {
    u64 pair[2];
    std::memcpy(pair, text.data() + at, sizeof pair);
    if (pair[0] == type) return pair[1];
  }
  return std::nullopt;
}

std::optional<std::pair<std::string, u64>> Remote::shared_memory_at(u64 address) const {
  const std::string maps = read_host_file(proc("maps"));
  for (size_t at = 0; at < maps.size();) {
    const size_t end = std::min(maps.find('\n', at), maps.size());
    const std::string line = maps.substr(at, end - at);
    at = end + 1;
    unsigned long start, stop, offset, inode;
    char flags[5], device[16];
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %lx %15s %lu", &start, &stop, flags, &offset, device, &inode) != 6)
      continue;
    if (address < start || address >= stop) continue;
    if (flags[3] != 's') return std::nullopt;
    return std::pair(fmt::format("{}:{}", device, inode), offset + (address - start));
  }
  return std::nullopt;
}

}  // namespace uscx::process
