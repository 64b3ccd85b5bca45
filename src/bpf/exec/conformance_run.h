// SPDX-License-Identifier: GPL-2.0-only
// Runs one program on the interpreter and on the JIT and says where they differ: result, abort, charge, wild loads, the
// BPF stack and the memory it was given. For tests.
#ifndef USCX_BPF_EXEC_CONFORMANCE_RUN_H_
#define USCX_BPF_EXEC_CONFORMANCE_RUN_H_

// g++ 12 wrongly takes parts of std::regex for uninitialised when it instruments them; the place it names is in the
// standard headers, so they are included under this.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <algorithm>

#include <cstring>

#include "bpf/exec/conformance_asm.h"
#include "bpf/exec/exec.h"
#include "bpf/memory/region.h"

namespace uscx::bpf {

// The memory that test programs work on. The context (r1) has pointers to it:
//   0: 256 bytes, readable and writable, ending at a guard page     8: 256 bytes, read-only
//  16: unmapped memory inside the region                           24: mapped memory outside of the region
//  32: a writable field (8 bytes) inside the read-only memory      40: NULL
//  48: an arena's user base plus 64
struct TestWorld {
  static constexpr size_t kBytes = 256;
  u8 *rw;
  u8 *ro;
  u8 *writable;
  u8 *arena;
  u64 *ctx;
  u64 outside = 0x1122334455667788ull;

  static TestWorld &get() {
    static TestWorld world;
    return world;
  }
  void reset() {
    // Programs also reach what lies before the buffer in its page, and all of the arena.
    std::memset(page(), 0, 4096);
    CHECK(::madvise(arena, 1ull << 32, MADV_DONTNEED) == 0);
    for (size_t i = 0; i < kBytes; i++) {
      rw[i] = u8(i * 7 + 0x81);
      ro[i] = u8(i * 3 + 0x90);
      arena[i] = u8(i);
    }
    outside = 0x1122334455667788ull;
    std::memset(reinterpret_cast<void *>(stack_top() - 4096), 0, 4096);
  }
  std::string memory() const {
    std::string all(reinterpret_cast<char *>(page()), 4096);
    all.append(reinterpret_cast<char *>(ro), kBytes);
    all.append(reinterpret_cast<char *>(arena), kBytes);
    all.append(reinterpret_cast<const char *>(&outside), 8);
    return all.append(reinterpret_cast<char *>(stack_top() - 4096), 4096);
  }
  u8 *page() const { return rw + kBytes - 4096; }
  // Stacks are reused last in, first out, so every run gets the same.
  static u64 stack_top() {
    static const u64 top = [] {
      const Assembled code = Assembler::assemble("r0 = r10; exit");
      auto program = Program::prepare(code.insns, {.jit = false});
      Invocation invocation;
      return run(**program, 0, invocation, ExecMode::kInterp).r0;
    }();
    return top;
  }

 private:
  TestWorld() {
    Region &region = Region::get();
    rw = static_cast<u8 *>(region.alloc_at_end(Half::kReadWrite, kBytes));
    ro = static_cast<u8 *>(region.alloc_at_end(Half::kReadOnly, kBytes));
    arena = static_cast<u8 *>(region.alloc_aligned(Half::kReadWrite, 1ull << 32, 1ull << 32));
    writable = ro + 64;
    region.set_store_filter([](void *address, unsigned size) { return address == get().writable && size == 8; });
    ctx = static_cast<u64 *>(region.alloc_pages(Half::kReadOnly, 4096, true));
    ctx[0] = reinterpret_cast<u64>(rw);
    ctx[1] = reinterpret_cast<u64>(ro);
    ctx[2] = kRwBase + 4096;
    ctx[3] = reinterpret_cast<u64>(&outside);
    ctx[4] = reinterpret_cast<u64>(writable);
    ctx[5] = 0;
    ctx[6] = 64;
  }
};

struct Outcome {
  u64 r0 = 0;
  AbortReason reason = AbortReason::kNone;
  u32 insn = 0;
  u64 address = 0;
  std::string message;
  s64 charged = 0;
  std::string wild;
  std::string memory;
};

using Functions = std::map<std::string, CallTarget>;

inline std::unique_ptr<Program> build(const Assembled &code, const Functions &functions, ProgramOptions options = {}) {
  for (const auto &[slot, name] : code.calls) {
    CHECK(functions.count(name), "no function {}", name);
    options.calls[slot] = functions.at(name);
  }
  options.name = "test";
  // Only a program with casts has an arena: what it stores through NULL is skipped.
  const bool casts = std::any_of(code.insns.begin(), code.insns.end(), [](const bpf_insn &insn) {
    return insn.code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn.off == 1;
  });
  if (casts) options.arena_base = options.arena_user_base = reinterpret_cast<u64>(TestWorld::get().arena);
  auto program = Program::prepare(code.insns, std::move(options));
  CHECK(program.ok(), "{}", program.message());
  return program.take();
}

inline Outcome execute(Program &program, ExecMode mode, s64 budget = 1 << 20) {
  TestWorld &world = TestWorld::get();
  world.reset();
  program.clear_wild_loads();
  static const ExecEnv env{.cpu = 3, .current_task = 0x5a5a};
  Invocation invocation(&env, budget);
  const RunResult result = run(program, reinterpret_cast<u64>(world.ctx), invocation, mode);
  Outcome out{.r0 = result.r0};
  if (result.abort) {
    out.reason = result.abort->reason;
    out.insn = result.abort->insn;
    out.address = result.abort->address;
    out.message = result.abort->message;
  }
  out.charged = invocation.insns_charged();
  for (const WildLoad &load : program.wild_loads()) out.wild += fmt::format("{}:{} ", load.insn, load.count);
  out.memory = world.memory();
  EXPECT_EQ(Invocation::current(), nullptr);
  return out;
}

inline Outcome run_both(Program &program, s64 budget = 1 << 20) {
  const Outcome interp = execute(program, ExecMode::kInterp, budget);
  const Outcome jit = execute(program, ExecMode::kJit, budget);
  const std::string text = program.disassembly();
  EXPECT_EQ(interp.r0, jit.r0) << text;
  EXPECT_EQ(abort_reason_name(interp.reason), std::string(abort_reason_name(jit.reason))) << text;
  EXPECT_EQ(interp.insn, jit.insn) << text;
  EXPECT_EQ(interp.address, jit.address) << text;
  EXPECT_EQ(interp.message, jit.message) << text;
  EXPECT_EQ(interp.charged, jit.charged) << text;
  EXPECT_EQ(interp.wild, jit.wild) << text;
  EXPECT_TRUE(interp.memory == jit.memory) << "memory differs\n" << text;
  return interp;
}

}  // namespace uscx::bpf

#endif  // USCX_BPF_EXEC_CONFORMANCE_RUN_H_
