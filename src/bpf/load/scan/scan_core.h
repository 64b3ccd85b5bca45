// SPDX-License-Identifier: GPL-2.0-only
// CO-RE relocations as libbpf will resolve them: what an object's types, fields and enumerators are in the kernel BTF,
// found by name. Only as much as the scan needs: whether there is an answer, and the number where code may branch on
// it.
//
// Threading: immutable once made; it refers to both BTFs.
#ifndef USCX_BPF_LOAD_SCAN_SCAN_CORE_H_
#define USCX_BPF_LOAD_SCAN_SCAN_CORE_H_

#include <linux/bpf.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "bpf/load/scan/scan_elf.h"

namespace uscx::bpf {

// What a relocation comes to.
struct CoreAnswer {
  bool failed = false;  // libbpf would put a trap in the instruction's place
  bool known = false;   // `value` is what the instruction's immediate becomes
  u64 value = 0;
  std::string field;    // of a field relocation: "task_struct.scx.weight"
  std::string missing;  // if failed: "task_struct.bar is not modelled"
};

class CoreResolver {
 public:
  CoreResolver(const ObjectFile &object, const struct btf *kernel);
  CoreAnswer resolve(const bpf_core_relo &relo) const;

  // Could a value of the object's type stand for one of the kernel's (libbpf's rule for externs)?
  bool types_compatible(u32 local, u32 kernel) const { return types_compatible(local, kernel, 0); }

 private:
  // One step of a path: a member of a struct by name, or an element of an array.
  struct Step {
    bool is_index = false;
    u32 index = 0;
    std::string name;
    u32 local_type = 0;  // of what the step leads to
  };
  struct Path {
    std::string text;
    u32 last_type = 0;  // of the object's BTF
    bool bitfield = false;
    std::vector<Step> steps;  // the first is an index
  };
  enum class Match { kNone, kOtherType, kFound };
  struct Place {
    u32 type = 0;
    u64 offset = 0;  // in bytes
    bool bitfield = false;
    bool last_member = false;  // the last of its struct: an array of no elements there has any number
  };

  CoreAnswer resolve_field(const bpf_core_relo &relo, const std::string &access) const;
  CoreAnswer resolve_type(const bpf_core_relo &relo) const;
  CoreAnswer resolve_enumerator(const bpf_core_relo &relo, const std::string &access) const;

  bool parse_path(u32 local_id, const std::string &access, Path *path) const;
  Match match_path(u32 kernel_id, const Path &path, Place *place) const;
  Match match_member(u32 kernel_id, const Step &step, Place *place, int depth) const;
  bool match_element(const Step &step, Place *place) const;
  bool fields_compatible(u32 local, u32 kernel, int depth) const;
  bool types_compatible(u32 local, u32 kernel, int depth) const;

  // Types of the kernel with the same kind and essential name.
  const std::vector<u32> &candidates(u32 local_id) const;

  const ObjectFile &object_;
  const struct btf *const local_;
  const struct btf *const kernel_;
  std::map<std::pair<u32, std::string>, std::vector<u32>> by_name_;  // by kind, then essential name
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_SCAN_SCAN_CORE_H_
