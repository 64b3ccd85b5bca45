// SPDX-License-Identifier: GPL-2.0-only
#include "process/call_table.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>

#include "base/check.h"

namespace uscx::process {
namespace {

// Calls of the host that we never see: memory, files by descriptor or name where no file of the simulated kernel can be
// meant, a thread's own signal handling, identity. Those that may wait on a pipe or a socket are not among them.
constexpr int kHostCalls[] = {SYS_lseek,
                              SYS_fstat,
                              SYS_munmap,
                              SYS_mprotect,
                              SYS_rt_sigaction,
                              SYS_rt_sigprocmask,
                              SYS_rt_sigreturn,
                              SYS_pread64,
                              SYS_pwrite64,
                              SYS_preadv,
                              SYS_pwritev,
                              SYS_mremap,
                              SYS_msync,
                              SYS_mincore,
                              SYS_madvise,
                              SYS_shmget,
                              SYS_shmat,
                              SYS_shmctl,
                              SYS_shmdt,
                              SYS_dup,
                              SYS_socket,
                              SYS_connect,
                              SYS_shutdown,
                              SYS_bind,
                              SYS_listen,
                              SYS_getsockname,
                              SYS_getpeername,
                              SYS_socketpair,
                              SYS_setsockopt,
                              SYS_getsockopt,
                              SYS_fcntl,
                              SYS_fsync,
                              SYS_fdatasync,
                              SYS_truncate,
                              SYS_ftruncate,
                              SYS_getdents,
                              SYS_getdents64,
                              SYS_rename,
                              SYS_creat,
                              SYS_link,
                              SYS_symlink,
                              SYS_readlink,
                              SYS_chmod,
                              SYS_fchmod,
                              SYS_chown,
                              SYS_fchown,
                              SYS_lchown,
                              SYS_umask,
                              SYS_getrlimit,
                              SYS_setrlimit,
                              SYS_prlimit64,
                              SYS_getuid,
                              SYS_getgid,
                              SYS_setuid,
                              SYS_setgid,
                              SYS_geteuid,
                              SYS_getegid,
                              SYS_setreuid,
                              SYS_setregid,
                              SYS_getgroups,
                              SYS_setgroups,
                              SYS_setresuid,
                              SYS_getresuid,
                              SYS_setresgid,
                              SYS_getresgid,
                              SYS_setfsuid,
                              SYS_setfsgid,
                              SYS_capget,
                              SYS_capset,
                              SYS_rt_sigpending,
                              SYS_sigaltstack,
                              SYS_utime,
                              SYS_utimes,
                              SYS_mknod,
                              SYS_fstatfs,
                              SYS_mlock,
                              SYS_munlock,
                              SYS_mlockall,
                              SYS_munlockall,
                              SYS_mlock2,
                              SYS_sync,
                              SYS_syncfs,
                              SYS_set_robust_list,
                              SYS_get_robust_list,
                              SYS_readahead,
                              SYS_setxattr,
                              SYS_lsetxattr,
                              SYS_fsetxattr,
                              SYS_getxattr,
                              SYS_lgetxattr,
                              SYS_fgetxattr,
                              SYS_listxattr,
                              SYS_llistxattr,
                              SYS_flistxattr,
                              SYS_removexattr,
                              SYS_lremovexattr,
                              SYS_fremovexattr,
                              SYS_epoll_create,
                              SYS_epoll_create1,
                              SYS_remap_file_pages,
                              SYS_fadvise64,
                              SYS_mbind,
                              SYS_set_mempolicy,
                              SYS_get_mempolicy,
                              SYS_migrate_pages,
                              SYS_move_pages,
                              SYS_inotify_init,
                              SYS_inotify_init1,
                              SYS_inotify_add_watch,
                              SYS_inotify_rm_watch,
                              SYS_mknodat,
                              SYS_fchownat,
                              SYS_futimesat,
                              SYS_renameat,
                              SYS_renameat2,
                              SYS_linkat,
                              SYS_symlinkat,
                              SYS_readlinkat,
                              SYS_fchmodat,
                              SYS_utimensat,
                              SYS_fallocate,
                              SYS_eventfd,
                              SYS_eventfd2,
                              SYS_pipe,
                              SYS_pipe2,
                              SYS_sync_file_range,
                              SYS_memfd_create,
                              SYS_copy_file_range,
                              SYS_pkey_alloc,
                              SYS_pkey_free,
                              SYS_pkey_mprotect,
                              SYS_membarrier,
                              SYS_preadv2,
                              SYS_pwritev2,
                              SYS_clock_getres,
                              SYS_sched_rr_get_interval,
                              SYS_ioprio_get,
                              SYS_ioprio_set,
                              SYS_personality,
                              SYS_restart_syscall,
                              SYS_flock,
                              SYS_seccomp};

constexpr int kMaxCalls = 512;
constexpr u32 kPerfRequests = '$';
struct Table {
  std::array<const CallEntry *, kMaxCalls> entries{};
  Table() {
    for (const auto &calls :
         {kBpfCalls, kFileCalls, kFutexCalls, kPollCalls, kProcessCalls, kSchedCalls, kSignalCalls, kTimeCalls})
      for (const CallEntry &entry : calls) {
        const CallEntry *&slot = entries.at(static_cast<size_t>(entry.nr));
        CHECK(!slot, "two handlers for {}", entry.name);
        slot = &entry;
      }
    for (int nr : kHostCalls) CHECK(!entries.at(static_cast<size_t>(nr)), "call {} is in both lists", nr);
  }
};

const Table &table() {
  static const Table table;
  return table;
}

// Those that are known but refused, for messages.
struct Refused {
  int nr;
  const char *name;
};
constexpr Refused kRefused[] = {
    {SYS_ptrace, "ptrace"},
    {SYS_timer_create, "timer_create"},
    {SYS_signalfd, "signalfd"},
    {SYS_signalfd4, "signalfd4"},
    {SYS_io_setup, "io_setup"},
    {SYS_io_uring_setup, "io_uring_setup"},
    {SYS_userfaultfd, "userfaultfd"},
    {SYS_pidfd_open, "pidfd_open"},
    {SYS_pidfd_send_signal, "pidfd_send_signal"},
    {SYS_pidfd_getfd, "pidfd_getfd"},
    {SYS_process_vm_readv, "process_vm_readv"},
    {SYS_process_vm_writev, "process_vm_writev"},
    {SYS_splice, "splice"},
    {SYS_tee, "tee"},
    {SYS_vmsplice, "vmsplice"},
    {SYS_sendfile, "sendfile"},
    {SYS_recvmmsg, "recvmmsg"},
    {SYS_sendmmsg, "sendmmsg"},
    {SYS_msgrcv, "msgrcv"},
    {SYS_msgsnd, "msgsnd"},
    {SYS_semop, "semop"},
    {SYS_semtimedop, "semtimedop"},
    {SYS_mq_open, "mq_open"},
    {SYS_unshare, "unshare"},
    {SYS_setns, "setns"},
    {SYS_mount, "mount"},
    {SYS_umount2, "umount2"},
    {SYS_chroot, "chroot"},
    {SYS_reboot, "reboot"},
    {SYS_futex_waitv, "futex_waitv"},
};

}  // namespace

const CallEntry *find_call(int nr) {
  return nr >= 0 && nr < kMaxCalls ? table().entries[static_cast<size_t>(nr)] : nullptr;
}

const char *call_name(int nr) {
  if (const CallEntry *entry = find_call(nr)) return entry->name;
  for (const Refused &refused : kRefused) {
    if (refused.nr == nr) return refused.name;
  }
  return "of an unknown kind";
}

std::vector<sock_filter> call_filter() {
  std::vector<sock_filter> code;
  const auto load = [&code](size_t offset) {
    code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<u32>(offset)));
  };
  const auto skip_unless = [&code](u32 value, u8 skipped) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped));
  };
  const auto result = [&code](u32 value) { code.push_back(BPF_STMT(BPF_RET | BPF_K, value)); };

  load(offsetof(seccomp_data, arch));
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
  result(SECCOMP_RET_USER_NOTIF);
  load(offsetof(seccomp_data, nr));
  for (int nr : kHostCalls) {
    skip_unless(static_cast<u32>(nr), 1);
    result(SECCOMP_RET_ALLOW);
  }
  // Requests of perf events have a letter of their own, in the second byte.
  skip_unless(SYS_ioctl, 6);
  load(offsetof(seccomp_data, args[1]));
  code.push_back(BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 8));
  code.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff));
  skip_unless(kPerfRequests, 1);
  result(SECCOMP_RET_USER_NOTIF);
  result(SECCOMP_RET_ALLOW);
  // Memory without a file cannot be a map of ours.
  skip_unless(SYS_mmap, 3);
  load(offsetof(seccomp_data, args[4]));
  skip_unless(~0u, 1);
  result(SECCOMP_RET_ALLOW);
  result(SECCOMP_RET_USER_NOTIF);
  return code;
}

}  // namespace uscx::process
