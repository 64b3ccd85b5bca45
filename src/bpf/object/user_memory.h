// SPDX-License-Identifier: GPL-2.0-only
// User space's memory as bpf(2) sees it. User space is this process (libbpf) or another one (user_space.h), and a
// bad address is -EFAULT, as in the kernel.
#ifndef USCX_BPF_OBJECT_USER_MEMORY_H_
#define USCX_BPF_OBJECT_USER_MEMORY_H_

#include <errno.h>
#include <linux/bpf.h>

#include <algorithm>
#include <string>

#include "base/types.h"
#include "bpf/memory/fault.h"
#include "bpf/object/user_space.h"

namespace uscx::bpf {

inline int copy_from_user(void *to, u64 from, size_t size) {
  if (UserSpace *user = UserSpace::current(); user != nullptr && size != 0) return user->read(to, from, size);
  return size == 0 || probe_copy(to, reinterpret_cast<const void *>(from), size) ? 0 : -EFAULT;
}
inline int copy_to_user(u64 to, const void *from, size_t size) {
  if (UserSpace *user = UserSpace::current(); user != nullptr && size != 0) return user->write(to, from, size);
  return size == 0 || probe_copy(reinterpret_cast<void *>(to), from, size) ? 0 : -EFAULT;
}

// A verifier log: as much as fits, always with its NUL. -ENOSPC if it was cut, as for the program loader.
inline int write_log(u64 buffer, u32 size, u32 level, const std::string &text) {
  if (buffer == 0 || size == 0 || level == 0) return 0;
  const size_t length = std::min<size_t>(text.size(), size - 1);
  const char nul = 0;
  if (copy_to_user(buffer, text.data(), length) != 0 || copy_to_user(buffer + length, &nul, 1) != 0) return -EFAULT;
  return length < text.size() ? -ENOSPC : 0;
}

// A name of at most 15 characters, [A-Za-z0-9_.], padded with NULs.
bool object_name_ok(const char (&name)[BPF_OBJ_NAME_LEN], std::string *out);

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_USER_MEMORY_H_
