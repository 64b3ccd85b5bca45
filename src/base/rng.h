// SPDX-License-Identifier: GPL-2.0-only
// Named random streams. Each use of randomness has a stream of its own, made from the run's seed and the use's name, so
// that one more draw in one place changes nothing in another. Not thread-safe: a stream belongs to one owner.
#ifndef USCX_BASE_RNG_H_
#define USCX_BASE_RNG_H_

#include <string_view>

#include "base/types.h"

namespace uscx {

// xoshiro256** (Blackman and Vigna), its state filled by SplitMix64 from the seed and a hash of the name.
class Rng {
 public:
  Rng(u64 seed, std::string_view name);
  u64 next();
  // Uniform in [0, bound), without bias; bound > 0.
  u64 below(u64 bound);
  // Uniform in [low, high]; low <= high.
  u64 between(u64 low, u64 high);

 private:
  u64 state_[4];
};

}  // namespace uscx

#endif  // USCX_BASE_RNG_H_
