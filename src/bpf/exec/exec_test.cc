// SPDX-License-Identifier: GPL-2.0-only
// What goes wrong in programs, and how they meet helpers: each case on interpreter and JIT.
#include <array>

#include "bpf/exec/conformance_run.h"

namespace uscx::bpf {
namespace {

// ---- functions that test programs call ----

u64 sum5(u64 a, u64 b, u64 c, u64 d, u64 e) { return a + 10 * b + 100 * c + 1000 * d + 10000 * e; }
u64 seven() { return 7; }
u64 object() { return reinterpret_cast<u64>(TestWorld::get().rw); }
u64 no_object() { return 0; }
u64 cpu_id() { return Invocation::current()->env().cpu; }
u64 current_task() { return Invocation::current()->env().current_task; }
u64 reject_zero(u64 value) {
  if (value == 0) Invocation::current()->violation("reject_zero was given {}", value);
  return value;
}
u64 charge(u64 insns) {
  Invocation::current()->charge(insns);
  return 0;
}
u64 where() { return Invocation::current()->insn(); }

u64 loop_callback(u64 count, u64 callback, u64 ctx) {
  Invocation &inv = *Invocation::current();
  const auto subprog = inv.program()->callback_subprog(callback);
  if (!subprog) inv.violation("{:#x} is no function of the program", callback);
  for (u64 i = 0; i < count; i++) {
    const RunResult result = inv.call_back(*subprog, {i, ctx});
    if (result.aborted()) inv.unwind();
    if (result.r0 != 0) return i + 1;
  }
  return count;
}

// An invocation of its own within a helper, as a kfunc makes that runs another callback.
u64 nested_run(u64 fails) {
  static auto good = build(Assembler::assemble("r0 = 33; exit"), {});
  static auto bad = build(Assembler::assemble("r1 = 0; *(u64 *)(r1 + 0) = r1; exit"), {});
  const ExecMode mode = Invocation::current()->mode();
  Invocation inner;
  const RunResult result = run(fails ? *bad : *good, 0, inner, mode);
  return result.aborted() ? 44 : result.r0;
}

struct TestArray {
  static constexpr u32 kEntries = 5, kStride = 24;
  u8 *values = static_cast<u8 *>(Region::get().alloc_pages(Half::kReadWrite, 4096, true));
  static TestArray &get() {
    static TestArray array;
    return array;
  }
};

u64 array_lookup(u64, u64 key) {
  if (!Region::contains(key)) Invocation::current()->violation("key at {:#x}", key);
  const u32 index = *reinterpret_cast<const u32 *>(key);
  if (index >= TestArray::kEntries) return 0;
  return reinterpret_cast<u64>(TestArray::get().values) + index * TestArray::kStride;
}
u64 percpu_lookup(u64 map, u64 key) {
  const u64 value = array_lookup(map, key);
  return value ? value + Invocation::current()->env().cpu * 256 : 0;
}

constexpr CallDesc kSum5{"sum5", 5}, kSeven{"seven", 0}, kObject{"object", 0, Returns::kReadWritePtr},
    kCpuId{"cpu_id", 0}, kTask{"current_task", 0}, kRejectZero{"reject_zero", 1}, kCharge{"charge", 1},
    kWhere{"where", 0}, kLoop{"loop_callback", 3}, kNested{"nested_run", 1},
    kLookup{"lookup", 2, Returns::kReadWritePtr};

template <typename F>
CallTarget target(F *function, const CallDesc &desc, InlineOp inline_op = {}) {
  return {reinterpret_cast<void *>(function), &desc, inline_op};
}

Functions functions() {
  InlineOp lookup{.kind = InlineOp::Kind::kArrayLookup,
                  .array = {TestArray::get().values, TestArray::kStride, TestArray::kEntries}};
  InlineOp percpu = lookup;
  percpu.array.cpu_stride = 256;
  const InlineOp cpu{.kind = InlineOp::Kind::kEnvLoad, .env = {u16(offsetof(ExecEnv, cpu)), 4}};
  const InlineOp task{.kind = InlineOp::Kind::kEnvLoad, .env = {u16(offsetof(ExecEnv, current_task)), 8}};
  return {{"sum5", target(sum5, kSum5)},
          {"seven", target(seven, kSeven)},
          {"object", target(object, kObject)},
          {"no_object", target(no_object, kObject)},
          {"cpu_id", target(cpu_id, kCpuId)},
          {"cpu_id_inline", target(cpu_id, kCpuId, cpu)},
          {"task_inline", target(current_task, kTask, task)},
          {"reject_zero", target(reject_zero, kRejectZero)},
          {"charge", target(charge, kCharge)},
          {"where", target(where, kWhere)},
          {"loop_callback", target(loop_callback, kLoop)},
          {"nested_run", target(nested_run, kNested)},
          {"lookup", target(array_lookup, kLookup)},
          {"lookup_inline", target(array_lookup, kLookup, lookup)},
          {"percpu_inline", target(percpu_lookup, kLookup, percpu)}};
}

std::unique_ptr<Program> make(const std::string &text, ProgramOptions options = {}) {
  return build(Assembler::assemble(text), functions(), std::move(options));
}

Outcome both(const std::string &text, s64 budget = 1 << 20) {
  SCOPED_TRACE(text);
  auto program = make(text);
  return run_both(*program, budget);
}

void expect_abort(const std::string &text, AbortReason reason, u32 insn, s64 budget = 1 << 20) {
  SCOPED_TRACE(text);
  const Outcome out = both(text, budget);
  EXPECT_EQ(abort_reason_name(out.reason), std::string(abort_reason_name(reason))) << out.message;
  EXPECT_EQ(out.insn, insn) << out.message;
}

// ---- loads ----

TEST(Exec, WildLoadReadsZeroAndIsCounted) {
  const Outcome out =
      both("r2 = *(u64 *)(r1 + 24); r0 = 5; r0 = *(u64 *)(r2 + 0); r3 = *(u64 *)(r2 + 0); r0 += r3; r0 += 1; exit");
  EXPECT_EQ(out.r0, 1u);
  EXPECT_EQ(out.wild, "2:1 3:1 ");
  EXPECT_EQ(out.reason, AbortReason::kNone);
}

TEST(Exec, NullLoadReadsZero) {
  EXPECT_EQ(both("r2 = *(u64 *)(r1 + 40); r0 = *(u32 *)(r2 + 8); r3 = *(u8 *)(r2 + 100); r0 += r3; exit").wild,
            "1:1 2:1 ");
  EXPECT_EQ(both("r2 = 0; r0 = *(u32 *)(r2 - 8); exit").wild, "1:1 ");
}

TEST(Exec, LoadOfUnmappedMemoryInsideReadsZero) {
  const Outcome out =
      both("r2 = *(u64 *)(r1 + 16); r0 = 9; r0 = *(u64 *)(r2 + 0); r3 = 9; r3 = *(s8 *)(r2 + 1); r0 += r3; exit");
  EXPECT_EQ(out.r0, 0u);
  EXPECT_EQ(out.wild, "2:1 4:1 ");
}

TEST(Exec, LoadPastTheEndOfAnObjectReadsZero) {
  EXPECT_EQ(both("r2 = *(u64 *)(r1 + 0); r0 = *(u64 *)(r2 + 252); exit").wild, "1:1 ");
}

TEST(Exec, LoadFromScalarsReadsZero) {
  EXPECT_EQ(both("r2 = -1; r0 = *(u64 *)(r2 + 1); exit").wild, "1:1 ");
  EXPECT_EQ(both("r2 = 0x4141414141414141 ll; r0 = *(u64 *)(r2 + 1); exit").wild, "2:1 ");
}

// A base outside of the region stays suspect, whatever was proven on the straight path before.
TEST(Exec, WildBaseIsNotTrustedLater) {
  const Outcome out = both(
      "r6 = *(u64 *)(r1 + 24); r7 = *(u64 *)(r1 + 0); r0 = *(u64 *)(r6 + 0); if r7 == 0 goto out;"
      "r2 = *(u64 *)(r6 + 0); r0 += r2; r2 = *(u8 *)(r7 + 0); r0 += r2; out: ; exit");
  EXPECT_EQ(out.r0, 0x81u);
  EXPECT_EQ(out.wild, "2:1 4:1 ");
}

TEST(Exec, WildLoadInLoopAndCalleeGoesOn) {
  const Outcome out = both(
      "r6 = *(u64 *)(r1 + 24); r7 = 3; r8 = 0; again: ; r1 = r6; callsub f; r8 += r0; r7 -= 1;"
      "if r7 != 0 goto again; r0 = r8; exit; f: ; r6 = 4; r7 = *(u64 *)(r1 + 0); more: ; r6 -= 1;"
      "r7 += 1; if r6 != 0 goto more; r0 = r7; exit");
  EXPECT_EQ(out.r0, 12u);
  EXPECT_EQ(out.wild, "11:3 ");
}

TEST(Exec, MayGotoCounterSurvivesWildLoad) {
  const Outcome out = both(
      "r6 = *(u64 *)(r1 + 24); r0 = 0; again: ; may_goto out; r0 += 1; if r0 != 3 goto skip;"
      "r2 = *(u64 *)(r6 + 0); skip: ; goto again; out: ; exit",
      1ll << 40);
  EXPECT_EQ(out.r0, kMayGotoSteps);
}

TEST(Exec, AddressesAroundTheRegionAreOutside) {
  for (u64 base : {kRegionBase, kRegionBase + kRegionBytes, kRoBase}) {
    for (int off : {-9, -8, -1, 0, 8, -32768, 32767}) {
      const std::string text =
          fmt::format("r2 = {:#x} ll; r3 = *(u64 *)(r1 + 0); r2 += r3; r2 -= r3; r0 = *(u64 *)(r2 {} {}); exit", base,
                      off < 0 ? '-' : '+', std::abs(off));
      EXPECT_EQ(both(text).wild, "5:1 ");
    }
  }
}

// ---- stores ----

TEST(Exec, WildStoreAborts) {
  expect_abort("r2 = *(u64 *)(r1 + 24); *(u64 *)(r2 + 0) = 5; r0 = 1; exit", AbortReason::kWildStore, 1);
  expect_abort("r2 = *(u64 *)(r1 + 24); r0 = 1; lock add *(u64 *)(r2 + 0), r0; exit", AbortReason::kWildStore, 2);
  expect_abort("r2 = *(u64 *)(r1 + 24); r0 = 1; r0 = fetch_or *(u64 *)(r2 + 0); exit", AbortReason::kWildStore, 2);
  expect_abort("r2 = *(u64 *)(r1 + 24); r0 = 1; store_release(*(u32 *)(r2 + 0), r0); exit", AbortReason::kWildStore, 2);
}

TEST(Exec, NullStoreAborts) {
  expect_abort("r2 = *(u64 *)(r1 + 40); *(u64 *)(r2 + 0) = 5; exit", AbortReason::kWildStore, 1);
}

TEST(Exec, NullOfHelperStoreAborts) {
  // The check is left out for this pointer, so the fault decides; the reason must not depend on that.
  expect_abort("call no_object; *(u64 *)(r0 + 8) = 5; exit", AbortReason::kWildStore, 1);
  EXPECT_EQ(both("call no_object; r0 = *(u64 *)(r0 + 8); exit").wild, "1:1 ");
}

TEST(Exec, ReadOnlyStoreAborts) {
  expect_abort("r2 = *(u64 *)(r1 + 8); *(u8 *)(r2 + 1) = 5; exit", AbortReason::kReadOnlyStore, 1);
  expect_abort("*(u64 *)(r1 + 0) = 5; exit", AbortReason::kReadOnlyStore, 0);
}

TEST(Exec, WritableFieldIsStoredTo) {
  const Outcome out = both(
      "r2 = *(u64 *)(r1 + 32); *(u64 *)(r2 + 0) = 5; r3 = 4; r3 = fetch_add *(u64 *)(r2 + 0); r0 = *(u64 *)(r2 + 0); "
      "exit");
  EXPECT_EQ(out.reason, AbortReason::kNone) << out.message;
  EXPECT_EQ(out.r0, 9u);
}

TEST(Exec, StoreBesideWritableFieldAborts) {
  expect_abort("r2 = *(u64 *)(r1 + 32); *(u64 *)(r2 + 0) = 5; *(u64 *)(r2 + 8) = 5; exit", AbortReason::kReadOnlyStore,
               2);
  expect_abort("r2 = *(u64 *)(r1 + 32); *(u32 *)(r2 + 0) = 5; exit", AbortReason::kReadOnlyStore, 1);
}

TEST(Exec, StoreThroughBaseOutsideIntoTheRegionIsDone) {
  const Outcome out = both(
      "r2 = 0x7e7fffffff00 ll; r3 = *(u64 *)(r1 + 0); r2 = r3; r3 -= 100; r6 = r2; *(u8 *)(r3 + 100) = 7; r0 = *(u8 "
      "*)(r6 + 0); exit");
  EXPECT_EQ(out.r0, 7u);
}

TEST(Exec, StoreFaultAborts) {
  expect_abort("r2 = *(u64 *)(r1 + 16); r3 = 1; *(u32 *)(r2 + 0) = r3; exit", AbortReason::kStoreFault, 2);
  expect_abort("r2 = *(u64 *)(r1 + 0); *(u8 *)(r2 + 256) = 1; exit", AbortReason::kStoreFault, 1);
  expect_abort("r2 = *(u64 *)(r1 + 0); *(u64 *)(r2 + 252) = 1; exit", AbortReason::kStoreFault, 1);
  expect_abort("r2 = *(u64 *)(r1 + 16); r3 = 1; r3 = fetch_xor *(u64 *)(r2 + 0); exit", AbortReason::kStoreFault, 2);
}

TEST(Exec, StoreFaultInLoopKeepsTheCharge) {
  expect_abort("r2 = *(u64 *)(r1 + 0); again: ; *(u8 *)(r2 + 0) = 1; r2 += 1; goto again", AbortReason::kStoreFault, 1);
}

TEST(Exec, AbortInCalleeLeavesAllFrames) {
  expect_abort(
      "r6 = 1; r7 = 2; callsub f; exit; f: ; r6 = 3; callsub g; exit; g: ; r9 = 1; r1 = 0; *(u64 *)(r1 + 0) = r1; exit",
      AbortReason::kWildStore, 9);
}

TEST(Exec, MessageNamesSourceLine) {
  ProgramOptions options;
  options.lines = {{0, 10, 3, "a.bpf.c", "int x;"}, {1, 11, 3, "a.bpf.c", "\t*p = 5;"}};
  auto program = make("r2 = 0; *(u64 *)(r2 + 16) = 5; exit", options);
  EXPECT_EQ(run_both(*program).message,
            "store of 8 bytes to 0x10, which is no memory of the program, at insn 1 (test, a.bpf.c:11: *p = 5;)");
}

// ---- endless programs ----

TEST(Exec, BudgetStopsLoops) {
  expect_abort("again: ; goto again", AbortReason::kBudget, 0, 1000);
  expect_abort("r0 = 0; again: ; r0 += 1; if r0 != 0 goto again; exit", AbortReason::kBudget, 2, 1000);
  expect_abort("again: ; callsub f; goto again; f: ; r0 = 0; exit", AbortReason::kBudget, 1, 1000);
}

TEST(Exec, BudgetSmallerThanTheProgramStopsItAtOnce) { expect_abort("r0 = 1; exit", AbortReason::kBudget, 0, 1); }

TEST(Exec, BudgetChargesLengths) {
  EXPECT_EQ(both("r0 = 1; exit").charged, 2);
  EXPECT_EQ(both("r0 = 3; again: ; r0 -= 1; if r0 != 0 goto again; exit").charged, 4 + 2 * 2);
  EXPECT_EQ(both("callsub f; exit; f: ; r0 = 1; r0 = 2; exit").charged, 2 + 3);
  EXPECT_EQ(both("r1 = 100; call charge; exit").charged, 103);
}

TEST(Exec, HelperMayExhaustTheBudget) {
  expect_abort("r1 = -1; call charge; exit", AbortReason::kBudget, 1);
  expect_abort("r6 = 0; again: ; r1 = 100; call charge; goto again", AbortReason::kBudget, 2, 1000);
}

TEST(Exec, MayGotoEndsEndlessLoop) {
  const Outcome out = both("r0 = 0; again: ; may_goto out; r0 += 1; goto again; out: ; exit", 1ll << 40);
  EXPECT_EQ(out.r0, kMayGotoSteps);
  EXPECT_EQ(out.reason, AbortReason::kNone);
}

TEST(Exec, MayGotoCountsByFrame) {
  const Outcome out = both(
      "callsub f; r6 = r0; callsub f; r0 += r6; exit; f: ; r0 = 0; again: ; may_goto out; r0 += 1; goto again; out: ; "
      "exit",
      1ll << 40);
  EXPECT_EQ(out.r0, 2 * kMayGotoSteps);
}

TEST(Exec, MayGotoBackward) {
  EXPECT_EQ(both("r0 = 1; goto in; back: ; exit; in: ; again: ; r0 += 1; may_goto back; goto again", 1ll << 40).r0,
            kMayGotoSteps + 2);
}

TEST(Exec, RecursionIsStopped) {
  expect_abort("callsub f; exit; f: ; callsub f; exit", AbortReason::kCallDepth, 2);
  expect_abort("r1 = 8; callsub f; exit; f: ; r0 = 1; r1 -= 1; if r1 == 0 goto out; callsub f; r0 += 1; out: ; exit",
               AbortReason::kCallDepth, 6);
}

TEST(Exec, TrapAborts) {
  ProgramOptions options;
  options.traps = {2};
  auto program = make("r0 = 1; if r0 == 0 goto out; r0 = 2; out: ; exit", options);
  EXPECT_EQ(run_both(*program).reason, AbortReason::kTrap);
  options.traps = {2};
  program = make("r0 = 1; if r0 == 1 goto out; call seven; out: ; exit", options);
  EXPECT_EQ(run_both(*program).r0, 1u);
}

TEST(Exec, ReturnFromCallAtTheEndIsATrap) { expect_abort("r0 = 1; call seven", AbortReason::kTrap, 1); }

// ---- helpers ----

TEST(Exec, HelperGetsArguments) {
  EXPECT_EQ(both("r1 = 1; r2 = 2; r3 = 3; r4 = 4; r5 = 5; call sum5; exit").r0, 54321u);
}

TEST(Exec, HelperKeepsSavedRegisters) {
  EXPECT_EQ(both("r6 = 1; r7 = 2; r8 = 3; r9 = 4; call seven; r0 += r6; r0 += r7; r0 += r8; r0 += r9; exit").r0, 17u);
}

TEST(Exec, HelperClearsArgumentsThatAreReadAfterwards) {
  EXPECT_EQ(both("r1 = 1; r2 = 2; r5 = 3; call seven; r0 += r1; r0 += r2; r0 += r5; exit").r0, 7u);
  EXPECT_EQ(both("r5 = 3; again: ; call cpu_id_inline; r0 += r5; if r0 == 6 goto again; exit").r0, 3u);
}

TEST(Exec, HelperResultIsReadThrough) {
  EXPECT_EQ(both("call object; *(u8 *)(r0 + 3) = 9; r0 = *(u8 *)(r0 + 3); exit").r0, 9u);
}

TEST(Exec, HelperKnowsItsCallSite) {
  EXPECT_EQ(both("r6 = 5; call where; r6 = r0; call where; r0 += r6; exit").r0, 1u + 3u);
}

TEST(Exec, ViolationAborts) {
  const Outcome out = both("r1 = 1; call reject_zero; r1 = 0; call reject_zero; exit");
  EXPECT_EQ(out.reason, AbortReason::kViolation);
  EXPECT_EQ(out.message, "reject_zero was given 0 at insn 3 (test)");
}

TEST(Exec, ViolationInCalleeInLoop) {
  expect_abort("r6 = 5; again: ; r1 = r6; callsub f; r6 -= 1; goto again; f: ; r9 = r1; call reject_zero; exit",
               AbortReason::kViolation, 6);
}

TEST(Exec, ViolationAfterWildLoad) {
  // The violation is raised under the interpreter that took over from translated code.
  expect_abort("r6 = *(u64 *)(r1 + 24); r1 = *(u64 *)(r6 + 0); call reject_zero; exit", AbortReason::kViolation, 2);
}

TEST(Exec, InlineLookupGivesWhatTheCallGives) {
  for (int key : {0, 1, 4, 5, -1}) {
    const std::string rest = "if r0 == 0 goto out; *(u8 *)(r0 + 23) = 8; out: ; exit";
    const std::string head = fmt::format("*(u32 *)(r10 - 4) = {}; r2 = r10; r2 += -4; r1 = 0;", key);
    EXPECT_EQ(both(head + "call lookup_inline;" + rest).r0, both(head + "call lookup;" + rest).r0);
    const Outcome percpu = both(head + "call percpu_inline;" + rest);
    EXPECT_EQ(percpu.reason, AbortReason::kNone);
    EXPECT_EQ(percpu.r0 != 0, key >= 0 && key < 5);
  }
}

TEST(Exec, InlineLookupWithBadKeyIsTheHelpersBusiness) {
  expect_abort("r2 = 0; call lookup_inline; exit", AbortReason::kViolation, 1);
  expect_abort("r2 = *(u64 *)(r1 + 24); call lookup_inline; exit", AbortReason::kViolation, 1);
}

TEST(Exec, InlineEnvironment) {
  EXPECT_EQ(both("call cpu_id_inline; r6 = r0; call cpu_id; r0 *= 10; r0 += r6; exit").r0, 33u);
  EXPECT_EQ(both("call task_inline; exit").r0, 0x5a5au);
}

TEST(Exec, CallbackRuns) {
  const char *text =
      "*(u64 *)(r10 - 8) = 0; r1 = 4; r2 = func f; r3 = r10; r3 += -8; call loop_callback;"
      "r6 = *(u64 *)(r10 - 8); r6 *= 100; r0 += r6; exit;"
      "f: ; r3 = *(u64 *)(r2 + 0); r3 += r1; *(u64 *)(r2 + 0) = r3; r0 = 0; exit";
  EXPECT_EQ(both(text).r0, 604u);
}

TEST(Exec, CallbackAbortEndsTheProgram) {
  expect_abort(
      "r1 = 4; r2 = func f; call loop_callback; r0 = 1; exit; f: ; if r1 != 2 goto ok; *(u64 *)(r1 + 0) = r1;"
      "ok: ; r0 = 0; exit",
      AbortReason::kWildStore, 7);
  expect_abort("r1 = 4; r2 = 5; call loop_callback; exit", AbortReason::kViolation, 2);
  expect_abort("r1 = 1; r2 = func f; call loop_callback; exit; f: ; again: ; goto again", AbortReason::kBudget, 5,
               1000);
}

TEST(Exec, CallbackRecursionIsStopped) {
  const Outcome out =
      both("r1 = 1; r2 = func f; call loop_callback; exit; f: ; r1 = 1; r2 = func f; call loop_callback; exit");
  EXPECT_EQ(out.reason, AbortReason::kCallDepth);
}

TEST(Exec, InvocationsNest) {
  EXPECT_EQ(both("*(u64 *)(r10 - 8) = 1; r1 = 0; call nested_run; r6 = *(u64 *)(r10 - 8); r0 += r6; exit").r0, 34u);
  EXPECT_EQ(both("*(u64 *)(r10 - 8) = 1; r1 = 1; call nested_run; r6 = *(u64 *)(r10 - 8); r0 += r6; exit").r0, 45u);
}

TEST(Exec, SubprogramsCanBeEntered) {
  auto program = make("callsub f; exit; f: ; r0 = r1; r0 -= r2; exit");
  for (ExecMode mode : {ExecMode::kJit, ExecMode::kInterp}) {
    Invocation invocation;
    EXPECT_EQ(run(*program, 1, {9, 4}, invocation, mode).r0, 5u);
  }
}

TEST(Exec, ManyAbortsLeaveNothingBehind) {
  auto program = make("callsub f; exit; f: ; r1 = 0; call reject_zero; exit");
  for (int i = 0; i < 2000; i++) {
    Invocation invocation;
    ASSERT_TRUE(run(*program, 0, invocation).aborted());
  }
}

}  // namespace
}  // namespace uscx::bpf
