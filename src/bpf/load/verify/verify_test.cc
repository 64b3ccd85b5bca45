// SPDX-License-Identifier: GPL-2.0-only
// The check of programs, on assembled ones. r1 is the context, whose word 1 may be NULL ("prev").
#include "bpf/load/verify/verify.h"

#include <errno.h>
#include <gtest/gtest.h>

#include "bpf/exec/conformance_asm.h"

namespace uscx::bpf {
namespace {

u64 nothing() { return 0; }

constexpr CallDesc kNoArgs{"", 0, Returns::kScalar};
constexpr CallDesc kThreeArgs{"", 3, Returns::kScalar};

KfuncEntry make_kfunc(const char *name, u32 groups, u32 flags, std::vector<ArgSpec> args = {}) {
  KfuncEntry entry{};
  entry.name = name;
  entry.groups = groups;
  entry.flags = flags;
  entry.nr_args = static_cast<u32>(args.size());
  std::copy(args.begin(), args.end(), entry.args.begin());
  return entry;
}

const ArgSpec kTask{ArgKind::kObject, ObjectType::kTask, false, 0};
const ArgSpec kTaskOrNull{ArgKind::kObject, ObjectType::kTask, true, 0};

const std::vector<KfuncEntry> &kfuncs() {
  static const std::vector<KfuncEntry> &all = *new std::vector<KfuncEntry>{
      make_kfunc("for_all", kAny, 0),
      make_kfunc("generic", kGeneric, 0),
      make_kfunc("for_dispatch", kDispatch, 0),
      make_kfunc("for_dispatch_or_unlocked", kDispatch | kUnlocked, 0),
      make_kfunc("with_cpu", kAny | kCpuForm, 0),
      make_kfunc("sleeps", kGeneric, KF_SLEEPABLE),
      make_kfunc("peek", kGeneric, KF_RET_NULL),
      make_kfunc("needs_rcu", kGeneric, KF_RCU_PROTECTED),
      make_kfunc("rcu_lock", kGeneric, KF_RCU_LOCK),
      make_kfunc("rcu_unlock", kGeneric, KF_RCU_UNLOCK),
      make_kfunc("takes_task", kGeneric, 0, {kTask}),
      make_kfunc("takes_task_or_null", kGeneric, 0, {kTaskOrNull}),
  };
  return all;
}

u32 helper_id(const std::string &name) {
  if (name == "loop") return BPF_FUNC_loop;
  if (name == "timer_set_callback") return BPF_FUNC_timer_set_callback;
  if (name == "lookup") return BPF_FUNC_map_lookup_elem;
  return 0;
}

Verdict check(const std::string &text, VerifyRules rules) {
  const Assembled assembled = Assembler::assemble(text);
  VerifyInput input;
  ProgramOptions options;
  options.name = "test";
  options.jit = false;
  for (const auto &[slot, name] : assembled.calls) {
    const CallDesc *desc = &kNoArgs;
    if (const u32 id = helper_id(name); id != 0) {
      input.helpers[slot] = id;
      desc = &kThreeArgs;
    } else if (name != "trap") {
      const auto found = std::find_if(kfuncs().begin(), kfuncs().end(), [&](const auto &k) { return name == k.name; });
      CHECK(found != kfuncs().end(), "no kfunc {} in the test", name);
      input.kfuncs[slot] = &*found;
    }
    if (name == "trap") options.traps.push_back(slot);
    options.calls[slot] = {reinterpret_cast<void *>(nothing), desc, {}};
  }
  auto program = Program::prepare(assembled.insns, std::move(options));
  CHECK(program.ok(), "{}", program.message());
  const std::unique_ptr<Program> owned = program.take();
  input.program = owned.get();
  return verify_program(input, rules);
}

VerifyRules dispatch_rules() {
  return {
      .caller = "ops.dispatch", .groups = kAny | kDispatch | kCpuForm, .nullable_words = 2, .args = {"cpu", "prev"}};
}

void expect_ok(const std::string &text, VerifyRules rules = dispatch_rules()) {
  const Verdict verdict = check(text, std::move(rules));
  EXPECT_EQ(verdict.err, 0) << text << "\n" << verdict.log;
  EXPECT_TRUE(verdict.whole);
}

void expect_refused(const std::string &text, const std::string &why, VerifyRules rules = dispatch_rules()) {
  const Verdict verdict = check(text, std::move(rules));
  EXPECT_EQ(verdict.err, -EACCES) << text;
  EXPECT_NE(verdict.log.find(why), std::string::npos) << text << "\n" << verdict.log;
}

constexpr const char *kUnchecked = "R1 invalid mem access 'trusted_ptr_or_null_'\nargument prev of ops.dispatch may be";

TEST(Verify, AnArgumentThatMayBeNullMustBeComparedBeforeItIsUsed) {
  expect_refused("r1 = *(u64 *)(r1 + 8); r0 = *(u32 *)(r1 + 4); exit", kUnchecked);
  expect_ok("r1 = *(u64 *)(r1 + 0); r0 = *(u32 *)(r1 + 4); exit");
  expect_ok("r1 = *(u64 *)(r1 + 8); r0 = 0; if r1 == 0 goto out; r0 = *(u32 *)(r1 + 4); out:; exit");
  expect_ok("r1 = *(u64 *)(r1 + 8); r0 = 0; if r1 != 0 goto use; exit; use:; r0 = *(u32 *)(r1 + 4); exit");
}

TEST(Verify, TheWrongSideOfAComparisonIsRefused) {
  const char *why = "R1 invalid mem access 'scalar'\nargument prev of ops.dispatch is NULL here";
  expect_refused("r1 = *(u64 *)(r1 + 8); r0 = 0; if r1 != 0 goto out; r0 = *(u32 *)(r1 + 4); out:; exit", why);
  expect_refused("r1 = *(u64 *)(r1 + 8); r0 = 0; if r1 == 0 goto use; exit; use:; r0 = *(u32 *)(r1 + 4); exit", why);
}

TEST(Verify, StoresAndAtomicsAreUsesToo) {
  expect_refused("r1 = *(u64 *)(r1 + 8); *(u32 *)(r1 + 4) = 7; r0 = 0; exit", kUnchecked);
  expect_refused("r1 = *(u64 *)(r1 + 8); r2 = 1; *(u64 *)(r1 + 8) = r2; r0 = 0; exit", kUnchecked);
  expect_refused("r1 = *(u64 *)(r1 + 8); r2 = 1; lock add *(u64 *)(r1 + 8), r2; r0 = 0; exit", kUnchecked);
  expect_ok("r1 = *(u64 *)(r1 + 8); *(u64 *)(r10 - 8) = r1; r0 = 0; exit");
}

TEST(Verify, CopiesAndSpillsAreTheSamePointer) {
  expect_ok(R"(r6 = *(u64 *)(r1 + 8); r7 = r6; *(u64 *)(r10 - 16) = r7; r0 = 0
      if r7 == 0 goto out; r0 = *(u32 *)(r6 + 4); r8 = *(u64 *)(r10 - 16); r0 = *(u32 *)(r8 + 4); out:; exit)");
  expect_refused(R"(r6 = *(u64 *)(r1 + 8); *(u64 *)(r10 - 16) = r6; r6 = 0; call for_all
      r1 = *(u64 *)(r10 - 16); r0 = *(u32 *)(r1 + 4); exit)",
                 kUnchecked);
  // A copy in the frame of the caller is found out by the callee's comparison, and the other way round.
  expect_ok(R"(r6 = *(u64 *)(r1 + 8); r1 = r6; callsub is_null; if r0 != 0 goto out; r0 = *(u32 *)(r6 + 4); out:; exit
      is_null:; r0 = 1; if r1 == 0 goto end; r0 = 0; end:; exit)");
  // Two loads of the argument are two pointers, as to the kernel.
  expect_refused(
      "r6 = r1; r2 = *(u64 *)(r6 + 8); r1 = *(u64 *)(r6 + 8); r0 = 0; if r2 == 0 goto out;"
      "r0 = *(u32 *)(r1 + 4); out:; exit",
      kUnchecked);
}

TEST(Verify, OverwrittenSpillsAreForgotten) {
  expect_ok(
      "r6 = r1; r1 = *(u64 *)(r6 + 8); r2 = *(u64 *)(r6 + 0); *(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 8) = r2;"
      "r1 = *(u64 *)(r10 - 8); r0 = *(u32 *)(r1 + 4); exit");
  expect_ok(
      "r1 = *(u64 *)(r1 + 8); *(u64 *)(r10 - 8) = r1; *(u32 *)(r10 - 4) = 0; r1 = *(u64 *)(r10 - 8);"
      "r0 = *(u32 *)(r1 + 4); exit");
}

TEST(Verify, SubprogramsAreFollowedWithWhatTheirCallersKnow) {
  constexpr const char *kUse = "use:; r0 = *(u32 *)(r1 + 4); exit";
  expect_refused(std::string("r1 = *(u64 *)(r1 + 8); callsub use; exit;") + kUse, kUnchecked);
  expect_ok(std::string("r1 = *(u64 *)(r1 + 8); r0 = 0; if r1 == 0 goto out; callsub use; out:; exit;") + kUse);
  // One caller checks, the other one does not.
  expect_refused(std::string("r6 = *(u64 *)(r1 + 8); r0 = 0; if r6 == 0 goto null; r1 = r6; callsub use;"
                             "null:; r1 = r6; callsub use; exit;") +
                     kUse,
                 "'scalar'");
  expect_refused("r6 = r1; callsub get; r1 = r0; r0 = *(u32 *)(r1 + 4); exit; get:; r0 = *(u64 *)(r1 + 8); exit",
                 kUnchecked);
  // Through the caller's stack.
  expect_refused(
      "r1 = *(u64 *)(r1 + 8); *(u64 *)(r10 - 8) = r1; r1 = r10; r1 += -8; callsub use; exit;"
      "use:; r1 = *(u64 *)(r1 + 0); r0 = *(u32 *)(r1 + 4); exit",
      kUnchecked);
}

TEST(Verify, LoopsEndAndAreLookedInto) {
  expect_refused(R"(r6 = *(u64 *)(r1 + 8); r7 = 0
      again:; r7 += 1; call for_all; if r7 < 1000 goto again; r1 = r6; r0 = *(u32 *)(r1 + 4); exit)",
                 kUnchecked);
  expect_ok(R"(r6 = *(u64 *)(r1 + 8); r7 = 0
      again:; r7 += 1; if r6 == 0 goto skip; r1 = r6; r0 = *(u32 *)(r1 + 4)
      skip:; call for_all; if r7 < 100000 goto again; r0 = 0; exit)");
  // The pointer of the first round is checked, that of the next one is not.
  expect_refused(R"(call peek; r1 = r0; if r1 != 0 goto again; exit
      again:; r0 = *(u32 *)(r1 + 4); call peek; r1 = r0; may_goto out; goto again; out:; r0 = 0; exit)",
                 "R1 invalid mem access 'ptr_or_null_'\nthe result of peek may be NULL");
}

