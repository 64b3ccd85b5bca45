// SPDX-License-Identifier: GPL-2.0-only
#include "workload/distribution.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/units.h"
#include "workload/json_tree.h"
#include "workload/workload.h"

namespace uscx::workload {
namespace {

using u128 = unsigned __int128;

constexpr u64 kOne = u64{1} << 32;
constexpr u64 kLn2 = 2977044472, kInverseLn2 = 6196328019;  // q32
constexpr size_t kMaxTimes = 1000;
constexpr const char *kForms =
    "a duration, uniform:LOW/HIGH, exponential:MEAN, lognormal:MEDIAN/PERCENT, bimodal:A/B/PERCENT or "
    "empirical:A/B/...";

u64 square_root(u128 x) {
  u64 root = 0;
  for (int bit = 63; bit >= 0; bit--) {
    const u64 next = root | u64{1} << bit;
    if (u128{next} * next <= x) root = next;
  }
  return root;
}

// The 2^(1/2), 2^(1/4), ... with 62 bits behind the point.
std::array<u64, 32> roots_of_two() {
  std::array<u64, 32> roots{};
  u64 root = square_root(u128{2} << 124);
  for (u64 &entry : roots) {
    entry = root;
    root = square_root(u128{root} << 62);
  }
  return roots;
}

u64 clamped(u128 ns) { return static_cast<u64>(std::min<u128>(ns, kMaxDurationNs)); }

// A draw of the normal distribution, near enough for this: the sum of twelve uniform ones, in q32.
s64 normal_q32(Rng &rng) {
  s64 sum = -6 * static_cast<s64>(kOne);
  for (int i = 0; i < 12; i++) sum += static_cast<s64>(rng.next() >> 32);
  return sum;
}

}  // namespace

u64 log2_q32(u64 x) {
  const int whole = std::bit_width(x) - 1;
  u64 out = static_cast<u64>(whole) << 32;
  u64 mantissa = x << (63 - whole);  // From 1 to 2, 63 bits behind the point.
  for (u64 bit = kOne >> 1; bit; bit >>= 1) {
    const u128 squared = u128{mantissa} * mantissa >> 63;
    const bool above = squared >> 64 != 0;
    if (above) out |= bit;
    mantissa = static_cast<u64>(squared >> above);
  }
  return out;
}

u64 exp2_q32(s64 x) {
  static const std::array<u64, 32> kRoots = roots_of_two();
  const s64 whole = x >> 32;
  const u64 fraction = static_cast<u64>(x) & (kOne - 1);
  u64 out = u64{1} << 62;
  for (size_t i = 0; i < kRoots.size(); i++)
    if (fraction >> (31 - i) & 1) out = static_cast<u64>(u128{out} * kRoots[i] >> 62);
  const s64 shift = 30 - whole;  // From 62 bits behind the point to 32.
  return shift >= 64 ? 0 : shift >= 0 ? out >> shift : out << -shift;
}

Status Distribution::read(Kind kind, std::string_view text, size_t nr_times, bool percent) {
  kind_ = kind;
  std::vector<std::string_view> parts;
  for (size_t start = 0; start <= text.size() && parts.size() <= kMaxTimes;) {
    const size_t end = std::min(text.find('/', start), text.size());
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  const size_t wanted = nr_times + percent;
  if (nr_times ? parts.size() != wanted : parts.size() > kMaxTimes)
    return Status::error("{} values; it takes {}", parts.size(), kForms);
  if (percent) {
    constexpr u64 kMaxSpread = 300;
    Result<u64> value = parse_number(parts.back(), 0, kind == Kind::kLognormal ? kMaxSpread : 100);
    if (!value.ok()) return value.status();
    percent_ = *value;
    parts.pop_back();
  }
  for (const std::string_view part : parts) {
    Result<u64> ns = parse_duration(part);
    if (!ns.ok()) return ns.status();
    if (*ns > kMaxDurationNs) return Status::error("{} is too long", part);
    times_ns_.push_back(*ns);
  }
  if (kind == Kind::kUniform && times_ns_[0] > times_ns_[1]) return Status::error("the first is above the second");
  return Status::ok_status();
}

Result<Distribution> Distribution::parse(std::string_view text) {
  struct Form {
    std::string_view name;
    Kind kind;
    size_t nr_times;  // 0: any number.
    bool percent;
  };
  constexpr Form kKinds[] = {{"uniform:", Kind::kUniform, 2, false},
                             {"exponential:", Kind::kExponential, 1, false},
                             {"lognormal:", Kind::kLognormal, 1, true},
                             {"bimodal:", Kind::kBimodal, 2, true},
                             {"empirical:", Kind::kEmpirical, 0, false}};
  Distribution distribution;
  for (const Form &form : kKinds) {
    if (!text.starts_with(form.name)) continue;
    Status status = distribution.read(form.kind, text.substr(form.name.size()), form.nr_times, form.percent);
    if (!status.ok()) return status.at(quoted(text));
    return distribution;
  }
  if (text.find(':') != std::string_view::npos)
    return Status::error("{} is unknown; it takes {}", quoted(text), kForms);
  if (Status status = distribution.read(Kind::kConstant, text, 1, false); !status.ok()) return status;
  return distribution;
}

u64 Distribution::draw(Rng &rng) const {
  switch (kind_) {
    case Kind::kConstant: return times_ns_[0];
    case Kind::kUniform: return rng.between(times_ns_[0], times_ns_[1]);
    case Kind::kExponential: {
      const u64 minus_log2 = (u64{32} << 32) - log2_q32((rng.next() >> 32) + 1);
      return clamped(u128{times_ns_[0]} * (u128{minus_log2} * kLn2 >> 32) >> 32);
    }
    case Kind::kLognormal: {
      const s64 spread = normal_q32(rng) / 100 * static_cast<s64>(percent_);
      const s64 exponent = static_cast<s64>(static_cast<__int128>(spread) * kInverseLn2 >> 32);
      return clamped(u128{times_ns_[0]} * exp2_q32(exponent) >> 32);
    }
    case Kind::kBimodal: return times_ns_[rng.below(100) < percent_];
    case Kind::kEmpirical: return times_ns_[rng.below(times_ns_.size())];
  }
  return 0;
}

}  // namespace uscx::workload
