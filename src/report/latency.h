// SPDX-License-Identifier: GPL-2.0-only
// A distribution of nanosecond values with integer percentiles. Up to kExactValues values are kept as they are and
// percentiles are exact; beyond that they are counted in buckets of a relative width of 1/1024, so that a percentile
// is at most 0.1% too high and never too low. Count, sum and maximum are always exact. Not synchronised.
#ifndef USCX_REPORT_LATENCY_H_
#define USCX_REPORT_LATENCY_H_

#include <array>
#include <memory>
#include <vector>

#include "base/types.h"

namespace uscx::report {

class LatencyHistogram {
 public:
  static constexpr size_t kExactValues = 4096;

  void add(u64 value_ns);
  u64 count() const { return count_; }
  u64 max_ns() const { return max_ns_; }
  u64 sum_ns() const { return sum_ns_; }
  // The smallest value that is not below `percent` percent of all values (nearest rank); 0 if there are none.
  // percent is 1 to 100.
  u64 percentile_ns(u32 percent) const;

 private:
  static constexpr u32 kSubBits = 10;
  using Octave = std::array<u64, 1u << kSubBits>;
  // Buckets are many, so that each value misses the cache. A batch of values has its misses at the same time.
  static constexpr size_t kBatch = 256;
  void count_in_buckets() const;
  void count_in_bucket(u64 value_ns) const;

  u64 count_ = 0, sum_ns_ = 0, max_ns_ = 0;
  mutable std::vector<u64> values_;  // All of them, sorted on demand; once buckets are in use, those not yet in one.
  mutable bool sorted_ = true;
  // Empty while all values are kept. Octave 0: values below 2^kSubBits; then one a power of two.
  mutable std::vector<std::unique_ptr<Octave>> octaves_;
};

}  // namespace uscx::report

#endif  // USCX_REPORT_LATENCY_H_
