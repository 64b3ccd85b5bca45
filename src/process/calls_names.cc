// SPDX-License-Identifier: GPL-2.0-only
// Calls that make, remove and change names, and that ask for what a name is. Of ours, control groups and pinned objects
// come and go; the rest of what the kernel shows cannot be renamed, linked or given away.
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "process/call_paths.h"
#include "process/calls.h"
#include "process/mounts.h"
#include "process/supervisor.h"
#include "process/system_files.h"

namespace uscx::process {
namespace {

// --- making and removing names ---

// Of our names only those of control groups and of pinned objects come and go. A name may have been what kept an
// object.
template <typename Change>
Outcome change_name(Supervisor &s, Thread &t, u64 dir_fd, u64 path, Change change) {
  Target target;
  if (int error = resolve(s, t, dir_fd, path, {.follow = false}, &target); error != 0) return Outcome::answer(error);
  if (!target.ours) return Outcome::let_through();
  if (!s.system_files().names_change(target.path)) return Outcome::answer(-EPERM);
  return {Outcome::Kind::kSlow, 0, [&s, path = target.path, change] {
            const int error = change(s.system_files(), path);
            if (error == 0) s.release_objects();
            s.check_probes();
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

// --- what cannot be done to a name of ours ---

// One path, relative to no descriptor: `Error` if it is ours.
template <int Error>
Outcome refuse_ours(Supervisor &s, Thread &t) {
  Target target;
  if (int error = resolve(s, t, kHere, t.call.args[0], {}, &target); error != 0) return Outcome::answer(error);
  return target.ours ? Outcome::answer(target.absent() ? -ENOENT : -Error) : Outcome::let_through();
}
// One path, relative to a descriptor.
template <int Error>
Outcome refuse_ours_at(Supervisor &s, Thread &t) {
  Target target;
  if (t.call.args[1] == 0) return Outcome::let_through();  // utimensat() of the descriptor.
  if (int error = resolve(s, t, t.call.args[0], t.call.args[1], {}, &target); error != 0) return Outcome::answer(error);
  return target.ours ? Outcome::answer(target.absent() ? -ENOENT : -Error) : Outcome::let_through();
}

// Two paths: between file systems nothing is renamed or linked.
Outcome refuse_two(Supervisor &s, Thread &t, u64 dir_fd, u64 path, u64 to_dir_fd, u64 to_path) {
  Target from, to;
  if (int error = resolve(s, t, dir_fd, path, {.follow = false}, &from); error != 0) return Outcome::answer(error);
  if (int error = resolve(s, t, to_dir_fd, to_path, {.follow = false}, &to); error != 0) return Outcome::answer(error);
  if (!from.ours && !to.ours) return Outcome::let_through();
  if (from.absent()) return Outcome::answer(-ENOENT);
  return Outcome::answer(from.ours != to.ours ? -EXDEV : -EPERM);
}
Outcome do_two_paths(Supervisor &s, Thread &t) {
  return refuse_two(s, t, kHere, t.call.args[0], kHere, t.call.args[1]);
}
Outcome do_two_paths_at(Supervisor &s, Thread &t) {
  return refuse_two(s, t, t.call.args[0], t.call.args[1], t.call.args[2], t.call.args[3]);
}

// What a symbolic link says is not looked at; where it is made counts.
Outcome make_symlink(Supervisor &s, Thread &t, u64 dir_fd, u64 path) {
  Target target;
  if (int error = resolve(s, t, dir_fd, path, {.follow = false}, &target); error != 0) return Outcome::answer(error);
  return target.ours ? Outcome::answer(-EPERM) : Outcome::let_through();
}
Outcome do_symlink(Supervisor &s, Thread &t) { return make_symlink(s, t, kHere, t.call.args[1]); }
Outcome do_symlinkat(Supervisor &s, Thread &t) { return make_symlink(s, t, t.call.args[1], t.call.args[2]); }

// --- links ---

Outcome give_text(const Thread &t, const std::string &text, u64 buffer, u64 size) {
  const size_t length = std::min<size_t>(text.size(), size);
  const int error = t.process->remote.write(buffer, text.data(), length);
  return Outcome::answer(error != 0 ? error : static_cast<s64>(length));
}

// A descriptor of ours is shown as what the program has opened.
Outcome read_link(Supervisor &s, Thread &t, u64 dir_fd, u64 path, u64 buffer, u64 size) {
  Target target;
  if (static_cast<s32>(size) <= 0) return Outcome::answer(-EINVAL);
  if (int error = resolve(s, t, dir_fd, path, {.follow = false}, &target); error != 0) return Outcome::answer(error);
  if (target.absent()) return Outcome::answer(-ENOENT);
  if (target.ours) {
    if (target.kind != FileKind::kLink) return Outcome::answer(-EINVAL);
    return give_text(t, target.link, buffer, size);
  }
  std::string on_host = target.host_path;
  if (on_host.empty() && is_within(target.path, "/proc")) on_host = s.system_files().find(target.path).host_path;
  if (on_host.empty()) return Outcome::let_through();
  char text[PATH_MAX];
  const ssize_t length = ::readlink(on_host.c_str(), text, sizeof text);
  if (length < 0) return Outcome::answer(-errno);
  const std::string there(text, static_cast<size_t>(length));
  const std::string ours = s.system_files().path_of_target(there);
  return give_text(t, ours.empty() ? there : ours, buffer, size);
}
Outcome do_readlink(Supervisor &s, Thread &t) {
  return read_link(s, t, kHere, t.call.args[0], t.call.args[1], t.call.args[2]);
}
Outcome do_readlinkat(Supervisor &s, Thread &t) {
  return read_link(s, t, t.call.args[0], t.call.args[1], t.call.args[2], t.call.args[3]);
}

// --- handles ---

// As in Linux, that of a control group's directory holds its id, and is what tools learn the id by.
constexpr int kKernfsHandle = 0xfe;  // FILEID_KERNFS
struct Handle {
  file_handle head{};
  u64 id = 0;
};
static_assert(sizeof(Handle) == sizeof(file_handle) + sizeof(u64));

Outcome do_name_to_handle_at(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  Target target;
  const Lookup lookup{(args[4] & AT_SYMLINK_FOLLOW) != 0, (args[4] & AT_EMPTY_PATH) != 0};
  if (int error = resolve(s, t, args[0], args[1], lookup, &target); error != 0) return Outcome::answer(error);
  if (!target.ours) return Outcome::let_through();
  if (target.absent()) return Outcome::answer(-ENOENT);
  if (!s.system_files().cgroups().covers(target.path)) {
    s.note(fmt::format("{}: name_to_handle_at() of {} is not implemented: only control groups have handles",
                       t.process->name, target.path));
    return Outcome::answer(-EOPNOTSUPP);
  }
  Handle handle;
  if (t.process->remote.get(&handle.head, args[2]) != 0) return Outcome::answer(-EFAULT);
  const bool fits = handle.head.handle_bytes >= sizeof handle.id;
  handle.head.handle_bytes = sizeof handle.id;
  handle.head.handle_type = kKernfsHandle;
  handle.id = s.system_files().inode(target.path);
  const int mount_id = mount_id_of(mount_of(target.path));
  if (t.process->remote.put(args[3], mount_id) != 0) return Outcome::answer(-EFAULT);
  const int error = fits ? t.process->remote.put(args[2], handle) : t.process->remote.put(args[2], handle.head);
  return Outcome::answer(error != 0 ? error : fits ? 0 : -EOVERFLOW);
}

Outcome do_open_by_handle_at(Supervisor &s, Thread &t) {
  Handle handle;
  if (t.process->remote.get(&handle, t.call.args[1]) != 0) return Outcome::answer(-EFAULT);
  if (handle.head.handle_type != kKernfsHandle) {
    s.note(fmt::format("{}: open_by_handle_at() of a file of the host is not implemented", t.process->name));
    return Outcome::answer(-EOPNOTSUPP);
  }
  const std::string path = s.system_files().cgroups().path_of(handle.id);
  if (path.empty()) return Outcome::answer(-ESTALE);
  const int fd = s.system_files().open_directory(path);
  if (fd < 0) return Outcome::answer(fd);
  const int given = t.process->notifier->add_fd(t.call, fd, (t.call.args[2] & O_CLOEXEC) != 0);
  ::close(fd);
  return Outcome::answer(given);
}

// --- watching ---

Outcome do_inotify_add_watch(Supervisor &s, Thread &t) {
  const u32 mask = static_cast<u32>(t.call.args[2]);
  Target target;
  const bool follow = !(mask & IN_DONT_FOLLOW);
  if (int error = resolve(s, t, kHere, t.call.args[1], {.follow = follow}, &target); error != 0)
    return Outcome::answer(error);
  if (!target.ours) return Outcome::let_through();
  if (target.absent()) return Outcome::answer(-ENOENT);
  if (mask & IN_ONLYDIR && !target.directory()) return Outcome::answer(-ENOTDIR);
  if (mask & (IN_ACCESS | IN_OPEN | IN_CLOSE))
    s.note(
        fmt::format("{}: inotify of {} hears of writes and of names that come and go, not of reads, opens and closes",
                    t.process->name, target.path));
  const int own = t.process->remote.borrow_fd(static_cast<int>(t.call.args[0]));
  if (own < 0) return Outcome::answer(own);
  const int watch = s.system_files().watch(own, target.path, target.kind, mask);
  ::close(own);
  return Outcome::answer(watch);
}

constexpr CallEntry kTable[] = {
    {SYS_mkdir, "mkdir", 3000, do_mkdir},
    {SYS_mkdirat, "mkdirat", 3000, do_mkdirat},
    {SYS_rmdir, "rmdir", 3000, do_rmdir},
    {SYS_unlink, "unlink", 3000, do_unlink},
    {SYS_unlinkat, "unlinkat", 3000, do_unlinkat},
    {SYS_rename, "rename", 2000, do_two_paths},
    {SYS_renameat, "renameat", 2000, do_two_paths_at},
    {SYS_renameat2, "renameat2", 2000, do_two_paths_at},
    {SYS_link, "link", 2000, do_two_paths},
    {SYS_linkat, "linkat", 2000, do_two_paths_at},
    {SYS_symlink, "symlink", 2000, do_symlink},
    {SYS_symlinkat, "symlinkat", 2000, do_symlinkat},
    {SYS_mknod, "mknod", 2000, refuse_ours<EPERM>},
    {SYS_mknodat, "mknodat", 2000, refuse_ours_at<EPERM>},
    {SYS_chmod, "chmod", 1000, refuse_ours<EPERM>},
    {SYS_fchmodat, "fchmodat", 1000, refuse_ours_at<EPERM>},
    {SYS_chown, "chown", 1000, refuse_ours<EPERM>},
    {SYS_lchown, "lchown", 1000, refuse_ours<EPERM>},
    {SYS_fchownat, "fchownat", 1000, refuse_ours_at<EPERM>},
    {SYS_truncate, "truncate", 1000, refuse_ours<EINVAL>},
    {SYS_utime, "utime", 1000, refuse_ours<EPERM>},
    {SYS_utimes, "utimes", 1000, refuse_ours<EPERM>},
    {SYS_futimesat, "futimesat", 1000, refuse_ours_at<EPERM>},
    {SYS_utimensat, "utimensat", 1000, refuse_ours_at<EPERM>},
    {SYS_getxattr, "getxattr", 600, refuse_ours<EOPNOTSUPP>},
    {SYS_lgetxattr, "lgetxattr", 600, refuse_ours<EOPNOTSUPP>},
    {SYS_listxattr, "listxattr", 600, refuse_ours<EOPNOTSUPP>},
    {SYS_llistxattr, "llistxattr", 600, refuse_ours<EOPNOTSUPP>},
    {SYS_setxattr, "setxattr", 1000, refuse_ours<EOPNOTSUPP>},
    {SYS_lsetxattr, "lsetxattr", 1000, refuse_ours<EOPNOTSUPP>},
    {SYS_removexattr, "removexattr", 1000, refuse_ours<EOPNOTSUPP>},
    {SYS_lremovexattr, "lremovexattr", 1000, refuse_ours<EOPNOTSUPP>},
    {SYS_readlink, "readlink", 800, do_readlink},
    {SYS_readlinkat, "readlinkat", 800, do_readlinkat},
    {SYS_name_to_handle_at, "name_to_handle_at", 800, do_name_to_handle_at},
    {SYS_inotify_add_watch, "inotify_add_watch", 1500, do_inotify_add_watch},
    {SYS_open_by_handle_at, "open_by_handle_at", 1500, do_open_by_handle_at},
};

}  // namespace

const std::span<const CallEntry> kNameCalls = kTable;

}  // namespace uscx::process
