// SPDX-License-Identifier: GPL-2.0-only
#include "cli/command.h"

#include <cstdio>

#include "report/report.h"
#include "run/run.h"

namespace uscx::cli {

bool asks_for_json(const std::vector<std::string> &words) {
  for (size_t i = 0; i < words.size(); i++)
    if (words[i] == "--report=json" || (words[i] == "--report" && i + 1 < words.size() && words[i + 1] == "json"))
      return true;
  return false;
}

int bad_input(const Status &status, bool json) {
  if (json) std::fputs(report::error_json(status.message()).c_str(), stdout);
  std::fputs(fmt::format("uscx: {}\n", status.message()).c_str(), stderr);  // Unlike fmt::print() it may fail.
  return kExitBadInput;
}

}  // namespace uscx::cli
