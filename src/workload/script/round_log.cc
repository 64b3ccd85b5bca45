// SPDX-License-Identifier: GPL-2.0-only
#include "workload/script/round_log.h"

#include "base/units.h"

namespace uscx::workload {

void RoundLog::open(Play &play, const PlayThread &thread) {
  const ScriptLog &log = play.script().log;
  log_ = play.open_log(thread);
  ns_per_loop_ = log.ns_per_loop;
  cumulative_ = log.cumulative_slack;
  begin_ns_ = play.start_ns();
}

void RoundLog::begin_round(u64 now_ns) {
  round_ = {};
  round_.start_ns = now_ns;
}

void RoundLog::run(u64 now_ns, u64 asked_ns, u64 work_ns) {
  run_since_ns_ = now_ns;
  round_.asked_ns += asked_ns;
  round_.work_ns += work_ns;
}

// A timer that is missed leaves no latency in the row, nor that of timers before it.
void RoundLog::timer(u64 period_ns, const Tick &tick) {
  round_.period_ns += period_ns;
  round_.slack_ns = tick.slack_ns + (cumulative_ ? round_.slack_ns : 0);
  if (tick.slack_ns > 0)
    wake_at_ns_ = tick.at_ns;
  else
    round_.latency_ns = 0;
}

void RoundLog::back(u64 now_ns) {
  if (run_since_ns_) round_.run_ns += now_ns - *run_since_ns_;
  if (wake_at_ns_) round_.latency_ns += now_ns - *wake_at_ns_;
  run_since_ns_.reset();
  wake_at_ns_.reset();
}

void RoundLog::end_round(u64 now_ns) {
  if (!log_) return;
  log_->add({.perf = round_.work_ns / ns_per_loop_,
             .run = round_.run_ns / kNsPerUs,
             .period = (now_ns - round_.start_ns) / kNsPerUs,
             .start = round_.start_ns / kNsPerUs,
             .end = now_ns / kNsPerUs,
             .since_begin = (round_.start_ns - begin_ns_) / kNsPerUs,
             .slack = round_.slack_ns / static_cast<s64>(kNsPerUs),
             .run_asked = round_.asked_ns / kNsPerUs,
             .period_asked = round_.period_ns / kNsPerUs,
             .wakeup_latency = round_.latency_ns / kNsPerUs});
}

}  // namespace uscx::workload
