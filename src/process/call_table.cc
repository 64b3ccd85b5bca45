// SPDX-License-Identifier: GPL-2.0-only
#include "process/call_table.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/check.h"
#include "process/calls.h"

namespace uscx::process {
namespace {

// Why the host executes calls, and we do not see them: they neither wait nor show anything that the simulated machine
// has another idea of.
constexpr const char *kMemory = "a program has the host's memory";
constexpr const char *kFiles = "works on descriptors, whose files are the host's or made by us";
constexpr const char *kDescriptors = "makes descriptors that are waited for here";
constexpr const char *kSockets = "sockets are the host's";
constexpr const char *kSignals = "handlers and masks are the host's";
constexpr const char *kUsers = "users are the host's";
constexpr const char *kLimits = "the limits of resources are the host's";
constexpr const char *kImage = "a program's image and its locks are the host's";
constexpr const char *kClocks = "all clocks count nanoseconds";
constexpr const char *kIo = "input and output are the host's";
// Why calls are refused.
constexpr const char *kTracing = "one program cannot look into another";
constexpr const char *kQueues = "queues and semaphores of System V and POSIX are not implemented";
constexpr const char *kSplices =
    "moves of data within the kernel, or of several messages, are not implemented; read() and write() are";
constexpr const char *kMounts = "nothing is mounted";
constexpr const char *kNamespaces = "there are no namespaces";
constexpr const char *kAsync = "asynchronous input and output is not implemented";
constexpr const char *kClock = "the clock is virtual, and nobody sets it";
constexpr const char *kMachine = "the machine is set up by the options of the run";
constexpr const char *kOld = "Linux 7.2 has it no longer";
constexpr const char *kWatching = "fanotify is not implemented; inotify is";
constexpr const char *kKeys = "keys and security modules are not simulated";
constexpr const char *kNewer = "newer than what is implemented; programs go on without";

struct OtherCall {
  int nr;
  const char *name;
  CallFate fate;
  const char *why;
};
#define HOST(name, why) \
  { SYS_##name, #name, CallFate::kHost, why }
#define REFUSED(name, why) \
  { SYS_##name, #name, CallFate::kRefused, why }
// Newer than the C library's headers.
#define REFUSED_NUMBER(number, name, why) \
  { number, #name, CallFate::kRefused, why }

// All calls that have no handler.
constexpr OtherCall kOtherCalls[] = {
    HOST(munmap, kMemory),
    HOST(mprotect, kMemory),
    HOST(mremap, kMemory),
    HOST(msync, kMemory),
    HOST(mincore, kMemory),
    HOST(madvise, kMemory),
    HOST(mlock, kMemory),
    HOST(munlock, kMemory),
    HOST(mlock2, kMemory),
    HOST(remap_file_pages, kMemory),
    HOST(mbind, kMemory),
    HOST(set_mempolicy, kMemory),
    HOST(get_mempolicy, kMemory),
    HOST(migrate_pages, kMemory),
    HOST(move_pages, kMemory),
    HOST(pkey_alloc, kMemory),
    HOST(pkey_free, kMemory),
    HOST(pkey_mprotect, kMemory),
    HOST(membarrier, kMemory),
    HOST(shmget, kMemory),
    HOST(shmat, kMemory),
    HOST(shmctl, kMemory),
    HOST(shmdt, kMemory),
    HOST(memfd_create, kMemory),
    HOST(lseek, kFiles),
    HOST(pread64, kFiles),
    HOST(pwrite64, kFiles),
    HOST(preadv, kFiles),
    HOST(pwritev, kFiles),
    HOST(preadv2, kFiles),
    HOST(pwritev2, kFiles),
    HOST(dup, kFiles),
    HOST(fcntl, kFiles),
    HOST(fsync, kFiles),
    HOST(fdatasync, kFiles),
    HOST(ftruncate, kFiles),
    HOST(getdents, kFiles),
    HOST(fchmod, kFiles),
    HOST(fchown, kFiles),
    HOST(sync, kFiles),
    HOST(syncfs, kFiles),
    HOST(readahead, kFiles),
    HOST(fsetxattr, kFiles),
    HOST(fgetxattr, kFiles),
    HOST(flistxattr, kFiles),
    HOST(fremovexattr, kFiles),
    HOST(fadvise64, kFiles),
    HOST(fallocate, kFiles),
    HOST(sync_file_range, kFiles),
    HOST(copy_file_range, kFiles),
    HOST(flock, kFiles),
    HOST(umask, kFiles),
    HOST(epoll_create, kDescriptors),
    HOST(epoll_create1, kDescriptors),
    HOST(eventfd, kDescriptors),
    HOST(eventfd2, kDescriptors),
    HOST(pipe, kDescriptors),
    HOST(pipe2, kDescriptors),
    HOST(inotify_init, kDescriptors),
    HOST(inotify_init1, kDescriptors),
    HOST(inotify_rm_watch, kDescriptors),
    HOST(socket, kSockets),
    HOST(connect, kSockets),
    HOST(shutdown, kSockets),
    HOST(bind, kSockets),
    HOST(listen, kSockets),
    HOST(getsockname, kSockets),
    HOST(getpeername, kSockets),
    HOST(socketpair, kSockets),
    HOST(setsockopt, kSockets),
    HOST(getsockopt, kSockets),
    HOST(rt_sigaction, kSignals),
    HOST(rt_sigprocmask, kSignals),
    HOST(rt_sigreturn, kSignals),
    HOST(rt_sigpending, kSignals),
    HOST(sigaltstack, kSignals),
    HOST(restart_syscall, kSignals),
    HOST(getuid, kUsers),
    HOST(getgid, kUsers),
    HOST(setuid, kUsers),
    HOST(setgid, kUsers),
    HOST(geteuid, kUsers),
    HOST(getegid, kUsers),
    HOST(setreuid, kUsers),
    HOST(setregid, kUsers),
    HOST(getgroups, kUsers),
    HOST(setgroups, kUsers),
    HOST(setresuid, kUsers),
    HOST(getresuid, kUsers),
    HOST(setresgid, kUsers),
    HOST(getresgid, kUsers),
    HOST(setfsuid, kUsers),
    HOST(setfsgid, kUsers),
    HOST(capget, kUsers),
    HOST(capset, kUsers),
    HOST(getrlimit, kLimits),
    HOST(setrlimit, kLimits),
    HOST(prlimit64, kLimits),
    HOST(set_robust_list, kImage),
    HOST(get_robust_list, kImage),
    HOST(personality, kImage),
    HOST(seccomp, kImage),
    HOST(clock_getres, kClocks),
    HOST(ioprio_get, kIo),
    HOST(ioprio_set, kIo),
    REFUSED(ptrace, kTracing),
    REFUSED(process_vm_readv, kTracing),
    REFUSED(process_vm_writev, kTracing),
    REFUSED(kcmp, kTracing),
    REFUSED(userfaultfd, kTracing),
    REFUSED(process_madvise, kTracing),
    REFUSED(process_mrelease, kTracing),
    REFUSED(semget, kQueues),
    REFUSED(semop, kQueues),
    REFUSED(semctl, kQueues),
    REFUSED(semtimedop, kQueues),
    REFUSED(msgget, kQueues),
    REFUSED(msgsnd, kQueues),
    REFUSED(msgrcv, kQueues),
    REFUSED(msgctl, kQueues),
    REFUSED(mq_open, kQueues),
    REFUSED(mq_unlink, kQueues),
    REFUSED(mq_timedsend, kQueues),
    REFUSED(mq_timedreceive, kQueues),
    REFUSED(mq_notify, kQueues),
    REFUSED(mq_getsetattr, kQueues),
    REFUSED(sendfile, kSplices),
    REFUSED(splice, kSplices),
    REFUSED(tee, kSplices),
    REFUSED(vmsplice, kSplices),
    REFUSED(recvmmsg, kSplices),
    REFUSED(sendmmsg, kSplices),
    REFUSED(mount, kMounts),
    REFUSED(umount2, kMounts),
    REFUSED(pivot_root, kMounts),
    REFUSED(chroot, kMounts),
    REFUSED(open_tree, kMounts),
    REFUSED(move_mount, kMounts),
    REFUSED(fsopen, kMounts),
    REFUSED(fsconfig, kMounts),
    REFUSED(fsmount, kMounts),
    REFUSED(fspick, kMounts),
    REFUSED(mount_setattr, kMounts),
    REFUSED_NUMBER(457, statmount, kMounts),
    REFUSED_NUMBER(458, listmount, kMounts),
    REFUSED_NUMBER(467, open_tree_attr, kMounts),
    REFUSED(unshare, kNamespaces),
    REFUSED(setns, kNamespaces),
    REFUSED_NUMBER(470, listns, kNamespaces),
    REFUSED(io_setup, kAsync),
    REFUSED(io_destroy, kAsync),
    REFUSED(io_getevents, kAsync),
    REFUSED(io_submit, kAsync),
    REFUSED(io_cancel, kAsync),
    REFUSED(io_pgetevents, kAsync),
    REFUSED(io_uring_setup, kAsync),
    REFUSED(io_uring_enter, kAsync),
    REFUSED(io_uring_register, kAsync),
    REFUSED(adjtimex, kClock),
    REFUSED(clock_adjtime, kClock),
    REFUSED(settimeofday, kClock),
    REFUSED(reboot, kMachine),
    REFUSED(sethostname, kMachine),
    REFUSED(setdomainname, kMachine),
    REFUSED(iopl, kMachine),
    REFUSED(ioperm, kMachine),
    REFUSED(modify_ldt, kMachine),
    REFUSED(set_thread_area, kMachine),
    REFUSED(get_thread_area, kMachine),
    REFUSED(swapon, kMachine),
    REFUSED(swapoff, kMachine),
    REFUSED(acct, kMachine),
    REFUSED(quotactl, kMachine),
    REFUSED(quotactl_fd, kMachine),
    REFUSED(syslog, kMachine),
    REFUSED(vhangup, kMachine),
    REFUSED(create_module, kMachine),
    REFUSED(init_module, kMachine),
    REFUSED(delete_module, kMachine),
    REFUSED(finit_module, kMachine),
    REFUSED(kexec_load, kMachine),
    REFUSED(kexec_file_load, kMachine),
    REFUSED(uselib, kOld),
    REFUSED(ustat, kOld),
    REFUSED(sysfs, kOld),
    REFUSED(_sysctl, kOld),
    REFUSED(get_kernel_syms, kOld),
    REFUSED(query_module, kOld),
    REFUSED(nfsservctl, kOld),
    REFUSED(getpmsg, kOld),
    REFUSED(putpmsg, kOld),
    REFUSED(afs_syscall, kOld),
    REFUSED(tuxcall, kOld),
    REFUSED(security, kOld),
    REFUSED(lookup_dcookie, kOld),
    REFUSED(epoll_ctl_old, kOld),
    REFUSED(epoll_wait_old, kOld),
    REFUSED(vserver, kOld),
    REFUSED(fanotify_init, kWatching),
    REFUSED(fanotify_mark, kWatching),
    REFUSED(add_key, kKeys),
    REFUSED(request_key, kKeys),
    REFUSED(keyctl, kKeys),
    REFUSED(landlock_create_ruleset, kKeys),
    REFUSED(landlock_add_rule, kKeys),
    REFUSED(landlock_restrict_self, kKeys),
    REFUSED_NUMBER(459, lsm_get_self_attr, kKeys),
    REFUSED_NUMBER(460, lsm_set_self_attr, kKeys),
    REFUSED_NUMBER(461, lsm_list_modules, kKeys),
    REFUSED(memfd_secret, kNewer),
    REFUSED(futex_waitv, kNewer),
    REFUSED(set_mempolicy_home_node, kNewer),
    REFUSED_NUMBER(451, cachestat, kNewer),
    REFUSED_NUMBER(452, fchmodat2, kNewer),
    REFUSED_NUMBER(453, map_shadow_stack, kNewer),
    REFUSED_NUMBER(454, futex_wake, kNewer),
    REFUSED_NUMBER(455, futex_wait, kNewer),
    REFUSED_NUMBER(456, futex_requeue, kNewer),
    REFUSED_NUMBER(462, mseal, kNewer),
    REFUSED_NUMBER(463, setxattrat, kNewer),
    REFUSED_NUMBER(464, getxattrat, kNewer),
    REFUSED_NUMBER(465, listxattrat, kNewer),
    REFUSED_NUMBER(466, removexattrat, kNewer),
    REFUSED_NUMBER(468, file_getattr, kNewer),
    REFUSED_NUMBER(469, file_setattr, kNewer),
};
#undef HOST
#undef REFUSED
#undef REFUSED_NUMBER

constexpr int kMaxCalls = 512;
constexpr u32 kPerfRequests = '$';
struct Table {
  std::array<const CallEntry *, kMaxCalls> entries{};
  Table() {
    for (const auto &calls : {kBpfCalls, kFileCalls, kFutexCalls, kNameCalls, kPollCalls, kProcessCalls, kSchedCalls,
                              kSignalCalls, kTimeCalls, kTimerCalls})
      for (const CallEntry &entry : calls) {
        const CallEntry *&slot = entries.at(static_cast<size_t>(entry.nr));
        CHECK(!slot, "two handlers for {}", entry.name);
        slot = &entry;
      }
    for (const OtherCall &other : kOtherCalls)
      CHECK(!entries.at(static_cast<size_t>(other.nr)), "call {} is in both lists", other.name);
  }
};

const Table &table() {
  static const Table table;
  return table;
}

}  // namespace

const CallEntry *find_call(int nr) {
  return nr >= 0 && nr < kMaxCalls ? table().entries[static_cast<size_t>(nr)] : nullptr;
}

std::vector<CallFateRow> list_calls() {
  std::vector<CallFateRow> rows;
  for (const CallEntry *entry : table().entries) {
    if (!entry) continue;
    const bool refused = entry->handler == refuse_quietly;
    rows.push_back({entry->nr, entry->name, refused ? CallFate::kRefused : CallFate::kOurs,
                    refused ? "the C library goes on without" : ""});
  }
  for (const OtherCall &other : kOtherCalls) rows.push_back({other.nr, other.name, other.fate, other.why});
  std::sort(rows.begin(), rows.end(), [](const CallFateRow &a, const CallFateRow &b) { return a.nr < b.nr; });
  return rows;
}

const char *call_name(int nr) {
  for (const CallFateRow &row : list_calls())
    if (row.nr == nr) return row.name;
  return "of an unknown kind";
}

const char *why_refused(int nr) {
  for (const OtherCall &other : kOtherCalls)
    if (other.nr == nr && other.fate == CallFate::kRefused) return other.why;
  return "unknown to this version";
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
  for (const OtherCall &other : kOtherCalls) {
    if (other.fate != CallFate::kHost) continue;
    skip_unless(static_cast<u32>(other.nr), 1);
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
