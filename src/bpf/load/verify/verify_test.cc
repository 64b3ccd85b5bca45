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
      make_kfunc("next", kGeneric, KF_ITER_NEXT | KF_RET_NULL),
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

Verdict check(const std::string &text, VerifyRules rules, bool every_path = false) {
  const Assembled assembled = Assembler::assemble(text);
  VerifyInput input;
  input.every_path = every_path;
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

constexpr const char *kMayBeNull = "argument prev of ops.dispatch may be NULL and is used unchecked";
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
  // Each round of twenty branches doubles the number of states, and what makes them differ is used at the end.
  std::string text = "r6 = r1;", uses;
  for (int i = 0; i < 20; i++) {
    const int slot = 8 * (i + 1);
    text += fmt::format(
        "r2 = *(u64 *)(r6 + 0); r1 = r6; if r2 == 9 goto s{0}; goto l{0}; s{0}:; r1 = *(u64 *)(r6 + 8);"
        "l{0}:; *(u64 *)(r10 - {1}) = r1;",
        i, slot);
    uses += fmt::format("r1 = *(u64 *)(r10 - {1}); if r1 == 0 goto u{0}; r0 = *(u32 *)(r1 + 4); u{0}:;", i, slot);
  }
  const Verdict verdict = check(text + uses + "r0 = 0; exit", dispatch_rules());
  EXPECT_EQ(verdict.err, 0);
  EXPECT_FALSE(verdict.whole);
}

// prev is used where a condition holds that is true only where it was found not to be NULL.
void expect_correlated(const std::string &sets_r7, const std::string &leaves_unless) {
  const std::string start = "r6 = *(u64 *)(r1 + 8); r9 = *(u64 *)(r1 + 0); r8 = *(u64 *)(r1 + 16); r0 = 0;";
  const std::string end = "goto out; use:; r0 = *(u32 *)(r6 + 4); out:; exit";
  expect_ok(start + sets_r7 + leaves_unless + end);
  // The same, the other way round.
  expect_refused(start + sets_r7 + leaves_unless + "r0 = *(u32 *)(r6 + 4);" + end, "invalid mem access");
}

TEST(Verify, FlagsInAWordAreFollowed) {
  // `null | unknown`, whose lowest bit says NULL.
  expect_correlated("r7 = 0; if r6 != 0 goto a; r7 = 1; a:; r7 |= r9; w7 &= 1;", "if r7 == 0 goto use;");
  // One bit of a word of flags is set and asked for.
  expect_correlated("r7 = r9; r7 &= -5; if r6 == 0 goto a; r7 |= 4; a:;", "if r7 & 4 goto use;");
  expect_correlated("r7 = r9; r7 |= 4; if r6 != 0 goto a; r7 ^= 4; a:; r7 &= 12; w7 ^= 4;",
                    "if w7 < 4 goto use; if w7 == 8 goto use;");
  // A bool in a byte of the stack beside others.
  expect_correlated(
      "*(u64 *)(r10 - 8) = 0; if r6 == 0 goto a; *(u8 *)(r10 - 7) = 1; a:; *(u8 *)(r10 - 8) = r9;"
      "r7 = *(u8 *)(r10 - 7); r7 <<= 8; r7 |= 3; w7 >>= 8;",
      "if r7 == 1 goto use;");
  // Shifted to the sign.
  expect_correlated("r7 = r9; r7 <<= 1; if r6 == 0 goto a; r7 |= 1; a:; r7 <<= 63;", "if r7 s< 0 goto use;");
  expect_correlated("r7 = r9; r7 *= 2; if r6 == 0 goto a; r7 += 1; a:; r7 %= 2;", "if r7 != 0 goto use;");
}

TEST(Verify, RangesAreFollowed) {
  expect_correlated("r7 = r9; if r7 > 5 goto a; if r6 == 0 goto out; a:;", "if r7 < 3 goto use;");
  expect_correlated("r7 = r9; if r7 s> -1 goto a; if r6 == 0 goto out; a:;", "if r7 s<= -7 goto use;");
  expect_correlated("w7 = w9; if w7 >= 8 goto a; if r6 == 0 goto out; a:;", "if w7 == 5 goto use;");
  expect_correlated("r7 = r9; r7 %= 8; if r6 != 0 goto a; r7 += 8; a:; r7 >>= 3;", "if r7 == 0 goto use;");
  // Two unknown numbers of which one is a copy.
  expect_correlated("r7 = r9; if r9 == 7 goto a; if r6 == 0 goto out; a:; r7 -= 7;", "if r7 != 0 goto use;");
}

