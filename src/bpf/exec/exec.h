// SPDX-License-Identifier: GPL-2.0-only
// Running a program. An Invocation is one entry into BPF from outside (a callback of sched_ext_ops, a timer): it has a
// budget, knows the environment (CPU, current task), and holds the outcome. run() executes on the JIT or on the
// interpreter, with identical results, budget and aborts.
//
// An abort ends a run early. Its causes are a store outside of what the program may write, a trap instruction, the
// budget, the call depth, or a violation that a helper or kfunc raises. The run then returns at once; the caller gives
// the callback's default result and ejects the scheduler. A load from a wrong address is no abort: it reads 0 and is
// counted.
//
// Budget: charged at fixed points by a static cost, so JIT and interpreter agree: at the entry and at each call of a
// subprogram the length of that subprogram, at each taken backward jump the length of the loop (source - target + 1).
//
// Registers that the program reads without having set them are 0: r1..r5 after a call, r0 and r6..r9 at the start of a
// subprogram, arguments that were not given.
//
// Threads: an Invocation belongs to one CPU's execution context. Invocation::current() and the BPF stacks are a
// thread's, and in explore mode a CPU's (running.h). A fiber's stack needs room for a signal frame (16
// KiB).
#ifndef USCX_BPF_EXEC_EXEC_H_
#define USCX_BPF_EXEC_EXEC_H_

#include <csetjmp>
#include <cstddef>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/types.h"
#include "bpf/exec/program.h"
#include "bpf/exec/running.h"

namespace uscx::bpf {

class Invocation;

enum class ExecMode : u8 { kJit, kInterp };

enum class AbortReason : u8 {
  kNone,
  kWildStore,      // outside of the region
  kReadOnlyStore,  // to the read-only half
  kStoreFault,     // to unmapped memory inside the region
  kBudget,
  kCallDepth,
  kTrap,       // an instruction that must never run
  kViolation,  // raised by a helper or kfunc
  kException,  // bpf_throw(): no fault, and never seen from outside
};
const char *abort_reason_name(AbortReason reason);

// Is notified of what a run did that is no abort.
class ExecListener {
 public:
  virtual ~ExecListener() = default;
  // `count` stores to arena pages that do not exist were skipped in one run; the last of them at `insn`.
  virtual void arena_store_skipped(const Program &program, u32 insn, u64 address, u64 count) = 0;
};

// What the program's surroundings are. One per CPU is meant; InlineEnvLoad refers to it by offset.
struct ExecEnv {
  u32 cpu = 0;
  u32 unused = 0;
  u64 current_task = 0;              // the task_struct in the read-only half
  ExecListener *listener = nullptr;  // may be null
};

struct Abort {
  AbortReason reason = AbortReason::kNone;
  const Program *program = nullptr;
  u32 insn = 0;
  u64 address = 0;      // of a store
  std::string message;  // "store of 8 bytes to read-only memory at 0x.. by insn 12 (f, x.bpf.c:3: text)"
};

// What an invocation holds that only a verifier would have made it give back: a spin lock of a map value, RCU and
// preemption depth. A program holds one lock at a time.
struct Holdings {
  // A reserved record of a ring buffer, and what discards it.
  struct HeldRecord {
    void *payload;
    void (*discard)(void *payload);
  };
  // What few programs ever hold.
  struct Rare {
    std::vector<u32 *> res_locks;  // bpf_res_spin_lock, the last one taken last
    std::vector<HeldRecord> ring_records;
    std::map<const void *, std::vector<u64>> bit_iterators;  // by the iterator's address
  };
  u32 *lock = nullptr;
  u32 rcu_depth = 0;
  u32 preempt_depth = 0;
  std::unique_ptr<Rare> rare;
  bool any() const { return lock != nullptr || rcu_depth != 0 || preempt_depth != 0 || rare != nullptr; }
  bool any_lock() const { return lock != nullptr || (rare != nullptr && !rare->res_locks.empty()); }
  Rare &rarely() {
    if (rare == nullptr) rare = std::make_unique<Rare>();
    return *rare;
  }
};

// The part that translated code reaches through a register. Offsets are used by the JIT.
struct ExecState {
  u64 entry_rsp = 0;  // where an abort unwinds to
  s64 budget = 0;     // what is left
  u64 stack_low = 0;  // lowest r10 that a frame may have
  const ExecEnv *env = nullptr;
  u32 insn = 0;  // the call instruction that runs a helper or kfunc
  u32 aborted = 0;
  u32 tail_called = 0;  // bpf_tail_call() succeeded: the function that called it ends with its result
  u32 nr_tail_calls = 0;
  Invocation *owner = nullptr;
  // Stores to arena pages that do not exist, which the outermost run() reports: how many, and the last of them.
  u64 arena_skips = 0;
  u64 arena_skip_address = 0;
  const Program *arena_skip_program = nullptr;
  u32 arena_skip_insn = 0;
  void skip_arena_store(const Program *program, u32 at, u64 address) {
    arena_skips++;
    arena_skip_address = address;
    arena_skip_program = program;
    arena_skip_insn = at;
  }
};

struct RunResult {
  u64 r0 = 0;
  const Abort *abort = nullptr;  // in the Invocation
  bool aborted() const { return abort != nullptr; }
};

class Invocation {
 public:
  // Enough for any loop of a real scheduler, and some tenths of a second of host time for an endless one.
  static constexpr s64 kDefaultBudget = 1ll << 26;

