// SPDX-License-Identifier: GPL-2.0-only
// A scheduler's own command line: one-letter options, as the example schedulers have them. getopt(3) is not used
// because its state is one a process and its messages go to stderr.
#ifndef USCX_SCHEDULERS_COMMON_OPTIONS_H_
#define USCX_SCHEDULERS_COMMON_OPTIONS_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx::schedulers {

struct Option {
  char letter;
  std::string value_name;  // empty: a flag
  std::string help;
  std::function<Status(std::string_view value)> set;
};

// Shorthands for the common kinds; the target must outlive the option.
Option flag_option(char letter, std::string help, bool *target);
Option u32_option(char letter, std::string value_name, std::string help, u32 low, u32 high, u32 *target);

// Applies args to the options, in order: "-s 5000", "-s5000", "-Sp". An unknown option, a missing or bad value and any
// other word is an error that names it.
Status parse_options(const std::vector<Option> &options, const std::vector<std::string> &args);

// "Usage: scx_qmap [-s SLICE_US] ..." and a line an option.
std::string usage_text(std::string_view name, std::string_view purpose, const std::vector<Option> &options);

}  // namespace uscx::schedulers

#endif  // USCX_SCHEDULERS_COMMON_OPTIONS_H_
