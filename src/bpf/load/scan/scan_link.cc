// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/scan/scan_link.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace uscx::bpf {

namespace {

// Types of BPF's ELF relocations.
constexpr u32 kReloc64 = 1;  // ld_imm64
constexpr u32 kRelocCall = 10;

// The text after "NAME=" in the kernel's configuration.
std::optional<std::string> config_text(const std::string &config, const std::string &name) {
  const std::string wanted = name + "=";
  for (size_t at = 0; at < config.size();) {
    const size_t end = std::min(config.find('\n', at), config.size());
    if (config.compare(at, wanted.size(), wanted) == 0)
      return config.substr(at + wanted.size(), end - at - wanted.size());
    at = end + 1;
  }
  return std::nullopt;
}

// The number that LINUX_KERNEL_VERSION has for "7.2.12-x".
u64 version_code(const std::string &release) {
  unsigned major = 0, minor = 0, patch = 0;
  std::sscanf(release.c_str(), "%u.%u.%u", &major, &minor, &patch);
  return (u64{major} << 16) + (u64{minor} << 8) + std::min(patch, 255u);
}

// A configuration value as the number that an extern of it reads; nothing for a string.
std::optional<u64> config_number(const std::string &text, bool is_tristate, bool is_char) {
  if (text == "y" || text == "n" || text == "m") {
    if (is_char) return static_cast<u64>(text[0]);
    return text == "n" ? 0 : text == "y" || !is_tristate ? 1 : 2;
  }
  char *end = nullptr;
  const u64 value = std::strtoull(text.c_str(), &end, 0);
  if (text.empty() || *end != '\0') return std::nullopt;
  return value;
}

}  // namespace

ScanLink::ScanLink(const ObjectFile &object, const ScanTarget &target)
    : object_(object), target_(target), resolver_(object, target.kernel_btf) {}

Status ScanLink::link() {
  find_externs();
  load_constants();
  for (u32 section = 0; section < object_.sections().size(); section++) {
    if (!object_.sections()[section].executable) continue;
    if (Status status = link_section(section); !status.ok()) return status;
  }
  return Status::ok_status();
}

// --- Externs ---

void ScanLink::find_externs() {
  // What the BTF says of them, by name.
  std::map<std::string, std::pair<u32, std::string>> described;
  for (const char *section : {".ksyms", ".kconfig"}) {
    const u32 datasec = object_.find_datasec(section);
    const btf_type *type = datasec == 0 ? nullptr : btf__type_by_id(object_.btf(), datasec);
    for (u32 i = 0; type != nullptr && i < btf_vlen(type); i++) {
      const u32 id = btf_var_secinfos(type)[i].type;
      described[btf_type_name(object_.btf(), id)] = {id, section};
    }
  }
  for (u32 i = 1; i < object_.symbols().size(); i++) {
    const ElfSymbol &symbol = object_.symbols()[i];
    if (symbol.defined || symbol.local || symbol.name.empty()) continue;
    const auto it = described.find(symbol.name);
    externs_[i] = it == described.end() ? describe_extern(symbol, 0, "")
                                        : describe_extern(symbol, it->second.first, it->second.second);
  }
}

ScanLink::Extern ScanLink::describe_extern(const ElfSymbol &symbol, u32 btf_id, const std::string &section) const {
  Extern out;
  out.name = essential_name(symbol.name);
  out.weak = symbol.weak;
  out.info_at = symbol.info_at;
  const btf_type *type = btf_id == 0 ? nullptr : btf__type_by_id(object_.btf(), btf_id);
  if (type == nullptr)
    out.missing = fmt::format("extern {} is defined nowhere", symbol.name);
  else if (btf_is_func(type))
    describe_kfunc(btf_id, &out);
  else if (section == ".kconfig")
    describe_config(btf_id, &out);
  else
    describe_variable(btf_id, &out);
  return out;
}

void ScanLink::describe_kfunc(u32 btf_id, Extern *out) const {
  out->kind = ExternKind::kKfunc;
  if (!target_.kfuncs.contains(out->name)) {
    out->missing = fmt::format("kfunc {} is not implemented", out->name);
    return;
  }
  // libbpf takes a kfunc of another prototype for a missing one.
  const s32 kernel_id = btf__find_by_name_kind(target_.kernel_btf, out->name.c_str(), BTF_KIND_FUNC);
  const u32 local = btf__type_by_id(object_.btf(), btf_id)->type;
  if (kernel_id > 0 && !resolver_.types_compatible(local, btf__type_by_id(target_.kernel_btf, kernel_id)->type))
    out->missing = fmt::format("kfunc {} is implemented with another prototype", out->name);
}

