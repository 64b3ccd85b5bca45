// SPDX-License-Identifier: GPL-2.0-only
// NEED states that the host must give us something: memory, addresses, descriptors. A refusal is not our bug, and it is
// seldom worth code that recovers: the process ends with one line that says what cannot be done, and an exit status.
#ifndef USCX_BASE_NEED_H_
#define USCX_BASE_NEED_H_

#include <fmt/format.h>

#include <string>

namespace uscx {

// Exit status of the command for bad input, and for what the host refuses.
inline constexpr int kExitRefused = 2;

// "Too many open files (errno 24); raise the limit of open files (ulimit -n)": with what helps, where it is known.
std::string host_error(int error);

[[noreturn]] void host_refuses(const std::string &what);

// Those who cannot have memory end by host_refuses() too, instead of an exception that nobody catches.
void end_without_memory();

}  // namespace uscx

#define NEED(cond, ...)                                                                    \
  do {                                                                                     \
    if (__builtin_expect(!(cond), 0)) ::uscx::host_refuses(::fmt::format("" __VA_ARGS__)); \
  } while (0)

#endif  // USCX_BASE_NEED_H_
