// SPDX-License-Identifier: GPL-2.0-only
// Values of recipes: JSON to typed memory.
#include <bpf/btf.h>

#include <cstring>

#include "run/recipe.h"

namespace uscx::cli {
namespace {

using schedulers::BtfPlace;
using workload::JsonNode;
using workload::JsonPath;
using Kind = JsonNode::Kind;

constexpr const char *kEach = "$each";
constexpr const char *kValue = "$value";

Status at(const JsonPath &path, const Status &status) { return status.at(path.text()); }

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

Status write_string(const BtfPlace &place, const JsonNode &node, const JsonPath &path, const RecipePlace &machine) {
  if (!node.text.starts_with('=')) return at(path, schedulers::write_value(place, node.text));
  if (node.text.starts_with("==")) return at(path, schedulers::write_value(place, node.text.substr(1)));
  Result<FormulaValue> value = evaluate_formula(std::string_view(node.text).substr(1), machine);
  if (!value.ok()) return at(path, value.status());
  if (value->cpus) return at(path, write_bitmap(place, *value->cpus));
  return at(path, schedulers::write_value(place, fmt::format("{}", value->number)));
}

Status write_each(const BtfPlace &place, const JsonNode &node, const JsonPath &path, const RecipePlace &machine) {
  const JsonNode *each = node.find(kEach), *value = node.find(kValue);
  if (value == nullptr || node.children.size() != 2)
    return Status::error("{}: {} goes with {} and nothing else", path.text(), kEach, kValue);
  const std::optional<u32> count = each->kind == Kind::kString ? machine.count(each->text) : std::nullopt;
  if (!count) return Status::error("{}: it takes \"cpu\", \"core\", \"llc\" or \"node\"", path.member(*each).text());
  for (u32 i = 0; i < *count; i++) {
    Result<BtfPlace> element = schedulers::walk_path(place, fmt::format("[{}]", i));
    if (!element.ok()) return at(path, element.status());
    if (Status status = write_recipe_value(*element, *value, path.member(*value), machine.at(each->text, i));
        !status.ok())
      return status;
  }
  return Status::ok_status();
}

}  // namespace

Status write_recipe_value(const BtfPlace &place, const JsonNode &node, const JsonPath &path,
                          const RecipePlace &machine) {
  switch (node.kind) {
    case Kind::kMissing: return Status::error("{}: a value is missing", path.text());
    case Kind::kNull: return Status::error("{}: null is no value; leave it out", path.text());
    case Kind::kBool: return at(path, schedulers::write_value(place, node.integer ? "true" : "false"));
    case Kind::kInteger: return at(path, schedulers::write_value(place, fmt::format("{}", node.integer)));
    case Kind::kFraction: return at(path, schedulers::write_value(place, node.text));
    case Kind::kString: return write_string(place, node, path, machine);
    case Kind::kArray:
    case Kind::kObject: break;
  }
  if (node.find(kEach) != nullptr) return write_each(place, node, path, machine);
  for (size_t i = 0; i < node.children.size(); i++) {
    const JsonNode &child = node.children[i];
    const JsonPath child_path = node.kind == Kind::kArray ? path.item(i) : path.member(child);
    const std::string step = node.kind == Kind::kArray    ? fmt::format("[{}]", i)
                             : child.key.starts_with("[") ? child.key
                                                          : "." + child.key;
    Result<BtfPlace> part = schedulers::walk_path(place, step);
    if (!part.ok()) return at(child_path, part.status());
    if (Status status = write_recipe_value(*part, child, child_path, machine); !status.ok()) return status;
  }
  return Status::ok_status();
}

}  // namespace uscx::cli
