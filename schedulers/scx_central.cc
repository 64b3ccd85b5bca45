// SPDX-License-Identifier: GPL-2.0-only
// The user half of scx_central.
#include <limits>

#include "base/units.h"
#include "schedulers/embedded.h"
#include "schedulers/user_half.h"

namespace uscx::schedulers {
namespace {

constexpr u32 kMaxCpu = 8191;

class ScxCentral final : public UserHalf {
 public:
  ScxCentral();

  std::string_view name() const override { return "scx_central"; }
  std::string_view purpose() const override {
    return "One CPU schedules for all others, which run without ticks: infinite slices, and a timer on the central "
           "CPU\n"
           "that preempts tasks when their time is up and others wait.";
  }
  std::span<const u8> object() const override { return embedded_scx_central(); }
  Status configure(ScxObject &object, const Environment &environment) const override;
  void print_stats(const ScxObject &object, FILE *out) const override;

 private:
  u32 slice_us_ = 20000;
  u32 central_cpu_ = 0;
};

ScxCentral::ScxCentral() {
  add_option(u32_option('s', "SLICE_US", "Time after which a task is preempted, in microseconds (default 20000)", 1,
                        std::numeric_limits<u32>::max(), &slice_us_));
  add_option(u32_option('c', "CPU", "The central CPU (default 0)", 0, kMaxCpu, &central_cpu_));
}

Status ScxCentral::configure(ScxObject &object, const Environment &) const {
  Status status = object.set_variable("slice_ns", fmt::format("{}", slice_us_ * kNsPerUs));
  if (!status.ok()) return status;
  return object.set_variable("central_cpu", fmt::format("{}", central_cpu_));
}

void ScxCentral::print_stats(const ScxObject &object, FILE *out) const {
  const auto value = [&](const char *variable) { return object.variable(variable); };
  fmt::print(out, "total  : {} local={} queued={} lost={}\n", value("nr_total"), value("nr_locals"), value("nr_queued"),
             value("nr_lost_pids"));
  fmt::print(out, "central: timer={} dispatch={} mismatch={} retry={} overflow={}\n", value("nr_timers"),
             value("nr_dispatches"), value("nr_mismatches"), value("nr_retries"), value("nr_overflows"));
}

}  // namespace

std::unique_ptr<UserHalf> make_scx_central() { return std::make_unique<ScxCentral>(); }

}  // namespace uscx::schedulers
