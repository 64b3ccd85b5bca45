// SPDX-License-Identifier: GPL-2.0-only
// The scan of a BPF object before libbpf sees it. libbpf stops at the first thing that a kernel lacks, and leaves a
// field relocation that failed to run time; the scan names all that is missing at once.
//
// What counts is what the object needs to run: externs, helpers, fields and enumerators that code refers to which can
// be reached from the programs that libbpf loads, with constants propagated from .rodata, from CO-RE questions
// (bpf_core_field_exists() and the like) and from tests of weak symbols (bpf_ksym_exists()). Weak externs never count:
// their object says that it can do without. Maps, struct_ops tables and programs count wherever they stand, because
// libbpf creates and loads them all.
//
// Threading: pure, but for libbpf's print callback, which is off while a scan runs: one scan at a time. Any bytes are
// safe to scan.
#ifndef USCX_BPF_LOAD_SCAN_SCAN_H_
#define USCX_BPF_LOAD_SCAN_SCAN_H_

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

struct btf;

namespace uscx::bpf {

class BpfSystem;

// What there is to run on.
struct ScanTarget {
  const struct btf *kernel_btf = nullptr;
  std::set<std::string> kfuncs;
  std::set<u32> helpers;    // by BPF_FUNC_*
  std::set<u32> map_types;  // by BPF_MAP_TYPE_*
  // Fields of map values that the kernel owns, by the name of their type; "kptr" stands for all pointers to its
  // objects.
  std::set<std::string> value_fields = {"bpf_spin_lock", "bpf_timer", "kptr"};
  std::set<std::string> struct_ops = {"sched_ext_ops"};
  // Members of sched_ext_ops that are acted upon; absent, all that the kernel BTF has.
  std::optional<std::set<std::string>> ops_members;
  // Programs that user space will load, or will not, whatever their section says.
  std::map<std::string, bool> loads;
  // SEC() names up to the slash.
  std::set<std::string> programs = {"struct_ops", "struct_ops.s", "syscall"};
  // What is to be said of a program's section; "cannot be loaded: ..." is a complaint.
  std::function<std::string(std::string_view section)> note_of;
  // Whether a kernel variable has an address; null: none has. (Typed ones must also be in the BTF.)
  std::function<bool(std::string_view)> has_variable;
  std::string kernel_config;      // lines of "CONFIG_X=y"
  std::string release = "7.2.0";  // uname -r, for LINUX_KERNEL_VERSION
  // Sets global constants as user space will before it loads: called for each .rodata section with its bytes, in which
  // the __SCX_ enumerators are set already.
  std::function<void(const std::string &section, std::span<u8> bytes)> set_rodata;

  // All that is registered in this program, and the kernel BTF, variables and configuration of `system`, which must
  // outlive the target.
  static ScanTarget of_system(BpfSystem &system);
};

struct ScanResult {
  // One line each: what the object needs and the target lacks. Empty: it can be loaded.
  std::vector<std::string> missing;
  // Strong externs that the target lacks and nothing reaches, by name. See weaken_unreached().
  std::vector<std::string> unreached;
  // Weak kfuncs that the target lacks and that a reachable call refers to: such a call is a trap.
  std::vector<std::string> trapping;

  // What the object has and uses, for listings; each list is sorted by name.
  struct Table {
    std::string name;  // of the variable
    std::string type;  // "sched_ext_ops"
    std::vector<std::string> callbacks;
  };
  struct ProgramInfo {
    std::string name;
    std::string section;
    bool loaded = true;  // by libbpf, unless told otherwise
    std::string note;    // what is special about it, such as that it never fires
  };
  struct MapInfo {
    std::string name;
    u32 type = 0;
    u32 max_entries = 0;
  };
  std::vector<Table> tables;
  std::vector<ProgramInfo> programs;
  std::vector<MapInfo> maps;
  std::vector<std::string> kfuncs;     // reachable, without flavours
  std::vector<std::string> helpers;    // reachable, by name
  std::vector<std::string> fields;     // reachable fields of kernel structs ("task_struct.scx.weight")
  std::vector<std::string> variables;  // reachable kernel variables and configuration values

  // File offsets of the st_info bytes of `unreached`.
  std::vector<u64> unreached_info_at;
};

// Errors are about the bytes: no ELF, not for BPF, no BTF, something cut off, no sched_ext_ops in it.
Result<ScanResult> scan_object(std::span<const u8> elf, const ScanTarget &target);

// The object with `unreached` made weak. libbpf refuses an object for a missing strong extern even if nothing calls it;
// a weak one it replaces by a trap.
std::vector<u8> weaken_unreached(std::span<const u8> elf, const ScanResult &result);

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_SCAN_SCAN_H_
