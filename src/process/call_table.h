// SPDX-License-Identifier: GPL-2.0-only
// Every system call of x86-64, by what becomes of it: the host executes it and we never see it, it is carried out here,
// or it is refused with its name. `uscx list syscalls` and docs/PROGRAMS.md are made from the same table.
//
// Threading: constant tables.
#ifndef USCX_PROCESS_CALL_TABLE_H_
#define USCX_PROCESS_CALL_TABLE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/types.h"

struct sock_filter;
namespace uscx::sched {
class KthreadApi;
}

namespace uscx::process {

class Supervisor;
struct Thread;

// What becomes of a call, as its handler decides.
struct Outcome {
  enum class Kind : u8 {
    kAnswer,      // `value` is the result, or -errno.
    kLetThrough,  // The host executes it; it does not wait there.
    kWait,        // Until Supervisor::wake_thread() or the virtual time `value`; then the handler is called again.
    kYield,       // The CPU is offered to others, then the handler is called again.
    kSlow,        // `slow` is run as the thread's own kernel path, which may wait; its outcome counts.
    kGone,        // Nothing is to be answered any more.
  };
  Kind kind;
  s64 value = 0;
  std::function<Outcome()> slow = {};

  static constexpr s64 kForever = INT64_MAX;
  static Outcome answer(s64 value) { return {Kind::kAnswer, value}; }
  static Outcome let_through() { return {Kind::kLetThrough}; }
  static Outcome wait(s64 until_ns = kForever) { return {Kind::kWait, until_ns}; }
  static Outcome yield() { return {Kind::kYield}; }
  static Outcome gone() { return {Kind::kGone}; }
};

using Handler = Outcome (*)(Supervisor &supervisor, Thread &thread);

struct CallEntry {
  int nr;
  const char *name;
  u32 cost_ns;  // Of the call itself, beside the user code before it. Round figures of an ordinary x86-64 server.
  Handler handler;
  u64 spin_ns = 0;  // If active waiting is made of such calls: what the code between them is charged at most.
};

// FIDELITY: user-code-cost. The code between two calls.
inline constexpr u64 kUserCodeNs = 1000;
// What a turn on the CPU is charged of who may not be looked at all the time: hogs, and those who wait for the clock.
inline constexpr u64 kHogTurnNs = 50000000;

// One table a subject, each beside its handlers.
extern const std::span<const CallEntry> kBpfCalls, kFileCalls, kFutexCalls, kNameCalls, kPollCalls, kProcessCalls,
    kSchedCalls, kSignalCalls, kTimeCalls, kTimerCalls;

// The entry of a call that comes to us; null if we do not know it.
const CallEntry *find_call(int nr);
const char *call_name(int nr);
const char *why_refused(int nr);

enum class CallFate : u8 { kHost, kOurs, kRefused };
struct CallFateRow {
  int nr;
  const char *name;
  CallFate fate;
  const char *why;  // Empty for ours.
};
std::vector<CallFateRow> list_calls();  // By number.
// The program of the host's seccomp that lets the harmless calls through and sends us the others.
std::vector<sock_filter> call_filter();

}  // namespace uscx::process

#endif  // USCX_PROCESS_CALL_TABLE_H_
