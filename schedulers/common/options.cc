// SPDX-License-Identifier: GPL-2.0-only
#include "schedulers/common/options.h"

#include <algorithm>

#include "base/units.h"

namespace uscx::schedulers {
namespace {

const Option *find_option(const std::vector<Option> &options, char letter) {
  const auto found = std::find_if(options.begin(), options.end(), [&](const Option &o) { return o.letter == letter; });
  return found == options.end() ? nullptr : &*found;
}

}  // namespace

Option flag_option(char letter, std::string help, bool *target) {
  return Option{letter, "", std::move(help), [target](std::string_view) {
                  *target = true;
                  return Status();
                }};
}

Option u32_option(char letter, std::string value_name, std::string help, u32 low, u32 high, u32 *target) {
  return Option{letter, std::move(value_name), std::move(help), [low, high, target](std::string_view text) {
                  Result<u64> value = parse_number(text, low, high);
                  if (!value.ok()) return value.status();
                  *target = static_cast<u32>(*value);
                  return Status();
                }};
}

Status parse_options(const std::vector<Option> &options, const std::vector<std::string> &args) {
  for (size_t i = 0; i < args.size(); i++) {
    const std::string &word = args[i];
    if (word.size() < 2 || word[0] != '-') return Status::error("unexpected argument '{}'", word);
    if (word[1] == '-') return Status::error("unknown option {}", word);
    for (size_t at = 1; at < word.size(); at++) {
      const Option *option = find_option(options, word[at]);
      if (!option) return Status::error("unknown option -{}", word[at]);
      std::string_view value;
      if (!option->value_name.empty()) {
        value = std::string_view(word).substr(at + 1);
        if (value.empty() && ++i == args.size())
          return Status::error("option -{} needs a value ({})", option->letter, option->value_name);
        if (value.empty()) value = args[i];
        at = word.size();
      }
      Status status = option->set(value);
      if (!status.ok()) return status.at(fmt::format("option -{}", option->letter));
    }
  }
  return {};
}

std::string usage_text(std::string_view name, std::string_view purpose, const std::vector<Option> &options) {
  std::string line = fmt::format("Usage: {}", name);
  std::string list;
  for (const Option &option : options) {
    const std::string value = option.value_name.empty() ? "" : " " + option.value_name;
    line += fmt::format(" [-{}{}]", option.letter, value);
    list += fmt::format("  -{}{:<12} {}\n", option.letter, value, option.help);
  }
  return fmt::format("{}\n\n{}\n\n{}", line, purpose, list);
}

}  // namespace uscx::schedulers
