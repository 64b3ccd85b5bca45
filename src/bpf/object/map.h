// SPDX-License-Identifier: GPL-2.0-only
// Map: the base of all map types, and their registry. A type is one class in one file of maps/ and one block:
//
//   USCX_MAP_TYPE(BPF_MAP_TYPE_HASH, hash, HashMap::create, MAP_KEYED | MAP_WRITTEN | MAP_ITERATED);
//
// Programs hold a map as the address of its MapHandle, which lies in the read-only half of the reserved range, where no
// program can forge one. Elements that programs hold pointers to lie in the writable half. An element that is deleted
// keeps its memory and its bytes until no program can be using it any more (BpfSystem::defer), as under the kernel's
// RCU.
//
// Special fields (fields.h) are the kernel's: updates and lookups neither read nor write them.
//
// Threading: operations run on any CPU at once. Lookups take no lock; changes take the locks that the kernel takes, as
// machine::SpinLock; what is changed in place is copied word by word. Iteration order is a function of the keys and of
// the order of operations, never of addresses.
#ifndef USCX_BPF_OBJECT_MAP_H_
#define USCX_BPF_OBJECT_MAP_H_

#include <errno.h>
#include <linux/bpf.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bpf/exec/program.h"
#include "bpf/object/fields.h"
#include "bpf/object/object.h"

namespace uscx::bpf {

class Btf;
class Map;

// What a program holds for a map. 64 bytes, aligned to 64.
struct alignas(64) MapHandle {
  u64 magic;
  Map *map;
  u64 self;  // its own address, so that a copied handle is none
};
inline constexpr u64 kMapHandleMagic = 0x75736378206d6170ull;

// BPF_MAP_CREATE's attributes, as validated.
struct MapAttr {
  u32 type = 0;
  u32 key_size = 0;
  u32 value_size = 0;
  u32 max_entries = 0;
  u32 flags = 0;
  u64 extra = 0;
  std::string name;
  std::shared_ptr<Btf> btf;
  u32 btf_key_type_id = 0;
  u32 btf_value_type_id = 0;
  u32 btf_vmlinux_value_type_id = 0;
  std::shared_ptr<const struct InnerPattern> inner;  // of a map of maps
};

// What a type can be used for: said once, where the type is registered.
enum MapUse : u32 {
  MAP_KEYED = 1u << 0,         // programs look elements up by key
  MAP_WRITTEN = 1u << 1,       // programs change elements with helpers
  MAP_INDEXED = 1u << 2,       // keys are the numbers below max_entries
  MAP_DENSE = 1u << 3,         // there is a value for each of them
  MAP_ITERATED = 1u << 4,      // iterators over elements (SEC("iter/bpf_map_elem"))
  MAP_HOLDS_MAPS = 1u << 5,    // it is made with a pattern for its values, which are maps
  MAP_EXTRA = 1u << 6,         // MAP_CREATE's map_extra means something
  MAP_KERNEL_VALUE = 1u << 7,  // its value is a type of the kernel's
};

// What the values of a map of maps are like.
struct InnerPattern {
  MapAttr attr;
  std::vector<SpecialField> fields;
};

class Map : public Object {
 public:
  Map(BpfSystem &system, const MapAttr &attr);
  ~Map() override;

  const MapAttr &attr() const { return attr_; }
  u32 type() const { return attr_.type; }
  u32 key_size() const { return attr_.key_size; }
  u32 value_size() const { return attr_.value_size; }
  u32 max_entries() const { return attr_.max_entries; }
  bool supports(MapUse use) const { return uses_ & use; }
  void user_released() override;
  MapHandle *handle() const { return handle_; }
  bool frozen() const { return frozen_; }
  const std::vector<SpecialField> &fields() const { return fields_; }

  // --- What helpers do. Keys and values are readable; *_errno results are 0 or -errno. ---
  // The element's value (this CPU's, for a per-CPU type), or null.
  virtual void *lookup(const void *key) = 0;
  virtual void *lookup_percpu(const void *, u32 /*cpu*/) { return nullptr; }
  virtual int update(const void *key, const void *value, u64 flags) = 0;
  virtual int erase(const void *key) = 0;
  virtual int push(const void *, u64) { return -EOPNOTSUPP; }
  virtual int pop(void *) { return -EOPNOTSUPP; }
  virtual int peek(void *) { return -EOPNOTSUPP; }

  // --- What bpf(2) does. ---
  // Size of a value in user space's buffers: all CPUs' copies, each rounded up to 8, for a per-CPU type.
  virtual u64 user_value_size() const { return value_size(); }
  virtual int user_lookup(const void *key, void *value, u64 flags);
  virtual int user_update(const void *key, const void *value, u64 flags);
  virtual int user_erase(const void *key) { return erase(key); }
  virtual int user_lookup_and_delete(const void *, void *, u64) { return -EOPNOTSUPP; }
  // The key after `key` (null, or not there: the first); -ENOENT after the last.
  virtual int next_key(const void *key, void *next) = 0;
  virtual int freeze();

