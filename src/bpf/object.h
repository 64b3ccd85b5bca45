// SPDX-License-Identifier: GPL-2.0-only
// Objects that user space holds by file descriptor: maps, programs, BTF, links. Each is backed by a memfd, so that its
// descriptors are real ones (they dup, pass through sockets and, for mmap-able maps, map); an object is identified by the
// inode of its memfd. User space's descriptors and other objects keep an object alive through shared_ptr.
//
// Threading: as BpfSystem.
#ifndef USCX_BPF_OBJECT_H_
#define USCX_BPF_OBJECT_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/types.h"

namespace uscx::bpf {

class BpfSystem;

enum class ObjectKind : u8 { kMap, kProg, kBtf, kLink };

class Object {
 public:
  Object(BpfSystem &system, ObjectKind kind, std::string name);
  virtual ~Object();
  Object(const Object &) = delete;
  Object &operator=(const Object &) = delete;

  BpfSystem &system() const { return system_; }
  ObjectKind kind() const { return kind_; }
  u32 id() const { return id_; }
  const std::string &name() const { return name_; }
  ino_t inode() const { return inode_; }
  // Our own descriptor of the memfd; user space gets duplicates.
  int memfd() const { return memfd_; }

  // The last descriptor of user space has gone; other objects may still hold this one.
  virtual void user_released() {}

 protected:
  // Makes the memfd `size` bytes long (a multiple of the page size).
  int resize_memfd(u64 size);

 private:
  BpfSystem &system_;
  const ObjectKind kind_;
  const std::string name_;
  u32 id_ = 0;
  int memfd_ = -1;
  ino_t inode_ = 0;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_H_
