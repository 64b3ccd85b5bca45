// SPDX-License-Identifier: GPL-2.0-only
// Timing for benchmarks on a machine with other load: what is compared is measured in turn, many times, and the fastest
// of each counts, because load only ever adds.
#ifndef USCX_BENCH_TIMING_H_
#define USCX_BENCH_TIMING_H_

#include <algorithm>
#include <chrono>

namespace uscx::bench {

template <typename Fn>
double seconds(Fn fn) {
  const auto start = std::chrono::steady_clock::now();
  fn();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The least of several measurements.
class Least {
 public:
  void add(double value) { value_ = std::min(value_, value); }
  double value() const { return value_; }

 private:
  double value_ = 1e300;
};

}  // namespace uscx::bench

#endif  // USCX_BENCH_TIMING_H_
