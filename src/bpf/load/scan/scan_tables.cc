// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/scan/scan_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "bpf/object/map.h"

namespace uscx::bpf {

namespace {

constexpr char kOps[] = "sched_ext_ops";

std::string upper_case(std::string text) {
  for (char &c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

// Types of which the kernel owns the contents where they stand in a map's value.
bool is_kernel_owned(std::string_view name) {
  static constexpr std::string_view kNames[] = {"bpf_spin_lock", "bpf_res_spin_lock", "bpf_timer",    "bpf_wq",
                                                "bpf_list_head", "bpf_rb_root",       "bpf_refcount", "bpf_task_work"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// How the note of a section begins that has nowhere to go.
constexpr std::string_view kCannotLoad = "cannot be loaded: ";

bool is_kptr_tag(std::string_view tag) {
  return tag == "kptr" || tag == "kptr_untrusted" || tag == "percpu_kptr" || tag == "uptr";
}

const btf_member *find_member(const struct btf *btf, u32 struct_id, std::string_view name) {
  const btf_type *type = btf__type_by_id(btf, struct_id);
  for (u32 i = 0; i < btf_vlen(type); i++) {
    const char *member = btf__name_by_offset(btf, btf_members(type)[i].name_off);
    if (member != nullptr && name == member) return &btf_members(type)[i];
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> Complaints::list() const {
  std::vector<std::string> out;
  for (const auto &[subject, lines] : lines_) out.insert(out.end(), lines.begin(), lines.end());
  return out;
}

Result<ObjectTables> ObjectTables::read(const ObjectFile &object, const ScanTarget &target, Complaints *complaints) {
  ObjectTables tables(object, target, complaints);
  for (auto part : {&ObjectTables::read_programs, &ObjectTables::read_struct_ops}) {
    if (Status status = (tables.*part)(); !status.ok()) return status;
  }
  if (Status status = tables.check_tables(); !status.ok()) return status;
  tables.complain_of_programs();
  tables.read_maps();
  return tables;
}

std::vector<ObjectTables::Variable> ObjectTables::variables_of(const std::string &datasec) const {
  std::vector<Variable> out;
  const u32 id = object_.find_datasec(datasec);
  if (id == 0) return out;
  const btf_type *type = btf__type_by_id(object_.btf(), id);
  for (u32 i = 0; i < btf_vlen(type); i++) {
    const u32 variable_id = btf_var_secinfos(type)[i].type;
    const btf_type *variable = btf__type_by_id(object_.btf(), variable_id);
    if (variable != nullptr && btf_is_var(variable))
      out.push_back({btf_type_name(object_.btf(), variable_id), variable->type});
  }
  return out;
}

// --- Programs ---

Status ObjectTables::read_programs() {
  for (const ElfSymbol &symbol : object_.symbols()) {
    if (!symbol.defined || !symbol.function) continue;
    const ElfSection &section = object_.sections()[symbol.section];
    // .text has the functions that programs share.
    if (!section.executable || section.name == ".text") continue;
    if (symbol.value % sizeof(bpf_insn) != 0 || symbol.value >= section.size)
      return Status::error("section {}: program {} starts outside of it or between instructions", section.name,
                           symbol.name);
    const bool optional = section.name.starts_with('?');
    programs_.push_back({symbol.name,
                         section.name.substr(optional),
                         {symbol.section, static_cast<u32>(symbol.value / sizeof(bpf_insn))},
                         !optional});
  }
  std::sort(programs_.begin(), programs_.end(), [](const Program &a, const Program &b) { return a.name < b.name; });
  return Status::ok_status();
}

void ObjectTables::complain_of_programs() {
  for (Program &program : programs_) {
    const auto reference = referenced_.find(program.start);
    if (reference != referenced_.end()) program.loaded = reference->second;
    if (const auto told = target_.loads.find(program.name); told != target_.loads.end()) program.loaded = told->second;
    const std::string kind = program.section.substr(0, program.section.find('/'));
    const std::string note = target_.note_of == nullptr ? "" : target_.note_of(program.section);
    if (program.loaded && note.starts_with(kCannotLoad))
      complaints_->add(Complaints::kProgram, fmt::format("program {} (SEC(\"{}\")): {}", program.name, program.section,
                                                         note.substr(kCannotLoad.size())));
    if (program.loaded && !target_.programs.contains(kind))
      complaints_->add(Complaints::kProgram, fmt::format("program type {} (SEC(\"{}\") {}) is not implemented", kind,
                                                         program.section, program.name));
  }
}

// --- struct_ops ---

Status ObjectTables::read_struct_ops() {
  for (const char *name : {".struct_ops", ".struct_ops.link", "?.struct_ops", "?.struct_ops.link"}) {
    const s64 section = object_.find_section(name);
    if (section < 0) continue;
    for (const Variable &variable : variables_of(name)) {
      if (Status status = read_table(static_cast<u32>(section), variable, *name == '?'); !status.ok()) return status;
    }
  }
  return Status::ok_status();
}

Status ObjectTables::read_table(u32 section, const Variable &variable, bool optional) {
  const struct btf *btf = object_.btf();
  const u32 struct_id = object_.skip_modifiers(variable.type);
  const btf_type *type = struct_id == 0 ? nullptr : btf__type_by_id(btf, struct_id);
  const ElfSymbol *symbol = object_.find_symbol(section, variable.name);
  const std::span<const u8> bytes = object_.sections()[section].bytes;
  if (type == nullptr || !btf_is_struct(type) || symbol == nullptr || symbol->value > bytes.size() ||
      type->size > bytes.size() - symbol->value)
    return Status::error("struct_ops variable {} is corrupt", variable.name);

  ScanResult::Table table{variable.name, std::string(essential_name(btf_type_name(btf, struct_id))), {}};
  const bool offered = target_.struct_ops.contains(table.type);
  if (!offered && !optional) {
    complaints_->add(Complaints::kStructOps,
                     table.type.starts_with(kOps)
                         ? fmt::format("struct_ops {} is not implemented", table.type)
                         : fmt::format("struct_ops type {} (variable {}) is not sched_ext's", table.type, table.name));
  }
  for (u32 i = 0; i < btf_vlen(type); i++) read_member(&table, section, symbol->value, type, i, !optional);
  std::sort(table.callbacks.begin(), table.callbacks.end());
  tables_.push_back(std::move(table));
  return Status::ok_status();
}

void ObjectTables::read_member(ScanResult::Table *table, u32 section, u64 table_at, const btf_type *type, u32 index,
                               bool wanted) {
  const struct btf *btf = object_.btf();
  const btf_member &member = btf_members(type)[index];
  const std::string name = object_.btf_string(member.name_off);
  const u64 offset = btf_member_bit_offset(type, index) / 8;
  const s64 size = btf__resolve_size(btf, member.type);
  if (size <= 0 || offset + static_cast<u64>(size) > type->size) return;
  const std::span<const u8> bytes = object_.sections()[section].bytes.subspan(table_at + offset, size);

  const s32 kernel_id = btf__find_by_name_kind(target_.kernel_btf, table->type.c_str(), BTF_KIND_STRUCT);
  const bool in_kernel =
      kernel_id <= 0 || find_member(target_.kernel_btf, static_cast<u32>(kernel_id), name) != nullptr;
  const bool acted_upon = !target_.ops_members.has_value() || target_.ops_members->contains(name);
  const bool offered = target_.struct_ops.contains(table->type);

  const auto reloc = object_.relocs(section).find(table_at + offset);
  if (reloc != object_.relocs(section).end() && bytes.size() == sizeof(u64)) {
    u64 addend = 0;
    std::memcpy(&addend, bytes.data(), sizeof(addend));
    const ElfSymbol &symbol = object_.symbols()[reloc->second.symbol];
    const u64 start = symbol.value + addend;
    if (symbol.defined && object_.sections()[symbol.section].executable && start % sizeof(bpf_insn) == 0) {
      const CodePoint program{symbol.section, static_cast<u32>(start / sizeof(bpf_insn))};
      if (is_taken_out(program)) return;
      // libbpf leaves out a callback that the kernel does not know.
      referenced_[program] |= wanted && in_kernel;
      table->callbacks.push_back(name);
      if (wanted && offered && in_kernel && !acted_upon)
        complaints_->add(Complaints::kMember, fmt::format("{}.{} is not implemented", table->type, name));
      return;
    }
  }
  const bool is_set = std::any_of(bytes.begin(), bytes.end(), [](u8 byte) { return byte != 0; });
  if (is_set && wanted && offered && (!in_kernel || !acted_upon))
    complaints_->add(Complaints::kMember,
                     fmt::format("{}.{} is not {}", table->type, name, in_kernel ? "implemented" : "modelled"));
}

// User space takes a program out of the tables when it does not load it.
bool ObjectTables::is_taken_out(CodePoint start) const {
  for (const Program &program : programs_) {
    const auto told = target_.loads.find(program.name);
    if (program.start == start && told != target_.loads.end() && !told->second) return true;
  }
  return false;
}

Status ObjectTables::check_tables() const {
  std::string others;
  for (const ScanResult::Table &table : tables_) {
    if (table.type.starts_with(kOps)) return Status::ok_status();
    others += (others.empty() ? "" : ", ") + table.type;
  }
  if (others.empty()) return Status::error("no {} in the object: it is not a scheduler", kOps);
  return Status::error("no {} in the object: it is for another struct_ops ({})", kOps, others);
}

// --- Maps ---

void ObjectTables::read_maps() {
  for (const Variable &variable : variables_of(".maps")) read_map(variable.name, variable.type, 0);
  std::sort(maps_.begin(), maps_.end(), [](const auto &a, const auto &b) { return a.name < b.name; });
  // Global data is a map too, of which each section is the value.
  for (u32 id = 1; id < btf__type_cnt(object_.btf()); id++) {
    const std::string name = btf_type_name(object_.btf(), id);
    if (!btf_is_datasec(btf__type_by_id(object_.btf(), id)) || !(name == ".bss" || name.starts_with(".data"))) continue;
    std::set<u32> seen;
    for (const Variable &variable : variables_of(name)) check_value(name, variable.type, &seen);
  }
}

void ObjectTables::read_map(const std::string &name, u32 type, int depth) {
  const struct btf *btf = object_.btf();
  const u32 id = object_.skip_modifiers(type);
  if (id == 0 || !btf_is_struct(btf__type_by_id(btf, id))) return;
  auto member_type = [&](const char *wanted) -> u32 {
    const btf_member *member = find_member(btf, id, wanted);
    return member == nullptr ? 0 : object_.skip_modifiers(member->type);
  };
  ScanResult::MapInfo map{name, definition_number(member_type("type")), definition_number(member_type("max_entries"))};
  if (!target_.map_types.contains(map.type)) {
    const char *type_name = map_type_name(map.type);
    complaints_->add(Complaints::kMap,
                     fmt::format("map type {} (map {}) is not implemented",
                                 type_name == nullptr ? fmt::format("{}", map.type) : upper_case(type_name), name));
  }
  std::set<u32> seen;
  if (const u32 value = member_type("value"); value != 0 && btf_is_ptr(btf__type_by_id(btf, value)))
    check_value(name, btf__type_by_id(btf, value)->type, &seen);
  // A map of maps describes the inner ones in `values`, an array of pointers.
  const u32 values = member_type("values");
  if (values != 0 && btf_is_array(btf__type_by_id(btf, values)) && depth == 0) {
    const u32 pointer = object_.skip_modifiers(btf_array(btf__type_by_id(btf, values))->type);
    if (pointer != 0 && btf_is_ptr(btf__type_by_id(btf, pointer)))
      read_map(name + ".inner", btf__type_by_id(btf, pointer)->type, depth + 1);
  }
  maps_.push_back(std::move(map));
}

u32 ObjectTables::definition_number(u32 type) const {
  const btf_type *pointer = type == 0 ? nullptr : btf__type_by_id(object_.btf(), type);
  if (pointer == nullptr || !btf_is_ptr(pointer)) return 0;
  const u32 array = object_.skip_modifiers(pointer->type);
  return array != 0 && btf_is_array(btf__type_by_id(object_.btf(), array))
             ? btf_array(btf__type_by_id(object_.btf(), array))->nelems
             : 0;
}

void ObjectTables::check_value(const std::string &map, u32 type, std::set<u32> *seen) {
  const struct btf *btf = object_.btf();
  const u32 id = object_.skip_modifiers(type);
  if (id == 0 || !seen->insert(id).second) return;
  const btf_type *found = btf__type_by_id(btf, id);
  std::string field;
  if (btf_is_ptr(found)) {
    const btf_type *tag = btf__type_by_id(btf, found->type);
    if (tag != nullptr && btf_is_type_tag(tag) && is_kptr_tag(btf_type_name(btf, found->type))) field = "kptr";
  } else if (btf_is_array(found)) {
    return check_value(map, btf_array(found)->type, seen);
  } else if (btf_is_struct(found)) {
    const std::string name = btf_type_name(btf, id);
    if (is_kernel_owned(name)) field = name;
    for (u32 i = 0; field.empty() && i < btf_vlen(found); i++) check_value(map, btf_members(found)[i].type, seen);
  }
  if (!field.empty() && !target_.value_fields.contains(field))
    complaints_->add(Complaints::kMapField, fmt::format("{} in a value of map {} is not implemented", field, map));
}

}  // namespace uscx::bpf
