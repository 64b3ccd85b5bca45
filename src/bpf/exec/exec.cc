// SPDX-License-Identifier: GPL-2.0-only
// Entering and leaving programs (see exec.h).
#include "bpf/exec/exec.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <vector>

#include "bpf/exec/exec_runtime.h"
#include "bpf/exec/jit.h"
#include "bpf/memory/arena_window.h"
#include "bpf/memory/region.h"
#include "bpf/memory/value_lock.h"
#include "machine/context_local.h"
#include "machine/explore_hooks.h"

namespace uscx::bpf {

// BPF stacks of one host thread (in explore mode, of one CPU), reused last in, first out: the same nesting gives the
// same addresses. A free stack is linked through memory beside it, not through itself, so that its contents stay as the
// last program left them.
struct FreeStack {
  char *stack;
  FreeStack *next;
};

namespace {

const machine::ContextLocal running_local([]() -> void * { return &running_record; }, sizeof(running_record));

constexpr size_t kStackBytes = kMaxCallDepth * kFrameBytes;
ExecMode g_default_mode = ExecMode::kJit;

// All stacks' pages, for telling them from memory that CPUs share.
std::mutex g_stack_pages_lock;  // a leaf
std::vector<u64> &stack_pages() {
  static std::vector<u64> &pages = *new std::vector<u64>();  // sorted; guarded by g_stack_pages_lock
  return pages;
}
static_assert(kStackBytes == kPageBytes);

// Gives a thread's stacks back when it ends.
struct StackReturner {
  bool armed = false;
  ~StackReturner() {
    while (FreeStack *spare = running().free_stacks) {
      running().free_stacks = spare->next;
      {
        std::lock_guard hold(g_stack_pages_lock);
        std::erase(stack_pages(), reinterpret_cast<u64>(spare->stack) / kPageBytes);
      }
      Region::get().free_pages(spare->stack);
      delete spare;
    }
  }
};

[[gnu::noinline]] FreeStack *new_stack() {
  static thread_local StackReturner returner;
  returner.armed = true;
  char *stack = static_cast<char *>(Region::get().alloc_pages(Half::kReadWrite, kStackBytes, true));
  const u64 page = reinterpret_cast<u64>(stack) / kPageBytes;
  std::lock_guard hold(g_stack_pages_lock);
  stack_pages().insert(std::lower_bound(stack_pages().begin(), stack_pages().end(), page), page);
  return new FreeStack{stack, nullptr};
}

FreeStack *take_stack() {
  FreeStack *spare = running().free_stacks;
  if (spare == nullptr) return new_stack();
  running().free_stacks = spare->next;
  return spare;
}

void give_back_stack(FreeStack *stack) {
  stack->next = running().free_stacks;
  running().free_stacks = stack;
}

std::string describe(const Abort &abort, unsigned size, const std::string &detail) {
  const std::string place = abort.program->place(abort.insn);
  switch (abort.reason) {
    case AbortReason::kWildStore:
      return fmt::format("store of {} bytes to {:#x}, which is no memory of the program, at {}", size, abort.address,
                         place);
    case AbortReason::kReadOnlyStore:
      return fmt::format("store of {} bytes to read-only memory at {:#x} at {}", size, abort.address, place);
    case AbortReason::kStoreFault:
      return fmt::format("store of {} bytes to unmapped memory at {:#x} at {}", size, abort.address, place);
    case AbortReason::kBudget: return fmt::format("instruction budget exhausted at {}", place);
    case AbortReason::kCallDepth: return fmt::format("more than {} calls deep at {}", kMaxCallDepth, place);
    case AbortReason::kTrap: return fmt::format("reached an instruction that cannot run at {}", place);
    case AbortReason::kViolation: return fmt::format("{} at {}", detail, place);
    case AbortReason::kException:
    case AbortReason::kNone: break;
  }
  return detail;
}

}  // namespace

const char *abort_reason_name(AbortReason reason) {
  static constexpr std::array kNames = {"none",       "wild store", "read-only store", "store fault", "budget",
                                        "call depth", "trap",       "violation",       "exception"};
  return kNames[size_t(reason)];
}

ExecMode default_exec_mode() { return g_default_mode; }
void set_default_exec_mode(ExecMode mode) { g_default_mode = mode; }

bool Invocation::release_all() {
  bool left = holdings_.lock != nullptr || holdings_.rcu_depth != 0 || holdings_.preempt_depth != 0;
  if (holdings_.lock != nullptr) value_unlock(holdings_.lock);
  if (const Holdings::Rare *rare = holdings_.rare.get()) {
    left |= !rare->res_locks.empty() || !rare->ring_records.empty() || !rare->bit_iterators.empty();
    for (u32 *lock : rare->res_locks) value_unlock(lock);
    for (const Holdings::HeldRecord &record : rare->ring_records) record.discard(record.payload);
  }
  holdings_ = {};
  return left;
}

void Invocation::raise(AbortReason reason, u32 insn, u64 address, std::string detail) {
  if (state_.aborted) return;
  state_.aborted = 1;
  abort_.reason = reason;
  abort_.program = program_;
  abort_.insn = insn;
  abort_.address = address;
  const OpInfo *op = program_->insns()[insn].info;
  abort_.message = describe(abort_, op ? op->size : 0, detail);
}

void Invocation::unwind() {
  CHECK(current() == this && nesting_ > 0 && state_.aborted,
        "unwinding an invocation that does not run or is not aborted");
  if (landing_ != nullptr) _longjmp(*landing_, 1);
  JitCode::unwind(state_.entry_rsp);
}

void Invocation::charge(u64 insns) {
  // A request beyond any budget must not wrap around.
  state_.budget -= s64(std::min<u64>(insns, 1ull << 62));
  if (state_.budget >= 0) return;
  raise(AbortReason::kBudget, state_.insn, 0, {});
  unwind();
}

void Invocation::report_arena_skips() {
  const u64 address = (state_.arena_skip_address & 0xffffffff) + state_.arena_skip_program->arena_user_start_high();
  if (state_.env->listener != nullptr)
    state_.env->listener->arena_store_skipped(*state_.arena_skip_program, state_.arena_skip_insn, address,
                                              state_.arena_skips);
  state_.arena_skips = 0;
}

RunResult Invocation::call_back(u32 subprog, std::initializer_list<u64> args) {
  CHECK(program_ != nullptr, "a callback outside of a run");
  return run(*program_, subprog, args, *this, mode_);
}

std::optional<u64> Invocation::tail_call(const Program &program, u64 ctx) {
  if (state_.nr_tail_calls >= kMaxTailCalls) return std::nullopt;
  state_.nr_tail_calls++;
  const u64 args[5] = {ctx};
  const RunResult result = ExecAccess::run(program, 0, args, *this, mode_, false);
  if (result.aborted()) unwind();
  return result.r0;
}

void Invocation::throw_exception(u64 cookie) {
  exception_ = cookie;
  raise(AbortReason::kException, state_.insn, 0, {});
  unwind();
}

RunResult Invocation::catch_exception(const Program &program, ExecMode mode) {
  state_.aborted = 0;
  abort_ = {};
  const std::optional<u32> callback = program.exception_callback();
  if (!callback.has_value() || catching_) return {exception_, nullptr};
  catching_ = true;
  const RunResult result = bpf::run(program, *callback, {exception_}, *this, mode);
  catching_ = false;
  return result;
}

namespace {

u64 run_landed(const Program &program, u32 subprog, const u64 args[5], u64 top, Invocation &invocation, ExecMode mode) {
  if (mode == ExecMode::kJit) return program.jit()->run(subprog, args, top, &ExecAccess::state(invocation));
  u64 regs[kNumRegs] = {0, args[0], args[1], args[2], args[3], args[4], 0, 0, 0, 0, top};
  return interpret(program, invocation, program.subprogs()[subprog].start, regs, s64(kMayGotoSteps));
}

// Aborts of the interpreter land here by longjmp. Translated code unwinds by itself, except under ThreadSanitizer,
// which must see frames being left.
[[gnu::noinline]] u64 run_with_landing(jmp_buf &landing, const Program &program, u32 subprog, const u64 args[5],
                                       u64 top, Invocation &invocation, ExecMode mode) {
  if (_setjmp(landing) != 0) return 0;
  return run_landed(program, subprog, args, top, invocation, mode);
}

#if defined(__SANITIZE_THREAD__)
constexpr bool kJitNeedsLanding = true;
#else
constexpr bool kJitNeedsLanding = false;
#endif

}  // namespace

RunResult ExecAccess::run(const Program &program, u32 subprog, const u64 args[5], Invocation &inv, ExecMode mode,
                          bool deeper) {
  CHECK(subprog < program.subprogs().size());
  if (mode == ExecMode::kJit && program.jit() == nullptr) mode = ExecMode::kInterp;
  ExecState &state = inv.state_;
  CHECK(!state.aborted, "an aborted invocation runs again");
  Invocation *const outer = running().invocation;
  const ExecState outer_state = state;
  const Program *const outer_program = inv.program_;
  const ExecMode outer_mode = inv.mode_;
  jmp_buf *const outer_landing = inv.landing_;
  running().invocation = &inv;
  inv.program_ = &program;
  inv.mode_ = mode;
  inv.nesting_ += deeper;
  u64 r0 = 0;
  const u32 cost = program.subprogs()[subprog].cost();
  state.budget -= cost;
  if (inv.nesting_ > kMaxCallDepth) {
    inv.raise(AbortReason::kCallDepth, program.subprogs()[subprog].start, 0, {});
  } else if (state.budget < 0) {
    inv.raise(AbortReason::kBudget, program.subprogs()[subprog].start, 0, {});
  } else {
    FreeStack *stack = take_stack();
    const u64 top = reinterpret_cast<u64>(stack->stack) + kStackBytes;
    // Frames of the runs around this one count too, one each.
    state.stack_low = top - (kMaxCallDepth - inv.nesting_) * kFrameBytes;
    if (mode == ExecMode::kJit && !kJitNeedsLanding) {
      inv.landing_ = nullptr;
      r0 = program.jit()->run(subprog, args, top, &state);
    } else {
      jmp_buf landing;
      inv.landing_ = &landing;
      r0 = run_with_landing(landing, program, subprog, args, top, inv, mode);
    }
    give_back_stack(stack);
  }
  inv.nesting_ -= deeper;
  if (state.arena_skips != 0 && inv.nesting_ == 0) [[unlikely]]
    inv.report_arena_skips();
  inv.landing_ = outer_landing;
  inv.mode_ = outer_mode;
  inv.program_ = outer_program;
  state.entry_rsp = outer_state.entry_rsp;
  state.stack_low = outer_state.stack_low;
  state.insn = outer_state.insn;
  if (!state.aborted) {
    running().invocation = outer;
    return {r0, nullptr};
  }
  if (inv.nesting_ == 0 && inv.abort_.reason == AbortReason::kException) {
    running().invocation = outer;
    return inv.catch_exception(program, mode);
  }
  running().invocation = outer;
  return {0, &inv.abort_};
}

RunResult run(const Program &program, u64 ctx, Invocation &invocation, ExecMode mode) {
  const u64 args[5] = {ctx};
  return ExecAccess::run(program, 0, args, invocation, mode);
}

RunResult run(const Program &program, u32 subprog, std::initializer_list<u64> args, Invocation &invocation,
              ExecMode mode) {
  CHECK(args.size() <= 5);
  u64 all[5] = {};
  std::copy(args.begin(), args.end(), all);
  return ExecAccess::run(program, subprog, all, invocation, mode);
}

bool is_shared_memory(u64 address) {
  if (!Region::in_rw(address)) return false;
  std::lock_guard hold(g_stack_pages_lock);
  return !std::binary_search(stack_pages().begin(), stack_pages().end(), address / kPageBytes);
}

void note_helper_access(const void *memory, u64 size, bool write) {
  const u64 address = reinterpret_cast<u64>(memory);
  const Invocation *invocation = Invocation::current();
  if (size == 0 || !machine::exploring() || invocation == nullptr || !is_shared_memory(address)) return;
  machine::program_access(
      {.address = address, .size = size, .write = write, .program = invocation->program(), .insn = invocation->insn()});
}

AbortReason store_refusal(u64 address, unsigned size) {
  const u64 last = address + size - 1;
  if (Region::in_rw(address) && Region::in_rw(last)) return AbortReason::kNone;
  if (!Region::contains(address) || !Region::contains(last)) return AbortReason::kWildStore;
  // Neither half's last page is mapped, so a store across their border faults and is no matter of permission.
  if (Region::get().store_ok(reinterpret_cast<void *>(address), size)) return AbortReason::kNone;
  return AbortReason::kReadOnlyStore;
}

}  // namespace uscx::bpf

