// SPDX-License-Identifier: GPL-2.0-only
// Descriptors of processes (pidfd_open). What a program holds is an eventfd of the host; when the process ends in
// virtual time, it becomes readable, as a pidfd does.
//
// Threading: the simulation's thread.
#ifndef USCX_PROCESS_PID_FDS_H_
#define USCX_PROCESS_PID_FDS_H_

#include <map>
#include <vector>

#include "process/remote.h"

namespace uscx::process {

struct Process;

class PidFds {
 public:
  ~PidFds();
  // A new descriptor of ours (a duplicate is to be given away), or -errno. The caller closes it.
  int create(Process &process, bool nonblocking);
  // The process behind a descriptor of a program, or null.
  Process *find(const Remote &remote, int fd) const;
  void ended(const Process &process);

 private:
  struct Entry {
    Process *process;
    int fd;  // Ours, until it has ended; then -1.
  };
  std::map<u64, Entry> entries_;  // By the host's id of the eventfd.
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_PID_FDS_H_
