// SPDX-License-Identifier: GPL-2.0-only
// The user half of scx_simple.
#include "schedulers/embedded.h"
#include "schedulers/user_half.h"

namespace uscx::schedulers {
namespace {

class ScxSimple final : public UserHalf {
 public:
  ScxSimple() { add_option(flag_option('f', "First in, first out, instead of weighted virtual time", &fifo_)); }

  std::string_view name() const override { return "scx_simple"; }
  std::string_view purpose() const override {
    return "One queue for all CPUs. A task that wakes while a CPU is idle runs there at once; the others wait in the\n"
           "order of their weighted virtual time.";
  }
  std::span<const u8> object() const override { return embedded_scx_simple(); }

  Status configure(ScxObject &object, const Environment &) const override {
    return object.set_variable("fifo_sched", fifo_ ? "true" : "false");
  }

  void print_stats(const ScxObject &object, FILE *out) const override {
    Result<std::vector<u64>> sums = object.percpu_sums("stats", 2);
    if (!sums.ok()) {
      fmt::print(out, "{}\n", sums.message());
      return;
    }
    fmt::print(out, "local={} global={}\n", (*sums)[0], (*sums)[1]);
  }

 private:
  bool fifo_ = false;
};

}  // namespace

std::unique_ptr<UserHalf> make_scx_simple() { return std::make_unique<ScxSimple>(); }

}  // namespace uscx::schedulers
