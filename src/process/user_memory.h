// SPDX-License-Identifier: GPL-2.0-only
// A program's thread as the user space of bpf(2).
#ifndef USCX_PROCESS_USER_MEMORY_H_
#define USCX_PROCESS_USER_MEMORY_H_

#include <memory>

#include "bpf/object/user_space.h"

namespace uscx::process {

class Supervisor;
struct Thread;

class ThreadUserSpace final : public bpf::UserSpace {
 public:
  ThreadUserSpace(Supervisor &supervisor, Thread &thread) : supervisor_(supervisor), thread_(thread) {}
  int read(void *to, u64 from, size_t size) override;
  int write(u64 to, const void *from, size_t size) override;
  bool stat_fd(int fd, struct stat *st) override;
  int install_fd(const std::shared_ptr<bpf::Object> &object) override;

 private:
  Supervisor &supervisor_;
  Thread &thread_;
};

}  // namespace uscx::process

#endif  // USCX_PROCESS_USER_MEMORY_H_
