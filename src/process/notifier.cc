// SPDX-License-Identifier: GPL-2.0-only
#include "process/notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

// Newer than Debian 12's headers.
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

namespace uscx::process {

Notifier::Notifier(int fd) : fd_(fd) {
  // We and the program take turns, which the host's scheduler is told where it can be told. No matter if not.
  constexpr unsigned long kSyncWakeUp = 1;
  ::ioctl(fd_, SECCOMP_IOCTL_NOTIF_SET_FLAGS, kSyncWakeUp);
}

Notifier::~Notifier() { ::close(fd_); }

bool Notifier::pending() const {
  pollfd poll{fd_, POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1 && (poll.revents & POLLIN) != 0;
}

bool Notifier::receive(Call *call) {
  seccomp_notif notification{};
  int result;
  do {
    std::memset(&notification, 0, sizeof notification);
    result = ::ioctl(fd_, SECCOMP_IOCTL_NOTIF_RECV, &notification);
  } while (result != 0 && errno == EINTR);
  if (result != 0) {
    CHECK(errno == ENOENT, "receiving a system call: errno {}", errno);
    return false;
  }
  call->id = notification.id;
  call->host_tid = static_cast<pid_t>(notification.pid);
  call->nr = notification.data.nr;
  call->arch_ok = notification.data.arch == AUDIT_ARCH_X86_64;
  std::copy(std::begin(notification.data.args), std::end(notification.data.args), call->args);
  return true;
}

namespace {
void send(int fd, seccomp_notif_resp response) {
  while (::ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response) != 0) {
    if (errno == EINTR) continue;
    CHECK(errno == ENOENT, "answering a system call: errno {}", errno);
    return;
  }
}
}  // namespace

void Notifier::answer(const Call &call, s64 result) {
  seccomp_notif_resp response{};
  response.id = call.id;
  constexpr s64 kMaxErrno = 4095;
  if (result < 0 && result >= -kMaxErrno)
    response.error = static_cast<s32>(result);
  else
    response.val = result;
  send(fd_, response);
}

void Notifier::let_through(const Call &call) {
  seccomp_notif_resp response{};
  response.id = call.id;
  response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  send(fd_, response);
}

int Notifier::add_fd(const Call &call, int fd, bool close_on_exec) {
  seccomp_notif_addfd add{};
  add.id = call.id;
  add.srcfd = static_cast<u32>(fd);
  add.newfd_flags = close_on_exec ? O_CLOEXEC : 0;
  int result;
  do result = ::ioctl(fd_, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : result;
}

}  // namespace uscx::process
