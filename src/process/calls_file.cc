// SPDX-License-Identifier: GPL-2.0-only
// Calls on files: those of the simulated kernel are ours (system_files.h, bpf/object/virtual_files.h), all others the
// host's. Reading and writing may wait, on pipes and sockets; that is virtual waiting unless the other end is outside.
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "bpf/object/perf_event.h"
#include "process/calls.h"
#include "process/supervisor.h"
#include "process/system_files.h"
#include "process/tracee.h"

namespace uscx::process {
namespace {

constexpr size_t kMaxPath = 4096;
using Kind = SystemFiles::Kind;

// What a path of a program means. `ours` is empty for the host's.
struct Target {
  std::string path;  // Absolute.
  std::string ours;
  Kind kind = Kind::kHost;
  bool directory = false;
};

// What /proc/self and /proc/thread-self mean if it is ours. The host's knows the process by another number.
std::string without_self(const Thread &t, std::string path) {
  constexpr std::string_view kSelf = "/proc/self", kThreadSelf = "/proc/thread-self";
  const std::string on_host = fmt::format("/proc/{}", t.process->remote.host_pid());
  for (const std::string_view start : {kSelf, kThreadSelf, std::string_view(on_host)}) {
    if (!path.starts_with(start) || (path.size() > start.size() && path[start.size()] != '/')) continue;
    const std::string rest = path.substr(start.size());
    if (!TaskFiles::has(rest)) return start == on_host ? std::string(kSelf) + rest : path;
    const std::string process = fmt::format("/proc/{}", t.process->pid);
    return start == kThreadSelf ? fmt::format("{}/task/{}{}", process, t.tid, rest) : process + rest;
  }
  return path;
}

// 0, or -errno if the path cannot be read.
int resolve(Supervisor &s, Thread &t, u64 dir_fd, u64 address, Target *target) {
  std::string path;
  const Remote &remote = t.process->remote;
  if (int error = remote.get_string(&path, address, kMaxPath); error != 0) return error;
  if (path.empty()) return 0;
  const bool relative = path[0] != '/';
  if (relative) {
    const int fd = static_cast<int>(dir_fd);
    path = (fd == AT_FDCWD ? remote.cwd() : remote.link_of_fd(fd)) + "/" + path;
  }
  std::string full = s.system_files().normalize(path);
  // A number that the program has written is a simulated pid.
  if (relative || full.starts_with("/proc/self") || full.starts_with("/proc/thread-self"))
    full = without_self(t, std::move(full));
  target->path = full;
  target->kind = s.system_files().kind(full);
  target->directory = target->kind != Kind::kOurs && s.system_files().is_directory(full);
  if (target->directory) target->kind = Kind::kOurs;
  if (target->kind != Kind::kHost) target->ours = full;
  return 0;
}

// The object behind the descriptor that /proc/self/fdinfo/N is about, or null.
std::shared_ptr<bpf::Object> object_of_fdinfo(Supervisor &s, const Thread &t, const std::string &path) {
  for (const std::string &self : {std::string("self"), std::string("thread-self"), std::to_string(t.process->pid)}) {
    const std::string start = "/proc/" + self + "/fdinfo/";
    if (path.starts_with(start)) return s.host().system().object_of_fd(std::atoi(path.c_str() + start.size()));
  }
  return nullptr;
}

// Gives a descriptor of ours away.
Outcome give_fd(const Thread &t, int fd, u64 flags) {
  if (fd < 0) return Outcome::answer(fd);
  const int given = t.process->notifier->add_fd(t.call, fd, (flags & O_CLOEXEC) != 0);
  ::close(fd);
  return Outcome::answer(given);
}

Outcome open_path(Supervisor &s, Thread &t, u64 dir_fd, u64 path, u64 flags) {
  Target target;
  if (int error = resolve(s, t, dir_fd, path, &target); error != 0) return Outcome::answer(error);
  if (const auto object = object_of_fdinfo(s, t, target.path))
    return give_fd(t, bpf::VirtualFiles::open_text(s.host().system().fdinfo_text(*object)), flags);
  if (target.kind == Kind::kHost) return Outcome::let_through();
  if (target.kind == Kind::kAbsent) return Outcome::answer(flags & O_CREAT ? -EACCES : -ENOENT);
  const bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (target.directory && writes) return Outcome::answer(-EISDIR);
  if (!target.directory && flags & O_DIRECTORY) return Outcome::answer(-ENOTDIR);
  if (writes && !s.system_files().writer(target.ours)) return Outcome::answer(-EACCES);
  const int fd = target.directory ? s.system_files().open_directory(target.ours)
                 : writes         ? s.system_files().open_for_writing(target.ours)
                                  : s.system_files().open(target.ours);
  return give_fd(t, fd, flags);
}

Outcome do_open(Supervisor &s, Thread &t) {
  return open_path(s, t, static_cast<u64>(AT_FDCWD), t.call.args[0], t.call.args[1]);
}
Outcome do_openat(Supervisor &s, Thread &t) { return open_path(s, t, t.call.args[0], t.call.args[1], t.call.args[2]); }

Outcome access_path(Supervisor &s, Thread &t, u64 dir_fd, u64 path, u64 mode) {
  Target target;
  if (int error = resolve(s, t, dir_fd, path, &target); error != 0) return Outcome::answer(error);
  if (target.kind == Kind::kHost) return Outcome::let_through();
  if (target.kind == Kind::kAbsent) return Outcome::answer(-ENOENT);
  const bool writable = !target.directory && s.system_files().writer(target.ours);
  const bool refused = (mode & W_OK && !writable) || (mode & X_OK && !target.directory);
  return Outcome::answer(refused ? -EACCES : 0);
}

Outcome do_access(Supervisor &s, Thread &t) {
  return access_path(s, t, static_cast<u64>(AT_FDCWD), t.call.args[0], t.call.args[1]);
}
Outcome do_faccessat(Supervisor &s, Thread &t) {
  return access_path(s, t, t.call.args[0], t.call.args[1], t.call.args[2]);
}

u32 mode_of(Supervisor &s, const Target &target) {
  if (target.directory) return S_IFDIR | 0755;
  return S_IFREG | (s.system_files().writer(target.ours) ? 0644 : 0444);
}

constexpr u64 kSysfsFileBytes = 4096;
constexpr u64 kHere = static_cast<u64>(AT_FDCWD);

Outcome stat_path(Supervisor &s, Thread &t, u64 dir_fd, u64 path, u64 buffer) {
  Target target;
  if (int error = resolve(s, t, dir_fd, path, &target); error != 0) return Outcome::answer(error);
  if (target.kind == Kind::kHost) return Outcome::let_through();
  if (target.kind == Kind::kAbsent) return Outcome::answer(-ENOENT);
  struct stat st {};
  st.st_mode = mode_of(s, target);
  st.st_nlink = 1;
  st.st_ino = s.system_files().inode(target.ours);
  st.st_size = target.directory ? 0 : kSysfsFileBytes;
  st.st_blksize = kSysfsFileBytes;
  return Outcome::answer(t.process->remote.put(buffer, st));
}

Outcome do_stat(Supervisor &s, Thread &t) {
  return stat_path(s, t, static_cast<u64>(AT_FDCWD), t.call.args[0], t.call.args[1]);
}
Outcome do_newfstatat(Supervisor &s, Thread &t) {
  return stat_path(s, t, t.call.args[0], t.call.args[1], t.call.args[2]);
}

Outcome do_statx(Supervisor &s, Thread &t) {
  Target target;
  if (int error = resolve(s, t, t.call.args[0], t.call.args[1], &target); error != 0) return Outcome::answer(error);
  if (target.kind == Kind::kHost) return Outcome::let_through();
  if (target.kind == Kind::kAbsent) return Outcome::answer(-ENOENT);
  struct statx st {};
  st.stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_SIZE | STATX_INO;
  st.stx_mode = static_cast<u16>(mode_of(s, target));
  st.stx_nlink = 1;
  st.stx_ino = s.system_files().inode(target.ours);
  st.stx_size = target.directory ? 0 : kSysfsFileBytes;
  st.stx_blksize = kSysfsFileBytes;
  return Outcome::answer(t.process->remote.put(t.call.args[4], st));
}

Outcome do_statfs(Supervisor &s, Thread &t) {
  Target target;
  if (int error = resolve(s, t, kHere, t.call.args[0], &target); error != 0) return Outcome::answer(error);
  if (!s.system_files().names_change(target.path)) return Outcome::let_through();
  if (target.kind == Kind::kAbsent) return Outcome::answer(-ENOENT);
  struct statfs st {};
  st.f_type = static_cast<long>(s.system_files().magic(target.path));
  st.f_bsize = st.f_frsize = static_cast<long>(kSysfsFileBytes);
  st.f_namelen = 255;
  return Outcome::answer(t.process->remote.put(t.call.args[1], st));
}

// --- making and removing names ---

// Of our names only those of control groups and of pinned objects come and go. A name may have been what kept an
// object.
template <typename Change>
Outcome change_name(Supervisor &s, Thread &t, u64 dir_fd, u64 path, Change change) {
  Target target;
  if (int error = resolve(s, t, dir_fd, path, &target); error != 0) return Outcome::answer(error);
  if (!s.system_files().names_change(target.path))
    return target.kind == Kind::kHost ? Outcome::let_through() : Outcome::answer(-EPERM);
  return {Outcome::Kind::kSlow, 0, [&s, path = target.path, change] {
            const int error = change(s.system_files(), path);
            if (error == 0) s.release_objects();
            return Outcome::answer(error);
          }};
}

Outcome make_directory(Supervisor &s, Thread &t, u64 dir_fd, u64 path) {
  return change_name(s, t, dir_fd, path,
                     [](SystemFiles &files, const std::string &name) { return files.make_directory(name); });
}
Outcome do_mkdir(Supervisor &s, Thread &t) { return make_directory(s, t, kHere, t.call.args[0]); }
Outcome do_mkdirat(Supervisor &s, Thread &t) { return make_directory(s, t, t.call.args[0], t.call.args[1]); }

Outcome remove_name(Supervisor &s, Thread &t, u64 dir_fd, u64 path, bool directory) {
  return change_name(s, t, dir_fd, path, [directory](SystemFiles &files, const std::string &name) {
    return files.remove(name, directory);
  });
}
Outcome do_rmdir(Supervisor &s, Thread &t) { return remove_name(s, t, kHere, t.call.args[0], true); }
Outcome do_unlink(Supervisor &s, Thread &t) { return remove_name(s, t, kHere, t.call.args[0], false); }
Outcome do_unlinkat(Supervisor &s, Thread &t) {
  return remove_name(s, t, t.call.args[0], t.call.args[1], (t.call.args[2] & AT_REMOVEDIR) != 0);
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
  if (int error = resolve(s, t, kHere, t.call.args[0], &target); error != 0) return Outcome::answer(error);
  if (target.kind == Kind::kHost || target.path == "/proc") return Outcome::let_through();
  if (!target.directory) return Outcome::answer(target.kind == Kind::kAbsent ? -ENOENT : -ENOTDIR);
  if (t.interrupted || t.traced) return Outcome::answer(-kErestartNoIntr);
  const int fd = s.system_files().open_directory(target.ours);
  if (fd < 0) return Outcome::answer(fd);
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
  const std::string path = s.system_files().normalize(there);
  if (path == there) return Outcome::let_through();
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
  if (fd_is_ready(remote, fd, events)) return Outcome::let_through();
  const int flags = remote.status_flags(fd);
  if (flags >= 0 && flags & O_NONBLOCK) return Outcome::let_through();
  if (t.interrupted) return Outcome::answer(-kErestartSys);
  t.probe = [&remote, fd, events] { return fd_is_ready(remote, fd, events); };
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
Outcome write_ours(Supervisor &s, Thread &t, const std::string &path, u64 address, u64 size) {
  constexpr u64 kMaxWrite = 4096;
  std::string text(std::min(size, kMaxWrite), '\0');
  if (t.process->remote.read(text.data(), address, text.size()) != 0) return Outcome::answer(-EFAULT);
  const s64 written = static_cast<s64>(text.size());
  return {Outcome::Kind::kSlow, 0, [&s, path, text, written] {
            const int error = (*s.system_files().writer(path))(text);
            return Outcome::answer(error != 0 ? error : written);
          }};
}

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
    const short events = poll_fd(remote, fd, POLLOUT);
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
  t.probe = [&remote, fd] { return fd_is_ready(remote, fd, POLLOUT); };
  return Outcome::wait();
}

Outcome do_write(Supervisor &s, Thread &t) {
  constexpr u64 kPipeAlwaysTakes = 4096;
  const int fd = static_cast<int>(t.call.args[0]);
  struct stat st;
  if (!t.process->remote.stat_fd(fd, &st)) return Outcome::let_through();
  if (const std::string *path = s.system_files().written_file({st.st_dev, st.st_ino}))
    return write_ours(s, t, *path, t.call.args[1], t.call.args[2]);
  const int flags = S_ISFIFO(st.st_mode) ? t.process->remote.status_flags(fd) : 0;
  if (S_ISFIFO(st.st_mode) && !s.is_external(st) && t.call.args[2] > kPipeAlwaysTakes && !(flags & O_NONBLOCK))
    return write_pipe(s, t, t.call.args[1], t.call.args[2]);
  return when_ready(s, t, POLLOUT);
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
    {SYS_openat2, "openat2", 200, refuse_quietly},
    {SYS_access, "access", 800, do_access},
    {SYS_faccessat, "faccessat", 800, do_faccessat},
    {SYS_faccessat2, "faccessat2", 800, do_faccessat},
    {SYS_stat, "stat", 800, do_stat},
    {SYS_lstat, "lstat", 800, do_stat},
    {SYS_newfstatat, "newfstatat", 800, do_newfstatat},
    {SYS_statx, "statx", 800, do_statx},
    {SYS_statfs, "statfs", 800, do_statfs},
    {SYS_mkdir, "mkdir", 3000, do_mkdir},
    {SYS_mkdirat, "mkdirat", 3000, do_mkdirat},
    {SYS_rmdir, "rmdir", 3000, do_rmdir},
    {SYS_unlink, "unlink", 3000, do_unlink},
    {SYS_unlinkat, "unlinkat", 3000, do_unlinkat},
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
    {SYS_writev, "writev", 800, do_send},
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
