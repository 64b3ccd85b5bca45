// SPDX-License-Identifier: GPL-2.0-only
// What libbpf::redirected calls instead of the C library (cmake/libbpf-redirect.syms): bpf(2) and the simulated
// kernel's files go to the BpfSystem of the calling thread, everything else to the host. Without a BpfSystem::Scope
// there is no simulated kernel: bpf(2) is ENOSYS and the kernel's files are the host's.
//
// Threading: as BpfSystem::current(), per thread.
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "bpf/object/bpf_system.h"

using uscx::bpf::BpfSystem;
using uscx::bpf::VirtualFiles;

namespace {

// The kind of a path, kHost without a system.
VirtualFiles::Kind kind_of(const char *path) {
  BpfSystem *system = BpfSystem::current();
  return system != nullptr && path != nullptr ? system->files().kind(path) : VirtualFiles::Kind::kHost;
}

long fail(int err) {
  errno = err;
  return -1;
}

// A descriptor of a file of ours, or -1 with errno.
int open_ours(const char *path, int flags) {
  if ((flags & O_ACCMODE) != O_RDONLY) return static_cast<int>(fail(EACCES));
  const int fd = BpfSystem::current()->files().open(path);
  return fd < 0 ? static_cast<int>(fail(-fd)) : fd;
}

// Descriptors of ours in epoll sets: memfds cannot be in one, so we keep them beside it.
struct Watch {
  int fd;
  struct epoll_event event;
};
struct Watches {
  std::mutex lock;
  std::map<int, std::vector<Watch>> by_epoll;
  static Watches &get() {
    static Watches *watches = new Watches;
    return *watches;
  }
  void forget(int fd) {
    std::lock_guard hold(lock);
    by_epoll.erase(fd);
    for (auto &[epoll, list] : by_epoll) std::erase_if(list, [fd](const Watch &watch) { return watch.fd == fd; });
  }
};

long check_access(const char *path, int mode, long (*host)(const char *, int)) {
  switch (kind_of(path)) {
    case VirtualFiles::Kind::kOurs: return mode & (W_OK | X_OK) ? fail(EACCES) : 0;
    case VirtualFiles::Kind::kAbsent: return fail(ENOENT);
    case VirtualFiles::Kind::kHost: break;
  }
  return host(path, mode);
}

}  // namespace

extern "C" {

long uscx_libbpf_syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long args[6];
  for (long &arg : args) arg = va_arg(list, long);
  va_end(list);
  BpfSystem *system = BpfSystem::current();
  switch (number) {
    case SYS_bpf: {
      if (system == nullptr) return fail(ENOSYS);
      const long result = system->bpf(static_cast<int>(args[0]), reinterpret_cast<union bpf_attr *>(args[1]),
                                      static_cast<u32>(args[2]));
      return result < 0 ? fail(static_cast<int>(-result)) : result;
    }
    case SYS_perf_event_open:
      if (system != nullptr) {
        const int fd = system->perf_event_open(reinterpret_cast<const struct perf_event_attr *>(args[0]),
                                               static_cast<int>(args[1]), static_cast<int>(args[2]),
                                               static_cast<int>(args[3]), static_cast<unsigned long>(args[4]));
        return fd < 0 ? fail(-fd) : fd;
      }
      break;
    case 336:  // uprobe(2), called from outside of a trampoline
      if (system != nullptr) return fail(ENXIO);
      break;
    case SYS_dup3: {
      const long fd = syscall(number, args[0], args[1], args[2]);
      if (fd >= 0 && system != nullptr) system->fd_duplicated(static_cast<int>(args[0]), static_cast<int>(fd));
      return fd;
    }
    default: break;
  }
  return syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

int uscx_libbpf_open(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
  va_end(list);
  switch (kind_of(path)) {
    case VirtualFiles::Kind::kOurs: return open_ours(path, flags);
    case VirtualFiles::Kind::kAbsent: return static_cast<int>(fail(ENOENT));
    case VirtualFiles::Kind::kHost: break;
  }
  return open(path, flags, mode);
}

FILE *uscx_libbpf_fopen(const char *path, const char *mode) {
  switch (kind_of(path)) {
    case VirtualFiles::Kind::kOurs: {
      const int fd = open_ours(path, std::strchr(mode, 'r') != nullptr ? O_RDONLY : O_WRONLY);
      return fd < 0 ? nullptr : fdopen(fd, mode);
    }
    case VirtualFiles::Kind::kAbsent: errno = ENOENT; return nullptr;
    case VirtualFiles::Kind::kHost: break;
  }
  return fopen(path, mode);
}

int uscx_libbpf_access(const char *path, int mode) {
  return static_cast<int>(check_access(path, mode, [](const char *p, int m) -> long { return access(p, m); }));
}

int uscx_libbpf_faccessat(int dir, const char *path, int mode, int flags) {
  if (path[0] != '/' || kind_of(path) == VirtualFiles::Kind::kHost) return faccessat(dir, path, mode, flags);
  return uscx_libbpf_access(path, mode);
}

void *uscx_libbpf_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset) {
  BpfSystem *system = BpfSystem::current();
  BpfSystem::Mmap mapping{reinterpret_cast<u64>(address), prot, flags, static_cast<u64>(offset), size, true, {}};
  if (fd >= 0 && system != nullptr) {
    if (const int err = system->check_mmap(fd, &mapping); err != 0) {
      errno = -err;
      return MAP_FAILED;
    }
  }
  if (mapping.address != reinterpret_cast<u64>(address)) {
    address = reinterpret_cast<void *>(mapping.address);
    flags &= ~MAP_FIXED;
  }
  if (mapping.pieces.size() < 2) return mmap(address, size, prot, flags, fd, offset);
  // Addresses first, then each piece in its place.
  void *start = mmap(address, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | (flags & MAP_FIXED), -1, 0);
  char *at = static_cast<char *>(start);
  for (const auto &piece : mapping.pieces) {
    if (start == MAP_FAILED) break;
    if (mmap(at, piece.size, prot, flags | MAP_FIXED, fd, static_cast<off_t>(piece.offset)) == MAP_FAILED) {
      munmap(start, size);
      return MAP_FAILED;
    }
    at += piece.size;
  }
  return start;
}

