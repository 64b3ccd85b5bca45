// SPDX-License-Identifier: GPL-2.0-only
#include "run/recipe_formula.h"

#include <algorithm>
#include <cctype>

#include "base/units.h"

namespace uscx::cli {
namespace {

using schedulers::Integer;

constexpr int kMaxDepth = 128;

// Operators by how tightly they bind; those of one row from left to right. Of ?:, which binds least, see conditional().
constexpr std::string_view kOperators[] = {"||", "&&", "|", "&", "== !=", "< <= > >=", "<< >>", "+ -", "* / %"};
constexpr size_t kNrLevels = std::size(kOperators);
// As they are read: the longest that fits.
constexpr std::string_view kTokens[] = {"||", "&&", "==", "!=", "<=", ">=", "<<", ">>", "|",
                                        "&",  "<",  ">",  "+",  "-",  "*",  "/",  "%"};

constexpr std::string_view kKinds[] = {"cpu", "core", "llc", "node"};
constexpr std::string_view kMachineNames[] = {"nr_cpus", "nr_cores", "nr_llcs", "nr_nodes", "nr_threads", "smt", "hz"};

bool is_word_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

s64 machine_number(std::string_view name, const RecipePlace &place) {
  if (name == "hz") return place.hz;
  if (name == "smt") return place.topology->smt_active();
  if (name == "nr_threads") return place.topology->nr_cpus() / place.topology->nr_cores();
  name.remove_prefix(std::string_view("nr_").size());
  name.remove_suffix(1);
  return *place.count(name);
}

// C's: unsigned if one of the two is. It wraps, as the program's own arithmetic would.
Integer arithmetic(std::string_view op, Integer a, Integer b) {
  const u64 x = static_cast<u64>(a.value), y = static_cast<u64>(b.value);
  const bool is_unsigned = a.is_unsigned || b.is_unsigned;
  const auto number = [&](u64 bits) { return Integer{static_cast<s64>(bits), is_unsigned}; };
  if (op == "==") return {x == y, false};
  if (op == "!=") return {x != y, false};
  if (op == "<") return {is_less(a, b), false};
  if (op == ">") return {is_less(b, a), false};
  if (op == "<=") return {!is_less(b, a), false};
  if (op == ">=") return {!is_less(a, b), false};
  if (op == "&&") return {x != 0 && y != 0, false};
  if (op == "||") return {x != 0 || y != 0, false};
  if (op == "<<") return {static_cast<s64>(x << y), a.is_unsigned};
  if (op == ">>") return {a.is_unsigned ? static_cast<s64>(x >> y) : a.value >> y, a.is_unsigned};
  if (op == "+") return number(x + y);
  if (op == "-") return number(x - y);
  if (op == "*") return number(x * y);
  if (op == "/") return is_unsigned ? number(x / y) : Integer{a.value / b.value, false};
  if (op == "%") return is_unsigned ? number(x % y) : Integer{a.value % b.value, false};
  if (op == "&") return number(x & y);
  CHECK(op == "|", "{}", op);
  return number(x | y);
}

class Parser {
 public:
  Parser(std::string_view text, const RecipePlace &place) : rest_(text), place_(place) {}

  Result<FormulaValue> parse() {
    FormulaValue value = conditional();
    skip_spaces();
    if (error_.ok() && !rest_.empty()) fail(fmt::format("'{}' is left over", rest_));
    if (!error_.ok()) return error_;
    return value;
  }

 private:
  // --- Text ---

  FormulaValue fail(std::string message) {
    if (error_.ok()) error_ = Status::error("{}", message);
    return {};
  }
  // What has no value matters only where the value does.
  FormulaValue no_value(std::string message) { return unused_ > 0 ? FormulaValue{} : fail(std::move(message)); }

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
    skip_spaces();
    size_t end = 0;
    while (end < rest_.size() && is_word_character(rest_[end])) end++;
    const std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return word;
  }
  // The operator that comes next, if it is of that row.
  std::string_view take_operator(std::string_view row) {
    skip_spaces();
    for (const std::string_view token : kTokens) {
      if (!rest_.starts_with(token)) continue;
      for (size_t at = 0; at < row.size();) {
        const size_t end = std::min(row.find(' ', at), row.size());
        if (row.substr(at, end - at) == token) return rest_.remove_prefix(token.size()), token;
        at = end + 1;
      }
      return {};
    }
    return {};
  }