using uscx::bpf::AbortReason;
using uscx::bpf::ExecAccess;
using uscx::bpf::ExecState;
using uscx::bpf::Region;

void uscx_bpf_abort(ExecState *state, u32 insn, u32 reason, u64 address) {
  AbortReason why = AbortReason(reason);
  if (why == AbortReason::kStoreFault) {
    // A store whose check was left out faults for NULL too; the reason must not tell that from a checked one.
    const AbortReason refusal = uscx::bpf::store_refusal(address, state->owner->program()->insns()[insn].info->size);
    if (refusal != AbortReason::kNone) why = refusal;
  }
  ExecAccess::raise(*state->owner, why, insn, address);
}

u64 uscx_bpf_slow_store(ExecState *state, u64 address, u32 index) {
  const uscx::bpf::Insn &insn = state->owner->program()->insns()[index];
  // The low half of an arena pointer is one, as in the kernel: the interpreter adds the base.
  const u64 base = address - u64(s64{insn.off});
  const u64 arena_base = state->owner->program()->arena_base();
  if (uscx::bpf::ArenaWindow::lost_base(arena_base, base) || uscx::bpf::ArenaWindow::is_access(arena_base, address))
    return 2;
  const AbortReason refusal = uscx::bpf::store_refusal(address, insn.info->size);
  if (refusal != AbortReason::kNone) {
    ExecAccess::raise(*state->owner, refusal, index, address);
    return 0;
  }
  return Region::contains(base) ? 1 : 2;
}

void uscx_bpf_access(ExecState *state, u64 address, u32 index) {
  if (!uscx::machine::exploring()) return;
  const uscx::bpf::Program *program = state->owner->program();
  const uscx::bpf::OpInfo &op = *program->insns()[index].info;
  if (op.kind == uscx::bpf::OpKind::kCall) return uscx::machine::explore_point();
  if (!uscx::bpf::is_shared_memory(address)) return;
  uscx::machine::program_access({.address = address,
                                 .size = op.size,
                                 .write = op.writes_memory(),
                                 .atomic = op.is_atomic(),
                                 .program = program,
                                 .insn = index});
}

u64 uscx_bpf_deopt(ExecState *state, u64 *regs, u32 insn, s64 may_goto_left) {
  return uscx::bpf::interpret(*state->owner->program(), *state->owner, insn, regs, may_goto_left);
}
