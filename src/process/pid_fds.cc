// SPDX-License-Identifier: GPL-2.0-only
#include "process/pid_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "process/process.h"

namespace uscx::process {

PidFds::~PidFds() {
  for (auto &[id, entry] : entries_)
    if (entry.fd >= 0) ::close(entry.fd);
}

int PidFds::create(Process &process, bool nonblocking) {
  const int fd = ::eventfd(process.gone ? 1 : 0, EFD_CLOEXEC | (nonblocking ? EFD_NONBLOCK : 0));
  if (fd < 0) return -errno;
  const int own = process.gone ? -1 : ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  entries_[eventfd_id(fmt::format("/proc/self/fdinfo/{}", fd))] = {&process, own};
  return fd;
}

Process *PidFds::find(const Remote &remote, int fd) const {
  const auto it = entries_.find(eventfd_id(fmt::format("/proc/{}/fdinfo/{}", remote.host_pid(), fd)));
  return it == entries_.end() ? nullptr : it->second.process;
}

void PidFds::ended(const Process &process) {
  for (auto &[id, entry] : entries_) {
    if (entry.process != &process || entry.fd < 0) continue;
    ::eventfd_write(entry.fd, 1);
    ::close(entry.fd);
    entry.fd = -1;
  }
}

}  // namespace uscx::process