// Far more flags than states were once kept at one instruction; each is asked about at the end.
TEST(Verify, ManyFlagsDoNotHideWhatOneOfThemSays) {
  std::string text = "r8 = r1; r6 = *(u64 *)(r1 + 8); r9 = 0; if r6 == 0 goto a; r9 = 1; a:;";
  for (int i = 0; i < 9; i++)
    text += fmt::format("r7 = 0; r2 = *(u64 *)(r8 + 0); if r2 == 0 goto f{0}; r7 = 1; f{0}:; *(u64 *)(r10 - {1}) = r7;",
                        i, 8 * i + 8);
  text += "r3 = 0;";
  for (int i = 0; i < 9; i++)
    text += fmt::format("r2 = *(u64 *)(r10 - {1}); if r2 != 1 goto g{0}; r3 += 1; g{0}:;", i, 8 * i + 8);
  expect_ok(text + "r0 = 0; if r9 == 0 goto out; r0 = *(u32 *)(r6 + 4); out:; exit");
  expect_refused(text + "r0 = 0; if r9 != 0 goto out; r0 = *(u32 *)(r6 + 4); out:; exit", "is NULL here");
  expect_refused(text + "r0 = 0; if r3 != 5 goto out; r0 = *(u32 *)(r6 + 4); out:; exit", "invalid mem access");
}

// What one path through a loop finds out is asked about after it.
TEST(Verify, LaterRoundsOfALoopAreOfItsOwn) {
  const char *loop =
      "r6 = *(u64 *)(r1 + 8); r7 = 0; again:; call for_all; if r0 == 1 goto done; r7 = 1; goto again;"
      "done:; r0 = 0;";
  expect_refused(std::string(loop) + "if r7 == 0 goto out; r0 = *(u32 *)(r6 + 4); out:; exit", kMayBeNull);
  expect_ok(std::string(loop) + "if r7 <= 1 goto out; r0 = *(u32 *)(r6 + 4); out:; exit");
  // Two loops, one in the other: the flag of the inner one is asked about behind both.
  const char *nested =
      "r6 = *(u64 *)(r1 + 8); r7 = 0; outer:; r8 = 0; inner:; call for_all; if r0 == 1 goto end; r7 = r8;"
      "r8 = 1; goto inner; end:; call generic; if r0 != 0 goto outer; r0 = 0;";
  expect_refused(std::string(nested) + "if r7 == 0 goto out; r0 = *(u32 *)(r6 + 4); out:; exit", kMayBeNull);
}

// Steps and jumps enough that the state behind them is kept.
std::string keep_point(const std::string &name) {
  return fmt::format(
      "r3 = 1; r3 += 1; r3 += 1; r3 += 1; r3 += 1; r3 += 1; if r3 == 6 goto {0}1; {0}1:; r3 += 1;"
      "if r3 == 7 goto {0}2; {0}2:; r3 += 1;",
      name);
}

// The first state at a point has two values that are the same, so that what is found out of one is known of the other.
TEST(Verify, WhatIsTheSameInOneStateMayDifferInAnother) {
  const std::string pointers =
      "r8 = r1; r6 = *(u64 *)(r1 + 8); r7 = r6; r2 = *(u64 *)(r1 + 0); if r2 != 1 goto same;"
      "r7 = *(u64 *)(r8 + 8); same:;";
  const std::string numbers =
      "r8 = r1; r6 = *(u64 *)(r1 + 8); r9 = *(u64 *)(r1 + 0); r7 = r9; r2 = *(u64 *)(r1 + 0);"
      "if r2 != 1 goto same; r7 = *(u64 *)(r8 + 0); same:;";
  const std::string pointers_last =
      "r8 = r1; r6 = *(u64 *)(r1 + 8); r7 = r6; r2 = *(u64 *)(r1 + 0); if r2 == 1 goto other;"
      "goto same; other:; r7 = *(u64 *)(r8 + 8); same:;";
  const std::string numbers_last =
      "r8 = r1; r6 = *(u64 *)(r1 + 8); r9 = *(u64 *)(r1 + 0); r7 = r9; r2 = *(u64 *)(r1 + 0);"
      "if r2 == 1 goto other; goto same; other:; r7 = *(u64 *)(r8 + 0); same:;";
  for (const std::string &start : {pointers, pointers_last})
    expect_refused(start + keep_point("k") + "r0 = 0; if r6 == 0 goto out; r0 = *(u32 *)(r7 + 4); out:; exit",
                   kMayBeNull);
  for (const std::string &start : {numbers, numbers_last})
    expect_refused(
        start + keep_point("k") + "r0 = 0; if r9 != 3 goto out; if r7 == 3 goto out; r0 = *(u32 *)(r6 + 4); out:; exit",
        kMayBeNull);
}

