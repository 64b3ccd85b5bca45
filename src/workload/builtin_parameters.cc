// SPDX-License-Identifier: GPL-2.0-only
// The text form of built-in workloads.
#include <algorithm>

#include "base/nearest.h"
#include "workload/builtins.h"
#include "workload/distribution.h"
#include "workload/json_tree.h"

namespace uscx::workload {
namespace {

Result<u64> parse_duration_in(std::string_view text, u64 low, u64 high) {
  Result<u64> value = parse_duration(text);
  if (!value.ok()) return value;
  if (*value < low || *value > high)
    return Status::error("{} is out of range; it takes {} to {}", text, format_duration(low), format_duration(high));
  return value;
}

Result<std::vector<int>> parse_nice_list(std::string_view text, s64 low, s64 high) {
  constexpr size_t kMaxValues = 1000;
  std::vector<int> out;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find('/', start), text.size());
    Result<s64> value = parse_signed(text.substr(start, end - start), low, high);
    if (!value.ok()) return value.status();
    if (out.size() == kMaxValues) return Status::error("has more than {} values", kMaxValues);
    out.push_back(static_cast<int>(*value));
    start = end + 1;
  }
  return out;
}

std::string parameter_names(std::span<const Parameter> parameters) {
  std::string out;
  for (const Parameter &parameter : parameters) out += (out.empty() ? "" : ", ") + std::string(parameter.name);
  return out;
}

class BuiltinWorkload final : public Workload {
 public:
  BuiltinWorkload(std::string text, const Builtin &builtin, Values values)
      : text_(std::move(text)), builtin_(builtin), values_(std::move(values)) {}
  const std::string &name() const override { return text_; }
  Result<std::vector<PlannedTask>> plan(const Site &site) const override {
    Result<std::vector<PlannedTask>> plan = builtin_.plan(values_, site);
    if (!plan.ok()) return plan.status().at(text_);
    for (PlannedTask &task : *plan)
      if (!task.kthread) task.cgroup = values_.text(kGroupParameter.name);
    return plan;
  }

 private:
  const std::string text_;
  const Builtin &builtin_;
  const Values values_;
};

}  // namespace

Status Values::set(const Parameter &parameter, std::string_view text) {
  const std::string name = parameter.name;
  if (parameter.kind == Parameter::Kind::kNiceList) {
    lists_[name].clear();
    if (text.empty()) return Status::ok_status();
    Result<std::vector<int>> list = parse_nice_list(text, parameter.low, parameter.high);
    if (!list.ok()) return list.status();
    lists_[name] = list.take();
    return Status::ok_status();
  }
  if (parameter.kind == Parameter::Kind::kGroup) {
    texts_[name] = text;
    return text.empty() ? Status::ok_status() : check_group_path(text);
  }
  if (parameter.kind == Parameter::Kind::kTimes) {
    texts_[name] = text;
    Result<Distribution> times = Distribution::parse(text);
    return times.ok() ? Status::ok_status() : times.status();
  }
  const u64 low = static_cast<u64>(parameter.low), high = static_cast<u64>(parameter.high);
  Result<u64> value =
      parameter.kind == Parameter::Kind::kCount ? parse_number(text, low, high) : parse_duration_in(text, low, high);
  if (!value.ok()) return value.status();
  numbers_[name] = *value;
  return Status::ok_status();
}

Result<Values> parse_values(std::span<const Parameter> parameters, std::string_view text) {
  Values values;
  for (const Parameter &parameter : parameters) {
    const std::string_view default_text = parameter.default_text;
    const bool is_number = parameter.kind == Parameter::Kind::kCount || parameter.kind == Parameter::Kind::kDuration;
    if (default_text.empty() && is_number) {
      values.numbers_[parameter.name] = 0;
      continue;
    }
    const Status status = values.set(parameter, default_text);
    CHECK(status.ok(), "default of {}", parameter.name);
  }
  std::vector<std::string_view> seen;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    const std::string_view part = text.substr(start, end - start);
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) return Status::error("{} is not KEY=VALUE", quoted(part));
    const std::string_view key = part.substr(0, equals);
    const auto found =
        std::find_if(parameters.begin(), parameters.end(), [&](const Parameter &p) { return key == p.name; });
    if (found == parameters.end())
      return Status::error("unknown key {}; it takes {}", quoted(key), parameter_names(parameters));
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) return Status::error("{} is there twice", key);
    seen.push_back(key);
    const std::string_view value = part.substr(equals + 1);
    if (value.empty()) return Status::error("{}= has no value", key);
    if (Status status = values.set(*found, value); !status.ok()) return status.at(std::string(key));
    if (end + 1 == text.size()) return Status::error("a comma at the end");
    start = end + 1;
  }
  return values;
}

Result<std::shared_ptr<const Workload>> open_builtin(const std::string &text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string name = text.substr(0, colon);
  std::vector<std::string> known;
  for (const Builtin &builtin : builtins()) {
    known.emplace_back(builtin.name);
    if (name != builtin.name) continue;
    Result<Values> values = parse_values(builtin.parameters, colon < text.size() ? text.substr(colon + 1) : "");
    if (!values.ok()) return values.status().at(name);
    return std::shared_ptr<const Workload>(std::make_shared<BuiltinWorkload>(text, builtin, values.take()));
  }
  return Status::error("unknown workload {}{}; built-in are {}, and a file has a slash or ends in .json", quoted(name),
                       did_you_mean(name, known), fmt::join(known, ", "));
}

}  // namespace uscx::workload
