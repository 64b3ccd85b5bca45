// SPDX-License-Identifier: GPL-2.0-only
// A CHECK that fails ends the process by _exit(), which libFuzzer takes for no finding: in fuzzers it is a crash, so
// that the input is kept.
#include <cstdio>
#include <cstdlib>

#include "base/check.h"

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
  uscx::set_check_failure_handler(
      [](void *, const std::string &text) {
        std::fprintf(stderr, "%s\n", text.c_str());
        std::abort();
      },
      nullptr);
  return 0;
}