  explicit Invocation(const ExecEnv *env = nullptr, s64 budget = kDefaultBudget) : initial_budget_(budget) {
    static constexpr ExecEnv kNoEnv;
    state_.env = env ? env : &kNoEnv;
    state_.budget = budget;
    state_.owner = this;
  }
  ~Invocation() { CHECK(nesting_ == 0, "an invocation ends while it runs"); }
  Invocation(const Invocation &) = delete;
  Invocation &operator=(const Invocation &) = delete;

  // The invocation whose helper or kfunc runs now on this thread; nullptr outside of BPF.
  static Invocation *current() { return running().invocation; }
  const ExecEnv &env() const { return *state_.env; }
  void set_env(const ExecEnv *env) { state_.env = env; }
  // The program that runs now (the innermost, when callbacks nest).
  const Program *program() const { return program_; }
  ExecMode mode() const { return mode_; }
  // The call instruction that is being executed; for helpers and kfuncs.
  u32 insn() const { return state_.insn; }

  s64 insns_charged() const { return initial_budget_ - state_.budget; }
  // For helpers that do work in proportion to an argument (bpf_loop): charges, and aborts when nothing is left.
  void charge(u64 insns);

  void set_user_data(void *data) { user_data_ = data; }
  void *user_data() const { return user_data_; }

  Holdings &holdings() { return holdings_; }
  // Lets go of what is still held; whoever ran the invocation calls it afterwards. True if something was left.
  bool release_holdings() { return holdings_.any() && release_all(); }

  const Abort &abort() const { return abort_; }
  bool aborted() const { return state_.aborted != 0; }

  // Ends the program because of what it asked of a helper or kfunc. Does not return: the frames between here and the
  // program are dropped without destructors, so a thunk calls it before it owns anything.
  template <typename... Args>
  [[noreturn]] void violation(fmt::format_string<Args...> format, Args &&...args) {
    raise(AbortReason::kViolation, state_.insn, 0, fmt::format(format, std::forward<Args>(args)...));
    unwind();
  }
  // The same in two steps, for functions that must let go of something in between.
  void raise_violation(std::string message) { raise(AbortReason::kViolation, state_.insn, 0, std::move(message)); }
  // Leaves the innermost run() of an aborted invocation.
  [[noreturn]] void unwind();

  // Runs a subprogram of the current program as a callback, within this invocation: same budget, one level deeper.
  // After an aborted callback the helper lets go of what it holds and calls unwind().
  RunResult call_back(u32 subprog, std::initializer_list<u64> args);
  // Runs another program in place of the rest of the function that called the helper, whose result this is to be.
  // nullopt: there have been too many.
  std::optional<u64> tail_call(const Program &program, u64 ctx);
  // The function that called the helper ends when it returns, with its result.
  void end_caller() { state_.tail_called = 1; }
  // Ends all runs of the invocation; the outermost returns what the program's exception callback makes of `cookie`.
  [[noreturn]] void throw_exception(u64 cookie);

 private:
  friend struct ExecAccess;

  bool release_all();
  void raise(AbortReason reason, u32 insn, u64 address, std::string detail);
  void report_arena_skips();
  RunResult catch_exception(const Program &program, ExecMode mode);

  ExecState state_;
  const Program *program_ = nullptr;
  ExecMode mode_ = ExecMode::kJit;
  u32 nesting_ = 0;  // runs within runs of this invocation
  s64 initial_budget_;
  void *user_data_ = nullptr;
  Holdings holdings_;
  u64 exception_ = 0;           // what was thrown last
  bool catching_ = false;       // the exception callback runs
  jmp_buf *landing_ = nullptr;  // of the innermost run on the interpreter
  Abort abort_;
};

// Runs `program` from its entry with r1 = ctx.
RunResult run(const Program &program, u64 ctx, Invocation &invocation, ExecMode mode = ExecMode::kJit);
// Runs one of its subprograms with up to five arguments.
RunResult run(const Program &program, u32 subprog, std::initializer_list<u64> args, Invocation &invocation,
              ExecMode mode = ExecMode::kJit);

// A helper is about to read or write memory of the program that calls it, for explore mode. Memory that is no
// program's, and stacks, do not count.
void note_helper_access(const void *memory, u64 size, bool write);

// A process-wide choice for callers that do not choose themselves (the command's --interp).
ExecMode default_exec_mode();
void set_default_exec_mode(ExecMode mode);

}  // namespace uscx::bpf

#endif  // USCX_BPF_EXEC_EXEC_H_
