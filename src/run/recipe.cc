// SPDX-License-Identifier: GPL-2.0-only
#include "run/recipe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <system_error>

#include "base/files.h"
#include "base/units.h"
#include "run/recipe_programs.h"
#include "run/recipe_value.h"

namespace uscx::cli {
namespace {

using schedulers::BtfPlace;
using workload::JsonNode;
using workload::JsonPath;
using Kind = JsonNode::Kind;

std::string errno_text(int err) { return std::generic_category().message(err < 0 ? -err : err); }

const JsonPath kRoot;

// Calls fn(child, its path) for each member of the root's member `name`, which is an object.
template <typename Fn>
Status for_members(const JsonNode &root, const char *name, Fn fn) {
  const JsonNode *node = root.find(name);
  if (node == nullptr) return Status::ok_status();
  const JsonPath path = kRoot.member(*node);
  for (const JsonNode &child : node->children) {
    if (Status status = fn(child, path.member(child)); !status.ok()) return status;
  }
  return Status::ok_status();
}

// --- Before the load ---

Status set_globals(const JsonNode &root, const Recipe::Target &target) {
  return for_members(root, "globals", [&](const JsonNode &node, const JsonPath &path) -> Status {
    Result<BtfPlace> place = target.object->variable_place(node.key);
    if (!place.ok()) return place.status().at(path.text());
    return write_recipe_value(*place, node, path, target.machine);
  });
}

// Names of flags: those that replace all others, or those to be added (+) and removed (-).
Status set_flags(const JsonNode &list, const JsonPath &path, const Recipe::Target &target) {
  std::vector<std::string> names;
  for (size_t i = 0; i < list.children.size(); i++) {
    Status status = with_value(list.children[i], path.item(i), target.machine,
                               [&](const JsonNode &flag, const JsonPath &where) -> Status {
                                 names.push_back(flag.text);
                                 return expect_kind(flag, where, Kind::kString);
                               });
    if (!status.ok()) return status;
  }
  const auto changes = std::count_if(names.begin(), names.end(), [](const std::string &name) {
    return name.starts_with('+') || name.starts_with('-');
  });
  if (changes == 0)
    return target.object->set_ops_field("flags", names.empty() ? "0" : fmt::format("{}", fmt::join(names, "|")));
  if (static_cast<size_t>(changes) != names.size())
    return Status::error("either all of them begin with + or -, or none; '{}' alone replaces the flags",
                         *std::find_if(names.begin(), names.end(), [](const std::string &name) {
                           return !name.starts_with('+') && !name.starts_with('-');
                         }));
  for (const std::string &name : names)
    if (Status status = target.object->set_ops_flag(name.substr(1), name[0] == '+'); !status.ok()) return status;
  return Status::ok_status();
}

Status set_callback(const JsonNode &node, const std::string &field, const Recipe::Target &target) {
  if (node.kind != Kind::kNull && node.kind != Kind::kString)
    return Status::error("is {}; a callback takes null or the name of a struct_ops program", kind_text(node.kind));
  if (node.kind == Kind::kString && node.text.empty())
    return Status::error("'' is no program; null takes the callback out");
  return target.object->set_callback(field, node.text);
}

Status set_ops_field(const JsonNode &field, const JsonPath &path, const Recipe::Target &target) {
  return with_value(field, path, target.machine, [&](const JsonNode &node, const JsonPath &where) -> Status {
    if (target.object->is_callback(field.key)) return set_callback(node, field.key, target).at(where.text());
    if (field.key == "flags" && node.kind == Kind::kArray) return set_flags(node, where, target).at(where.text());
    std::string text = node.text;
    if (node.kind == Kind::kInteger || (node.kind == Kind::kString && text.starts_with('='))) {
      Result<s64> number = number_of(node, where, target.machine);
      if (!number.ok()) return number.status();
      text = fmt::format("{}", *number);
    } else if (node.kind != Kind::kString && node.kind != Kind::kFraction) {
      return Status::error("{}: is {}; it takes a number or a string", where.text(), kind_text(node.kind));
    }
    return target.object->set_ops_field(field.key, text).at(where.text());
  });
}

// libbpf loads a struct_ops program if a table has it.
Status set_load(const Recipe::Target &target, bpf_program *program, bool load) {
  if (bpf_program__type(program) == BPF_PROG_TYPE_STRUCT_OPS) {
    if (load ? target.object->is_in_table(program) : target.object->remove_callbacks(program))
      return Status::ok_status();
    return Status::error("no table has this struct_ops program; ops puts it into one");
  }
  const int err = bpf_program__set_autoload(program, load);
  return err == 0 ? Status::ok_status() : Status::error("{}", errno_text(err));
}

Status set_loads(const JsonNode &root, const Recipe::Target &target) {
  return for_members(root, "load", [&](const JsonNode &node, const JsonPath &path) -> Status {
    bpf_program *program = bpf_object__find_program_by_name(target.object->object(), node.key.c_str());
    if (program == nullptr) return Status::error("{}: the object has no such program", path.text());
    Result<bool> load = truth_of(node, path, target.machine);
    return load.ok() ? set_load(target, program, *load).at(path.text()) : load.status();
  });
}

Result<bpf_map *> find_map(const Recipe::Target &target, const JsonNode &node, const JsonPath &path) {
  bpf_map *map = bpf_object__find_map_by_name(target.object->object(), node.key.c_str());
  if (map == nullptr || bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
    return Status::error("{}: the object has no such map", path.text());
  return map;
}

Status set_sizes(const JsonNode &root, const Recipe::Target &target) {
  return for_members(root, "max_entries", [&](const JsonNode &node, const JsonPath &path) -> Status {
    Result<bpf_map *> map = find_map(target, node, path);
    if (!map.ok()) return map.status();
    Result<s64> number = number_of(node, path, target.machine);
    if (!number.ok()) return number.status();
    if (*number < 1 || *number > UINT32_MAX)
      return Status::error("{}: {} is out of range; it takes 1 to {}", path.text(), *number, UINT32_MAX);
    if (const int err = bpf_map__set_max_entries(*map, static_cast<u32>(*number)); err != 0)
      return Status::error("{}: {}", path.text(), errno_text(err));
    return Status::ok_status();
  });
}

// --- Maps ---

bool is_percpu(u32 type) {
  return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

// The bytes of one value: of a per-CPU map one copy after the other, each made where its CPU is.
Status make_value(const bpf_map *map, const JsonNode &node, const JsonPath &path, const RecipePlace &machine,
                  std::vector<u8> *out) {
  TypedBytes value;
  if (Status status =
          make_bytes(machine.types, bpf_map__btf_value_type_id(map), bpf_map__value_size(map), "value", &value);
      !status.ok())
    return status.at(path.text());
  if (!is_percpu(bpf_map__type(map))) {
    Status status = write_recipe_value(value.place, node, path, machine);
    *out = std::move(value.bytes);
    return status;
  }
  const size_t stride = (value.bytes.size() + 7) / 8 * 8;
  for (u32 cpu = 0; cpu < machine.topology->nr_cpus(); cpu++) {
    std::fill(value.bytes.begin(), value.bytes.end(), u8{0});
    if (Status status = write_recipe_value(value.place, node, path, machine.at("cpu", cpu)); !status.ok())
      return status;
    out->insert(out->end(), value.bytes.begin(), value.bytes.end());
    out->resize(out->size() + stride - value.bytes.size());
  }
  return Status::ok_status();
}

// One entry of a map, where its list is.
Status fill_one(const bpf_map *map, const JsonNode &entry, const JsonPath &path, const RecipePlace &place) {
  const JsonNode *key = entry.find("key"), &value = *entry.find("value");
  TypedBytes key_bytes;
  if (key != nullptr) {
    Status status = make_bytes(place.types, bpf_map__btf_key_type_id(map), bpf_map__key_size(map), "key", &key_bytes);
    if (!status.ok()) return status.at(path.member(*key).text());
    status = write_recipe_value(key_bytes.place, *key, path.member(*key), place);
    if (!status.ok()) return status;
  }
  std::vector<u8> bytes;
  if (Status status = make_value(map, value, path.member(value), place, &bytes); !status.ok()) return status;
  // Not bpf_map__update_elem(): it compares sizes with the number of CPUs that libbpf remembers from before.
  const void *key_data = key != nullptr ? key_bytes.bytes.data() : nullptr;
  if (bpf_map_update_elem(bpf_map__fd(map), key_data, bytes.data(), BPF_ANY) != 0)
    return Status::error("{}: the map does not take it: {}", path.text(), errno_text(errno));
  return Status::ok_status();
}

Status fill_entry(const Recipe::Target &target, const bpf_map *map, const JsonNode &entry, const JsonPath &path) {
  if (Status status = expect_kind(entry, path, Kind::kObject); !status.ok()) return status;
  if (Status status = check_keys(entry, path, {"each", "if", "key", "value"}); !status.ok()) return status;
  if (entry.find("value") == nullptr) return Status::error("{}: value is missing", path.text());
  const bool has_key = bpf_map__key_size(map) > 0;
  if ((entry.find("key") != nullptr) != has_key)
    return Status::error("{}: {}", path.text(), has_key ? "key is missing" : "entries of this map have no key");
  return for_each_entry(entry, path, target.machine,
                        [&](const RecipePlace &place) { return fill_one(map, entry, path, place); });
}

Status fill_maps(const JsonNode &root, const Recipe::Target &target) {
  return for_members(root, "maps", [&](const JsonNode &node, const JsonPath &path) -> Status {
    Result<bpf_map *> map = find_map(target, node, path);
    if (!map.ok()) return map.status();
    for (size_t i = 0; i < node.children.size(); i++) {
      if (Status status = fill_entry(target, *map, node.children[i], path.item(i)); !status.ok()) return status;
    }
    return Status::ok_status();
  });
}

// --- Shape ---

struct Section {
  const char *name;
  std::optional<Kind> kind;  // Nothing: a condition.
  std::optional<Kind> item;  // Of each member or item.
};
constexpr Section kSections[] = {
    {"table", Kind::kString, {}},
    {"globals", Kind::kObject, {}},
    {"ops", Kind::kObject, {}},
    {"load", Kind::kObject, {}},
    {"max_entries", Kind::kObject, {}},
    {"maps", Kind::kObject, Kind::kArray},
    {"comment", Kind::kString, {}},
    {"attach", {}, {}},
    {"run_before_attach", Kind::kArray, Kind::kObject},
    {"run_after_attach", Kind::kArray, Kind::kObject},
    {"run_while_attached", Kind::kArray, Kind::kObject},
};

Status check_section(const Section &section, const JsonNode &node, const JsonPath &path) {
  if (!section.kind) return Status::ok_status();
  if (Status status = expect_kind(node, path, *section.kind); !status.ok()) return status;
  for (size_t i = 0; section.item && i < node.children.size(); i++) {
    const JsonPath child = node.kind == Kind::kArray ? path.item(i) : path.member(node.children[i]);
    if (Status status = expect_kind(node.children[i], child, *section.item); !status.ok()) return status;
  }
  return Status::ok_status();
}

// --- Files with values ---

Result<std::vector<JsonNode>> values_of_file(const std::string &path) {
  Result<std::vector<u8>> bytes = read_file(path);
  if (!bytes.ok()) return bytes.status();
  std::istringstream words(std::string(bytes->begin(), bytes->end()));
  std::vector<JsonNode> values;
  for (std::string word; words >> word;) {
    const bool is_negative = word.starts_with('-');
    Result<u64> number = is_negative ? 0 : parse_number(word, 0, UINT64_MAX);
    Result<s64> negative = is_negative ? parse_signed(word, INT64_MIN, 0) : 0;
    if (!number.ok() || !negative.ok())
      return Status::error("{}: value {}: '{}' is no integer of 64 bits", path, values.size(), word);
    JsonNode &value = values.emplace_back();
    value.kind = *number > INT64_MAX ? Kind::kFraction : Kind::kInteger;  // The text of what does not fit.
    value.integer = is_negative ? *negative : static_cast<s64>(*number);
    value.text = word;
  }
  return values;
}

// Puts the numbers of files in the place of their names.
Status read_values(JsonNode *node, const JsonPath &path, const std::string &folder, std::vector<std::string> *files) {
  for (size_t i = 0; i < node->children.size(); i++) {
    JsonNode &child = node->children[i];
    const JsonPath child_path = node->kind == Kind::kArray ? path.item(i) : path.member(child);
    if (child.key != "$from" || child.kind != Kind::kString) {
      if (Status status = read_values(&child, child_path, folder, files); !status.ok()) return status;
      continue;
    }
    files->push_back(child.text.starts_with('/') ? child.text : folder + child.text);
    Result<std::vector<JsonNode>> values = values_of_file(files->back());
    if (!values.ok()) return values.status().at(child_path.text());
    child.kind = Kind::kArray;
    child.children = values.take();
  }
  return Status::ok_status();
}

}  // namespace

Status Recipe::check() {
  if (root_.kind != Kind::kObject) return Status::error("a recipe is an object, not {}", kind_text(root_.kind));
  for (const JsonNode &node : root_.children) {
    const JsonPath path = kRoot.member(node);
    const auto section = std::find_if(std::begin(kSections), std::end(kSections),
                                      [&](const Section &one) { return node.key == one.name; });
    if (section == std::end(kSections)) {
      std::string names;
      for (const Section &one : kSections) names += (names.empty() ? "" : ", ") + std::string(one.name);
      return Status::error("{}: unknown key; there are {}", path.text(), names);
    }
    Status status = check_section(*section, node, path);
    const bool timed = node.key == "run_while_attached";
    for (size_t i = 0; status.ok() && node.key.starts_with("run_") && i < node.children.size(); i++)
      status = check_program_entry(node.children[i], path.item(i), timed ? &times_.emplace_back() : nullptr);
    if (!status.ok()) return status;
  }
  return Status::ok_status();
}

Result<std::shared_ptr<Recipe>> Recipe::parse(std::string_view text) {
  Result<JsonNode> root = workload::parse_json(text);
  if (!root.ok()) return root.status();
  std::shared_ptr<Recipe> recipe(new Recipe(root.take()));
  if (Status status = recipe->check(); !status.ok()) return status;
  return recipe;
}

Result<std::shared_ptr<const Recipe>> Recipe::read(const std::string &path) {
  Result<std::vector<u8>> bytes = read_file(path);
  if (!bytes.ok()) return bytes.status();
  Result<std::shared_ptr<Recipe>> recipe = parse({reinterpret_cast<const char *>(bytes->data()), bytes->size()});
  if (!recipe.ok()) return recipe.status().at(path);
  Status status = read_values(&(*recipe)->root_, kRoot, path.substr(0, path.rfind('/') + 1), &(*recipe)->files_);
  if (!status.ok()) return status.at(path);
  return std::shared_ptr<const Recipe>(recipe.take());
}

Status Recipe::check_attach(const Target &target) const {
  Result<bool> attach = attaches(target);
  if (!attach.ok()) return attach.status();
  for (const char *list : {"run_after_attach", "run_while_attached"})
    if (!*attach && root_.find(list) != nullptr)
      return Status::error("{}: the recipe does not attach the scheduler (attach)", list);
  return Status::ok_status();
}

Result<bool> Recipe::attaches(const Target &target) const {
  const JsonNode *node = root_.find("attach");
  return node == nullptr ? true : truth_of(*node, kRoot.member(*node), target.machine);
}

Status Recipe::before_load(const Target &target) const {
  target.saved->clear();
  if (Status status = check_attach(target); !status.ok()) return status;
  if (const JsonNode *table = root_.find("table")) {
    if (Status status = target.object->select_ops_table(table->text); !status.ok()) return status.at("table");
  }
  // Sizes first: a data section that grows moves.
  for (auto step : {set_sizes, set_globals, set_loads}) {
    if (Status status = step(root_, target); !status.ok()) return status;
  }
  return for_members(root_, "ops",
                     [&](const JsonNode &node, const JsonPath &path) { return set_ops_field(node, path, target); });
}

// Those of the list that `wanted` says, by their number.
Status Recipe::run_programs(const Target &target, const char *list, const std::function<bool(size_t)> &wanted) const {
  const JsonNode *node = root_.find(list);
  if (node == nullptr) return Status::ok_status();
  const JsonPath path = kRoot.member(*node);
  for (size_t i = 0; i < node->children.size(); i++) {
    if (!wanted(i)) continue;
    if (Status status = run_program_entry(target, node->children[i], path.item(i)); !status.ok()) return status;
  }
  return Status::ok_status();
}

Status Recipe::before_attach(const Target &target) const {
  if (Status status = fill_maps(root_, target); !status.ok()) return status;
  return run_programs(target, "run_before_attach", [](size_t) { return true; });
}

Status Recipe::after_attach(const Target &target) const {
  return run_programs(target, "run_after_attach", [](size_t) { return true; });
}

std::optional<u64> Recipe::next_step(u64 after_ns) const {
  std::optional<u64> next;
  for (const StepTime &time : times_) {
    if (!time.repeats && time.ns <= after_ns) continue;
    const u64 due = time.repeats ? (after_ns / time.ns + 1) * time.ns : time.ns;
    next = std::min(next.value_or(due), due);
  }
  return next;
}

Status Recipe::run_step(const Target &target, u64 at_ns) const {
  return run_programs(target, "run_while_attached",
                      [&](size_t i) { return times_[i].repeats ? at_ns % times_[i].ns == 0 : times_[i].ns == at_ns; });
}

}  // namespace uscx::cli
