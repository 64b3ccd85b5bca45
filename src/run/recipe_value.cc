// SPDX-License-Identifier: GPL-2.0-only
#include "run/recipe_value.h"

#include <bpf/btf.h>

#include <algorithm>
#include <cstring>

#include "run/recipe_formula.h"

namespace uscx::cli {
namespace {

using schedulers::BtfPlace;
using workload::JsonNode;
using workload::JsonPath;
using Kind = JsonNode::Kind;

constexpr s64 kMaxCount = 1 << 20;

Status at(const JsonPath &path, const Status &status) { return status.at(path.text()); }

bool is_formula(const JsonNode &node) {
  return node.kind == Kind::kString && node.text.starts_with('=') && !node.text.starts_with("==");
}
std::string_view formula_of(const JsonNode &node) { return std::string_view(node.text).substr(1); }

Status choose_by_condition(const JsonNode &node, const JsonPath &path, const RecipePlace &place, const ValueFn &use) {
  if (Status status = check_keys(node, path, {"$if", "$then", "$else"}); !status.ok()) return status;
  const JsonNode *condition = node.find("$if"), *yes = node.find("$then"), *no = node.find("$else");
  if (yes == nullptr) return Status::error("{}: $then is missing", path.text());
  Result<bool> holds = truth_of(*condition, path.member(*condition), place);
  if (!holds.ok()) return holds.status();
  const JsonNode *chosen = *holds ? yes : no;
  return chosen == nullptr ? Status::ok_status() : with_value(*chosen, path.member(*chosen), place, use);
}

Status choose_from_list(const JsonNode &node, const JsonPath &path, const RecipePlace &place, const ValueFn &use) {
  if (Status status = check_keys(node, path, {"$from", "$at"}); !status.ok()) return status;
  const JsonNode *list = node.find("$from"), *index = node.find("$at");
  if (index == nullptr) return Status::error("{}: $at is missing", path.text());
  if (Status status = expect_kind(*list, path.member(*list), Kind::kArray); !status.ok()) return status;
  Result<s64> i = number_of(*index, path.member(*index), place);
  if (!i.ok()) return i.status();
  if (*i < 0 || static_cast<u64>(*i) >= list->children.size())
    return Status::error("{}: {} is out of range; the list has {} values, from 0", path.member(*index).text(), *i,
                         list->children.size());
  const JsonPath list_path = path.member(*list);
  return with_value(list->children[static_cast<size_t>(*i)], list_path.item(static_cast<size_t>(*i)), place, use);
}

// --- Each ---

Result<u32> count_of(const JsonNode &step, const JsonPath &path, const RecipePlace &place) {
  const JsonNode &count = *step.find("count");
  Result<s64> number = number_of(count, path.member(count), place);
  if (!number.ok()) return number.status();
  if (*number < 0 || *number > kMaxCount)
    return Status::error("{}: {} is out of range; it takes 0 to {}", path.member(count).text(), *number, kMaxCount);
  return static_cast<u32>(*number);
}

Status no_each(const JsonPath &path) {
  return Status::error(
      "{}: it takes \"cpu\", \"core\", \"llc\" or \"node\", {{\"count\": N, \"as\": NAME}}, {{\"each\": \"cpu\", "
      "\"as\": NAME}}, or a list of two or more of them",
      path.text());
}

// One that is no list.
Status go_through(const JsonNode &step, const JsonPath &path, const RecipePlace &place,
                  const std::function<Status(const RecipePlace &, u32)> &fn) {
  if (step.kind == Kind::kString && place.count(step.text)) {
    for (u32 i = 0; i < *place.count(step.text); i++)
      if (Status status = fn(place.at(step.text, i), i); !status.ok()) return status;
    return Status::ok_status();
  }
  if (step.kind != Kind::kObject) return no_each(path);
  if (Status status = check_keys(step, path, {"each", "count", "as"}); !status.ok()) return status;
  const JsonNode *kind = step.find("each"), *count = step.find("count"), *as = step.find("as");
  if ((kind == nullptr) == (count == nullptr) || as == nullptr || as->kind != Kind::kString) return no_each(path);
  if (kind != nullptr && (kind->kind != Kind::kString || !place.count(kind->text))) return no_each(path.member(*kind));
  if (Status status = check_own_name(as->text); !status.ok()) return at(path.member(*as), status);
  Result<u32> times = kind != nullptr ? Result<u32>(*place.count(kind->text)) : count_of(step, path, place);
  if (!times.ok()) return times.status();
  for (u32 i = 0; i < *times; i++)
    if (Status status = fn(place.with(as->text, i), i); !status.ok()) return status;
  return Status::ok_status();
}

// The steps of a list from `level` on, which are inside of those before.
Status go_through_list(const JsonNode &list, const JsonPath &path, const RecipePlace &place, std::vector<u32> *indexes,
                       const PlaceFn &fn) {
  const size_t level = indexes->size();
  if (level == list.children.size()) return fn(place, *indexes);
  return go_through(list.children[level], path.item(level), place, [&](const RecipePlace &inner, u32 i) {
    indexes->push_back(i);
    Status status = go_through_list(list, path, inner, indexes, fn);
    indexes->pop_back();
    return status;
  });
}

// --- Values in memory ---

const btf_type *type_of(const BtfPlace &place) {
  const int id = btf__resolve_type(place.types, place.type_id);
  return id < 0 ? nullptr : btf__type_by_id(place.types, static_cast<u32>(id));
}

// A set of CPUs as a bitmap: an integer, an array of integers, or a struct around one of them.
Status write_bitmap(const BtfPlace &place, machine::MaskView cpus) {
  const btf_type *type = type_of(place);
  const std::string what = fmt::format("{} ({})", place.name, schedulers::type_name(place.types, place.type_id));
  if (type == nullptr) return Status::error("{} takes no set of CPUs", what);
  if (btf_is_struct(type) && btf_vlen(type) == 1) {
    const BtfPlace member{place.types, btf_members(type)[0].type, place.data, place.name};
    return write_bitmap(member, cpus);
  }
  const btf_type *element = type;
  u64 bytes = type->size;
  if (btf_is_array(type)) {
    element = type_of({place.types, btf_array(type)->type, nullptr, ""});
    bytes = u64{btf_array(type)->nelems} * (element == nullptr ? 0 : element->size);
  }
  if (element == nullptr || !btf_is_int(element)) return Status::error("{} takes no set of CPUs", what);
  std::memset(place.data, 0, bytes);
  for (u32 cpu = cpus.first(); cpu < cpus.nr_cpus(); cpu = cpus.next(cpu + 1)) {
    if (cpu / 8 >= bytes) return Status::error("{} has {} bits, too few for CPU {}", what, bytes * 8, cpu);
    // Little-endian words: bit n is bit n % 8 of byte n / 8, whatever the width of the words.
    place.data[cpu / 8] |= static_cast<u8>(1u << cpu % 8);
  }
  return Status::ok_status();
}

Status write_string(const BtfPlace &target, const JsonNode &node, const RecipePlace &place) {
  // "==" stands for a text that begins with "=".
  if (!is_formula(node)) return schedulers::write_value(target, node.text.substr(node.text.starts_with("==")));
  Result<FormulaValue> value = evaluate_formula(formula_of(node), place);
  if (!value.ok()) return value.status();
  if (value->cpus) return write_bitmap(target, *value->cpus);
  return schedulers::write_number(target, value->number);
}

Status write_each(const BtfPlace &target, const JsonNode &node, const JsonPath &path, const RecipePlace &place) {
  if (Status status = check_keys(node, path, {"$each", "$value"}); !status.ok()) return status;
  const JsonNode *each = node.find("$each"), *value = node.find("$value");
  if (value == nullptr) return Status::error("{}: $value is missing", path.text());
  return for_each_place(*each, path.member(*each), place,
                        [&](const RecipePlace &inner, const std::vector<u32> &indexes) -> Status {
                          Result<BtfPlace> element = target;
                          for (const u32 i : indexes) {
                            element = schedulers::walk_path(*element, fmt::format("[{}]", i));
                            if (!element.ok()) return at(path, element.status());
                          }
                          return write_recipe_value(*element, *value, path.member(*value), inner);
                        });
}

// Members of a struct, or elements of an array.
Status write_parts(const BtfPlace &target, const JsonNode &node, const JsonPath &path, const RecipePlace &place) {
  for (size_t i = 0; i < node.children.size(); i++) {
    const JsonNode &child = node.children[i];
    const JsonPath child_path = node.kind == Kind::kArray ? path.item(i) : path.member(child);
    if (node.kind == Kind::kObject && child.key.starts_with('$'))
      return Status::error("{}: unknown key; there are $each with $value, $from with $at, $if with $then and $else",
                           child_path.text());
    const std::string step = node.kind == Kind::kArray    ? fmt::format("[{}]", i)
                             : child.key.starts_with("[") ? child.key
                                                          : "." + child.key;
    Result<BtfPlace> part = schedulers::walk_path(target, step);
    if (!part.ok()) return at(child_path, part.status());
    if (Status status = write_recipe_value(*part, child, child_path, place); !status.ok()) return status;
  }
  return Status::ok_status();
}

Status write_chosen(const BtfPlace &target, const JsonNode &node, const JsonPath &path, const RecipePlace &place) {
  switch (node.kind) {
    case Kind::kMissing: return Status::error("{}: a value is missing", path.text());
    case Kind::kNull: return Status::error("{}: null is no value; leave it out", path.text());
    case Kind::kBool: return at(path, schedulers::write_value(target, node.integer ? "true" : "false"));
    case Kind::kInteger: return at(path, schedulers::write_number(target, {node.integer, false}));
    case Kind::kFraction: return at(path, schedulers::write_value(target, node.text));
    case Kind::kString: return at(path, write_string(target, node, place));
    case Kind::kArray:
    case Kind::kObject: break;
  }
  return node.find("$each") != nullptr ? write_each(target, node, path, place) : write_parts(target, node, path, place);
}

}  // namespace

Status expect_kind(const JsonNode &node, const JsonPath &path, Kind kind) {
  if (node.kind == kind) return Status::ok_status();
  return Status::error("{}: is {}; it takes {}", path.text(), kind_text(node.kind), kind_text(kind));
}

Status check_keys(const JsonNode &node, const JsonPath &path, std::initializer_list<const char *> keys) {
  for (const JsonNode &child : node.children) {
    if (std::find(keys.begin(), keys.end(), child.key) == keys.end())
      return Status::error("{}: unknown key; there are {}", path.member(child).text(), fmt::join(keys, ", "));
  }
  return Status::ok_status();
}

Status with_value(const JsonNode &node, const JsonPath &path, const RecipePlace &place, const ValueFn &use) {
  if (node.kind == Kind::kObject && node.find("$if") != nullptr) return choose_by_condition(node, path, place, use);
  if (node.kind == Kind::kObject && node.find("$from") != nullptr) return choose_from_list(node, path, place, use);
  return use(node, path);
}

Result<s64> number_of(const JsonNode &node, const JsonPath &path, const RecipePlace &place) {
  std::optional<s64> number;
  const Status status = with_value(node, path, place, [&](const JsonNode &chosen, const JsonPath &where) -> Status {
    if (chosen.kind == Kind::kInteger) return number = chosen.integer, Status::ok_status();
    if (!is_formula(chosen))
      return Status::error("{}: is {}; it takes a number or a formula", where.text(), kind_text(chosen.kind));
    Result<schedulers::Integer> value = evaluate_number(formula_of(chosen), place);
    if (!value.ok()) return at(where, value.status());
    number = value->value;
    return Status::ok_status();
  });
  if (!status.ok()) return status;
  if (!number) return Status::error("{}: $else is missing, and the condition does not hold", path.text());
  return *number;
}

Result<bool> truth_of(const JsonNode &node, const JsonPath &path, const RecipePlace &place) {
  if (node.kind == Kind::kBool) return node.integer != 0;
  Result<s64> number = number_of(node, path, place);
  if (!number.ok()) return number.status();
  return *number != 0;
}

Status for_each_place(const JsonNode &each, const JsonPath &path, const RecipePlace &place, const PlaceFn &fn) {
  if (each.kind != Kind::kArray)
    return go_through(each, path, place, [&](const RecipePlace &inner, u32 i) { return fn(inner, {i}); });
  if (each.children.size() < 2) return no_each(path);
  const auto unnamed = std::count_if(each.children.begin(), each.children.end(),
                                     [](const JsonNode &step) { return step.kind == Kind::kString; });
  if (unnamed > 1)
    return Status::error("{}: all but one need a name, as {{\"each\": \"cpu\", \"as\": \"other\"}} has", path.text());
  std::vector<u32> indexes;
  return go_through_list(each, path, place, &indexes, fn);
}

Status for_each_entry(const JsonNode &entry, const JsonPath &path, const RecipePlace &place,
                      const std::function<Status(const RecipePlace &)> &fn) {
  const JsonNode *condition = entry.find("if"), *each = entry.find("each");
  const auto if_holds = [&](const RecipePlace &here) -> Status {
    Result<bool> holds = true;
    if (condition != nullptr) holds = truth_of(*condition, path.member(*condition), here);
    if (!holds.ok()) return holds.status();
    return *holds ? fn(here) : Status::ok_status();
  };
  if (each == nullptr) return if_holds(place);
  return for_each_place(*each, path.member(*each), place,
                        [&](const RecipePlace &inner, const std::vector<u32> &) { return if_holds(inner); });
}

Status write_recipe_value(const BtfPlace &target, const JsonNode &node, const JsonPath &path,
                          const RecipePlace &place) {
  return with_value(node, path, place, [&](const JsonNode &chosen, const JsonPath &where) {
    return write_chosen(target, chosen, where, place);
  });
}

Status make_bytes(const btf *types, u32 type_id, u32 size, const std::string &name, TypedBytes *out) {
  if (type_id == 0 || btf__resolve_size(types, type_id) != size)
    return Status::error("{} has no type in the object's BTF", name);
  out->bytes.assign(size, 0);
  out->place = {types, type_id, out->bytes.data(), name};
  return Status::ok_status();
}

}  // namespace uscx::cli
