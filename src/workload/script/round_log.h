// SPDX-License-Identifier: GPL-2.0-only
// What one thread's rounds come to, for its log.
//
// Threading: belongs to the thread.
#ifndef USCX_WORKLOAD_SCRIPT_ROUND_LOG_H_
#define USCX_WORKLOAD_SCRIPT_ROUND_LOG_H_

#include <optional>

#include "workload/script/play.h"

namespace uscx::workload {

class RoundLog {
 public:
  void open(Play &play, const PlayThread &thread);
  void begin_round(u64 now_ns);
  void end_round(u64 now_ns);
  // It is about to run, for an event that asks for so much (0: it goes on with one), and does so much work.
  void run(u64 now_ns, u64 asked_ns, u64 work_ns);
  void timer(u64 period_ns, const Tick &tick);
  void back(u64 now_ns);  // From what it did last.

 private:
  struct Round {
    u64 start_ns = 0, run_ns = 0, work_ns = 0, asked_ns = 0, period_ns = 0, latency_ns = 0;
    s64 slack_ns = 0;
  };
  ThreadLog *log_ = nullptr;  // Null: nobody wants it.
  u64 ns_per_loop_ = 1, begin_ns_ = 0;
  bool cumulative_ = false;
  Round round_;
  std::optional<u64> run_since_ns_, wake_at_ns_;
};

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_ROUND_LOG_H_
