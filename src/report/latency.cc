// SPDX-License-Identifier: GPL-2.0-only
#include "report/latency.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace uscx::report {

void LatencyHistogram::add(u64 value_ns) {
  count_++;
  sum_ns_ += value_ns;
  max_ns_ = std::max(max_ns_, value_ns);
  values_.push_back(value_ns);
  sorted_ = false;
  if (values_.size() > (octaves_.empty() ? kExactValues : kBatch)) count_in_buckets();
}

void LatencyHistogram::count_in_buckets() const {
  for (u64 value : values_) count_in_bucket(value);
  values_ = std::vector<u64>();  // The first batch was a large one.
}

void LatencyHistogram::count_in_bucket(u64 value_ns) const {
  const u32 octave = std::max<u32>(std::bit_width(value_ns), kSubBits) - kSubBits;
  if (octave >= octaves_.size()) octaves_.resize(octave + 1);
  if (!octaves_[octave]) octaves_[octave] = std::make_unique<Octave>();
  // In octave 1 and above the value's top bit is always set, so that its kSubBits + 1 top bits give the bucket.
  const u64 sub = octave == 0 ? value_ns : value_ns >> (octave - 1);
  (*octaves_[octave])[sub & ((1u << kSubBits) - 1)]++;
}

u64 LatencyHistogram::percentile_ns(u32 percent) const {
  CHECK(percent >= 1 && percent <= 100);
  if (count_ == 0) return 0;
  u64 rank = (count_ * percent + 99) / 100;  // From 1.
  if (octaves_.empty()) {
    if (!sorted_) std::sort(values_.begin(), values_.end());
    sorted_ = true;
    return values_[rank - 1];
  }
  count_in_buckets();
  for (u32 octave = 0; octave < octaves_.size(); octave++) {
    if (!octaves_[octave]) continue;
    for (u64 sub = 0; sub < octaves_[octave]->size(); sub++) {
      const u64 here = (*octaves_[octave])[sub];
      if (rank > here) {
        rank -= here;
        continue;
      }
      if (octave == 0) return sub;
      const u64 low = ((u64{1} << kSubBits) | sub) << (octave - 1);
      return std::min(max_ns_, low + (u64{1} << (octave - 1)) - 1);
    }
  }
  CHECK(false, "the buckets hold fewer values than were counted");
}

}  // namespace uscx::report
