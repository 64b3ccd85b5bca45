// SPDX-License-Identifier: GPL-2.0-only
// A program that is ready to run: instructions after relocation, its subprograms, the functions it calls, its source
// lines. Immutable after prepare(), but for the counters of wild loads; may run on many threads at once.
//
// FIDELITY: no-verifier.
//
// No verifier runs here. prepare() checks structure alone; memory safety is ensured while the program runs (exec.h).
#ifndef USCX_BPF_EXEC_PROGRAM_H_
#define USCX_BPF_EXEC_PROGRAM_H_

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"
#include "bpf/isa/insn.h"

namespace uscx::bpf {

class JitCode;
class Prog;

// A promise about the pointer that a helper or kfunc returns. Only for functions that keep it in every case:
// execution leaves out the range check of accesses through it (unmapped memory and NULL are still caught).
enum class Returns : u8 {
  kScalar,        // nothing known
  kRegionPtr,     // NULL or a pointer into the region: loads need no check
  kReadWritePtr,  // NULL or a pointer into the read-write half: stores need none either
};

// Describes a helper or kfunc. One constant object per function, alive as long as programs that call it.
struct CallDesc {
  const char *name = "";
  u8 nr_args = 0;  // registers r1.. that it takes, at most 5
  Returns returns = Returns::kScalar;
};

// bpf_map_lookup_elem() on an array whose memory is known: value i is at values + i * value_stride, in a per-CPU array
// plus cpu * cpu_stride. The result must be what the function of the call site returns for the same key.
struct InlineArrayLookup {
  const void *values = nullptr;  // in the read-write half
  u32 value_stride = 0;
  u32 max_entries = 0;
  u64 cpu_stride = 0;  // 0: not per CPU
};

// A call whose result is one word of the invocation's environment (ExecEnv in exec.h): the CPU number, the current
// task.
struct InlineEnvLoad {
  u16 env_offset = 0;
  u8 size = 0;  // 4 or 8
};

// How the JIT may translate a call without calling. The interpreter always calls, so both must give the same.
struct InlineOp {
  enum class Kind : u8 { kNone, kArrayLookup, kEnvLoad };
  Kind kind = Kind::kNone;
  InlineArrayLookup array;
  InlineEnvLoad env;
};

// What one call instruction calls: `fn` has the plain C form u64 fn(u64 a1, .., u64 a5) (fewer arguments are fine).
// It reaches the running program through Invocation::current().
struct CallTarget {
  void *fn = nullptr;
  const CallDesc *desc = nullptr;
  InlineOp inline_op;
  bool may_end = false;  // afterwards ExecState::tail_called says whether the calling function ends with its result
};

// Source line of an instruction and of those after it, up to the next entry (from .BTF.ext).
struct SourceLine {
  u32 insn = 0;
  u32 line = 0;
  u32 column = 0;
  std::string file;
  std::string text;
};

struct Subprog {
  u32 start = 0;
  u32 end = 0;  // one past its last slot
  std::string name;
  bool has_backward_jump = false;
  bool has_may_goto = false;
  bool calls_subprog = false;
  bool is_called = false;  // by a call of this program (a callback alone does not count)
  u16 live_in = 0;         // registers that it may read before it writes them
  u16 written = 0;         // registers that it writes
  u32 cost() const { return end - start; }
};

// What is known of the pointer in a register before an instruction, and what follows for its memory access.
enum class Access : u8 {
  kChecked,    // a range check is needed
  kUnchecked,  // the pointer is known to be NULL or in range, near its base: faults alone decide
};

struct ProgramOptions {
  std::string name;
  std::map<u32, CallTarget> calls;        // by slot of the call instruction (helpers and kfuncs)
  std::vector<u32> traps;                 // slots that must never run (poisoned or unreachable instructions)
  std::map<u32, std::string> subprogs;    // known starts and names, from .BTF.ext; others are found from calls
  std::vector<SourceLine> lines;          // sorted by insn
  u64 arena_base = 0;                     // where addr_space_cast leads to; a multiple of 4 GiB
  u64 arena_user_base = 0;                // base of the same arena as user space sees it, for casts to it
  u64 arena_user_high = 0;                // the same where casts do not add it
  bool ctx_is_region_ptr = true;          // r1 at entry points into the region: loads through it need no check
  u32 ctx_pointer_words = 0;              // bit i: 64-bit word i of the context is NULL or points into the region
  std::optional<u32> exception_callback;  // the start of the function that bpf_throw() ends in
  bool explore = false;                   // shared memory accesses and calls tell explore mode
  bool jit = true;                        // translate now; else the program runs on the interpreter alone
};

struct WildLoad {
  u32 insn;
  u64 count;
};

class Program {
 public:
  using Options = ProgramOptions;