  // The bytes of user space's mmap lie at offset 0 of the memfd; 0 if the map is not mmap-able.
  virtual u64 mmap_size() const { return 0; }
  // Whether user space may map the memfd like this: 0 or -errno. The address may be changed to where the mapping must
  // go; `own_process` says that user space is this process (libbpf in it), whose address space a map must not claim.
  virtual int check_mmap(u64 *address, u64 size, int prot, u64 offset, bool own_process);
  // What to map, one piece behind the other: most maps are one piece of their memfd.
  struct MmapPiece {
    u64 offset;
    u64 size;
  };
  virtual std::vector<MmapPiece> mmap_pieces(u64 offset, u64 size) const { return {{offset, size}}; }

  // Of hash tables: the keys of a bucket, for bpf(2)'s batches.
  virtual u32 nr_buckets() const { return 0; }
  virtual std::vector<std::vector<u64>> bucket_keys(u32 /*bucket*/) { return {}; }

  // The address that ld_imm64 with a direct value offset gives, or 0 if the type has none (then -errno in *error).
  virtual u64 direct_value(u32 offset, int *error);

  // How the JIT may look up without calling; kind kNone if it must call.
  virtual InlineOp inline_lookup() const { return {}; }
  // Whether pointers to values lie in the half that programs may write.
  virtual bool values_writable() const { return true; }

  // Calls visit(key, value) for each element in iteration order until it returns nonzero; -EOPNOTSUPP if the type has
  // no bpf_for_each_map_elem(). Returns the number of calls.
  struct Visitor {
    virtual ~Visitor() = default;
    virtual u64 visit(void *key, void *value) = 0;
  };
  virtual s64 for_each(Visitor &) { return -EOPNOTSUPP; }

  // A pointer into a value of this map, as found by its timers: the value's start, or null if it is not one of ours.
  virtual void *value_of(const void *) { return nullptr; }
  // The same for any address and any type, as far as it can be found out; slow.
  virtual void *value_around(const void *address) { return value_of(address); }
  // A task or cgroup is about to be freed: a map that keeps something for it lets that go.
  virtual void owner_freed(const void * /*owner*/) {}
  // See BpfSystem::unshare_maps(). Maps without memory that is shared with user space have nothing to do.
  virtual bool can_unshare() const { return mmap_size() == 0; }
  virtual void unshare() {}
  // The key of a value for a timer's callback, as an address that programs can read.
  virtual void *key_of(void *) { return nullptr; }

  // Whether this map may be a value where `like` is the pattern.
  bool fits_as_inner(const InnerPattern &like) const;

  bool has_field(FieldKind kind) const;
  // The field of a kind at an offset of the value, or null.
  const SpecialField *field_at(FieldKind kind, u64 offset) const;

  // Copies a value around its kernel-owned fields.
  void copy_around_fields(void *to, const void *from) const;
  // The same under the value's lock, where there is one and the flags ask for it (BPF_F_LOCK).
  void copy_value(void *to, const void *from, u64 flags) const;
  // Cancels timers and forgets kernel-owned state of a value that goes away, then zeroes those fields.
  void release_fields(void *value);

 protected:
  // What user space sees of a value: kernel-owned fields read as zero. With BPF_F_LOCK under the value's lock.
  void copy_out(const void *element, void *value, u64 flags) const;
  // Common checks of update flags: -EINVAL for unknown ones, spin locks only where there is one.
  int check_update_flags(u64 flags) const;

 private:
  const MapAttr attr_;
  const u32 uses_;  // MapUse
  MapHandle *handle_ = nullptr;
  std::vector<SpecialField> fields_;
  bool frozen_ = false;
};

// Copies bytes that other CPUs may be reading or writing: no word of 8 bytes that is aligned is torn.
void copy_shared(void *to, const void *from, size_t bytes);

// --- Registry of types ---

struct MapTypeEntry {
  u32 type;
  const char *name;
  int (*create)(BpfSystem &system, const MapAttr &attr, std::shared_ptr<Map> *out);
  u32 uses;  // MapUse
  MapTypeEntry *next = nullptr;
};
struct MapTypeRegistrar {
  explicit MapTypeRegistrar(MapTypeEntry &entry);
};
// All implemented types, sorted by number.
const std::vector<const MapTypeEntry *> &list_map_types();
const MapTypeEntry *find_map_type(u32 type);
// The name of any type that the uapi has ("ringbuf"), or null.
const char *map_type_name(u32 type);

}  // namespace uscx::bpf

#define USCX_MAP_TYPE(type_, name_, create_, uses_)                                               \
  static ::uscx::bpf::MapTypeEntry map_type_##name_##_entry{(type_), #name_, (create_), (uses_)}; \
  static const ::uscx::bpf::MapTypeRegistrar map_type_##name_##_registrar { map_type_##name_##_entry }

#endif  // USCX_BPF_OBJECT_MAP_H_
