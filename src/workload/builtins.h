// SPDX-License-Identifier: GPL-2.0-only
// Built-in workloads: NAME[:KEY=VALUE,...]. A built-in is one block in builtins.cc: its name, its help, its typed
// parameters with their ranges, and the function that plans its tasks. Parsing, listing and messages derive from it.
// Constant tables; any thread may read them.
#ifndef USCX_WORKLOAD_BUILTINS_H_
#define USCX_WORKLOAD_BUILTINS_H_

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "workload/workload.h"

namespace uscx::workload {

struct Parameter {
  enum class Kind : u8 {
    kCount,     // A number in [low, high].
    kDuration,  // "5ms", in [low, high] nanoseconds.
    kNiceList,  // "-5/0/5"; low and high are of one value.
    kGroup,     // "/a/b", a control group's path.
    kTimes,     // A distribution of times (distribution.h), "5ms" among them.
  };
  const char *name;
  Kind kind;
  const char *default_text;  // What the help says; "" has the value 0 or an empty list, and the plan chooses.
  s64 low, high;
  const char *help;
};

class Values {
 public:
  u64 number(std::string_view name) const { return numbers_.at(std::string(name)); }
  const std::string &text(std::string_view name) const { return texts_.at(std::string(name)); }
  const std::vector<int> &nices(std::string_view name) const { return lists_.at(std::string(name)); }

 private:
  friend Result<Values> parse_values(std::span<const Parameter> parameters, std::string_view text);
  Status set(const Parameter &parameter, std::string_view text);
  std::map<std::string, u64> numbers_;
  std::map<std::string, std::vector<int>> lists_;
  std::map<std::string, std::string> texts_;
};
// "KEY=VALUE,..." with defaults for what is not there.
Result<Values> parse_values(std::span<const Parameter> parameters, std::string_view text);

struct Builtin {
  const char *name;
  const char *group;  // Of what kind it is.
  const char *help;
  std::vector<Parameter> parameters;
  Result<std::vector<PlannedTask>> (*plan)(const Values &values, const Site &site);
};

// What all of them take besides: the group of their tasks.
extern const Parameter kGroupParameter;
const std::vector<Builtin> &builtins();
Result<std::shared_ptr<const Workload>> open_builtin(const std::string &text);

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_BUILTINS_H_
