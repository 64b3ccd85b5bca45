// SPDX-License-Identifier: GPL-2.0-only
// Calls on files: those of the simulated kernel are ours (system_files.h, bpf/object/virtual_files.h), all others the
// host's. Reading and writing may wait, on pipes and sockets; that is virtual waiting unless the other end is outside.
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "bpf/object/perf_event.h"
#include "process/call_paths.h"
#include "process/calls.h"
#include "process/mounts.h"
#include "process/supervisor.h"
#include "process/system_files.h"
#include "process/tracee.h"

namespace uscx::process {
namespace {

// The object behind the descriptor that /proc/PID/fdinfo/N of the caller is about, or null.
std::shared_ptr<bpf::Object> object_of_fdinfo(Supervisor &s, const Thread &t, std::string_view path) {
  u32 pid = 0, tid = 0, fd = 0;
  if (!take_numbered(&path, "/proc/", &pid) || static_cast<int>(pid) != t.process->pid) return nullptr;
  take_numbered(&path, "task/", &tid);
  return take_numbered(&path, "fdinfo/", &fd) ? s.host().system().object_of_fd(static_cast<int>(fd)) : nullptr;
}

// Gives a descriptor of ours away.
Outcome give_fd(const Thread &t, int fd, u64 flags) {
  if (fd < 0) return Outcome::answer(fd);
  const int given = t.process->notifier->add_fd(t.call, fd, (flags & O_CLOEXEC) != 0);
  ::close(fd);
  return Outcome::answer(given);
}

// Tools that look for tracing find none, and say little of why.
void note_absent(Supervisor &s, const Thread &t, std::string_view path) {
  if (std::string_view(mount_of(path).type) != "tracefs" || path.ends_with("/id")) return;
  s.note(
      fmt::format("{}: tracefs has the ids of events alone, for BPF programs; formats, settings and buffers are not "
                  "implemented",
                  t.process->name));
}

// What the host has under another name than the program's.
Outcome open_on_host(const Thread &t, const std::string &path, u64 flags, u64 mode) {
  const int fd = ::open(path.c_str(), static_cast<int>(flags) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
  if (fd >= 0 && !(flags & O_NONBLOCK)) ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  return give_fd(t, fd < 0 ? -errno : fd, flags);
}

Outcome open_path(Supervisor &s, Thread &t, u64 dir_fd, u64 path, u64 flags, u64 mode) {
  Target target;
  if (int error = resolve(s, t, dir_fd, path, {.follow = !(flags & O_NOFOLLOW)}, &target); error != 0)
    return Outcome::answer(error);
  if (const auto object = object_of_fdinfo(s, t, target.path))
    return give_fd(t, bpf::VirtualFiles::open_text(s.host().system().fdinfo_text(*object)), flags);
  if (target.let_through()) return Outcome::let_through();
  if (!target.ours) return open_on_host(t, target.host_path, flags, mode);
  if (target.absent()) {
    note_absent(s, t, target.path);
    return Outcome::answer(flags & O_CREAT ? -EACCES : -ENOENT);
  }
  if (flags & O_CREAT && flags & O_EXCL) return Outcome::answer(-EEXIST);
  if (target.kind == FileKind::kLink) return Outcome::answer(-ELOOP);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (target.directory()) {
    if (writes) return Outcome::answer(-EISDIR);
    return give_fd(t, s.system_files().open_directory(target.path), flags);
  }
  if (flags & O_DIRECTORY) return Outcome::answer(-ENOTDIR);
  if (writes && !s.system_files().is_writable(target.path)) return Outcome::answer(-EACCES);
  return give_fd(t, s.system_files().open(target.path, flags & O_ACCMODE), flags);
}

Outcome do_open(Supervisor &s, Thread &t) {
  return open_path(s, t, kHere, t.call.args[0], t.call.args[1], t.call.args[2]);
}
Outcome do_openat(Supervisor &s, Thread &t) {
  return open_path(s, t, t.call.args[0], t.call.args[1], t.call.args[2], t.call.args[3]);
}
Outcome do_creat(Supervisor &s, Thread &t) {
  return open_path(s, t, kHere, t.call.args[0], O_CREAT | O_WRONLY | O_TRUNC, t.call.args[1]);
}

Outcome access_path(Supervisor &s, Thread &t, u64 dir_fd, u64 path, u64 mode, u64 flags) {
  Target target;
  if (int error = resolve(s, t, dir_fd, path, {.follow = !(flags & AT_SYMLINK_NOFOLLOW)}, &target); error != 0)
    return Outcome::answer(error);
  if (target.let_through()) return Outcome::let_through();
  if (!target.ours) return Outcome::answer(::access(target.host_path.c_str(), static_cast<int>(mode)) ? -errno : 0);
  if (target.absent()) return Outcome::answer(-ENOENT);
  const bool file = target.kind == FileKind::kFile;
  const bool refused = (file && mode & W_OK && !s.system_files().is_writable(target.path)) || (file && mode & X_OK);
  return Outcome::answer(refused ? -EACCES : 0);
}

Outcome do_access(Supervisor &s, Thread &t) { return access_path(s, t, kHere, t.call.args[0], t.call.args[1], 0); }
Outcome do_faccessat(Supervisor &s, Thread &t) {
  return access_path(s, t, t.call.args[0], t.call.args[1], t.call.args[2], 0);
}
Outcome do_faccessat2(Supervisor &s, Thread &t) {
  return access_path(s, t, t.call.args[0], t.call.args[1], t.call.args[2], t.call.args[3]);
}

constexpr u64 kFileBytes = 4096;  // What is read at once.

// What stat() says of one of ours.
struct stat stat_of(Supervisor &s, const Target &target) {
  struct stat st {};
  const bool file = target.kind == FileKind::kFile;
  const u32 file_mode = file && s.system_files().is_writable(target.path) ? 0644 : 0444;
  st.st_dev = device_of(mount_of(target.path));
  st.st_ino = s.system_files().inode(target.path);
  st.st_mode = target.directory() ? S_IFDIR | 0755 : file ? S_IFREG | file_mode : S_IFLNK | 0777;
  st.st_nlink = 1;
  st.st_size = file ? s.system_files().size(target.path) : static_cast<off_t>(target.link.size());
  st.st_blksize = kFileBytes;
  return st;
}

// Of a descriptor of ours, a path of ours, or what the host has under another name. False with an outcome otherwise.
bool stat_target(Supervisor &s, const Target &target, bool follow, struct stat *st, Outcome *otherwise) {
  *otherwise = Outcome::let_through();
  if (target.let_through()) return false;
  *otherwise = Outcome::answer(-ENOENT);
  if (target.absent()) return false;
  if (target.ours) {
    *st = stat_of(s, target);
    return true;
  }
  const int failed = follow ? ::stat(target.host_path.c_str(), st) : ::lstat(target.host_path.c_str(), st);
  if (failed) *otherwise = Outcome::answer(-errno);
  return !failed;
}

Outcome stat_path(Supervisor &s, Thread &t, u64 dir_fd, u64 path, u64 buffer, u64 flags) {
  const bool follow = !(flags & AT_SYMLINK_NOFOLLOW);
  Target target;
  if (int error = resolve(s, t, dir_fd, path, {follow, (flags & AT_EMPTY_PATH) != 0}, &target); error != 0)
    return Outcome::answer(error);
  struct stat st {};
  Outcome otherwise = Outcome::gone();
  if (!stat_target(s, target, follow, &st, &otherwise)) return otherwise;
  return Outcome::answer(t.process->remote.put(buffer, st));
}

Outcome do_stat(Supervisor &s, Thread &t) { return stat_path(s, t, kHere, t.call.args[0], t.call.args[1], 0); }
Outcome do_lstat(Supervisor &s, Thread &t) {
  return stat_path(s, t, kHere, t.call.args[0], t.call.args[1], AT_SYMLINK_NOFOLLOW);
}
Outcome do_newfstatat(Supervisor &s, Thread &t) {
  return stat_path(s, t, t.call.args[0], t.call.args[1], t.call.args[2], t.call.args[3]);
}
Outcome do_fstat(Supervisor &s, Thread &t) {
  const Target target = target_of_fd(s, t, static_cast<int>(t.call.args[0]));
  if (!target.ours) return Outcome::let_through();
  return Outcome::answer(t.process->remote.put(t.call.args[1], stat_of(s, target)));
}

Outcome do_statx(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  const bool follow = !(args[2] & AT_SYMLINK_NOFOLLOW);
  Target target;
  if (int error = resolve(s, t, args[0], args[1], {follow, (args[2] & AT_EMPTY_PATH) != 0}, &target); error != 0)
    return Outcome::answer(error);
  struct stat st {};
  Outcome otherwise = Outcome::gone();
  if (!stat_target(s, target, follow, &st, &otherwise)) return otherwise;
  struct statx out {};
  out.stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_SIZE | STATX_INO;
  out.stx_mode = static_cast<u16>(st.st_mode);
  out.stx_nlink = static_cast<u32>(st.st_nlink);
  out.stx_ino = st.st_ino;
  out.stx_size = static_cast<u64>(st.st_size);
  out.stx_blksize = static_cast<u32>(st.st_blksize);
  out.stx_dev_major = major(st.st_dev);
  out.stx_dev_minor = minor(st.st_dev);
  return Outcome::answer(t.process->remote.put(args[4], out));
}

Outcome statfs_target(Thread &t, const Target &target) {
  if (!target.ours) return Outcome::let_through();
  if (target.absent()) return Outcome::answer(-ENOENT);
  struct statfs st {};
  st.f_type = static_cast<long>(mount_of(target.path).magic);
  st.f_bsize = st.f_frsize = static_cast<long>(kFileBytes);
  st.f_namelen = 255;
  return Outcome::answer(t.process->remote.put(t.call.args[1], st));
}
Outcome do_statfs(Supervisor &s, Thread &t) {
  Target target;
  if (int error = resolve(s, t, kHere, t.call.args[0], {}, &target); error != 0) return Outcome::answer(error);
  return statfs_target(t, target);
}
Outcome do_fstatfs(Supervisor &s, Thread &t) {
  return statfs_target(t, target_of_fd(s, t, static_cast<int>(t.call.args[0])));
}

// What the host has in a directory of ours has other numbers there.
Outcome do_getdents64(Supervisor &s, Thread &t) {
  constexpr u64 kMaxBytes = 1 << 20;
  struct Header {
    u64 inode;
    s64 offset;
    u16 length;
    u8 type;
  } __attribute__((packed));
  const int fd = static_cast<int>(t.call.args[0]);
  const Target target = target_of_fd(s, t, fd);
  if (!target.ours) return Outcome::let_through();
  const int own = t.process->remote.borrow_fd(fd);
  if (own < 0) return Outcome::answer(own);
  std::vector<u8> bytes(std::min(t.call.args[2], kMaxBytes));
  const long got = ::syscall(SYS_getdents64, own, bytes.data(), bytes.size());
  const int error = errno;
  ::close(own);
  if (got < 0) return Outcome::answer(-error);
  for (size_t at = 0; at < static_cast<size_t>(got);) {
    Header header;
    std::memcpy(&header, &bytes[at], sizeof header);
    const auto *name = reinterpret_cast<const char *>(&bytes[at + sizeof header]);
    header.inode = s.system_files().inode(s.system_files().normalize(target.path + "/" + name, false));
    std::memcpy(&bytes[at], &header, sizeof header);
    at += header.length;
  }
  const int failed = t.process->remote.write(t.call.args[1], bytes.data(), static_cast<size_t>(got));
  return Outcome::answer(failed != 0 ? failed : got);
}

// The thread makes other calls in place of this one, and goes on with what the body returns. Signals and tracing come
// first, so that whoever calls looks at them before.
Outcome answer_by_calls(Supervisor &s, Thread &t, const std::function<s64(const CallMaker &make)> &body) {
  if (make_calls(*t.process->notifier, t.call, body))
    t.place = Place::kUser;
  else
    s.host_process_ends(*t.process);
  return Outcome::gone();
}

// --- the working directory ---

// One of ours is a real directory in a temporary place, into which the thread is led.
Outcome do_chdir(Supervisor &s, Thread &t) {
  Target target;
  if (int error = resolve(s, t, kHere, t.call.args[0], {}, &target); error != 0) return Outcome::answer(error);
  if (target.let_through()) return Outcome::let_through();
  if (target.ours && !target.directory()) return Outcome::answer(target.absent() ? -ENOENT : -ENOTDIR);
  if (t.interrupted || t.traced) return Outcome::answer(-kErestartNoIntr);
  const int fd = target.ours ? s.system_files().open_directory(target.path)
                             : ::open(target.host_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Outcome::answer(target.ours ? fd : -errno);
  const int given = t.process->notifier->add_fd(t.call, fd, true);
  ::close(fd);
  if (given < 0) return Outcome::answer(given);
  return answer_by_calls(s, t, [given](const CallMaker &make) {
    const s64 result = make(SYS_fchdir, {static_cast<u64>(given)});
    make(SYS_close, {static_cast<u64>(given)});
    return result;
  });
}

Outcome do_getcwd(Supervisor &s, Thread &t) {
  const std::string there = t.process->remote.cwd();
  const std::string path = s.system_files().path_of_target(there);
  if (path.empty()) return Outcome::let_through();
  if (t.call.args[1] <= path.size()) return Outcome::answer(-ERANGE);
  const int error = t.process->remote.write(t.call.args[0], path.c_str(), path.size() + 1);
  return Outcome::answer(error != 0 ? error : static_cast<s64>(path.size() + 1));
}

// It is here because chdir() is carried out with it.
Outcome do_fchdir(Supervisor &, Thread &) { return Outcome::let_through(); }

// --- reading and writing ---

// Waits until the host would not make the call wait; files and what is shared with the outside never do here.
Outcome when_ready(Supervisor &s, Thread &t, short events) {
  const int fd = static_cast<int>(t.call.args[0]);
  const Remote &remote = t.process->remote;
  struct stat st;
  if (!remote.stat_fd(fd, &st)) return Outcome::let_through();  // The host says EBADF.
  if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode) || s.is_external(st))
    return Outcome::let_through();
  if (fd_is_ready(t, fd, events)) return Outcome::let_through();
  const int flags = remote.status_flags(fd);
  if (flags >= 0 && flags & O_NONBLOCK) return Outcome::let_through();
  if (t.interrupted) return Outcome::answer(-kErestartSys);
  t.probe = [&t, fd, events] { return fd_is_ready(t, fd, events); };
  if (S_ISFIFO(st.st_mode)) t.probed_pipe = PipeKey{st.st_dev, st.st_ino, events};
  return Outcome::wait();
}

// Of the objects of bpf(2), only counters and what iterators have written can be read, not what the others are made of.
Outcome read_object(Supervisor &s, Thread &t, const bpf::Object &object) {
  if (object.kind() == bpf::ObjectKind::kIterator) return Outcome::let_through();
  const auto *event = dynamic_cast<const bpf::PerfEvent *>(&object);
  if (!event) return Outcome::answer(-EINVAL);
  if (event->probe()) {
    s.note(fmt::format("{}: read() of a tracepoint's or kprobe's count is not implemented", t.process->name));
    return Outcome::answer(-EOPNOTSUPP);
  }
  const std::vector<u64> words = event->words();
  const u64 bytes = words.size() * sizeof(u64);
  if (t.call.args[2] < bytes) return Outcome::answer(-ENOSPC);
  const int error = t.process->remote.write(t.call.args[1], words.data(), bytes);
  return Outcome::answer(error != 0 ? error : static_cast<s64>(bytes));
}

Outcome do_wait_to_read(Supervisor &s, Thread &t) { return when_ready(s, t, POLLIN); }
Outcome do_read(Supervisor &s, Thread &t) {
  if (s.holds_any())
    if (const auto object = s.host().system().object_of_fd(static_cast<int>(t.call.args[0])))
      return read_object(s, t, *object);
  return when_ready(s, t, POLLIN);
}
Outcome do_send(Supervisor &s, Thread &t) { return when_ready(s, t, POLLOUT); }

// What is written to a file of the simulated kernel.
Outcome write_ours(Supervisor &s, const std::string &path, const std::string &text) {
  const s64 written = static_cast<s64>(text.size());
  return {Outcome::Kind::kSlow, 0, [&s, path, text, written] {
            const int error = s.system_files().write(path, text);
            s.check_probes();
            return Outcome::answer(error != 0 ? error : written);
          }};
}

// The path of ours that a descriptor was opened for writing of; empty if there is none.
std::string written_path(Supervisor &s, const Thread &t, int fd, const struct stat &st) {
  if (!s.system_files().may_be_ours(st)) return "";
  const int flags = t.process->remote.status_flags(fd);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) return "";
  return s.system_files().path_of_target(t.process->remote.link_of_fd(fd));
}

constexpr u64 kMaxWrite = 4096;

// More than a pipe takes at once is written piece by piece, each of at most what a pipe always takes when it takes any.
Outcome write_pipe(Supervisor &s, Thread &t, u64 address, u64 size) {
  constexpr u64 kPieceBytes = 4096;
  const int fd = static_cast<int>(t.call.args[0]);
  const Remote &remote = t.process->remote;
  u64 &done = t.until_ns;  // Bytes so far.
  const int own = remote.borrow_fd(fd);
  if (own < 0) return Outcome::answer(own);
  bool broken = false;
  while (done < size && !broken) {
    const short events = poll_fd(t, fd, POLLOUT);
    if (events == 0) break;
    broken = (events & POLLERR) != 0;
    if (broken) break;
    char piece[kPieceBytes];
    const u64 bytes = std::min(size - done, kPieceBytes);
    if (remote.read(piece, address + done, bytes) != 0) break;
    const ssize_t written = ::write(own, piece, bytes);
    broken = written <= 0;
    if (!broken) done += static_cast<u64>(written);
  }
  ::close(own);
  // A broken pipe is a signal, which only the host can send to the right one.
  if (broken && done == 0) return Outcome::let_through();
  if (broken || done == size) return Outcome::answer(static_cast<s64>(done));
  if (t.interrupted) return Outcome::answer(done != 0 ? static_cast<s64>(done) : -kErestartSys);
  s.check_probes();
  t.probe = [&t, fd] { return fd_is_ready(t, fd, POLLOUT); };
  return Outcome::wait();
}

Outcome do_write(Supervisor &s, Thread &t) {
  constexpr u64 kPipeAlwaysTakes = 4096;
  const int fd = static_cast<int>(t.call.args[0]);
  struct stat st;
  if (!t.process->remote.stat_fd(fd, &st)) return Outcome::let_through();
  if (const std::string path = written_path(s, t, fd, st); !path.empty()) {
    std::string text(std::min(t.call.args[2], kMaxWrite), '\0');
    if (t.process->remote.read(text.data(), t.call.args[1], text.size()) != 0) return Outcome::answer(-EFAULT);
    return write_ours(s, path, text);
  }
  const int flags = S_ISFIFO(st.st_mode) ? t.process->remote.status_flags(fd) : 0;
  if (S_ISFIFO(st.st_mode) && !s.is_external(st) && t.call.args[2] > kPipeAlwaysTakes && !(flags & O_NONBLOCK))
    return write_pipe(s, t, t.call.args[1], t.call.args[2]);
  return when_ready(s, t, POLLOUT);
}

Outcome do_writev(Supervisor &s, Thread &t) {
  constexpr u64 kMaxParts = 1024;
  const int fd = static_cast<int>(t.call.args[0]);
  struct stat st;
  if (!t.process->remote.stat_fd(fd, &st)) return Outcome::let_through();
  const std::string path = written_path(s, t, fd, st);
  if (path.empty()) return when_ready(s, t, POLLOUT);
  if (t.call.args[2] > kMaxParts) return Outcome::answer(-EINVAL);
  std::vector<iovec> parts(t.call.args[2]);
  if (t.process->remote.read(parts.data(), t.call.args[1], parts.size() * sizeof(iovec)) != 0)
    return Outcome::answer(-EFAULT);
  std::string text;
  for (const iovec &part : parts) {
    std::string piece(std::min<size_t>(part.iov_len, kMaxWrite - text.size()), '\0');
    if (t.process->remote.read(piece.data(), reinterpret_cast<u64>(part.iov_base), piece.size()) != 0)
      return Outcome::answer(-EFAULT);
    text += piece;
  }
  return write_ours(s, path, text);
}

// Closing the last descriptor of an object of bpf(2) ends it, and may take a scheduler's end to come about.
Outcome do_close(Supervisor &s, Thread &t) {
  const int fd = static_cast<int>(t.call.args[0]);
  if (!s.holds_any() || t.started || !s.host().system().object_of_fd(fd)) return Outcome::let_through();
  Process &process = *t.process;
  return {Outcome::Kind::kSlow, 0, [&s, &process, fd] {
            s.release_objects(&process, fd);
            return Outcome::let_through();
          }};
}

// dup2(), dup3(): what the second number stands for is closed.
Outcome do_dup(Supervisor &s, Thread &t) {
  const int to = static_cast<int>(t.call.args[1]);
  if (!s.holds_any() || t.call.args[0] == t.call.args[1] || !s.host().system().object_of_fd(to))
    return Outcome::let_through();
  Process &process = *t.process;
  return {Outcome::Kind::kSlow, 0, [&s, &process, to] {
            s.release_objects(&process, to);
            return Outcome::let_through();
          }};
}

Outcome do_close_range(Supervisor &s, Thread &t) {
  if (t.call.args[2] != 0) return Outcome::let_through();  // CLOEXEC and UNSHARE close nothing now.
  for (int fd : t.process->remote.fds()) {
    if (static_cast<u64>(fd) < t.call.args[0] || static_cast<u64>(fd) > t.call.args[1]) continue;
    if (!s.host().system().object_of_fd(fd)) continue;
    // Callers fall back to close().
    return Outcome::answer(-ENOSYS);
  }
  return Outcome::let_through();
}

// The first piece is mapped as large as all of them, which finds the place, and the others over its end.
s64 map_pieces(const CallMaker &make, const u64 *args, const bpf::BpfSystem::Mmap &mapping) {
  u64 flags = args[3] | (mapping.address != args[0] ? u64{MAP_FIXED_NOREPLACE} : 0);
  u64 at = mapping.address, size = args[1];
  s64 start = -EINVAL;
  for (const bpf::Map::MmapPiece &piece : mapping.pieces) {
    const s64 result = make(SYS_mmap, {at, size, args[2], flags, args[4], piece.offset});
    if (result < 0 && result > -4096) return result;
    if (size == args[1]) start = result;
    at = static_cast<u64>(result) + piece.size;
    size -= piece.size;
    flags |= MAP_FIXED;
  }
  return start;
}

Outcome do_mmap(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  bpf::BpfSystem::Mmap mapping{args[0], static_cast<int>(args[2]), static_cast<int>(args[3]), args[5], args[1], false,
                               {}};
  const int error = s.host().system().check_mmap(static_cast<int>(args[4]), &mapping);
  if (error != 0) return Outcome::answer(error);
  // Our file's offsets are the kernel's, except in maps that show a part of their memory twice or choose their address.
  const bool as_it_is = mapping.pieces.empty() || (mapping.pieces.size() == 1 && mapping.pieces[0].offset == args[5] &&
                                                   mapping.pieces[0].size == args[1] && mapping.address == args[0]);
  if (as_it_is) return Outcome::let_through();
  // A signal that is due comes first, and tracing that is about to end too.
  if (t.interrupted || t.traced) return Outcome::answer(-kErestartNoIntr);
  return answer_by_calls(s, t, [&](const CallMaker &make) { return map_pieces(make, t.call.args, mapping); });
}

Outcome do_uname(Supervisor &s, Thread &t) {
  utsname name{};
  std::strcpy(name.sysname, "Linux");
  std::strcpy(name.nodename, "uscx");
  std::strncpy(name.release, s.host().system().options().release.c_str(), sizeof name.release - 1);
  std::strcpy(name.version, "#1 SMP PREEMPT_DYNAMIC");
  std::strcpy(name.machine, "x86_64");
  return Outcome::answer(t.process->remote.put(t.call.args[0], name));
}

constexpr CallEntry kTable[] = {
    {SYS_open, "open", 1500, do_open},
    {SYS_openat, "openat", 1500, do_openat},
    {SYS_creat, "creat", 1500, do_creat},
    {SYS_openat2, "openat2", 200, refuse_quietly},
    {SYS_access, "access", 800, do_access},
    {SYS_faccessat, "faccessat", 800, do_faccessat},
    {SYS_faccessat2, "faccessat2", 800, do_faccessat2},
    {SYS_stat, "stat", 800, do_stat},
    {SYS_lstat, "lstat", 800, do_lstat},
    {SYS_fstat, "fstat", 400, do_fstat},
    {SYS_newfstatat, "newfstatat", 800, do_newfstatat},
    {SYS_statx, "statx", 800, do_statx},
    {SYS_statfs, "statfs", 800, do_statfs},
    {SYS_fstatfs, "fstatfs", 500, do_fstatfs},
    {SYS_getdents64, "getdents64", 1500, do_getdents64},
    {SYS_chdir, "chdir", 1000, do_chdir},
    {SYS_fchdir, "fchdir", 500, do_fchdir},
    {SYS_getcwd, "getcwd", 500, do_getcwd},
    {SYS_read, "read", 500, do_read},
    {SYS_readv, "readv", 500, do_wait_to_read},
    {SYS_recvfrom, "recvfrom", 800, do_wait_to_read},
    {SYS_recvmsg, "recvmsg", 800, do_wait_to_read},
    {SYS_accept, "accept", 1500, do_wait_to_read},
    {SYS_accept4, "accept4", 1500, do_wait_to_read},
    {SYS_write, "write", 800, do_write},
    {SYS_writev, "writev", 800, do_writev},
    {SYS_sendto, "sendto", 1000, do_send},
    {SYS_sendmsg, "sendmsg", 1000, do_send},
    {SYS_close, "close", 300, do_close},
    {SYS_close_range, "close_range", 500, do_close_range},
    {SYS_dup2, "dup2", 300, do_dup},
    {SYS_dup3, "dup3", 300, do_dup},
    {SYS_mmap, "mmap", 1500, do_mmap},
    {SYS_uname, "uname", 200, do_uname},
};

}  // namespace

const std::span<const CallEntry> kFileCalls = kTable;

}  // namespace uscx::process