void ScanLink::describe_variable(u32 btf_id, Extern *out) const {
  out->kind = ExternKind::kVariable;
  const u32 type = btf__type_by_id(object_.btf(), btf_id)->type;
  const bool is_typed = object_.skip_modifiers(type) != 0;
  const s32 kernel_id = btf__find_by_name_kind(target_.kernel_btf, out->name.c_str(), BTF_KIND_VAR);
  const bool is_known = is_typed ? kernel_id > 0 : target_.has_variable != nullptr && target_.has_variable(out->name);
  if (!is_known)
    out->missing = fmt::format("kernel variable {} is not modelled", out->name);
  else if (is_typed && !resolver_.types_compatible(type, btf__type_by_id(target_.kernel_btf, kernel_id)->type))
    out->missing = fmt::format("kernel variable {} is modelled with another type", out->name);
}

void ScanLink::describe_config(u32 btf_id, Extern *out) const {
  static constexpr s64 kMaxBytes = 4096;
  out->kind = ExternKind::kConfig;
  const u32 type_id = object_.skip_modifiers(btf__type_by_id(object_.btf(), btf_id)->type);
  const s64 size = type_id == 0 ? -1 : btf__resolve_size(object_.btf(), type_id);
  if (size <= 0 || size > kMaxBytes) {
    out->missing = fmt::format("configuration value {} has a type of no use", out->name);
    return;
  }
  const btf_type *type = btf__type_by_id(object_.btf(), type_id);
  std::optional<u64> number;
  if (out->name == "LINUX_KERNEL_VERSION") {
    number = version_code(target_.release);
  } else if (!out->name.starts_with("CONFIG_")) {
    return;  // one of libbpf's own probes of the kernel, which it answers itself
  } else if (const auto text = config_text(target_.kernel_config, out->name)) {
    const bool is_char = btf_is_int(type) && size == 1 && (btf_int_encoding(type) & BTF_INT_BOOL) == 0;
    number = config_number(*text, btf_is_any_enum(type), is_char);
    if (!number.has_value()) return;
  } else if (!out->weak) {
    out->missing = fmt::format("{} is not set in the simulated kernel's configuration", out->name);
    return;
  }
  // An absent weak one reads zero.
  out->config_value.assign(static_cast<size_t>(size), 0);
  const u64 value = number.value_or(0);
  std::memcpy(out->config_value.data(), &value, std::min<size_t>(sizeof(value), out->config_value.size()));
}

// --- Constants ---

void ScanLink::load_constants() {
  for (u32 section = 1; section < object_.sections().size(); section++) {
    const ElfSection &found = object_.sections()[section];
    if (found.name != ".rodata" && !found.name.starts_with(".rodata.")) continue;
    std::vector<u8> bytes(found.bytes.begin(), found.bytes.end());
    set_enumerators(section, &bytes);
    if (target_.set_rodata != nullptr) target_.set_rodata(found.name, bytes);
    constants_of_section_[section] = static_cast<u32>(constants_.size());
    constants_.push_back(std::move(bytes));
  }
  for (const auto &[symbol, found] : externs_) {
    if (found.config_value.empty()) continue;
    constants_of_extern_[symbol] = static_cast<u32>(constants_.size());
    constants_.push_back(found.config_value);
  }
}

// Schedulers of sched_ext have variables named after the kernel's enumerators (__SCX_X for SCX_X), which user space
// sets.
void ScanLink::set_enumerators(u32 section, std::vector<u8> *bytes) const {
  std::map<std::string, u64> values;
  for (u32 id = 1; id < btf__type_cnt(target_.kernel_btf); id++) {
    const btf_type *type = btf__type_by_id(target_.kernel_btf, id);
    for (u32 i = 0; btf_is_any_enum(type) && i < btf_vlen(type); i++) {
      const bool narrow = btf_is_enum(type);
      const char *name =
          btf__name_by_offset(target_.kernel_btf, narrow ? btf_enum(type)[i].name_off : btf_enum64(type)[i].name_off);
      if (name != nullptr && std::strncmp(name, "SCX_", 4) == 0)
        values[name] = narrow ? static_cast<u64>(s64{btf_enum(type)[i].val}) : btf_enum64_value(&btf_enum64(type)[i]);
    }
  }
  for (const ElfSymbol &symbol : object_.symbols()) {
    if (!symbol.defined || symbol.section != section || !symbol.name.starts_with("__SCX_") ||
        symbol.size != sizeof(u64) || symbol.value > bytes->size() || bytes->size() - symbol.value < sizeof(u64))
      continue;
    if (const auto it = values.find(symbol.name.substr(2)); it != values.end())
      std::memcpy(bytes->data() + symbol.value, &it->second, sizeof(u64));
  }
}

