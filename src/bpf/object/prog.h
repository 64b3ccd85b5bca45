// SPDX-License-Identifier: GPL-2.0-only
// Prog: a loaded BPF program as bpf(2) knows it: its attributes, the objects that it refers to, and the prepared
// Program that runs. The steps from BPF_PROG_LOAD's instructions to that are in load/prog_load.cc: map, kernel and
// function references become addresses, kfunc and helper calls become thunks, and the verifier log names what is
// missing.
//
// Threading: immutable after loading, except for the association with a struct_ops map, which commands change while
// programs may ask for it, and for the streams, which have a lock.
#ifndef USCX_BPF_OBJECT_PROG_H_
#define USCX_BPF_OBJECT_PROG_H_

#include <linux/bpf.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/object/object.h"

namespace uscx::bpf {

class Btf;
class Map;
class Program;
class StructOpsMap;
class StructOpsType;
struct KfuncEntry;

class Prog final : public Object {
 public:
  struct Attr {
    u32 type = 0;
    u32 expected_attach_type = 0;
    u32 attach_btf_id = 0;
    u32 flags = 0;
    bool gpl_compatible = false;
    std::string name;
    std::shared_ptr<Btf> btf;
    StructOpsType *struct_ops = nullptr;  // of a STRUCT_OPS program
    std::string member;                   // the callback it implements
  };
  Prog(BpfSystem &system, Attr attr);
  ~Prog() override;

  const Attr &attr() const { return attr_; }
  u32 type() const { return attr_.type; }
  bool sleepable() const { return attr_.flags & BPF_F_SLEEPABLE; }
  // Null for a program of a type that nothing here ever runs (a feature probe's socket filter, a kprobe).
  Program *program() const { return program_.get(); }
  const std::vector<std::shared_ptr<Map>> &maps() const { return maps_; }
  const std::vector<const KfuncEntry *> &kfuncs() const { return kfuncs_; }
  const std::vector<struct bpf_insn> &insns() const { return insns_; }
  std::span<const u8> code() const;  // The machine's; empty if it is not translated.
  const std::vector<struct bpf_func_info> &func_info() const { return func_info_; }
  const std::vector<struct bpf_line_info> &line_info() const { return line_info_; }
  u64 loaded_ns() const { return loaded_ns_; }
  // Tells programs apart by their code, as the kernel's does. FIDELITY: prog-tag.
  u64 tag() const;

  // Keeps a map alive for as long as the program (BPF_PROG_BIND_MAP, and each map that it refers to).
  void bind_map(std::shared_ptr<Map> map);

  // What the program printed to its stream 1 (output) or 2 (errors), from any number of CPUs at once. What does not fit
  // is lost. read_stream() hands the oldest bytes to take(); they are gone if that gives 0. Its result is take()'s.
  static bool is_stream(u32 id) { return id == 1 || id == 2; }
  void print_to(u32 id, std::string_view text);
  int read_stream(u32 id, size_t max_bytes, const std::function<int(std::string_view text)> &take);

  // Which struct_ops map the program acts for. A struct_ops program used in two maps acts for neither.
  enum class Assoc : u8 { kNone, kOne, kAmbiguous };
  Assoc assoc() const { return assoc_; }
  // Null unless it is one.
  StructOpsMap *assoc_map() const { return assoc_map_.load(std::memory_order_acquire); }
  // BPF_PROG_ASSOC_STRUCT_OPS: -EBUSY if it acts for another one already.
  int associate(const std::shared_ptr<StructOpsMap> &map);
  // A struct_ops map took the program as a callback, or is being destroyed.
  void used_by(StructOpsMap *map);
  void unused_by(StructOpsMap *map);

 private:
  friend class ProgLoader;
  static constexpr size_t kMaxStreamBytes = 100000;
  std::mutex streams_lock_;  // a leaf
  std::string streams_[2];
  const Attr attr_;
  const u64 loaded_ns_;
  std::vector<struct bpf_insn> insns_;  // as user space gave them, but with the ids of maps
  std::vector<struct bpf_func_info> func_info_;
  std::vector<struct bpf_line_info> line_info_;
  std::vector<std::shared_ptr<Map>> maps_;
  std::vector<const KfuncEntry *> kfuncs_;
  std::unique_ptr<Program> program_;
  Assoc assoc_ = Assoc::kNone;
  std::atomic<StructOpsMap *> assoc_map_ = nullptr;  // pairs with the table's contents
  std::shared_ptr<StructOpsMap> assoc_ref_;          // what BPF_PROG_ASSOC_STRUCT_OPS holds
};

// The address that stands for a kernel function, made from its BTF id: it is compared and printed, never called.
u64 kernel_text_address(u32 btf_id);

// The running program of this thread's innermost invocation, or null.
Prog *running_prog();

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_PROG_H_
