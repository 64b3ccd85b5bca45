// SPDX-License-Identifier: GPL-2.0-only
#include "base/check.h"

#include <unistd.h>

#include <cstdio>

namespace uscx {
namespace {

CheckContextFn context_fn;
void *context_arg;
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

void check_failed(const char *file, int line, const char *condition, const std::string &detail) {
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