TEST(Verify, WhatTwoBranchesHaveInCommonIsKnown) {
  // A flag that says that the pointer was checked.
  expect_ok(R"(r6 = *(u64 *)(r1 + 8); r7 = 0; if r6 == 0 goto join; r7 = 1
      join:; call for_all; r0 = 0; if r7 == 0 goto out; r0 = *(u32 *)(r6 + 4); out:; exit)");
  // One condition that is asked twice.
  expect_ok(R"(r6 = *(u64 *)(r1 + 8); r7 = *(u64 *)(r1 + 0); if r7 != 0 goto a; if r6 == 0 goto out
      a:; r0 = 0; if r7 != 0 goto out; r0 = *(u32 *)(r6 + 4); out:; exit)");
}

TEST(Verify, ArithmeticOnWhatMayBeNullIsRefused) {
  expect_refused("r1 = *(u64 *)(r1 + 8); r1 += 16; r0 = *(u32 *)(r1 + 4); exit",
                 "R1 pointer arithmetic on trusted_ptr_or_null_ prohibited, null-check it first");
  expect_ok("r1 = *(u64 *)(r1 + 8); r1 <<= 3; r0 = r1; exit");
}

TEST(Verify, KfuncsTakeNullOnlyWhereTheySaySo) {
  expect_refused("r1 = *(u64 *)(r1 + 8); call takes_task; exit", "Possibly NULL pointer passed to trusted arg0");
  expect_ok("r1 = *(u64 *)(r1 + 8); call takes_task_or_null; exit");
  expect_ok("r1 = *(u64 *)(r1 + 8); r0 = 0; if r1 == 0 goto out; call takes_task; out:; exit");
}

