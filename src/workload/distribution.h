// SPDX-License-Identifier: GPL-2.0-only
// How long something takes, drawn anew each time. Draws are made of integers alone, so that they are the same on every
// host.
//
// Threading: constant once parsed.
#ifndef USCX_WORKLOAD_DISTRIBUTION_H_
#define USCX_WORKLOAD_DISTRIBUTION_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "base/status.h"

namespace uscx::workload {

class Distribution {
 public:
  // "5ms", always; "uniform:LOW/HIGH"; "exponential:MEAN"; "lognormal:MEDIAN/PERCENT" (of one standard deviation of its
  // logarithm); "bimodal:A/B/PERCENT" (of the draws that are B); "empirical:A/B/..." (each as likely).
  static Result<Distribution> parse(std::string_view text);
  u64 draw(Rng &rng) const;  // In ns, at most kMaxDurationNs.

 private:
  enum class Kind : u8 { kConstant, kUniform, kExponential, kLognormal, kBimodal, kEmpirical };
  Status read(Kind kind, std::string_view text, size_t nr_times, bool percent);

  Kind kind_ = Kind::kConstant;
  std::vector<u64> times_ns_;
  u64 percent_ = 0;
};

// Fixed point with 32 bits behind the point.
u64 log2_q32(u64 x);  // x > 0
u64 exp2_q32(s64 x);  // x < 31 in q32; what is too small is 0.

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_DISTRIBUTION_H_
