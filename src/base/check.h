// SPDX-License-Identifier: GPL-2.0-only
// CHECK states an invariant of uscx itself. A failure is our own bug: it prints where and what, and ends the process
// with exit status 70 (see docs/ARCHITECTURE.md). A fault of a scheduler or of the input never goes through here.
//
// CHECK is for cheap conditions and is there in every build. VERIFY is for costly ones: it is compiled in everywhere,
// and evaluated only while verify_enabled() is true (debug builds, tests, `uscx explore`).
#ifndef USCX_BASE_CHECK_H_
#define USCX_BASE_CHECK_H_

#include <fmt/format.h>

#include <string>

namespace uscx {

// Exit status of the command for a bug of our own (sysexits' EX_SOFTWARE).
inline constexpr int kExitOurBug = 70;

// A function that describes the state around a failing check (virtual time, seed, last events). It is called once.
using CheckContextFn = std::string (*)(void *arg);
void set_check_context(CheckContextFn fn, void *arg);

// Is told of a failing check before anything is printed, and may end the process by itself (explore mode's children).
using CheckFailureFn = void (*)(void *arg, const std::string &text);
void set_check_failure_handler(CheckFailureFn fn, void *arg);

[[noreturn]] void check_failed(const char *file, int line, const char *condition, const std::string &detail);

bool verify_enabled();
void set_verify_enabled(bool on);

}  // namespace uscx

#define CHECK(cond, ...)                                                                                              \
  do {                                                                                                                \
    if (__builtin_expect(!(cond), 0)) ::uscx::check_failed(__FILE__, __LINE__, #cond, ::fmt::format("" __VA_ARGS__)); \
  } while (0)

#define VERIFY(cond, ...)                                                             \
  do {                                                                                \
    if (__builtin_expect(::uscx::verify_enabled(), 0) && !(cond))                     \
      ::uscx::check_failed(__FILE__, __LINE__, #cond, ::fmt::format("" __VA_ARGS__)); \
  } while (0)

#endif  // USCX_BASE_CHECK_H_