TEST(Verify, ResultsOfLookupsMayBeNull) {
  const char *text = "r2 = r10; r2 += -4; *(u32 *)(r10 - 4) = 0; r1 = 0; call lookup;";
  expect_refused(std::string(text) + "r0 = *(u64 *)(r0 + 0); exit", "R0 invalid mem access 'map_value_or_null'");
  expect_ok(std::string(text) + "if r0 == 0 goto out; r0 = *(u64 *)(r0 + 0); out:; exit");
}

TEST(Verify, KfuncsAreForTheirCallers) {
  const std::string line = "calling kernel function for_dispatch is not allowed";
  expect_ok("call for_dispatch; exit");
  VerifyRules tick{.caller = "ops.tick", .groups = kAny | kCpuForm};
  expect_refused("call for_dispatch; exit", line, tick);
  expect_refused("callsub f; exit; f:; call for_dispatch; exit", line, tick);
  expect_refused("r1 = 1; r2 = func cb; r3 = 0; call loop; exit; cb:; call for_dispatch; exit", line, tick);
  expect_ok("call generic; call for_all; exit", tick);
  VerifyRules unlocked{.caller = "ops.exit", .groups = kAny | kUnlocked | kCpuForm};
  expect_ok("call for_dispatch_or_unlocked; exit", unlocked);
  expect_refused("call for_dispatch; exit", line, unlocked);
  VerifyRules cid{.caller = "ops.tick", .groups = kAny};
  expect_refused("call with_cpu; exit", "calling kernel function with_cpu is not allowed", cid);
  VerifyRules other{.caller = "ops.ssthresh", .groups = 0};
  expect_refused("call for_all; exit", "calling kernel function for_all is not allowed", other);
  expect_ok("call generic; exit", other);
}

