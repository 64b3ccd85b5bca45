// SPDX-License-Identifier: GPL-2.0-only
#include "base/nearest.h"

#include <fmt/format.h>

#include <algorithm>

namespace uscx {

size_t edit_distance(std::string_view a, std::string_view b) {
  // rows[i][j] is the distance of the first i letters of a and the first j of b.
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); i++) {
    for (size_t j = 0; j <= b.size(); j++) {
      if (i == 0 || j == 0) {
        rows[i][j] = i + j;
        continue;
      }
      const bool same = a[i - 1] == b[j - 1];
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.size()][b.size()];
}

std::string nearest_name(std::string_view name, const std::vector<std::string> &known) {
  // Longer texts are no misspelt name, and would take long to compare.
  constexpr size_t kMaxName = 64;
  std::string nearest;
  if (name.size() > kMaxName) return nearest;
  size_t least = std::max<size_t>(name.size() / 3, 1) + 1;
  for (const std::string &candidate : known) {
    const size_t distance = edit_distance(name, candidate);
    if (distance >= least || distance >= candidate.size()) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string> &known) {
  const std::string nearest = nearest_name(name, known);
  return nearest.empty() ? nearest : fmt::format(" (did you mean '{}'?)", nearest);
}

}  // namespace uscx