  // --- Operators ---

  FormulaValue conditional() {
    if (++depth_ > kMaxDepth) return fail("nested too deep");
    FormulaValue value = level(0);
    if (take("?")) {
      const bool holds = truth(value);
      FormulaValue yes = part(holds);
      if (!take(":")) fail("a : is missing");
      FormulaValue no = part(!holds);
      value = holds ? yes : no;
    }
    depth_--;
    return value;
  }

  FormulaValue part(bool used) {
    unused_ += !used;
    FormulaValue value = conditional();
    unused_ -= !used;
    return value;
  }

  bool truth(const FormulaValue &value) {
    if (value.cpus) fail("a condition is a number, not a set of CPUs");
    return value.number.value != 0;
  }

  FormulaValue level(size_t number) {
    if (number == kNrLevels) return operand();
    FormulaValue left = level(number + 1);
    while (error_.ok()) {
      const std::string_view op = take_operator(kOperators[number]);
      if (op.empty()) break;
      const bool decided = (op == "&&" && !truth(left)) || (op == "||" && truth(left));
      unused_ += decided;
      const FormulaValue right = level(number + 1);
      unused_ -= decided;
      left = combine(op, left, right);
    }
    return left;
  }

  FormulaValue combine(std::string_view op, const FormulaValue &a, const FormulaValue &b) {
    if (!error_.ok()) return {};
    if (a.cpus || b.cpus) return fail(fmt::format("'{}' takes numbers, not a set of CPUs", op));
    const s64 y = b.number.value;
    const bool overflows = y == -1 && a.number.value == INT64_MIN && !a.number.is_unsigned && !b.number.is_unsigned;
    if ((op == "/" || op == "%") && (y == 0 || overflows))
      return no_value(fmt::format("{} {} {} has no result", a.number.text(), op, b.number.text()));
    if ((op == "<<" || op == ">>") && (y < 0 || y > 63))
      return no_value(fmt::format("a shift by {}: it takes 0 to 63", b.number.text()));
    return {arithmetic(op, a.number, b.number), std::nullopt};
  }

  // --- Operands ---

  FormulaValue operand() {
    if (++depth_ > kMaxDepth) return fail("nested too deep");
    FormulaValue value = inner_operand();
    depth_--;
    return value;
  }

  FormulaValue inner_operand() {
    if (take("-")) return combine("-", {}, operand());
    if (take("!")) return {{!truth(operand()), false}, std::nullopt};
    if (take("(")) {
      FormulaValue value = conditional();
      if (!take(")")) fail("a ) is missing");
      return value;
    }
    const std::string_view word = take_word();
    if (word.empty())
      return fail(rest_.empty() ? std::string("it ends where a number is missing")
                                : fmt::format("'{}' where a number is missing", rest_));
    if (word[0] >= '0' && word[0] <= '9') {
      Result<u64> number = parse_number(word, 0, UINT64_MAX);
      if (!number.ok()) return fail(number.message());
      return {{static_cast<s64>(*number), *number > INT64_MAX}, std::nullopt};
    }
    if (!take("(")) return name(word);
    return word == "sizeof" ? size() : call(word);
  }