// --- Instructions ---

Status ScanLink::link_section(u32 section) {
  const std::span<const bpf_insn> insns = object_.insns(section);
  for (const auto &[offset, reloc] : object_.relocs(section)) {
    if (offset % sizeof(bpf_insn) != 0)
      return Status::error("section {}: relocation at {} is between instructions", object_.sections()[section].name,
                           offset);
    const u32 insn = static_cast<u32>(offset / sizeof(bpf_insn));
    if (Status status = link_insn({section, insn}, insns[insn], reloc); !status.ok()) return status;
  }
  for (const auto &[offset, relo] : object_.core_relocs(section)) {
    const CodePoint point{section, static_cast<u32>(offset / sizeof(bpf_insn))};
    CoreAnswer answer = resolver_.resolve(relo);
    LinkNote note;
    note.kind = answer.known ? LinkNote::Kind::kConst : LinkNote::Kind::kUnknown;
    note.value = answer.value;
    notes_[point] = note;
    core_[point] = std::move(answer);
  }
  return Status::ok_status();
}

Status ScanLink::link_insn(CodePoint point, const bpf_insn &insn, const ElfReloc &reloc) {
  const ElfSymbol &symbol = object_.symbols()[reloc.symbol];
  const bool is_call = insn.code == (BPF_JMP | BPF_CALL);
  const bool is_imm64 = insn.code == (BPF_LD | BPF_IMM | BPF_DW);
  if ((is_call && reloc.type != kRelocCall) || (is_imm64 && reloc.type != kReloc64) || (!is_call && !is_imm64))
    return Status::error("section {}: relocation of instruction {} is of a kind that makes no sense there",
                         object_.sections()[point.section].name, point.insn);
  LinkNote note;
  if (!symbol.defined) {
    note = extern_note(reloc.symbol, is_call);
    references_[point] = reloc.symbol;
  } else if (object_.sections()[symbol.section].executable) {
    // Calls count in instructions from the one after them; ld_imm64 has bytes.
    const s64 start = static_cast<s64>(symbol.value / sizeof(bpf_insn)) +
                      (is_call ? s64{insn.imm} + 1 : insn.imm / s64{sizeof(bpf_insn)});
    if (start < 0 || start >= static_cast<s64>(object_.insns(symbol.section).size()))
      return Status::error("section {}: instruction {} refers to a function outside of the file",
                           object_.sections()[point.section].name, point.insn);
    note.kind = LinkNote::Kind::kCode;
    note.code = {symbol.section, static_cast<u32>(start)};
  } else if (const auto it = constants_of_section_.find(symbol.section); it != constants_of_section_.end()) {
    note.kind = LinkNote::Kind::kData;
    note.index = it->second;
    note.value = symbol.value + static_cast<u32>(insn.imm);
  } else {
    note.kind = LinkNote::Kind::kNonZero;
  }
  notes_[point] = note;
  return Status::ok_status();
}

LinkNote ScanLink::extern_note(u32 symbol, bool is_call) {
  LinkNote note;
  const auto it = externs_.find(symbol);
  if (it == externs_.end()) return note;
  const Extern &found = it->second;
  if (is_call) {
    note.kind = LinkNote::Kind::kKfunc;
  } else if (found.kind == ExternKind::kConfig) {
    const auto constants = constants_of_extern_.find(symbol);
    note.kind = constants == constants_of_extern_.end() ? LinkNote::Kind::kNonZero : LinkNote::Kind::kData;
    note.index = constants == constants_of_extern_.end() ? 0 : constants->second;
  } else if (found.missing.empty()) {
    note.kind = LinkNote::Kind::kNonZero;
  } else if (found.weak) {
    note.kind = LinkNote::Kind::kConst;  // address zero
  }
  return note;
}

}  // namespace uscx::bpf
