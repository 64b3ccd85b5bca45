// SPDX-License-Identifier: GPL-2.0-only
#include "run/recipe_formula.h"

#include <algorithm>
#include <vector>

#include "base/units.h"

namespace uscx::cli {
namespace {

using machine::Topology;

constexpr s64 kFullCapacity = 1024;
constexpr int kMaxDepth = 64;

u32 first_of(machine::MaskView mask) { return mask.first(); }

// All CPUs for a core that is not there.
const machine::CpuMask &core_mask(const Topology &topology, u32 core) {
  for (u32 cpu = 0; cpu < topology.nr_cpus(); cpu++)
    if (topology.core_of(cpu) == core) return topology.smt_mask(cpu);
  return topology.all();
}

u32 count_of(machine::MaskView mask) { return mask.weight(); }

// The place of a CPU among the threads of its core.
s64 thread_of(const Topology &topology, u32 cpu) {
  s64 number = 0;
  for (u32 other = 0; other < cpu; other++) number += topology.core_of(other) == topology.core_of(cpu);
  return number;
}

s64 sibling_of(const Topology &topology, u32 cpu, s64 index) {
  for (u32 other = 0; other < topology.nr_cpus(); other++) {
    if (topology.core_of(other) == topology.core_of(cpu) && index-- == 0) return other;
  }
  return -1;
}

// One function of a formula. `domain` is what its first argument is a number of.
struct Function {
  const char *name;
  u32 nr_args;
  const char *domain;
  s64 (*number)(const Topology &, u32 first, s64 second);
  const machine::CpuMask &(*cpus)(const Topology &, u32 first);
};
const Function kFunctions[] = {
    {"core", 1, "cpu", [](const Topology &t, u32 cpu, s64) -> s64 { return t.core_of(cpu); }, nullptr},
    {"llc", 1, "cpu", [](const Topology &t, u32 cpu, s64) -> s64 { return t.llc_of(cpu); }, nullptr},
    {"node", 1, "cpu", [](const Topology &t, u32 cpu, s64) -> s64 { return t.node_of(cpu); }, nullptr},
    {"capacity", 1, "cpu", [](const Topology &, u32, s64) -> s64 { return kFullCapacity; }, nullptr},
    {"thread", 1, "cpu", [](const Topology &t, u32 cpu, s64) { return thread_of(t, cpu); }, nullptr},
    {"sibling", 2, "cpu", sibling_of, nullptr},
    {"node_of_llc", 1, "llc", [](const Topology &t, u32 i, s64) -> s64 { return t.node_of(first_of(t.llc_mask(i))); },
     nullptr},
    {"first_cpu_of_core", 1, "core", [](const Topology &t, u32 i, s64) -> s64 { return first_of(core_mask(t, i)); },
     nullptr},
    {"first_cpu_of_llc", 1, "llc", [](const Topology &t, u32 i, s64) -> s64 { return first_of(t.llc_mask(i)); },
     nullptr},
    {"first_cpu_of_node", 1, "node", [](const Topology &t, u32 i, s64) -> s64 { return first_of(t.node_mask(i)); },
     nullptr},
    {"nr_cpus_of_core", 1, "core", [](const Topology &t, u32 i, s64) -> s64 { return count_of(core_mask(t, i)); },
     nullptr},
    {"nr_cpus_of_llc", 1, "llc", [](const Topology &t, u32 i, s64) -> s64 { return count_of(t.llc_mask(i)); }, nullptr},
    {"nr_cpus_of_node", 1, "node", [](const Topology &t, u32 i, s64) -> s64 { return count_of(t.node_mask(i)); },
     nullptr},
    {"cpus_of_core", 1, "core", nullptr, core_mask},
    {"cpus_of_llc", 1, "llc", nullptr,
     [](const Topology &t, u32 i) -> const machine::CpuMask & { return t.llc_mask(i); }},
    {"cpus_of_node", 1, "node", nullptr,
     [](const Topology &t, u32 i) -> const machine::CpuMask & { return t.node_mask(i); }},
    {"all_cpus", 0, "", nullptr, [](const Topology &t, u32) -> const machine::CpuMask & { return t.all(); }},
    {"min", 2, "", nullptr, nullptr},
    {"max", 2, "", nullptr, nullptr},
};

// Operators by how tightly they bind; those of one row from left to right.
constexpr std::string_view kOperators[] = {"|", "&", "<< >>", "+ -", "* / %"};
constexpr size_t kNrLevels = std::size(kOperators);

class Parser {
 public:
  Parser(std::string_view text, const RecipePlace &place) : rest_(text), place_(place) {}

