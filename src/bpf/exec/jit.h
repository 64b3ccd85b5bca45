// SPDX-License-Identifier: GPL-2.0-only
// Translated code of programs: where it lives, how it is entered and left, and what a fault inside it means. The
// translation itself is per architecture: a file of arch/ provides translate_functions() and build_stubs(). All code
// here knows machine code as bytes with tables only.
//
// Code memory is one mapping of a memfd near our own text, so that calls of helpers are direct; it is written through a
// second mapping, so no page is ever writable and executable.
//
// Threads: translation takes a lock; running and faulting read immutable tables.
#ifndef USCX_BPF_EXEC_JIT_H_
#define USCX_BPF_EXEC_JIT_H_

#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx::bpf {

class Program;
struct ExecState;

enum class FaultKind : u8 {
  kLoad,    // the destination register becomes 0 and execution goes on behind the load
  kStore,   // the program is aborted; a store to an arena is skipped and execution goes on at `resume`
  kResume,  // execution goes on elsewhere (an inlined helper falls back to the call)
};

struct FaultEntry {
  u32 pc;      // offset of the machine instruction
  u32 resume;  // offset where execution goes on
  u32 insn;    // of the program
  FaultKind kind;
  u8 reg;             // machine number of the register that a kLoad clears, or that a kStore addresses through
  bool saves_budget;  // the budget is in its register here
  s32 disp;           // of a kStore
};

// What a translator hands over.
struct Translation {
  struct External {
    u32 at;
    u64 target;
  };
  std::vector<u8> code;
  std::vector<External> externals;  // 32-bit displacements to absolute addresses
  std::vector<u32> entries;         // by subprogram
  std::vector<FaultEntry> faults;   // sorted by pc
};

// Addresses of code that all programs share.
struct JitStubs {
  u64 enter = 0;        // JitCode::EnterFn
  u64 unwind = 0;       // void(u64 entry_rsp), does not return: leaves run_jit() with 0
  u64 slow_store = 0;   // reached from failing store checks
  u64 deopt = 0;        // goes on in the interpreter until the function returns
  u64 access = 0;       // tells explore mode of an access (r10: instruction, r11: address)
  u64 store_fault = 0;  // where the fault handler sends a store
  u64 abort_budget = 0;
  u64 abort_depth = 0;
  u64 abort_trap = 0;
};

class JitCode {
 public:
  static Result<std::unique_ptr<JitCode>> translate(const Program &program);
  ~JitCode();
  JitCode(const JitCode &) = delete;
  JitCode &operator=(const JitCode &) = delete;

  // Runs a subprogram; `state` is set up by the caller. Returns r0, or 0 after an abort (state->aborted).
  u64 run(u32 subprog, const u64 args[5], u64 frame_pointer, ExecState *state) const {
    return enter_(state, args, base_ + entries_[subprog], frame_pointer);
  }
  size_t code_bytes() const { return bytes_; }
  std::span<const u8> code() const { return {reinterpret_cast<const u8 *>(base_), bytes_}; }

  // For the fault handler: decides where the thread goes on. False when the fault is not ours.
  static bool handle_fault(void *machine_context);
  // Drops the machine frames up to the entry of the innermost run().
  [[noreturn]] static void unwind(u64 entry_rsp);
  static const JitStubs &stubs();

 private:
  JitCode() = default;

  // The stub's arguments are in the order of the C ABI; it moves them to where translated code has them.
  using EnterFn = u64 (*)(ExecState *state, const u64 *args, u64 code, u64 frame_pointer);
  const EnterFn enter_ = reinterpret_cast<EnterFn>(stubs().enter);
  const Program *program_ = nullptr;
  u64 base_ = 0;
  size_t bytes_ = 0;
  size_t reserved_ = 0;
  std::vector<u32> entries_;
  std::vector<FaultEntry> faults_;
};

// Per architecture.
Status translate_functions(const Program &program, Translation *out);
void build_stubs(Translation *out, JitStubs *offsets);
// Whether a 32-bit displacement reaches an address from all code.
bool reachable_from_code(u64 address);

}  // namespace uscx::bpf

#endif  // USCX_BPF_EXEC_JIT_H_
