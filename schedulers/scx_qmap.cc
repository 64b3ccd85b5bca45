// SPDX-License-Identifier: GPL-2.0-only
// The user half of scx_qmap.
#include <limits>

#include "base/units.h"
#include "schedulers/embedded.h"
#include "schedulers/user_half.h"

namespace uscx::schedulers {
namespace {

constexpr u32 kMaxCount = std::numeric_limits<u32>::max();
// "The scheduler's own process", for -d.
constexpr s32 kSelf = -1;

class ScxQmap final : public UserHalf {
 public:
  ScxQmap();

  std::string_view name() const override { return "scx_qmap"; }
  std::string_view purpose() const override {
    return "Five FIFO queues by weight, from which each CPU takes 1, 2, 4, 8 and 16 tasks in turn. A demonstration of\n"
           "what a BPF scheduler can do, and of what happens when it goes wrong.";
  }
  std::span<const u8> object() const override { return embedded_scx_qmap(); }
  Status configure(ScxObject &object, const Environment &environment) const override;
  void print_stats(const ScxObject &object, FILE *out) const override;

 private:
  Status set_disallowed(std::string_view text);

  u32 slice_us_ = 20000;
  u32 error_after_ = 0;
  u32 stall_user_nth_ = 0;
  u32 stall_kernel_nth_ = 0;
  u32 endless_after_ = 0;
  u32 batch_ = 0;
  s32 disallowed_pid_ = 0;
  u32 dump_len_ = 0;
  bool boost_ = false;
  bool suppress_dump_ = false;
  bool print_dsqs_ = false;
  bool partial_ = false;
};

ScxQmap::ScxQmap() {
  add_option(u32_option('s', "SLICE_US", "Time slice in microseconds (default 20000)", 1, kMaxCount, &slice_us_));
  add_option(u32_option('e', "COUNT", "Trigger scx_bpf_error() after COUNT enqueues", 1, kMaxCount, &error_after_));
  add_option(
      u32_option('t', "COUNT", "Stall every COUNT'th user thread that is enqueued", 1, kMaxCount, &stall_user_nth_));
  add_option(u32_option('T', "COUNT", "Stall every COUNT'th kernel thread that is enqueued", 1, kMaxCount,
                        &stall_kernel_nth_));
  add_option(
      u32_option('l', "COUNT", "Make dispatch loop for ever after COUNT dispatches", 1, kMaxCount, &endless_after_));
  add_option(u32_option('b', "COUNT", "Take up to COUNT tasks from the queues at once", 1, kMaxCount, &batch_));
  add_option(Option{'d', "PID", "Disallow the process PID to use sched_ext (-1: the scheduler itself)",
                    [this](std::string_view text) { return set_disallowed(text); }});
  add_option(u32_option('D', "LEN", "Length of the exit dump buffer in bytes", 1, std::numeric_limits<s32>::max(),
                        &dump_len_));
  add_option(flag_option('H', "Boost tasks of nice -20 past all others (use with -b)", &boost_));
  add_option(flag_option('S', "Suppress the scheduler's part of the debug dump", &suppress_dump_));
  add_option(flag_option('P', "Print what waits where, and event counters, to trace_pipe once a second", &print_dsqs_));
  add_option(flag_option('p', "Switch only tasks of policy SCHED_EXT", &partial_));
}

Status ScxQmap::set_disallowed(std::string_view text) {
  Result<s64> pid = parse_signed(text, kSelf, std::numeric_limits<s32>::max());
  if (!pid.ok()) return pid.status();
  if (*pid == 0) return Status::error("0 is no process; it takes a pid, or -1 for the scheduler itself");
  disallowed_pid_ = static_cast<s32>(*pid);
  return {};
}

Status ScxQmap::configure(ScxObject &object, const Environment &environment) const {
  s32 disallowed = disallowed_pid_;
  if (disallowed == kSelf) {
    if (environment.own_pid == 0)
      return Status::error("option -d: -1 is nobody here, where no process is the scheduler");
    disallowed = environment.own_pid;
  }
  const auto text = [](auto value) { return fmt::format("{}", value); };
  const std::pair<const char *, std::string> variables[] = {
      {"slice_ns", text(slice_us_ * kNsPerUs)},     {"test_error_cnt", text(error_after_)},
      {"stall_user_nth", text(stall_user_nth_)},    {"stall_kernel_nth", text(stall_kernel_nth_)},
      {"dsp_inf_loop_after", text(endless_after_)}, {"dsp_batch", text(batch_)},
      {"disallow_tgid", text(disallowed)},          {"highpri_boosting", text(boost_)},
      {"suppress_dump", text(suppress_dump_)},      {"print_dsqs", text(print_dsqs_)},
  };
  for (const auto &[variable, value] : variables) {
    Status status = object.set_variable(variable, value);
    if (!status.ok()) return status;
  }
  if (dump_len_ != 0) {
    Status status = object.set_ops_field("exit_dump_len", text(dump_len_));
    if (!status.ok()) return status;
  }
  return partial_ ? object.set_ops_flag("SCX_OPS_SWITCH_PARTIAL", true) : Status();
}

void ScxQmap::print_stats(const ScxObject &object, FILE *out) const {
  const s64 enqueued = object.variable("nr_enqueued");
  const s64 dispatched = object.variable("nr_dispatched");
  fmt::print(out, "stats  : enq={} dsp={} delta={} deq={} core={} enq_ddsp={}\n", enqueued, dispatched,
             enqueued - dispatched, object.variable("nr_dequeued"), object.variable("nr_core_sched_execed"),
             object.variable("nr_ddsp_from_enq"));
}

}  // namespace

std::unique_ptr<UserHalf> make_scx_qmap() { return std::make_unique<ScxQmap>(); }

}  // namespace uscx::schedulers
