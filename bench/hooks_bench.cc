// SPDX-License-Identifier: GPL-2.0-only
// What run mode pays for explore mode's hooks: events per second of processor time of the same core with the hooks
// compiled in and out, each a program of its own, in turn.
#include <algorithm>
#include <cstdio>
#include <string>

#include "base/check.h"

namespace uscx::bench {
namespace {

constexpr int kRepeats = 25;

double run(const std::string &program) {
  std::FILE *output = popen(program.c_str(), "r");
  double rate = 0;
  CHECK(output && std::fscanf(output, "%lf", &rate) == 1 && pclose(output) == 0, "{} gives no figure", program);
  return rate;
}

}  // namespace
}  // namespace uscx::bench

int main() {
  double with = 0, without = 0;
  for (int i = 0; i < uscx::bench::kRepeats; i++) {
    with = std::max(with, uscx::bench::run(HOOKS_RUN));
    without = std::max(without, uscx::bench::run(HOOKS_RUN_PLAIN));
  }
  std::printf("Explore mode's hooks in run mode: M events per second of processor time\n");
  std::printf("%10s %14s %8s\n", "compiled in", "compiled out", "ratio");
  std::printf("%10.3f %14.3f %8.3f\n", with / 1e6, without / 1e6, with / without);
}
