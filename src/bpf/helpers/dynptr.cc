// SPDX-License-Identifier: GPL-2.0-only
// Helpers and kfuncs on dynptrs. Checks that the kernel's verifier makes are made here at each use: that the dynptr's
// memory is there, and that the buffers are.
#include "bpf/object/dynptr.h"

#include <errno.h>

#include <cstring>

#include "abi/kernel_types.h"
#include "bpf/object/helper.h"
#include "bpf/object/kfunc.h"

namespace uscx::bpf {

int Dynptr::check(u64 at, u64 length) const { return length > size() || at > size() - length ? -E2BIG : 0; }

RegionPool &callback_dynptrs() {
  static RegionPool &pool = *new RegionPool(Half::kReadOnly, sizeof(Dynptr), alignof(Dynptr));
  return pool;
}

namespace {

// A dynptr of the program, with its memory checked (a null dynptr has none).
Dynptr *checked(const char *who, int arg, const void *ptr, bool to_change) {
  Dynptr *dynptr = static_cast<Dynptr *>(const_cast<void *>(ptr));
  if (to_change && !callback_dynptrs().is_slot(ptr))
    Guard::writable(who, arg, dynptr, sizeof(*dynptr));
  else
    Guard::readable(who, arg, dynptr, sizeof(*dynptr));
  if (dynptr->data != nullptr) {
    if (dynptr->read_only())
      Guard::readable(who, arg, dynptr->data + dynptr->offset, dynptr->size());
    else
      Guard::writable(who, arg, dynptr->data + dynptr->offset, dynptr->size());
  }
  return dynptr;
}

u8 *slice(const Dynptr *ptr, u64 at, u64 length) {
  return ptr->data == nullptr || ptr->check(at, length) != 0 ? nullptr : ptr->data + ptr->offset + at;
}

s64 write_to(const Dynptr *to, u64 at, const void *from, u64 length) {
  if (to->data == nullptr || to->read_only()) return -EINVAL;
  if (int err = to->check(at, length); err != 0) return err;
  std::memmove(to->data + to->offset + at, from, length);
  return 0;
}

s64 read_from(void *to, const Dynptr *from, u64 at, u64 length) {
  if (from->data == nullptr) return -EINVAL;
  if (int err = from->check(at, length); err != 0) return err;
  std::memmove(to, from->data + from->offset + at, length);
  return 0;
}

}  // namespace

USCX_HELPER(BPF_FUNC_dynptr_from_mem, 0, dynptr_from_mem, s64, (void *data, u32 size, u64 flags, Dynptr *ptr)) {
  Guard::writable("bpf_dynptr_from_mem", 4, ptr, sizeof(*ptr));
  *ptr = {};
  if (size > Dynptr::kMaxBytes) return -E2BIG;
  if (flags != 0) return -EINVAL;
  Guard::writable("bpf_dynptr_from_mem", 1, data, size);
  *ptr = Dynptr::make(data, Dynptr::kLocal, size);
  return 0;
}

USCX_HELPER(BPF_FUNC_dynptr_read, 0, dynptr_read, s64, (void *dst, u64 len, const Dynptr *src, u64 offset, u64 flags)) {
  const Dynptr *from = checked("bpf_dynptr_read", 3, src, false);
  Guard::writable("bpf_dynptr_read", 1, dst, len);
  return flags != 0 ? -EINVAL : read_from(dst, from, offset, len);
}

USCX_HELPER(BPF_FUNC_dynptr_write, 0, dynptr_write, s64,
            (const Dynptr *dst, u64 offset, const void *src, u64 len, u64 flags)) {
  const Dynptr *to = checked("bpf_dynptr_write", 1, dst, false);
  Guard::readable("bpf_dynptr_write", 3, src, len);
  if (to->data == nullptr || to->read_only()) return -EINVAL;
  if (int err = to->check(offset, len); err != 0) return err;
  return flags != 0 ? -EINVAL : write_to(to, offset, src, len);
}

USCX_HELPER(BPF_FUNC_dynptr_data, HELPER_RET_MEM_OR_NULL, dynptr_data, void *,
            (const Dynptr *ptr, u64 offset, u64 len)) {
  const Dynptr *from = checked("bpf_dynptr_data", 1, ptr, false);
  return from->read_only() ? nullptr : slice(from, offset, len);
}

USCX_KFUNC(kGeneric, KF_RET_NULL, void *, bpf_dynptr_slice,
           (const struct bpf_dynptr *p, u64 offset, void *buffer__nullable, u64 buffer__szk)) {
  (void)buffer__nullable;
  return slice(checked("bpf_dynptr_slice", 1, p, false), offset, buffer__szk);
}

USCX_KFUNC(kGeneric, KF_RET_NULL, void *, bpf_dynptr_slice_rdwr,
           (const struct bpf_dynptr *p, u64 offset, void *buffer__nullable, u64 buffer__szk)) {
  (void)buffer__nullable;
  const Dynptr *from = checked("bpf_dynptr_slice_rdwr", 1, p, false);
  return from->read_only() ? nullptr : slice(from, offset, buffer__szk);
}

USCX_KFUNC(kGeneric, 0, s32, bpf_dynptr_adjust, (const struct bpf_dynptr *p, u64 start, u64 end)) {
  Dynptr *ptr = checked("bpf_dynptr_adjust", 1, p, true);
  if (ptr->data == nullptr || start > end) return -EINVAL;
  if (start > ptr->size() || end > ptr->size()) return -ERANGE;
  ptr->offset += static_cast<u32>(start);
  ptr->set_size(static_cast<u32>(end - start));
  return 0;
}

USCX_KFUNC(kGeneric, 0, bool, bpf_dynptr_is_null, (const struct bpf_dynptr *p)) {
  return checked("bpf_dynptr_is_null", 1, p, false)->data == nullptr;
}

USCX_KFUNC(kGeneric, 0, bool, bpf_dynptr_is_rdonly, (const struct bpf_dynptr *p)) {
  const Dynptr *ptr = checked("bpf_dynptr_is_rdonly", 1, p, false);
  return ptr->data != nullptr && ptr->read_only();
}

USCX_KFUNC(kGeneric, 0, u64, bpf_dynptr_size, (const struct bpf_dynptr *p)) {
  const Dynptr *ptr = checked("bpf_dynptr_size", 1, p, false);
  return ptr->data == nullptr ? static_cast<u64>(-EINVAL) : ptr->size();
}

USCX_KFUNC(kGeneric, 0, s32, bpf_dynptr_clone, (const struct bpf_dynptr *p, struct bpf_dynptr *clone__uninit)) {
  const Dynptr *ptr = checked("bpf_dynptr_clone", 1, p, false);
  Dynptr *clone = reinterpret_cast<Dynptr *>(clone__uninit);
  *clone = ptr->data != nullptr ? *ptr : Dynptr{};
  return ptr->data != nullptr ? 0 : -EINVAL;
}

USCX_KFUNC(kGeneric, 0, s32, bpf_dynptr_copy,
           (struct bpf_dynptr * dst_ptr, u64 dst_off, struct bpf_dynptr *src_ptr, u64 src_off, u64 size)) {
  const Dynptr *to = checked("bpf_dynptr_copy", 1, dst_ptr, false);
  const Dynptr *from = checked("bpf_dynptr_copy", 3, src_ptr, false);
  if (const u8 *source = slice(from, src_off, size)) return static_cast<s32>(write_to(to, dst_off, source, size));
  if (u8 *target = slice(to, dst_off, size)) return static_cast<s32>(read_from(target, from, src_off, size));
  if (to->check(dst_off, size) != 0 || from->check(src_off, size) != 0) return -E2BIG;
  return size == 0 ? 0 : -EINVAL;
}

USCX_KFUNC(kGeneric, 0, s32, bpf_dynptr_memset, (struct bpf_dynptr * p, u64 offset, u64 size, u8 val)) {
  const Dynptr *ptr = checked("bpf_dynptr_memset", 1, p, false);
  if (ptr->read_only()) return -EINVAL;
  if (int err = ptr->check(offset, size); err != 0) return err;
  if (ptr->data == nullptr) return size == 0 ? 0 : -EINVAL;
  std::memset(ptr->data + ptr->offset + offset, val, size);
  return 0;
}

}  // namespace uscx::bpf