  Result<FormulaValue> parse() {
    FormulaValue value = level(0);
    skip_spaces();
    if (error_.ok() && !rest_.empty()) fail(fmt::format("'{}' is left over", rest_));
    if (!error_.ok()) return error_;
    return value;
  }

 private:
  void fail(std::string message) {
    if (error_.ok()) error_ = Status::error("{}", message);
  }
  void skip_spaces() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }
  bool take(std::string_view word) {
    skip_spaces();
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  std::string_view take_word() {
    size_t end = 0;
    while (end < rest_.size() && (std::isalnum(static_cast<unsigned char>(rest_[end])) || rest_[end] == '_')) end++;
    const std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return word;
  }

  FormulaValue level(size_t number) {
    if (number == kNrLevels) return operand();
    FormulaValue left = level(number + 1);
    while (error_.ok()) {
      const std::string_view op = operator_of(number);
      if (op.empty()) break;
      left = combine(op, left, level(number + 1));
    }
    return left;
  }

  std::string_view operator_of(size_t number) {
    std::string_view row = kOperators[number];
    while (!row.empty()) {
      const size_t end = std::min(row.find(' '), row.size());
      if (take(row.substr(0, end))) return row.substr(0, end);
      row.remove_prefix(std::min(end + 1, row.size()));
    }
    return {};
  }

  FormulaValue combine(std::string_view op, const FormulaValue &a, const FormulaValue &b) {
    if (!error_.ok()) return {};
    if (a.cpus || b.cpus) return fail(fmt::format("'{}' takes numbers, not a set of CPUs", op)), FormulaValue{};
    // Wraps, as the program's own arithmetic would.
    const u64 x = static_cast<u64>(a.number), y = static_cast<u64>(b.number);
    if ((op == "/" || op == "%") && (y == 0 || (b.number == -1 && a.number == INT64_MIN)))
      return fail(fmt::format("{} {} {} has no result", a.number, op, b.number)), FormulaValue{};
    if ((op == "<<" || op == ">>") && y > 63)
      return fail(fmt::format("a shift by {}: it takes 0 to 63", b.number)), FormulaValue{};
    s64 result = 0;
    switch (op[0]) {
      case '+': result = static_cast<s64>(x + y); break;
      case '-': result = static_cast<s64>(x - y); break;
      case '*': result = static_cast<s64>(x * y); break;
      case '/': result = a.number / b.number; break;
      case '%': result = a.number % b.number; break;
      case '<': result = static_cast<s64>(x << y); break;
      case '>': result = a.number >> y; break;
      case '&': result = a.number & b.number; break;
      case '|': result = a.number | b.number; break;
      default: break;
    }
    return {result, std::nullopt};
  }

  FormulaValue operand() {
    if (++depth_ > kMaxDepth) return fail("nested too deep"), FormulaValue{};
    const FormulaValue value = inner_operand();
    depth_--;
    return value;
  }

  FormulaValue inner_operand() {
    if (take("-")) return combine("-", {}, operand());
    if (take("(")) {
      FormulaValue value = level(0);
      if (!take(")")) fail("a ) is missing");
      return value;
    }
    skip_spaces();
    const std::string_view word = take_word();
    if (word.empty())
      return fail(rest_.empty() ? std::string("it ends where a number is missing")
                                : fmt::format("'{}' where a number is missing", rest_)),
             FormulaValue{};
    if (word[0] >= '0' && word[0] <= '9') {
      Result<u64> number = parse_number(word, 0, INT64_MAX);
      if (!number.ok()) return fail(number.message()), FormulaValue{};
      return {static_cast<s64>(*number), std::nullopt};
    }
    return take("(") ? call(word) : name(word);
  }

  FormulaValue name(std::string_view word) {
    const std::optional<u32> *here[] = {&place_.cpu, &place_.core, &place_.llc, &place_.node};
    static constexpr std::string_view kKinds[] = {"cpu", "core", "llc", "node"};
    for (size_t i = 0; i < std::size(kKinds); i++) {
      if (word == kKinds[i]) {
        if (here[i]->has_value()) return {static_cast<s64>(**here[i]), std::nullopt};
        return fail(fmt::format("there is no {} here: it has one where a list goes through them", word)),
               FormulaValue{};
      }
      if (word == fmt::format("nr_{}s", kKinds[i])) return {static_cast<s64>(*place_.count(kKinds[i])), std::nullopt};
    }
    if (word == "hz") return {static_cast<s64>(place_.hz), std::nullopt};
    return fail(fmt::format(
               "unknown name '{}'; there are cpu, core, llc, node, nr_cpus, nr_cores, nr_llcs, nr_nodes, hz", word)),
           FormulaValue{};
  }

  FormulaValue call(std::string_view word) {
    std::vector<s64> args;
    if (!take(")")) {
      do {
        const FormulaValue value = level(0);
        if (value.cpus) fail(fmt::format("{}() takes numbers, not a set of CPUs", word));
        args.push_back(value.number);
      } while (error_.ok() && take(","));
      if (!take(")")) fail("a ) is missing");
    }
    if (!error_.ok()) return {};
    for (const Function &function : kFunctions) {
      if (word == function.name) return apply(function, args);
    }
    std::string known;
    for (const Function &function : kFunctions) known += (known.empty() ? "" : ", ") + std::string(function.name);
    return fail(fmt::format("unknown function '{}'; there are {}", word, known)), FormulaValue{};
  }

  FormulaValue apply(const Function &function, const std::vector<s64> &args) {
    if (args.size() != function.nr_args)
      return fail(fmt::format("{}() takes {} argument{}, not {}", function.name, function.nr_args,
                              function.nr_args == 1 ? "" : "s", args.size())),
             FormulaValue{};
    const std::string_view domain = function.domain;
    if (!domain.empty()) {
      const s64 count = *place_.count(domain);
      if (args[0] < 0 || args[0] >= count)
        return fail(fmt::format("{}({}): this machine has {}s 0 to {}", function.name, args[0], domain, count - 1)),
               FormulaValue{};
    }
    const u32 first = args.empty() ? 0 : static_cast<u32>(args[0]);
    if (function.cpus) return {0, function.cpus(*place_.topology, first)};
    if (function.number) return {function.number(*place_.topology, first, args.size() > 1 ? args[1] : 0), std::nullopt};
    const bool least = std::string_view(function.name) == "min";
    return {least ? std::min(args[0], args[1]) : std::max(args[0], args[1]), std::nullopt};
  }

  std::string_view rest_;
  const RecipePlace &place_;
  int depth_ = 0;
  Status error_;
};

}  // namespace

std::optional<u32> RecipePlace::count(std::string_view kind) const {
  if (kind == "cpu") return topology->nr_cpus();
  if (kind == "core") return topology->nr_cores();
  if (kind == "llc") return topology->nr_llcs();
  if (kind == "node") return topology->nr_nodes();
  return std::nullopt;
}

RecipePlace RecipePlace::at(std::string_view kind, u32 i) const {
  RecipePlace out{topology, hz, {}, {}, {}, {}};
  const u32 cpu = kind == "cpu"    ? i
                  : kind == "core" ? first_of(core_mask(*topology, i))
                  : kind == "llc"  ? first_of(topology->llc_mask(i))
                                   : first_of(topology->node_mask(i));
  out.node = topology->node_of(cpu);
  if (kind == "node") return out;
  out.llc = topology->llc_of(cpu);
  if (kind == "llc") return out;
  out.core = topology->core_of(cpu);
  if (kind == "cpu") out.cpu = cpu;
  return out;
}

std::optional<u32> RecipePlace::first_cpu() const {
  if (cpu) return cpu;
  if (core) return first_of(core_mask(*topology, *core));
  if (llc) return first_of(topology->llc_mask(*llc));
  if (node) return first_of(topology->node_mask(*node));
  return std::nullopt;
}

Result<FormulaValue> evaluate_formula(std::string_view text, const RecipePlace &place) {
  return Parser(text, place).parse();
}

}  // namespace uscx::cli
