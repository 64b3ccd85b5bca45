// SPDX-License-Identifier: GPL-2.0-only
// What prepare() refuses, and what it finds; addresses and poisoning of the region.
#include "bpf/exec/conformance_run.h"
#include "bpf/exec/jit.h"
#include "bpf/memory/fault.h"

namespace uscx::bpf {
namespace {

bpf_insn raw(u8 code, u8 dst = 0, u8 src = 0, s16 off = 0, s32 imm = 0) {
  bpf_insn insn = {};
  insn.code = code;
  insn.dst_reg = dst & 15;
  insn.src_reg = src & 15;
  insn.off = off;
  insn.imm = imm;
  return insn;
}

std::string refusal(const std::vector<bpf_insn> &insns, ProgramOptions options = {}) {
  auto program = Program::prepare(insns, std::move(options));
  return program.ok() ? "" : program.message();
}

TEST(Program, RefusesBadInstructions) {
  const bpf_insn ok = raw(0xb7), exit = raw(0x95);
  EXPECT_EQ(refusal({}), "the program has no instructions");
  EXPECT_EQ(refusal({ok, raw(0xff), exit}),
            "insn 1: opcode 0xff (src 0, off 0, imm 0) is not an instruction that uscx runs");
  EXPECT_EQ(refusal({raw(0x20), exit}),
            "insn 0: opcode 0x20 (src 0, off 0, imm 0) is not an instruction that uscx runs");
  EXPECT_EQ(refusal({raw(0xd3, 0, 0, 0, 0), exit}),
            "insn 0: opcode 0xd3 (src 0, off 0, imm 0) is not an instruction that uscx runs");
  EXPECT_EQ(refusal({raw(0x8d), exit}),
            "insn 0: opcode 0x8d (src 0, off 0, imm 0) is not an instruction that uscx runs");
  EXPECT_EQ(refusal({raw(0xb7, 11), exit}), "insn 0: there is no such destination register");
  EXPECT_EQ(refusal({raw(0xbf, 1, 12), exit}), "insn 0: there is no such source register");
  EXPECT_EQ(refusal({raw(0xb7, 10), exit}), "insn 0: writes r10, the frame pointer");
  EXPECT_EQ(refusal({ok, raw(0x95, 1)}), "insn 1: reserved dst field is not zero");
  EXPECT_EQ(refusal({raw(0xb7, 0, 1), exit}), "insn 0: reserved src field is not zero");
  EXPECT_EQ(refusal({ok, raw(0x95, 0, 0, 1)}), "insn 1: reserved off field is not zero");
  EXPECT_EQ(refusal({raw(0xbf, 0, 1, 0, 1), exit}), "insn 0: reserved imm field is not zero");
  EXPECT_EQ(refusal({raw(0x67, 0, 0, 0, 64), exit}), "insn 0: shifts by more than the width");
  EXPECT_EQ(refusal({raw(0x64, 0, 0, 0, 32), exit}), "insn 0: shifts by more than the width");
  EXPECT_EQ(refusal({raw(0x37), exit}), "insn 0: divides by zero");
}

TEST(Program, RefusesBadStructure) {
  const bpf_insn ok = raw(0xb7), exit = raw(0x95);
  EXPECT_EQ(refusal({raw(0x05, 0, 0, 5), exit}), "insn 0: jumps out of the program");
  EXPECT_EQ(refusal({raw(0x05, 0, 0, -2), exit}), "insn 0: jumps out of the program");
  EXPECT_EQ(refusal({raw(0x05, 0, 0, 1), raw(0x18), raw(0), exit}), "insn 0: jumps into the middle of ld_imm64 at 2");
  EXPECT_EQ(refusal({ok, raw(0x18)}), "insn 1: second half of ld_imm64 is missing");
  EXPECT_EQ(refusal({raw(0x18), raw(0, 1), exit}),
            "insn 0: second half of ld_imm64 has reserved fields that are not zero");
  EXPECT_EQ(refusal({raw(0x18, 1, kImm64MapFd), raw(0), exit}),
            "insn 0: ld_imm64 of kind 1 was not resolved by the loader");
  EXPECT_EQ(refusal({ok}), "insn 0: runs past the end of its function ");
  EXPECT_EQ(refusal({raw(0x85, 0, 0, 0, 14), exit}), "insn 0: helper 14 is not resolved");
  EXPECT_EQ(refusal({raw(0x85, 0, 2, 0, 99), exit}), "insn 0: kfunc 99 is not resolved");
  EXPECT_EQ(refusal({raw(0x85, 0, 1, 0, 1), exit, ok, raw(0x05, 0, 0, -3)}), "insn 3: jumps out of its function sub_2");
  EXPECT_EQ(refusal({ok, exit}, {.traps = {7}}), "insn 7: trap is out of the program");
}

TEST(Program, TrapsNeedNoResolution) {
  EXPECT_EQ(refusal({raw(0xb7), raw(0x95), raw(0x85, 0, 0, 0, 999), raw(0x95)}, {.traps = {2}}), "");
}

TEST(Program, FindsFunctions) {
  const Assembled code = Assembler::assemble("r1 = func g; callsub f; exit; f: ; exit; g: ; exit");
  auto program = build(code, {}, {.subprogs = {{code.labels.at("f"), "f"}}});
  ASSERT_EQ(program->subprogs().size(), 3u);
  EXPECT_EQ(program->subprogs()[1].name, "f");
  EXPECT_EQ(program->callback_subprog(Program::callback_value(2)), 2u);
  EXPECT_FALSE(program->callback_subprog(Program::callback_value(3)).has_value());
  EXPECT_FALSE(program->callback_subprog(Program::callback_value(1) + 1).has_value());
  EXPECT_FALSE(program->callback_subprog(0).has_value());
}

// Which checks the analysis leaves out is what speed rests on, and what safety must not.
TEST(Program, LeavesOutOnlyProvenChecks) {
  auto accesses = [](const std::string &text) {
    auto program = build(Assembler::assemble(text), {});
    std::string letters;
    for (u32 i = 0; i < program->insns().size(); i++) {
      const OpInfo *op = program->insns()[i].info;
      if (op && (op->reads_memory() || op->writes_memory()))
        letters += program->access(i) == Access::kUnchecked ? 'u' : 'c';
    }
    return letters;
  };
  EXPECT_EQ(accesses("r2 = *(u64 *)(r1 + 0); *(u64 *)(r10 - 8) = r2; r0 = *(u64 *)(r10 - 8); exit"), "uuu");
  EXPECT_EQ(accesses("*(u64 *)(r1 + 0) = 1; exit"), "c");
  EXPECT_EQ(accesses("r2 = *(u64 *)(r1 + 0); r0 = *(u64 *)(r2 + 0); r0 = *(u64 *)(r2 + 8); exit"), "ucu");
  EXPECT_EQ(accesses("r2 = *(u64 *)(r1 + 0); r0 = *(u64 *)(r2 + 0); r2 += r0; r0 = *(u64 *)(r2 + 8); exit"), "ucc");
  EXPECT_EQ(accesses("r2 = *(u64 *)(r1 + 0); *(u64 *)(r2 + 0) = 1; *(u64 *)(r2 + 8) = 1; r0 = *(u64 *)(r2 + 0); exit"),
            "uccu");
  EXPECT_EQ(
      accesses("r2 = *(u64 *)(r1 + 0); if r2 == 0 goto out; r0 = *(u8 *)(r2 + 0); out: ; r0 = *(u8 *)(r2 + 0); exit"),
      "ucc");
  EXPECT_EQ(accesses("r2 = r10; again: ; *(u8 *)(r2 - 1) = 1; r2 -= 1; if r2 != 0 goto again; exit"), "c");
  EXPECT_EQ(accesses("r2 = r10; w2 = w2; *(u8 *)(r2 - 1) = 1; exit"), "c");
  EXPECT_EQ(accesses("r2 = r10; r2 += 60001; *(u8 *)(r2 - 1) = 1; exit"), "c");
  EXPECT_EQ(accesses("r2 = 64; r2 = addr_space_cast(r2, 0, 1); *(u8 *)(r2 + 1) = 1; exit"), "u");
  EXPECT_EQ(accesses("r2 = r10; r3 = 1; r2 = fetch_add *(u64 *)(r2 - 8); r0 = *(u8 *)(r2 + 0); exit"), "uc");
}

TEST(Program, CodeIsGivenBack) {
  const Assembled code = Assembler::assemble("r0 = 1; exit");
  const u8 *first = build(code, {})->jit()->code().data();
  for (int i = 0; i < 3; i++) EXPECT_EQ(build(code, {})->jit()->code().data(), first);
}

TEST(Region, HalvesAndGuards) {
  install_fault_handler();
  Region &region = Region::get();
  u8 *page = static_cast<u8 *>(region.alloc_pages(Half::kReadOnly, 100, true));
  EXPECT_TRUE(Region::in_ro(page));
  EXPECT_FALSE(Region::in_rw(page));
  u64 value = 1;
  EXPECT_TRUE(probe_load(reinterpret_cast<u64>(page) + 4088, 8, &value));
  EXPECT_EQ(value, 0u);
  EXPECT_FALSE(probe_load(reinterpret_cast<u64>(page) + 4089, 8, &value));
  EXPECT_FALSE(probe_load(reinterpret_cast<u64>(page) - 1, 1, &value));
  u8 *object = static_cast<u8 *>(region.alloc_at_end(Half::kReadWrite, 20));
  EXPECT_EQ(reinterpret_cast<u64>(object) % 8, 0u);
  EXPECT_TRUE(probe_store(reinterpret_cast<u64>(object) + 23, 1, 5));
  EXPECT_FALSE(probe_store(reinterpret_cast<u64>(object) + 24, 1, 5));
  EXPECT_FALSE(probe_writable(reinterpret_cast<u64>(object) + 24, 8));
  char buffer[64];
  EXPECT_FALSE(probe_copy(buffer, object, 25));
  EXPECT_TRUE(probe_copy(buffer, object, 24));
  region.free_pages(object);
  region.free_pages(page);
  EXPECT_FALSE(probe_load(reinterpret_cast<u64>(page), 8, &value));
  EXPECT_EQ(region.alloc_pages(Half::kReadOnly, 4096, true), page);
  EXPECT_EQ(*page, 0);
}

TEST(Region, PoolPoisonsAndReusesInOrder) {
  RegionPool pool(Half::kReadOnly, 24);
  u8 *a = static_cast<u8 *>(pool.alloc());
  u8 *b = static_cast<u8 *>(pool.alloc());
  EXPECT_EQ(b - a, 24);
  pool.free(a);
  pool.free(b);
  EXPECT_EQ(a[0], RegionPool::kFreePoison);
  EXPECT_EQ(b[23], RegionPool::kFreePoison);
  EXPECT_EQ(pool.alloc(), a);
  EXPECT_EQ(a[5], 0);
  EXPECT_TRUE(pool.is_slot(b));
  EXPECT_FALSE(pool.is_slot(b + 1));
  EXPECT_FALSE(pool.is_slot(b + 24));
  RegionHeap heap(Half::kReadWrite);
  for (size_t bytes : {1, 16, 17, 100, 2048, 2049, 10000}) {
    u8 *object = static_cast<u8 *>(heap.alloc(bytes));
    EXPECT_TRUE(Region::in_rw(object));
    object[bytes - 1] = 1;
    heap.free(object, bytes);
  }
}

}  // namespace
}  // namespace uscx::bpf
