// SPDX-License-Identifier: GPL-2.0-only
// A deadline server: the reservation that lets a lower class run although a higher one keeps the CPU. Each rq has one
// for the fair class and, while a scheduler is loaded, one for ext: 50 ms in each second, unless set otherwise.
//
// It is deferred. As long as the class gets its runtime by itself nothing happens; a class that waits gets the CPU,
// above realtime, when only so much of the period is left as it still has runtime. From then on it runs for its runtime
// in each period, until it has nothing to run or the higher classes leave it enough again.
//
// Threading: all fields are protected by the rq's lock. The timer fires on the rq's CPU, and is armed only while the
// class starves: without realtime tasks a server costs a subtraction. FIDELITY: lazy-servers.
#ifndef USCX_SCHED_DL_SERVER_H_
#define USCX_SCHED_DL_SERVER_H_

#include "base/units.h"
#include "machine/event_queue.h"

namespace uscx::sched {

struct Rq;
class SchedClass;

struct DlServer {
  static constexpr u64 kMinPeriodNs = 100 * kNsPerUs, kMaxPeriodNs = (1ull << 22) * kNsPerUs;
  enum class State : u8 {
    kStopped,    // Its class had nothing to run.
    kDeferred,   // Its class runs by itself, or waits and the timer is armed.
    kRunning,    // Queued in the deadline class.
    kThrottled,  // Has used up this period's runtime; the timer starts the next period.
  };
  Rq *rq = nullptr;
  SchedClass *served = nullptr;
  bool attached = false;
  u64 runtime_ns = 50 * kNsPerMs;  // 0: the class is left to starve.
  u64 period_ns = 1000 * kNsPerMs;
  State state = State::kStopped;
  s64 left_ns = 0;  // Of the runtime, in the period that ends at deadline_ns.
  u64 deadline_ns = 0;
  u64 background_ns = 0;  // What the class has run by itself while the server is throttled.
  machine::SimEvent timer;

  // Shares of a CPU are counted in 2^20ths.
  static constexpr u64 ratio(u64 runtime_ns, u64 period_ns) { return (runtime_ns << 20) / period_ns; }
  u64 bandwidth() const { return ratio(runtime_ns, period_ns); }
};
// What all reservations of a CPU may take together: the 95% that sched_rt_runtime_us leaves.
inline constexpr u64 kMaxDlBandwidth = DlServer::ratio(950 * kNsPerMs, 1000 * kNsPerMs);

}  // namespace uscx::sched

#endif  // USCX_SCHED_DL_SERVER_H_
