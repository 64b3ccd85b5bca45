// SPDX-License-Identifier: GPL-2.0-only
#include "base/check.h"

#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace uscx {
namespace {

CheckContextFn context_fn;
void *context_arg;
CheckFailureFn failure_fn;
void *failure_arg;
#ifdef NDEBUG
bool verify_on = false;
#else
bool verify_on = true;
#endif

}  // namespace

void set_check_context(CheckContextFn fn, void *arg) {
  context_fn = fn;
  context_arg = arg;
}

void set_check_failure_handler(CheckFailureFn fn, void *arg) {
  failure_fn = fn;
  failure_arg = arg;
}

void check_failed(const char *file, int line, const char *condition, const std::string &detail) {
  if (CheckFailureFn handler = failure_fn) {
    failure_fn = nullptr;  // It may fail itself.
    const char *name = std::strrchr(file, '/');
    handler(failure_arg, fmt::format("{}:{}: CHECK({}) failed{}{}", name ? name + 1 : file, line, condition,
                                     detail.empty() ? "" : ": ", detail));
  }
  CheckContextFn fn = context_fn;
  context_fn = nullptr;  // A check that fails inside the context function must not recurse.
  std::fprintf(stderr, "uscx: internal error: %s:%d: CHECK(%s) failed%s%s\n", file, line, condition,
               detail.empty() ? "" : ": ", detail.c_str());
  if (fn) std::fprintf(stderr, "%s\n", fn(context_arg).c_str());
  std::fprintf(stderr, "This is a bug of uscx. Please report it with the command line that led here.\n");
  std::fflush(nullptr);
  _exit(kExitOurBug);
}

bool verify_enabled() { return verify_on; }
void set_verify_enabled(bool on) { verify_on = on; }

}  // namespace uscx
