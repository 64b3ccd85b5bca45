// SPDX-License-Identifier: GPL-2.0-only
// Times and counts as people write them. Times in the core are integer nanoseconds; text with units exists only at the
// edges (command line, files, reports).
#ifndef USCX_BASE_UNITS_H_
#define USCX_BASE_UNITS_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "base/types.h"

namespace uscx {

inline constexpr u64 kNsPerUs = 1000;
inline constexpr u64 kNsPerMs = 1000 * kNsPerUs;
inline constexpr u64 kNsPerSec = 1000 * kNsPerMs;

// "5ms", "200us", "1.5s", "10m", "250ns": nanoseconds. A bare number has no unit and is refused, except 0. Fractions
// are exact decimal (no floating point); more digits than nanoseconds are refused. Negative and overflowing values too.
Result<u64> parse_duration(std::string_view text);

// The shortest exact form with at most three decimals after rounding to nearest: "5ms", "1.234s", "200us", "0ns".
std::string format_duration(u64 ns);

// An unsigned decimal or 0x number in [low, high].
Result<u64> parse_number(std::string_view text, u64 low, u64 high);
// A signed decimal in [low, high].
Result<s64> parse_signed(std::string_view text, s64 low, s64 high);

}  // namespace uscx

#endif  // USCX_BASE_UNITS_H_
