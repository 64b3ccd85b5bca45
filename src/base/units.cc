// SPDX-License-Identifier: GPL-2.0-only
#include "base/units.h"

#include <charconv>

namespace uscx {
namespace {

struct Unit {
  std::string_view name;
  u64 ns;
};
constexpr Unit kUnits[] = {{"ns", 1}, {"us", kNsPerUs}, {"ms", kNsPerMs}, {"s", kNsPerSec}, {"m", 60 * kNsPerSec}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

Result<u64> parse_duration(std::string_view text) {
  const Status bad =
      Status::error("'{}' is not a duration; write a number and a unit, such as 5ms, 200us or 1.5s", text);
  if (text == "0") return u64{0};
  size_t i = 0;
  unsigned __int128 digits = 0, scale = 1;
  size_t nr_digits = 0;
  bool fraction = false;
  for (; i < text.size() && (is_digit(text[i]) || (text[i] == '.' && !fraction)); i++) {
    if (text[i] == '.') {
      fraction = true;
      continue;
    }
    if (++nr_digits > 20) return bad;
    digits = digits * 10 + (text[i] - '0');
    if (fraction) scale *= 10;
  }
  if (nr_digits == 0) return bad;
  for (const Unit &unit : kUnits) {
    if (text.substr(i) != unit.name) continue;
    const unsigned __int128 total = digits * unit.ns;
    if (total % scale != 0) return Status::error("'{}' has parts smaller than a nanosecond", text);
    if (total / scale > ~0ull) return Status::error("'{}' is too long; the limit is about 584 years", text);
    return static_cast<u64>(total / scale);
  }
  return bad;
}

std::string format_duration(u64 ns) {
  static constexpr Unit kPrinted[] = {{"s", kNsPerSec}, {"ms", kNsPerMs}, {"us", kNsPerUs}};
  for (const Unit &unit : kPrinted) {
    if (ns < unit.ns) continue;
    const u64 thousandths = unit.ns / 1000;
    const u64 rounded = ns / thousandths + (ns % thousandths >= (thousandths + 1) / 2 && thousandths > 1 ? 1 : 0);
    std::string text = fmt::format("{}.{:03}", rounded / 1000, rounded % 1000);
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
    return text + std::string(unit.name);
  }
  return fmt::format("{}ns", ns);
}

Result<u64> parse_number(std::string_view text, u64 low, u64 high) {
  u64 value = 0;
  const bool hex = text.starts_with("0x");
  const std::string_view body = hex ? text.substr(2) : text;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), value, hex ? 16 : 10);
  if (error != std::errc() || end != body.data() + body.size() || body.empty())
    return Status::error("'{}' is not a number from {} to {}", text, low, high);
  if (value < low || value > high) return Status::error("{} is out of range; it takes {} to {}", text, low, high);
  return value;
}

Result<s64> parse_signed(std::string_view text, s64 low, s64 high) {
  s64 value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return Status::error("'{}' is not a number from {} to {}", text, low, high);
  if (value < low || value > high) return Status::error("{} is out of range; it takes {} to {}", text, low, high);
  return value;
}

}  // namespace uscx
