// SPDX-License-Identifier: GPL-2.0-only
// Fuzz entry for BPF programs: the bytes are instructions. Either they are refused, or interpreter and JIT agree on all
// that they do, however they end.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bpf/exec/conformance_run.h"

namespace {

using namespace uscx;
using bpf::CallDesc;
using bpf::CallTarget;
using bpf::Invocation;
using bpf::TestWorld;

u64 mix(u64 a, u64 b, u64 c) { return (a * 31 + b) * 31 + c; }
u64 give_memory() { return reinterpret_cast<u64>(TestWorld::get().rw) + 128; }
u64 refuse(u64 value) {
  if (value % 64 == 5) Invocation::current()->violation("refused {}", value);
  return value;
}
constexpr CallDesc kMix{"mix", 3}, kGive{"give_memory", 0, bpf::Returns::kReadWritePtr}, kRefuse{"refuse", 1};

CallTarget target_of(s32 imm) {
  switch (static_cast<u32>(imm) % 3) {
    case 0: return CallTarget{reinterpret_cast<void *>(mix), &kMix};
    case 1: return CallTarget{reinterpret_cast<void *>(give_memory), &kGive};
    default: return CallTarget{reinterpret_cast<void *>(refuse), &kRefuse};
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  constexpr size_t kMaxInsns = 4096;
  constexpr s64 kBudget = 1 << 14;
  GTEST_FLAG_SET(break_on_failure, true);
  std::vector<bpf_insn> insns(std::min(size / sizeof(bpf_insn), kMaxInsns));
  if (insns.empty()) return 0;
  std::memcpy(insns.data(), data, insns.size() * sizeof(bpf_insn));
  bpf::ProgramOptions options{.name = "fuzz"};
  for (u32 i = 0; i < insns.size(); i++)
    if (insns[i].code == (BPF_JMP | BPF_CALL) && insns[i].src_reg != BPF_PSEUDO_CALL)
      options.calls[i] = target_of(insns[i].imm);
  Result<std::unique_ptr<bpf::Program>> program = bpf::Program::prepare(insns, std::move(options));
  if (program.ok()) bpf::run_both(**program, kBudget);
  return 0;
}
