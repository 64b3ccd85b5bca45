// SPDX-License-Identifier: GPL-2.0-only
#include "base/need.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>

namespace uscx {

std::string host_error(int error) {
  const auto advice = [error]() -> const char * {
    switch (error) {
      case EMFILE: return "; raise the limit of open files (ulimit -n)";
      case ENFILE: return "; the host has too many open files (fs.file-max)";
      case EPERM:
      case EACCES: return "; does a container's or a sandbox's policy (seccomp, SELinux) forbid it?";
      case ENOMEM: return "; is a limit of memory or addresses set (ulimit -v, a control group)?";
      case ENOSYS: return "; the host's kernel or a sandbox does not have this call";
      default: return "";
    }
  };
  return fmt::format("{} (errno {}){}", std::strerror(error), error, advice());
}

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