// A round that ends at the loop's beginning shows nothing of what the way out of the loop asks.
TEST(Verify, WhatTheWayOutOfALoopAsksCountsInside) {
  const std::string text =
      "r6 = *(u64 *)(r1 + 8); r8 = r1; r7 = 0; r3 = 1; r3 += 1; r3 += 1; r3 += 1; if r3 == 4 goto a; a:; r3 += 1;"
      "if r3 == 5 goto again; again:; call for_all; if r0 == 1 goto done; r2 = *(u64 *)(r8 + 0); if r2 == 5 goto set;"
      "goto join; set:; r7 = 1; join:;" +
      keep_point("k") + "goto again; done:; r0 = 0;";
  expect_refused(text + "if r7 == 0 goto out; r0 = *(u32 *)(r6 + 4); out:; exit", kMayBeNull);
  expect_ok(text + "if r7 <= 1 goto out; r0 = *(u32 *)(r6 + 4); out:; exit");
}

// As in the kernel, what changes from round to round and decides nothing is given up. Here nothing is refused for it.
TEST(Verify, NothingIsRefusedForWhatWasGivenUp) {
  const char *loop =
      "r6 = *(u64 *)(r1 + 8); r7 = 0; r8 = 1; again:; call next; if r0 == 0 goto done; r7 += 2; goto again;"
      "done:; r0 = 0;";
  const Verdict verdict =
      check(std::string(loop) + "if r7 != 7 goto out; r0 = *(u32 *)(r6 + 4); out:; exit", dispatch_rules());
  EXPECT_EQ(verdict.err, 0) << verdict.log;
  EXPECT_TRUE(verdict.whole);
  EXPECT_NE(verdict.doubt.find("argument prev of ops.dispatch may be NULL"), std::string::npos) << verdict.doubt;
  // What does not follow from it is a reason as ever, in the loop and behind it.
  expect_refused(std::string(loop) + "r0 = *(u32 *)(r6 + 4); exit", kMayBeNull);
  expect_refused(std::string(loop) + "if r8 != 1 goto out; r0 = *(u32 *)(r6 + 4); out:; exit", kMayBeNull);
  expect_ok(std::string(loop) + "if r8 == 1 goto out; r0 = *(u32 *)(r6 + 4); out:; exit");
  expect_refused(
      "r6 = *(u64 *)(r1 + 8); r7 = 0; again:; r7 += 1; may_goto done; r0 = *(u32 *)(r6 + 4); goto again;"
      "done:; r0 = 0; exit",
      kMayBeNull);
  // What decides something in the loop is not given up.
  const char *counted =
      "r6 = *(u64 *)(r1 + 8); r7 = 0; again:; call next; if r0 == 0 goto done; r7 += 1;"
      "if r7 < 6 goto again; done:; r0 = 0;";
  expect_ok(std::string(counted) + "if r7 != 7 goto out; r0 = *(u32 *)(r6 + 4); out:; exit");
  expect_refused(std::string(counted) + "if r7 != 5 goto out; r0 = *(u32 *)(r6 + 4); out:; exit", kMayBeNull);
}

// Programs of random branches, flags, spills, calls and counted loops.
class RandomProgram {
 public:
  explicit RandomProgram(u32 seed) : state_(seed * 2654435761u + 1) {}

