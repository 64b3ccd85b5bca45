// SPDX-License-Identifier: GPL-2.0-only
// UserSpace: the program that calls bpf(2), when it is not this process. Its memory is read and written through here.
// It has descriptors of its own; its owner observes their end and notifies an object when the last one has gone.
//
// Threading: as BpfSystem; the current one is that of what runs (running.h). A call that waits on a fiber is resumed in
// a Scope of its own.
#ifndef USCX_BPF_OBJECT_USER_SPACE_H_
#define USCX_BPF_OBJECT_USER_SPACE_H_

#include <sys/stat.h>

#include <memory>

#include "base/types.h"
#include "bpf/exec/running.h"

namespace uscx::bpf {

class Object;

class UserSpace {
 public:
  virtual ~UserSpace() = default;
  // 0 or -EFAULT.
  virtual int read(void *to, u64 from, size_t size) = 0;
  virtual int write(u64 to, const void *from, size_t size) = 0;
  // fstat(2); false if the descriptor is not open.
  virtual bool stat_fd(int fd, struct stat *st) = 0;
  // A new descriptor of an object, which it keeps alive; or -errno.
  virtual int install_fd(const std::shared_ptr<Object> &object) = 0;

  // Null: user space is this process.
  static UserSpace *current() { return running().user_space; }

  class Scope {
   public:
    explicit Scope(UserSpace *user) : previous_(running().user_space) { running().user_space = user; }
    ~Scope() { running().user_space = previous_; }
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;

   private:
    UserSpace *previous_;
  };
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_USER_SPACE_H_