  // Checks, decodes, analyses and, if options.jit says so, translates. An error names the instruction ("insn 12: ...").
  static Result<std::unique_ptr<Program>> prepare(std::span<const bpf_insn> insns, Options options);
  // Translates a program that was prepared without; nothing runs it yet. Until then it runs on the interpreter.
  Status translate();
  ~Program();
  Program(const Program &) = delete;
  Program &operator=(const Program &) = delete;

  const std::string &name() const { return options_.name; }
  std::span<const Insn> insns() const { return insns_; }
  std::span<const Subprog> subprogs() const { return subprogs_; }
  const Subprog &subprog_of(u32 insn) const;
  u32 subprog_index_of(u32 insn) const;
  bool is_trap(u32 insn) const { return trap_[insn]; }
  Access access(u32 insn) const { return access_[insn]; }
  // Registers among r1..r5 (or r0, r6..r9 at an entry) that are read before they are written after this call.
  u16 live_after(u32 insn) const { return live_after_[insn]; }
  // Registers that may be read before they are written from this instruction on.
  u16 live_before(u32 insn) const { return live_before_[insn]; }
  const CallTarget &call_target(u32 insn) const;
  u64 arena_base() const { return options_.arena_base; }
  u64 arena_user_base() const { return options_.arena_user_base; }
  // Whether execution calls uscx_bpf_access() at each of these. Both ways of execution agree on which they are:
  // accesses that are not straight to the stack, and calls that the JIT does not do itself.
  bool hooks_access(u32 insn) const;
  bool hooks_call(u32 insn) const;
  u64 arena_user_start_high() const { return options_.arena_user_high; }

  // The value that ld_imm64 gives for the address of a subprogram. It is no address that can be read: helpers that take
  // a callback turn it back with callback_subprog().
  static u64 callback_value(u32 subprog) { return kCallbackBase + u64{subprog} * 16; }
  std::optional<u32> callback_subprog(u64 value) const;
  // The subprogram that bpf_throw() ends in.
  std::optional<u32> exception_callback() const {
    if (!options_.exception_callback.has_value()) return std::nullopt;
    return subprog_of_[*options_.exception_callback];
  }

  // nullptr when there is no line for it.
  const SourceLine *source_line(u32 insn) const;
  // "insn 12 (dispatch, simple.bpf.c:88: text)", with what is known.
  std::string place(u32 insn) const;
  std::string disassembly() const;

  // Loads outside of the region, or of unmapped memory inside, which read 0.
  std::vector<WildLoad> wild_loads() const;
  u64 wild_load_count(u32 insn) const { return wild_loads_[insn].load(std::memory_order_relaxed); }
  // Safe in a signal handler.
  void count_wild_load(u32 insn) const { wild_loads_[insn].fetch_add(1, std::memory_order_relaxed); }
  void clear_wild_loads();
  // Adds to the stores to missing arena pages; returns how many there were before.
  u64 count_arena_skips(u64 count) const { return arena_skips_.fetch_add(count, std::memory_order_relaxed); }
  const std::atomic<u64> *wild_load_counter(u32 insn) const { return &wild_loads_[insn]; }

  // The loaded program that this is the code of; null for one that was prepared by hand.
  Prog *owner() const { return owner_; }
  void set_owner(Prog *owner) { owner_ = owner; }

  // nullptr when the program was prepared without.
  const JitCode *jit() const { return jit_.get(); }

 private:
  static constexpr u64 kCallbackBase = 0xffffffffb0000000ull;

  Program() = default;
  Status find_subprogs();
  Status check_subprog(u32 index);
  Status resolve_calls();
  void find_traits();
  // program_flow.cc
  void analyse_liveness();
  void analyse_pointers();

  Options options_;
  Prog *owner_ = nullptr;
  std::vector<Insn> insns_;
  std::vector<bool> trap_;
  std::vector<Subprog> subprogs_;
  std::vector<u32> subprog_of_;
  std::vector<Access> access_;
  std::vector<u16> live_before_;
  std::vector<u16> live_after_;
  mutable std::unique_ptr<std::atomic<u64>[]> wild_loads_;
  mutable std::atomic<u64> arena_skips_ = 0;
  std::unique_ptr<JitCode> jit_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_EXEC_PROGRAM_H_
