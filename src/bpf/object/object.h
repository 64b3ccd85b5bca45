// SPDX-License-Identifier: GPL-2.0-only
// Objects that user space holds by file descriptor: maps, programs, BTF, links. Each is backed by a memfd, so that its
// descriptors are real ones (they dup, pass through sockets and, for mmap-able maps, map); an object is identified by
// the inode of its memfd. User space's descriptors and other objects keep an object alive through shared_ptr.
//
// Threading: as BpfSystem.
#ifndef USCX_BPF_OBJECT_OBJECT_H_
#define USCX_BPF_OBJECT_OBJECT_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "base/types.h"

namespace uscx::bpf {

class BpfSystem;

// The kernel's ENOTSUPP, which leaks to user space here and there and which the C library has no name for.
inline constexpr int kENotSupp = 524;

enum class ObjectKind : u8 { kMap, kProg, kBtf, kLink, kPerfEvent, kIterator };
inline constexpr int kNrObjectKinds = 6;

class Object : public std::enable_shared_from_this<Object> {
 public:
  Object(BpfSystem &system, ObjectKind kind, std::string name);
  virtual ~Object();
  Object(const Object &) = delete;
  Object &operator=(const Object &) = delete;

  BpfSystem &system() const { return system_; }
  ObjectKind kind() const { return kind_; }
  u32 id() const { return id_; }
  const std::string &name() const { return name_; }
  std::pair<dev_t, ino_t> identity() const { return identity_; }
  // Our own descriptor of the memfd; user space gets duplicates.
  int memfd() const { return memfd_; }

  // Whether poll() and epoll know its descriptors, and what they find now (EPOLLIN, EPOLLOUT, ..).
  virtual bool can_poll() const { return false; }
  virtual u32 poll_events() const { return 0; }

  // Whether user space has a descriptor.
  bool user_held() const { return user_held_; }
  void set_user_held() { user_held_ = true; }
  // The last descriptor of user space has gone; other objects may still hold this one.
  virtual void user_released() { user_held_ = false; }

 protected:
  // Makes the memfd `size` bytes long (a multiple of the page size).
  int resize_memfd(u64 size);

 private:
  BpfSystem &system_;
  const ObjectKind kind_;
  const std::string name_;
  u32 id_ = 0;
  int memfd_ = -1;
  bool user_held_ = false;
  std::pair<dev_t, ino_t> identity_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_OBJECT_H_