TEST(Verify, CodeThatNothingReachesIsNotJudged) {
  const VerifyRules tick{.caller = "ops.tick", .groups = kAny};
  expect_ok("r1 = 0; if r1 == 0 goto out; call for_dispatch; out:; r0 = 0; exit", tick);
  expect_ok(
      "r6 = 5; *(u64 *)(r10 - 8) = r6; r6 = 0; call for_all; r6 = *(u64 *)(r10 - 8); r0 = 0;"
      "if r6 != 6 goto out; call for_dispatch; out:; r0 = 0; exit",
      tick);
  expect_ok("r0 = 0; call trap; call for_dispatch; exit", tick);
  expect_refused("r6 = *(u64 *)(r1 + 0); r0 = 0; if r6 != 6 goto out; call for_dispatch; out:; r0 = 0; exit",
                 "for_dispatch", tick);
}

TEST(Verify, SleepingNeedsASleepableProgramAndNoReadSection) {
  VerifyRules rules = dispatch_rules();
  const char *must = "program must be sleepable to call sleepable kfunc sleeps";
  expect_refused("call sleeps; exit", must, rules);
  rules.sleepable = true;
  expect_ok("call sleeps; exit", rules);
  expect_refused("call rcu_lock; call sleeps; exit", "within rcu_read_lock region", rules);
  expect_ok("call rcu_lock; call rcu_unlock; call sleeps; exit", rules);
  expect_refused("call needs_rcu; exit", "requires RCU critical section protection", rules);
  expect_ok("call rcu_lock; call needs_rcu; call rcu_unlock; exit", rules);
  // A timer's callback cannot sleep even if the program that sets it can; that of a loop can.
  expect_refused("r1 = 0; r2 = func cb; r3 = 0; call timer_set_callback; exit; cb:; call sleeps; exit", must, rules);
  expect_ok("r1 = 1; r2 = func cb; r3 = 0; call loop; exit; cb:; call sleeps; exit", rules);
}

TEST(Verify, RecursionEnds) { expect_ok("callsub f; exit; f:; callsub f; r0 = 0; exit"); }

TEST(Verify, TooManyPathsAreSaidToBe) {
  // Each round of twenty branches doubles the number of states.
  std::string text = "r6 = r1;";
  for (int i = 0; i < 20; i++) {
    const int slot = 8 * (i + 1);
    text += fmt::format(
        "r2 = *(u64 *)(r6 + 0); if r2 == 9 goto s{0}; goto l{0}; s{0}:; r1 = *(u64 *)(r6 + 8);"
        "*(u64 *)(r10 - {1}) = r1; l{0}:;",
        i, slot);
  }
  const Verdict verdict = check(text + "r0 = 0; exit", dispatch_rules());
  EXPECT_EQ(verdict.err, 0);
  EXPECT_FALSE(verdict.whole);
}

}  // namespace
}  // namespace uscx::bpf
