// SPDX-License-Identifier: GPL-2.0-only
#include "base/rng.h"

#include "base/check.h"
#include "base/hash.h"

namespace uscx {
namespace {

u64 rotl(u64 x, int k) { return (x << k) | (x >> (64 - k)); }

u64 split_mix(u64 &state) {
  u64 z = (state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

}  // namespace

Rng::Rng(u64 seed, std::string_view name) {
  Hash64 hash;
  hash.add_bytes(name.data(), name.size());
  u64 mix = seed ^ hash.value();
  for (u64 &word : state_) word = split_mix(mix);
}

u64 Rng::next() {
  const u64 result = rotl(state_[1] * 5, 7) * 9;
  const u64 t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotl(state_[3], 45);
  return result;
}

u64 Rng::below(u64 bound) {
  CHECK(bound > 0);
  const u64 threshold = (0 - bound) % bound;  // Values below it would favour small results.
  for (;;) {
    const unsigned __int128 wide = static_cast<unsigned __int128>(next()) * bound;
    if (static_cast<u64>(wide) >= threshold) return static_cast<u64>(wide >> 64);
  }
}

u64 Rng::between(u64 low, u64 high) {
  CHECK(low <= high);
  return high - low == ~0ull ? next() : low + below(high - low + 1);
}

}  // namespace uscx
