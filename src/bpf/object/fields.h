// SPDX-License-Identifier: GPL-2.0-only
// Kernel-owned fields inside map values and inside objects that programs allocate. The content of such a field is not
// copied with the value, and ends with it.
//
// Threading: pure, but for release_fields(), which is as the owner of the value.
#ifndef USCX_BPF_OBJECT_FIELDS_H_
#define USCX_BPF_OBJECT_FIELDS_H_

#include <set>
#include <string>
#include <vector>

#include "base/types.h"

struct btf;

namespace uscx::bpf {

class BpfSystem;

enum class FieldKind : u8 {
  kSpinLock,
  kResSpinLock,
  kTimer,
  kWorkqueue,
  kKptr,           // holds a reference
  kKptrUntrusted,  // holds none
  kListHead,
  kListNode,
  kRbRoot,
  kRbNode,
  kRefcount,
};
struct SpecialField {
  FieldKind kind;
  u32 offset;
  u32 size;
};

// A struct of a program's BTF, as objects of it need it.
struct AllocType {
  u32 size = 0;
  std::vector<SpecialField> fields;
  bool has(FieldKind kind, u64 offset) const;
};

// The types of special fields by name ("bpf_timer"), with "kptr" for tagged pointers.
std::set<std::string> special_field_names();
// The special fields of a type (arrays, nested structs and data sections too), by offset.
std::vector<SpecialField> find_fields(const struct btf *btf, u32 type_id);
// Cancels, releases and drops what the fields of a value that goes away hold, then zeroes them.
void release_fields(BpfSystem &system, const std::vector<SpecialField> &fields, void *value);

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_FIELDS_H_
