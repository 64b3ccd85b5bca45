// SPDX-License-Identifier: GPL-2.0-only
#include "run/recipe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <set>
#include <system_error>

#include "base/files.h"

namespace uscx::cli {
namespace {

using schedulers::BtfPlace;
using schedulers::ScxObject;
using workload::JsonNode;
using workload::JsonPath;
using Kind = JsonNode::Kind;

std::string errno_text(int err) { return std::generic_category().message(err < 0 ? -err : err); }

Status expect(const JsonNode &node, const JsonPath &path, Kind kind) {
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

// Calls fn(the place) once, or for each number of what `each` names.
template <typename Fn>
Status for_each_place(const JsonNode &entry, const JsonPath &path, const RecipePlace &machine, Fn fn) {
  const JsonNode *each = entry.find("each");
  if (each == nullptr) return fn(machine);
  const std::optional<u32> count = each->kind == Kind::kString ? machine.count(each->text) : std::nullopt;
  if (!count) return Status::error("{}: it takes \"cpu\", \"core\", \"llc\" or \"node\"", path.member(*each).text());
  for (u32 i = 0; i < *count; i++) {
    if (Status status = fn(machine.at(each->text, i)); !status.ok()) return status;
  }
  return Status::ok_status();
}

Result<s64> number_of(const JsonNode &node, const JsonPath &path, const RecipePlace &machine) {
  if (node.kind == Kind::kInteger) return node.integer;
  if (node.kind != Kind::kString || !node.text.starts_with('='))
    return Status::error("{}: is {}; it takes a number or a formula", path.text(), kind_text(node.kind));
  Result<FormulaValue> value = evaluate_formula(std::string_view(node.text).substr(1), machine);
  if (!value.ok()) return value.status().at(path.text());
  if (value->cpus) return Status::error("{}: a set of CPUs is no number", path.text());
  return value->number;
}

// --- Before the load ---

Status set_globals(const JsonNode &root, const Recipe::Target &target) {
  return for_members(root, "globals", [&](const JsonNode &node, const JsonPath &path) -> Status {
    Result<BtfPlace> place = target.object->variable_place(node.key);
    if (!place.ok()) return place.status().at(path.text());
    return write_recipe_value(*place, node, path, target.machine);
  });
}

Status set_ops_field(const JsonNode &node, const JsonPath &path, const Recipe::Target &target) {
  std::string text = node.text;
  if (node.key == "flags" && node.kind == Kind::kArray) {
    for (size_t i = 0; i < node.children.size(); i++) {
      const JsonNode &flag = node.children[i];
      if (Status status = expect(flag, path.item(i), Kind::kString); !status.ok()) return status;
      text += (text.empty() ? "" : "|") + flag.text;
    }
    if (text.empty()) text = "0";
  } else if (node.kind == Kind::kInteger || (node.kind == Kind::kString && text.starts_with('='))) {
    Result<s64> number = number_of(node, path, target.machine);
    if (!number.ok()) return number.status();
    text = fmt::format("{}", *number);
  } else if (node.kind != Kind::kString && node.kind != Kind::kFraction) {
    return Status::error("{}: is {}; it takes a number or a string", path.text(), kind_text(node.kind));
  }
  return target.object->set_ops_field(node.key, text).at(path.text());
}

Status set_loads(const JsonNode &root, const Recipe::Target &target) {
  return for_members(root, "load", [&](const JsonNode &node, const JsonPath &path) -> Status {
    bpf_program *program = bpf_object__find_program_by_name(target.object->object(), node.key.c_str());
    if (program == nullptr) return Status::error("{}: the object has no such program", path.text());
    if (const int err = bpf_program__set_autoload(program, node.integer != 0); err != 0)
      return Status::error("{}: {}", path.text(), errno_text(err));
    return Status::ok_status();
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

// Memory of a type that the object's BTF describes; without a type, none that can be written.
struct TypedBytes {
  std::vector<u8> bytes;
  BtfPlace place;
};

Status make_bytes(const Recipe::Target &target, u32 type_id, u32 size, const std::string &name, TypedBytes *out) {
  const btf *types = bpf_object__btf(target.object->object());
  if (type_id == 0 || btf__resolve_size(types, type_id) != size)
    return Status::error("{} has no type in the object's BTF", name);
  out->bytes.assign(size, 0);
  out->place = {types, type_id, out->bytes.data(), name};
  return Status::ok_status();
}

bool is_percpu(u32 type) {
  return type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

// The bytes of one value: of a per-CPU map one copy after the other, each made where its CPU is.
Status make_value(const Recipe::Target &target, const bpf_map *map, const JsonNode &node, const JsonPath &path,
                  const RecipePlace &machine, std::vector<u8> *out) {
  TypedBytes value;
  if (Status status = make_bytes(target, bpf_map__btf_value_type_id(map), bpf_map__value_size(map), "value", &value);
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

Status fill_entry(const Recipe::Target &target, const bpf_map *map, const JsonNode &entry, const JsonPath &path) {
  if (Status status = expect(entry, path, Kind::kObject); !status.ok()) return status;
  if (Status status = check_keys(entry, path, {"each", "key", "value"}); !status.ok()) return status;
  const JsonNode *key = entry.find("key"), *value = entry.find("value");
  if (value == nullptr) return Status::error("{}: value is missing", path.text());
  const bool has_key = bpf_map__key_size(map) > 0;
  if ((key != nullptr) != has_key)
    return Status::error("{}: {}", path.text(), has_key ? "key is missing" : "entries of this map have no key");
  return for_each_place(entry, path, target.machine, [&](const RecipePlace &place) -> Status {
    TypedBytes key_bytes;
    if (has_key) {
      Status status = make_bytes(target, bpf_map__btf_key_type_id(map), bpf_map__key_size(map), "key", &key_bytes);
      if (!status.ok()) return status.at(path.member(*key).text());
      status = write_recipe_value(key_bytes.place, *key, path.member(*key), place);
      if (!status.ok()) return status;
    }
    std::vector<u8> bytes;
    if (Status status = make_value(target, map, *value, path.member(*value), place, &bytes); !status.ok())
      return status;
    // Not bpf_map__update_elem(): it compares sizes with the number of CPUs that libbpf remembers from before.
    if (bpf_map_update_elem(bpf_map__fd(map), has_key ? key_bytes.bytes.data() : nullptr, bytes.data(), BPF_ANY) != 0)
      return Status::error("{}: the map does not take it: {}", path.text(), errno_text(errno));
    return Status::ok_status();
  });
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

// --- Programs ---

// The struct that the program's context points to, or the one that the recipe names; 0 if there is neither.
u32 context_type(const btf *types, const std::string &program, const JsonNode *type_name) {
  if (type_name != nullptr) {
    const s32 named = btf__find_by_name_kind(types, type_name->text.c_str(), BTF_KIND_STRUCT);
    return named > 0 ? static_cast<u32>(named) : 0;
  }
  const s32 func = btf__find_by_name_kind(types, program.c_str(), BTF_KIND_FUNC);
  if (func <= 0) return 0;
  const btf_type *proto = btf__type_by_id(types, btf__type_by_id(types, static_cast<u32>(func))->type);
  if (proto == nullptr || btf_vlen(proto) == 0) return 0;
  const s32 param = btf__resolve_type(types, btf_params(proto)[0].type);
  if (param <= 0 || !btf_is_ptr(btf__type_by_id(types, static_cast<u32>(param)))) return 0;
  const s32 pointee = btf__resolve_type(types, btf__type_by_id(types, static_cast<u32>(param))->type);
  return pointee > 0 && btf_is_composite(btf__type_by_id(types, static_cast<u32>(pointee))) ? static_cast<u32>(pointee)
                                                                                            : 0;
}

Status make_context(const Recipe::Target &target, const std::string &program, const JsonNode &entry,
                    const JsonPath &path, const RecipePlace &place, TypedBytes *out) {
  const JsonNode *context = entry.find("context");
  const btf *types = bpf_object__btf(target.object->object());
  const u32 type = context_type(types, program, entry.find("context_type"));
  if (type == 0) {
    if (context == nullptr) return Status::ok_status();
    return Status::error("{}: program {} does not say what its context is; name a struct of the object in context_type",
                         path.text(), program);
  }
  const s64 size = btf__resolve_size(types, type);
  if (Status status = make_bytes(target, type, static_cast<u32>(size), "context", out); !status.ok())
    return status.at(path.text());
  return context == nullptr ? Status::ok_status()
                            : write_recipe_value(out->place, *context, path.member(*context), place);
}

Status run_one(const Recipe::Target &target, const bpf_program *program, const JsonNode &entry, const JsonPath &path,
               const RecipePlace &place) {
  TypedBytes context;
  if (Status status = make_context(target, bpf_program__name(program), entry, path, place, &context); !status.ok())
    return status;
  const JsonNode *pin = entry.find("pin");
  if (pin != nullptr && pin->integer != 0) target.set_user_cpu(place.first_cpu().value_or(0));
  LIBBPF_OPTS(bpf_test_run_opts, opts);
  opts.ctx_in = context.bytes.empty() ? nullptr : context.bytes.data();
  opts.ctx_size_in = static_cast<u32>(context.bytes.size());
  const int err = bpf_prog_test_run_opts(bpf_program__fd(program), &opts);
  const int error_number = errno;
  target.set_user_cpu(0);
  if (err != 0) return Status::error("{}: it cannot be run: {}", path.text(), errno_text(error_number));
  const JsonNode *returns = entry.find("returns");
  if (returns != nullptr && returns->kind == Kind::kString && returns->text == "any") return Status::ok_status();
  Result<s64> wanted = s64{0};
  if (returns != nullptr) wanted = number_of(*returns, path.member(*returns), place);
  if (!wanted.ok()) return wanted.status();
  if (static_cast<s32>(opts.retval) != static_cast<s32>(*wanted))
    return Status::error("{}: program {} returned {}, not {}", path.text(), bpf_program__name(program),
                         static_cast<s32>(opts.retval), *wanted);
  return Status::ok_status();
}

Status run_entry(const Recipe::Target &target, const JsonNode &entry, const JsonPath &path) {
  const JsonNode &name = *entry.find("program");
  const bpf_program *program = bpf_object__find_program_by_name(target.object->object(), name.text.c_str());
  if (program == nullptr) return Status::error("{}: the object has no such program", path.member(name).text());
  if (bpf_program__type(program) != BPF_PROG_TYPE_SYSCALL)
    return Status::error("{}: {} is no syscall program, and others cannot be run", path.member(name).text(), name.text);
  if (bpf_program__fd(program) < 0)
    return Status::error("{}: {} is not loaded; say so in load", path.member(name).text(), name.text);
  return for_each_place(entry, path, target.machine,
                        [&](const RecipePlace &place) { return run_one(target, program, entry, path, place); });
}

// --- Shape ---

struct Section {
  const char *name;
  Kind kind;
};
constexpr Section kSections[] = {
    {"table", Kind::kString},   {"globals", Kind::kObject},          {"ops", Kind::kObject},
    {"load", Kind::kObject},    {"max_entries", Kind::kObject},      {"maps", Kind::kObject},
    {"comment", Kind::kString}, {"run_before_attach", Kind::kArray}, {"run_after_attach", Kind::kArray},
};

Status check_run(const JsonNode &list, const JsonPath &path) {
  for (size_t i = 0; i < list.children.size(); i++) {
    const JsonNode &entry = list.children[i];
    const JsonPath entry_path = path.item(i);
    if (Status status = expect(entry, entry_path, Kind::kObject); !status.ok()) return status;
    if (Status status = check_keys(entry, entry_path, {"program", "context", "context_type", "each", "pin", "returns"});
        !status.ok())
      return status;
    if (entry.find("program") == nullptr) return Status::error("{}: program is missing", entry_path.text());
    for (const auto &[key, kind] : {std::pair{"program", Kind::kString}, std::pair{"context", Kind::kObject},
                                    std::pair{"context_type", Kind::kString}, std::pair{"pin", Kind::kBool}}) {
      const JsonNode *member = entry.find(key);
      if (member == nullptr) continue;
      if (Status status = expect(*member, entry_path.member(*member), kind); !status.ok()) return status;
    }
    const JsonNode *pin = entry.find("pin");
    if (pin != nullptr && pin->integer != 0 && entry.find("each") == nullptr)
      return Status::error("{}: a program is pinned where each says; it is missing", entry_path.member(*pin).text());
  }
  return Status::ok_status();
}

}  // namespace

Status Recipe::check() const {
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
    if (Status status = expect(node, path, section->kind); !status.ok()) return status;
    if (node.key.starts_with("run_")) {
      if (Status status = check_run(node, path); !status.ok()) return status;
    }
    for (const JsonNode &child : node.children) {
      if (node.key == "load") {
        if (Status status = expect(child, path.member(child), Kind::kBool); !status.ok()) return status;
      } else if (node.key == "maps") {
        if (Status status = expect(child, path.member(child), Kind::kArray); !status.ok()) return status;
      }
    }
  }
  return Status::ok_status();
}

Result<std::shared_ptr<const Recipe>> Recipe::parse(std::string_view text) {
  Result<JsonNode> root = workload::parse_json(text);
  if (!root.ok()) return root.status();
  std::shared_ptr<const Recipe> recipe(new Recipe(root.take()));
  if (Status status = recipe->check(); !status.ok()) return status;
  return recipe;
}

Result<std::shared_ptr<const Recipe>> Recipe::read(const std::string &path) {
  Result<std::vector<u8>> bytes = read_file(path);
  if (!bytes.ok()) return bytes.status();
  Result<std::shared_ptr<const Recipe>> recipe = parse({reinterpret_cast<const char *>(bytes->data()), bytes->size()});
  return recipe.ok() ? recipe : recipe.status().at(path);
}

std::map<std::string, bool> Recipe::loads() const {
  std::map<std::string, bool> out;
  if (const JsonNode *node = root_.find("load")) {
    for (const JsonNode &child : node->children) out[child.key] = child.integer != 0;
  }
  return out;
}

Status Recipe::before_load(const Target &target) const {
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

Status Recipe::run_programs(const Target &target, const char *list) const {
  const JsonNode *node = root_.find(list);
  if (node == nullptr) return Status::ok_status();
  const JsonPath path = kRoot.member(*node);
  for (size_t i = 0; i < node->children.size(); i++) {
    if (Status status = run_entry(target, node->children[i], path.item(i)); !status.ok()) return status;
  }
  return Status::ok_status();
}

Status Recipe::before_attach(const Target &target) const {
  if (Status status = fill_maps(root_, target); !status.ok()) return status;
  return run_programs(target, "run_before_attach");
}

Status Recipe::after_attach(const Target &target) const { return run_programs(target, "run_after_attach"); }

}  // namespace uscx::cli
