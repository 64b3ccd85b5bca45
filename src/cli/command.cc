// SPDX-License-Identifier: GPL-2.0-only
#include "cli/command.h"

#include <cstdio>

#include "run/run.h"

namespace uscx::cli {

int bad_input(const Status &status) {
  std::fputs(fmt::format("uscx: {}\n", status.message()).c_str(), stderr);  // Unlike fmt::print() it may fail.
  return kExitBadInput;
}

}  // namespace uscx::cli
