// SPDX-License-Identifier: GPL-2.0-only
// `uscx inspect X.bpf.o`: what an object has and needs, and which of it is not there: the starting point for a recipe.
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "bpf/load/scan/scan.h"
#include "bridge/host.h"
#include "cli/command.h"
#include "run/compile.h"
#include "run/run.h"
#include "run/scan_json.h"
#include "schedulers/common/scx_user.h"

namespace uscx::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kColumns = 80;

struct Global {
  std::string name, type, value;
  bool is_const;
};

struct Inspection {
  bpf::ScanResult scan;
  std::vector<Global> globals;
  std::vector<Global> ops;  // of the first table
};

bool is_const(const btf *types, u32 id) {
  const btf_type *type = btf__type_by_id(types, id);
  while (type != nullptr && (btf_is_mod(type) || btf_is_typedef(type) || btf_is_array(type))) {
    if (btf_is_const(type)) return true;
    type = btf__type_by_id(types, btf_is_array(type) ? btf_array(type)->type : type->type);
  }
  return false;
}

void read_values(const schedulers::ScxObject &object, Inspection *out) {
  constexpr size_t kMaxValue = 60;
  for (const schedulers::BtfPlace &place : object.variable_places())
    out->globals.push_back({place.name, schedulers::type_name(place.types, place.type_id),
                            schedulers::format_value(place, kMaxValue), is_const(place.types, place.type_id)});
  for (const std::string &field : object.ops_fields()) {
    Result<schedulers::BtfPlace> place = object.ops_field_place(field);
    if (!place.ok() || field == "hotplug_seq") continue;
    out->ops.push_back({field, schedulers::type_name(place->types, place->type_id),
                        schedulers::format_value(*place, kMaxValue), false});
  }
}

Result<Inspection> inspect(const std::string &path) {
  Result<std::vector<u8>> bytes = read_object(path);
  if (!bytes.ok()) return bytes.status();
  Result<std::unique_ptr<bridge::Host>> host = bridge::Host::create({});
  if (!host.ok()) return host.status();
  const bpf::BpfSystem::Scope scope((*host)->system());
  bpf::ScanTarget target = bpf::ScanTarget::of_system((*host)->system());
  Result<bpf::ScanResult> scan = bpf::scan_object(*bytes, target);
  if (!scan.ok()) return scan.status().at(path);
  Inspection out;
  out.scan = scan.take();
  schedulers::Environment environment;
  environment.kernel_btf = (*host)->system().kernel_btf().parsed();
  auto object = schedulers::ScxObject::open_memory(path.substr(path.rfind('/') + 1), *bytes, environment);
  if (!object.ok()) return object.status();
  read_values(**object, &out);
  return out;
}

// --- Text ---

// Words of `text` in lines after `indent` columns; the first line goes on from `first`.
void print_wrapped(std::string first, size_t indent, std::string_view text) {
  std::string line = std::move(first);
  bool has_word = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (has_word && line.size() + 1 + word.size() > kColumns) {
      fmt::print("{}\n", line);
      line.assign(indent, ' ');
      has_word = false;
    }
    if (has_word) line += ' ';
    line += word;
    has_word = true;
  }
  fmt::print("{}\n", line);
}

void print_names(const char *title, const std::vector<std::string> &names) {
  if (names.empty()) return;
  fmt::print("\n{}\n", title);
  print_wrapped("  ", 2, fmt::format("{}", fmt::join(names, " ")));
}

void print_globals(const char *title, const std::vector<Global> &globals) {
  if (globals.empty()) return;
  fmt::print("\n{}\n", title);
  for (const Global &global : globals) {
    const std::string left = fmt::format("  {}{} {} = ", global.is_const ? "const " : "", global.type, global.name);
    const size_t room = left.size() + 8 < kColumns ? kColumns - left.size() : 8;
    const bool fits = global.value.size() <= room;
    fmt::print("{}{}\n", left, fits ? global.value : global.value.substr(0, room - 3) + "...");
  }
}

void print_text(const std::string &path, const Inspection &seen) {
  const bpf::ScanResult &scan = seen.scan;
  if (scan.missing.empty())
    fmt::print("{}: all that it needs is there\n", path);
  else
    fmt::print("{}: cannot be loaded, {} thing{} missing\n", path, scan.missing.size(),
               scan.missing.size() == 1 ? " is" : "s are");
  for (const std::string &line : scan.missing) print_wrapped("  ", 4, line);
  for (const bpf::ScanResult::Table &table : scan.tables) {
    fmt::print("\ntable {} ({})\n", table.name, table.type);
    print_wrapped("  ", 2, fmt::format("{}", fmt::join(table.callbacks, " ")));
  }
  print_globals("fields of the table", seen.ops);
  fmt::print("\nprograms\n");
  for (const auto &program : scan.programs) {
    print_wrapped(fmt::format("  {:<31} {}", program.name, program.section), 34,
                  fmt::format("{}{}{}", program.loaded ? "" : " (not loaded unless asked)",
                              program.note.empty() ? "" : " ", program.note));
  }
  if (!scan.maps.empty()) fmt::print("\nmaps\n");
  for (const auto &map : scan.maps)
    fmt::print("  {:<31} {:<24} {} entries\n", map.name, map_type_text(map.type), map.max_entries);
  print_globals("globals", seen.globals);
  print_names("kfuncs", scan.kfuncs);
  print_names("kfuncs that are missing, where weak: a call of one is a trap", scan.trapping);
  print_names("helpers", scan.helpers);
  print_names("kernel variables and configuration", scan.variables);
  print_names("fields of kernel structs", scan.fields);
  fmt::print("\n");
  print_wrapped("", 0, kNotChecked);
}

// --- JSON ---

Json globals_json(const std::vector<Global> &globals) {
  Json out = Json::array();
  for (const Global &global : globals)
    out.push_back({{"name", global.name}, {"type", global.type}, {"value", global.value}, {"const", global.is_const}});
  return out;
}

void print_json(const std::string &path, const Inspection &seen) {
  Json out = scan_json(path, seen.scan);
  out["ops"] = globals_json(seen.ops);
  out["globals"] = globals_json(seen.globals);
  fmt::print("{}\n", out.dump(2, ' ', false, Json::error_handler_t::replace));
}

int do_inspect(const std::string &path, const std::string &format) {
  if (format != "text" && format != "json")
    return bad_input(Status::error("--report: '{}' is neither text nor json", format));
  Result<Inspection> seen = inspect(path);
  if (!seen.ok()) return bad_input(seen.status(), format == "json");
  format == "json" ? print_json(path, *seen) : print_text(path, *seen);
  return seen->scan.missing.empty() ? kExitOk : kExitBadInput;
}

}  // namespace

void add_inspect_command(CLI::App &app, Action &action) {
  CLI::App *inspect = app.add_subcommand("inspect", "Says what an object has, and needs that is not there.");
  const auto path = std::make_shared<std::string>();
  const auto format = std::make_shared<std::string>("text");
  inspect->add_option("OBJECT", *path, "An object file (X.bpf.o), or source (X.bpf.c)")->required();
  inspect->add_option("--report", *format, "text or json (default text)")->type_name("FORMAT");
  inspect->callback([&action, path, format] { action = [path, format] { return do_inspect(*path, *format); }; });
}

}  // namespace uscx::cli
