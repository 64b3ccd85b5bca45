// SPDX-License-Identifier: GPL-2.0-only
// The content of a struct bpf_dynptr's 16 bytes, as the kernel keeps it: a pointer to memory, its size, and its kind.
// The bytes lie on the program's stack, where the program can overwrite them (only a verifier would stop it), so every
// use checks the memory again.
#ifndef USCX_BPF_OBJECT_DYNPTR_H_
#define USCX_BPF_OBJECT_DYNPTR_H_

#include "base/types.h"
#include "bpf/memory/region.h"

namespace uscx::bpf {

struct Dynptr {
  enum Type : u32 { kInvalid, kLocal, kRingbuf };
  static constexpr u32 kMaxBytes = (1u << 24) - 1;

  u8 *data;
  u32 size_and_type;  // 24 bits of size, 3 of type from bit 28; bit 31 of one that is read-only,
                      // which none of the kinds here is
  u32 offset;

  static Dynptr make(void *data, Type type, u32 size) { return {static_cast<u8 *>(data), size | type << 28, 0}; }
  u32 size() const { return size_and_type & kMaxBytes; }
  Type type() const { return static_cast<Type>(size_and_type >> 28 & 7); }
  bool read_only() const { return size_and_type >> 31; }
  void set_size(u32 size) { size_and_type = (size_and_type & ~kMaxBytes) | size; }
  // -E2BIG if that part is not inside.
  int check(u64 at, u64 length) const;
};
static_assert(sizeof(Dynptr) == 16);

// Those that callbacks get: they lie where programs cannot write, and change through kfuncs alone.
RegionPool &callback_dynptrs();

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_DYNPTR_H_
