// SPDX-License-Identifier: GPL-2.0-only
// What every user half of a sched_ext scheduler does, for our own schedulers, for their standalone programs and for
// bare BPF objects alike: open the object, give its `__SCX_*` variables the running kernel's values, size its exit dump
// buffer, set variables and fields from text, load, attach, and read back why it ended. The steps come in this order:
//
//   open_file() or open_memory()  ->  set_variable(), set_ops_field(), ...  ->  load()  ->  attach()  ->  detach()
//
// The code knows libbpf and base/ alone. Whether the kernel below is the host's or the simulated one is decided by the
// libbpf that the program links.
//
// Threading: libbpf's print callback is one a process, and so is the log here; use these objects from one thread.
#ifndef USCX_SCHEDULERS_COMMON_SCX_USER_H_
#define USCX_SCHEDULERS_COMMON_SCX_USER_H_

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "schedulers/common/btf_value.h"

struct bpf_link;
struct bpf_map;
struct bpf_object;
struct bpf_program;
struct btf;

namespace uscx::schedulers {

// What a user half learns from the system it runs on, other than through libbpf.
struct Environment {
  // The kernel's count of CPU hotplug events. Empty: ops.hotplug_seq is left as it is, and nothing is checked.
  std::function<Result<u64>()> hotplug_seq;
  // The process that stands for the scheduler, for options that mean "myself"; 0 where there is none.
  s32 own_pid = 0;
  // The kernel's BTF; null: as libbpf finds it (/sys/kernel/btf/vmlinux).
  const btf *kernel_btf = nullptr;
  // The size of per-CPU values; 0: as libbpf finds it. libbpf remembers the first answer for ever, so a process that
  // runs several simulated machines says it here.
  u32 nr_possible_cpus = 0;
};

// The host's: /sys/kernel/sched_ext/hotplug_seq and getpid().
Environment host_environment();

// The kernel's exit kinds that start the errors, and the action bit of an exit code.
inline constexpr s64 kExitKindError = 1024;
inline constexpr u64 kExitCodeRestart = 1ULL << 48;

// The record that ops.exit() leaves. kind 0: the scheduler has not ended (or keeps no such record).
struct ExitInfo {
  s64 kind = 0;
  s64 code = 0;
  std::optional<s32> cpu;
  std::string reason;
  std::string msg;
  std::string dump;

  bool wants_restart() const { return static_cast<u64>(code) & kExitCodeRestart; }
  // "scx_bpf_error (scx_qmap.bpf.c:188: test triggering error) on CPU 0"
  std::string line() const;
};

// The debug dump, if there is one, between its rulers, and then "EXIT: " and the line.
void print_exit(const ExitInfo &info, FILE *out);

// libbpf's messages since the last clear_libbpf_log(). Opening, loading and attaching clear it first.
const std::string &libbpf_log();
void clear_libbpf_log();
// Copies all of libbpf's messages to stderr as they come, debug ones too.
void set_libbpf_verbose(bool verbose);

class ScxObject {
 public:
  static Result<std::unique_ptr<ScxObject>> open_file(const std::string &path, const Environment &environment);
  // `name` stands for the object in messages and, up to its first '.', in the names of its maps. The bytes are copied.
  static Result<std::unique_ptr<ScxObject>> open_memory(const std::string &name, std::span<const u8> bytes,
                                                        const Environment &environment);
  ~ScxObject();
  ScxObject(const ScxObject &) = delete;
  ScxObject &operator=(const ScxObject &) = delete;

  bpf_object *object() const { return object_; }
  const std::string &name() const { return name_; }

  // The sched_ext tables in the object, by variable name. The first is the one that is loaded and attached.
  std::vector<std::string> ops_tables() const;
  Status select_ops_table(std::string_view table);
  bpf_map *ops_map() const { return ops_map_; }

  // ---- Before load() ----
  // A global variable, or a part of one (a.b[2]), from text; see write_value() for what text may be.
  Status set_variable(std::string_view path, std::string_view value);
  std::vector<std::string> variables() const;
  // Where a variable or a part of one is; and all that variables() has, sorted by name.
  Result<BtfPlace> variable_place(std::string_view path) const;
  std::vector<BtfPlace> variable_places() const;
  // A data field of the ops table. flags is a number or names joined by '|', with or without SCX_OPS_.
  Status set_ops_field(std::string_view field, std::string_view value);
  // Sets or clears one flag (or several, joined by '|').
  Status set_ops_flag(std::string_view flag, bool on);
  // Callbacks of the table. "" takes one out; the name of a struct_ops program puts that in its place.
  bool is_callback(std::string_view field) const;
  Status set_callback(std::string_view field, const std::string &program);
  // Takes a program out of every table that has it, and says whether one had.
  bool remove_callbacks(const bpf_program *program);
  // Whether a table has the program.
  // libbpf refuses a struct_ops program that no table has.
  void leave_out_unused_callbacks();
  bool is_in_table(const bpf_program *program) const;
  // Which programs load() will load, by name.
  std::map<std::string, bool> program_loads() const;
  std::vector<std::string> ops_fields() const;
  Result<BtfPlace> ops_field_place(std::string_view field) const;
  // An integer field, as it is now.
  Result<s64> ops_field(std::string_view field) const;

  Status load();

  // ---- Loaded ----
  // Attaches all programs that attach by themselves and then the scheduler. attach_errno() tells failures apart
  // (EBUSY).
  Status attach();
  int attach_errno() const { return attach_errno_; }
  bool attached() const { return link_ != nullptr; }
  void detach();

  // True once ops.exit() has left its record.
  bool exited() const;
  ExitInfo exit_info() const;
  // The present value of an integer variable; CHECKs that there is one of this name.
  s64 variable(std::string_view path) const;
  // The sum over all CPUs of each of the first n values (u64) of a per-CPU array.
  Result<std::vector<u64>> percpu_sums(const char *map, u32 n) const;

 private:
  struct Enumerator {
    u64 value;
    std::string type;
  };

  ScxObject(std::string name, bpf_object *object) : name_(std::move(name)), object_(object) {}
  Status read_kernel_enumerators(const Environment &environment);
  void fill_enumerators();
  Status find_ops_table();
  Status set_hotplug_seq(const Environment &environment);
  Status size_exit_dump();
  Status associate_programs();
  Status attach_programs();
  Result<u64> parse_flags(std::string_view text) const;
  std::optional<BtfPlace> find_variable(std::string_view name) const;
  std::optional<BtfPlace> find_exit_record() const;
  BtfPlace ops_place() const;

  const std::string name_;
  bpf_object *const object_;
  // Enumerators of the kernel whose names begin with SCX_.
  std::map<std::string, Enumerator, std::less<>> enumerators_;
  bpf_map *ops_map_ = nullptr;
  u32 nr_possible_cpus_ = 0;
  bool loaded_ = false;
  int attach_errno_ = 0;
  bpf_link *link_ = nullptr;
  std::vector<bpf_link *> program_links_;
};

}  // namespace uscx::schedulers

#endif  // USCX_SCHEDULERS_COMMON_SCX_USER_H_