  FormulaValue name(std::string_view word) {
    for (auto own = place_.named.rbegin(); own != place_.named.rend(); ++own)
      if (own->first == word) return {{own->second, false}, std::nullopt};
    if (const std::vector<Integer> *numbers = saved(word)) return {numbers->back(), std::nullopt};
    const std::optional<u32> *here[] = {&place_.cpu, &place_.core, &place_.llc, &place_.node};
    for (size_t i = 0; i < std::size(kKinds); i++) {
      if (word != kKinds[i]) continue;
      if (here[i]->has_value()) return {{**here[i], false}, std::nullopt};
      return fail(fmt::format("there is no {} here: it has one where a list goes through them", word));
    }
    if (std::find(std::begin(kMachineNames), std::end(kMachineNames), word) != std::end(kMachineNames))
      return {{machine_number(word, place_), false}, std::nullopt};
    if (const std::optional<Integer> number = schedulers::find_enumerator(place_.types, word))
      return {*number, std::nullopt};
    return fail(fmt::format("unknown name '{}'; there are {}, {}, names of the recipe and enumerators of the object",
                            word, fmt::join(kKinds, ", "), fmt::join(kMachineNames, ", ")));
  }

  const std::vector<Integer> *saved(std::string_view word) const {
    const auto found = place_.saved->find(word);
    return found == place_.saved->end() ? nullptr : &found->second;
  }

  FormulaValue size() {
    const size_t end = rest_.find(')');
    if (end == std::string_view::npos) return fail("a ) is missing");
    std::string_view type = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    while (type.starts_with(' ')) type.remove_prefix(1);
    while (type.ends_with(' ')) type.remove_suffix(1);
    Result<u64> bytes = schedulers::size_of_type(place_.types, type);
    if (!bytes.ok()) return fail(bytes.message());
    return {{static_cast<s64>(*bytes), false}, std::nullopt};
  }

  FormulaValue call(std::string_view word) {
    std::vector<Integer> args;
    if (!take(")")) {
      do {
        const FormulaValue value = conditional();
        if (value.cpus) fail(fmt::format("{}() takes numbers, not a set of CPUs", word));
        args.push_back(value.number);
      } while (error_.ok() && take(","));
      if (!take(")")) fail("a ) is missing");
    }
    if (!error_.ok() || unused_ > 0) return {};
    if (const std::vector<Integer> *numbers = saved(word)) return saved_at(word, *numbers, args);
    Result<FormulaValue> value = call_function(word, args, *place_.topology);
    return value.ok() ? value.take() : fail(value.message());
  }

  FormulaValue saved_at(std::string_view word, const std::vector<Integer> &numbers, const std::vector<Integer> &args) {
    if (args.size() != 1) return fail(fmt::format("{}() takes 1 argument, not {}", word, args.size()));
    if (args[0].value < 0 || static_cast<u64>(args[0].value) >= numbers.size())
      return fail(fmt::format("{}({}): it was saved {} times, 0 to {}", word, args[0].text(), numbers.size(),
                              numbers.size() - 1));
    return {numbers[static_cast<size_t>(args[0].value)], std::nullopt};
  }

  std::string_view rest_;
  const RecipePlace &place_;
  int depth_ = 0;
  int unused_ = 0;  // In how many parts that && || ?: leave out.
  Status error_;
};

}  // namespace

Result<FormulaValue> evaluate_formula(std::string_view text, const RecipePlace &place) {
  return Parser(text, place).parse();
}

Result<Integer> evaluate_number(std::string_view text, const RecipePlace &place) {
  Result<FormulaValue> value = evaluate_formula(text, place);
  if (!value.ok()) return value.status();
  if (value->cpus) return Status::error("a set of CPUs is no number");
  return value->number;
}

Status check_own_name(std::string_view word) {
  const bool is_name =
      !word.empty() && !(word[0] >= '0' && word[0] <= '9') && std::all_of(word.begin(), word.end(), is_word_character);
  if (!is_name) return Status::error("'{}' is no name: it takes letters, digits and _", word);
  const bool taken = std::find(std::begin(kKinds), std::end(kKinds), word) != std::end(kKinds) ||
                     std::find(std::begin(kMachineNames), std::end(kMachineNames), word) != std::end(kMachineNames);
  return taken ? Status::error("'{}' has a meaning already", word) : Status::ok_status();
}

}  // namespace uscx::cli
