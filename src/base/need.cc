// SPDX-License-Identifier: GPL-2.0-only
#include "base/need.h"

#include <unistd.h>

#include <cstdio>
#include <new>

namespace uscx {

void host_refuses(const std::string &what) {
  std::fprintf(stderr, "uscx: %s\n", what.c_str());
  std::fflush(nullptr);
  _exit(kExitRefused);
}

void end_without_memory() {
  std::set_new_handler([] {
    std::set_new_handler(nullptr);  // What follows may need memory itself.
    constexpr char kText[] = "uscx: the host has no more memory for this (ulimit -v)\n";
    (void)!::write(STDERR_FILENO, kText, sizeof kText - 1);
    _exit(kExitRefused);
  });
}

}  // namespace uscx
