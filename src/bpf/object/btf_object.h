// SPDX-License-Identifier: GPL-2.0-only
// BTF objects: those that programs and maps bring along (Btf), and the kernel's own (KernelBtf). The kernel's is the
// base generated from src/abi plus one FUNC for each kfunc, the value types of struct_ops maps and the kernel variables
// on offer. Parsing is libbpf's (whose header has the name bpf/btf.h, so this one cannot).
//
// Threading: immutable once made.
#ifndef USCX_BPF_OBJECT_BTF_OBJECT_H_
#define USCX_BPF_OBJECT_BTF_OBJECT_H_

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bpf/object/object.h"

struct btf;
struct btf_type;

namespace uscx::bpf {

struct AllocType;
struct KfuncEntry;

// Checks raw BTF as the kernel's loader does before a parser may walk it: 0 or -errno, the reason in *why.
int validate_btf(std::span<const u8> raw, std::string *why);

class KernelBtf;

class Btf final : public Object {
 public:
  Btf(BpfSystem &system, std::vector<u8> raw, struct btf *parsed);
  // The kernel's, as an object that user space can look up: it has a name, and whoever makes it keeps what is parsed.
  Btf(BpfSystem &system, const KernelBtf &kernel);
  ~Btf() override;
  bool is_kernel() const { return parsed_ == nullptr; }
  const std::vector<u8> &raw() const { return raw_; }
  const struct btf *parsed() const { return parsed_; }
  // Null for what is no struct.
  std::shared_ptr<const AllocType> alloc_type(u64 type_id) const;

 private:
  const std::vector<u8> raw_;
  struct btf *parsed_;
  mutable std::mutex lock_;
  mutable std::map<u32, std::shared_ptr<const AllocType>> alloc_types_;  // guarded by lock_
};

class KernelBtf {
 public:
  // `base` is BTF without kfuncs; each name of struct_ops gets its "bpf_struct_ops_" value type where `base` lacks it.
  static Result<std::unique_ptr<KernelBtf>> build(std::span<const u8> base, const std::vector<std::string> &struct_ops);
  ~KernelBtf();
  const std::vector<u8> &raw() const { return raw_; }
  const struct btf *parsed() const { return btf_; }
  const struct btf_type *type(u32 id) const;
  const char *type_name(u32 id) const;
  // 0 if there is none.
  u32 find(std::string_view name, u32 kind) const;
  // The kfunc whose FUNC has this id, or null.
  const KfuncEntry *kfunc(u32 id) const;

 private:
  explicit KernelBtf(struct btf *btf) : btf_(btf) {}
  Status add_kfuncs();
  Status add_struct_ops(const std::string &name);

  struct btf *btf_;
  std::vector<u8> raw_;
  std::map<u32, const KfuncEntry *> kfuncs_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_BTF_OBJECT_H_