  std::string text() {
    std::string all =
        "r6 = r1; r7 = *(u64 *)(r6 + 8); r8 = 0; r9 = *(u64 *)(r6 + 0); *(u64 *)(r10 - 8) = r7;"
        "*(u64 *)(r10 - 16) = r8; *(u64 *)(r10 - 24) = r9;";
    for (int i = 0; i < 16; i++) all += statement(2);
    return all +
           "r0 = 0; exit; function:; if r2 == 1 goto skip; r0 = *(u32 *)(r1 + 4); skip:; r0 = r2; r0 &= 3; exit;"
           "null:; r0 = 1; if r1 == 0 goto is_null; r0 = 0; is_null:; exit";
  }

 private:
  u32 pick(u32 count) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<u32>(state_ >> 33) % count;
  }
  std::string reg() { return fmt::format("r{}", 7 + pick(3)); }
  std::string number_reg() { return fmt::format("r{}", 8 + pick(2)); }
  int slot() { return 8 + 8 * static_cast<int>(pick(3)); }
  std::string block(int depth) {
    std::string all;
    for (u32 i = 1 + pick(3); i-- > 0;) all += statement(depth);
    return all;
  }

  std::string statement(int depth) {
    static constexpr const char *kOps[] = {"=", "|=", "&=", "+=", "^=", "-="};
    static constexpr const char *kConds[] = {"==", "!=", ">", "<=", "&", "s<"};
    const int label = labels_++;
    switch (pick(depth > 0 ? 12 : 9)) {
      case 0: return pick(2) ? "r8 = r9;" : fmt::format("{} {} {};", number_reg(), kOps[pick(6)], pick(4));
      case 1: return fmt::format("w8 {} w9;", kOps[pick(6)]);
      case 2: return "r9 = *(u64 *)(r6 + 0); r9 &= 3;";
      case 3: return fmt::format("r7 = *(u64 *)(r6 + {});", 8 * pick(2));
      case 4: return fmt::format("*(u64 *)(r10 - {}) = {};", slot(), reg());
      case 5: return fmt::format("{} = *(u64 *)(r10 - {});", reg(), slot());
      case 6: return fmt::format("*(u8 *)(r10 - {}) = r8; r8 = *(u8 *)(r10 - {});", slot(), slot());
      case 7:
        return pick(4) ? fmt::format("if r7 == 0 goto l{0}; r0 = *(u32 *)(r7 + 4); l{0}:;", label)
                       : fmt::format("r1 = *(u64 *)(r10 - {1}); if r7 == 0 goto l{0}; r0 = *(u32 *)(r1 + 4); l{0}:;",
                                     label, slot());
      case 8: return pick(2) ? "r1 = r7; callsub null; r8 = r0;" : "call peek; r7 = r0;";
      case 9: return fmt::format("r1 = r7; r2 = {}; callsub function; r9 = r0;", number_reg());
      case 10:
        return fmt::format("if {} {} {} goto l{};", reg(), kConds[pick(6)], pick(3), label) + block(depth - 1) +
               fmt::format("l{}:;", label);
      default:
        if (loops_++ > 0) return "";
        return fmt::format("*(u64 *)(r10 - 64) = 0; l{}:;", label) + block(0) +
               fmt::format("r1 = *(u64 *)(r10 - 64); r1 += 1; *(u64 *)(r10 - 64) = r1; if r1 < 3 goto l{};", label);
    }
  }

  u64 state_;
  int labels_ = 0;
  int loops_ = 0;
};

TEST(Verify, EndingPathsEarlyHidesAndInventsNothing) {
  u32 refused = 0, loaded = 0;
  u64 steps = 0, all_steps = 0;
  for (u32 seed = 0; seed < 1500; seed++) {
    const std::string text = RandomProgram(seed).text();
    const Verdict all = check(text, dispatch_rules(), true);
    if (!all.whole) continue;
    const Verdict verdict = check(text, dispatch_rules());
    ASSERT_EQ(verdict.err, all.err) << "program " << seed << "\n" << text << "\n" << verdict.log << all.log;
    ASSERT_TRUE(verdict.whole && verdict.doubt.empty()) << "program " << seed;
    refused += verdict.err != 0;
    loaded += verdict.err == 0;
    steps += verdict.steps;
    all_steps += all.steps;
  }
  EXPECT_GT(refused, 200u);
  EXPECT_GT(loaded, 200u);
  EXPECT_LT(steps, all_steps);
}

}  // namespace
}  // namespace uscx::bpf
