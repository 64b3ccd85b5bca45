// SPDX-License-Identifier: GPL-2.0-only
#include "schedulers/user_half.h"

namespace uscx::schedulers {

UserHalf::UserHalf() {
  options_.push_back(flag_option('v', "Print libbpf's messages, debug ones too", &verbose_));
  options_.push_back(flag_option('h', "Print this text and exit", &help_));
}

void UserHalf::add_option(Option option) { options_.insert(options_.end() - 2, std::move(option)); }

Status UserHalf::parse_args(const std::vector<std::string> &args) {
  return parse_options(options_, args).at(std::string(name()));
}

std::string UserHalf::usage() const { return usage_text(name(), purpose(), options_); }

Result<std::unique_ptr<ScxObject>> UserHalf::open(const Environment &environment) const {
  Result<std::unique_ptr<ScxObject>> opened =
      ScxObject::open_memory(fmt::format("{}.bpf.o", name()), object(), environment);
  if (!opened.ok()) return opened;
  Status status = configure(**opened, environment);
  if (!status.ok()) return status.at(std::string(name()));
  return opened;
}

}  // namespace uscx::schedulers