int uscx_libbpf_ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  const long arg = va_arg(list, long);
  va_end(list);
  BpfSystem *system = BpfSystem::current();
  if (system == nullptr || system->object_of_fd(fd) == nullptr) return ioctl(fd, request, arg);
  const int result = system->perf_event_ioctl(fd, request);
  return result < 0 ? static_cast<int>(fail(-result)) : result;
}

int uscx_libbpf_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event) {
  BpfSystem *system = BpfSystem::current();
  if (system == nullptr || system->pollable(fd) == nullptr) return epoll_ctl(epoll, op, fd, event);
  Watches &watches = Watches::get();
  std::lock_guard hold(watches.lock);
  auto &list = watches.by_epoll[epoll];
  const auto it = std::find_if(list.begin(), list.end(), [&](const Watch &watch) { return watch.fd == fd; });
  if ((op == EPOLL_CTL_ADD) == (it != list.end())) return static_cast<int>(fail(op == EPOLL_CTL_ADD ? EEXIST : ENOENT));
  if (op == EPOLL_CTL_ADD) list.push_back({fd, *event});
  if (op == EPOLL_CTL_MOD) it->event = *event;
  if (op == EPOLL_CTL_DEL) list.erase(it);
  return 0;
}

// The simulated machine stands still while its user half waits in here, so a wait is a look.
int uscx_libbpf_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout) {
  BpfSystem *system = BpfSystem::current();
  int ready = 0;
  bool ours = false;
  if (system != nullptr) {
    Watches &watches = Watches::get();
    std::lock_guard hold(watches.lock);
    auto it = watches.by_epoll.find(epoll);
    ours = it != watches.by_epoll.end();
    for (size_t i = 0; ours && i < it->second.size() && ready < count; i++) {
      const Watch &watch = it->second[i];
      const auto object = system->pollable(watch.fd);
      const u32 found = object != nullptr ? object->poll_events() & (watch.event.events | EPOLLERR | EPOLLHUP) : 0;
      if (found != 0) events[ready++] = {found, watch.event.data};
    }
  }
  return ready > 0 ? ready : epoll_wait(epoll, events, count, ours ? 0 : timeout);
}

int uscx_libbpf_close(int fd) {
  const int result = close(fd);
  Watches::get().forget(fd);
  if (BpfSystem *system = BpfSystem::current(); system != nullptr && fd >= 0) {
    const int err = errno;
    system->fd_closed(fd);
    errno = err;
  }
  return result;
}

int uscx_libbpf_dup2(int from, int to) {
  const int fd = dup2(from, to);
  if (BpfSystem *system = BpfSystem::current(); system != nullptr && fd >= 0) system->fd_duplicated(from, fd);
  return fd;
}

int uscx_libbpf_dup3(int from, int to, int flags) {
  const int fd = dup3(from, to, flags);
  if (BpfSystem *system = BpfSystem::current(); system != nullptr && fd >= 0) system->fd_duplicated(from, fd);
  return fd;
}

int uscx_libbpf_fcntl(int fd, int cmd, ...) {
  va_list list;
  va_start(list, cmd);
  const long arg = va_arg(list, long);
  va_end(list);
  const int result = fcntl(fd, cmd, arg);
  BpfSystem *system = BpfSystem::current();
  if (system != nullptr && result >= 0 && (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)) system->fd_duplicated(fd, result);
  return result;
}

int uscx_libbpf_uname(struct utsname *name) {
  const int result = uname(name);
  if (BpfSystem *system = BpfSystem::current(); system != nullptr && result == 0) {
    const std::string &release = system->options().release;
    std::memset(name->release, 0, sizeof(name->release));
    std::memcpy(name->release, release.data(), std::min(release.size(), sizeof(name->release) - 1));
    std::snprintf(name->version, sizeof(name->version), "#1 SMP PREEMPT_DYNAMIC uscx");
  }
  return result;
}

gzFile uscx_libbpf_gzopen(const char *path, const char *mode) {
  switch (kind_of(path)) {
    case VirtualFiles::Kind::kOurs: {
      const int fd = open_ours(path, O_RDONLY);
      return fd < 0 ? nullptr : gzdopen(fd, mode);
    }
    case VirtualFiles::Kind::kAbsent: errno = ENOENT; return nullptr;
    case VirtualFiles::Kind::kHost: break;
  }
  return gzopen(path, mode);
}

}  // extern "C"
