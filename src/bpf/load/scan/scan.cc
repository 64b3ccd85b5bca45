// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/scan/scan.h"

#include <bpf/libbpf.h>
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "bpf/isa/insn.h"
#include "bpf/load/scan/scan_elf.h"
#include "bpf/load/scan/scan_flow.h"
#include "bpf/load/scan/scan_link.h"
#include "bpf/load/scan/scan_tables.h"
#include "bpf/object/helper.h"

namespace uscx::bpf {

namespace {

// libbpf's parser says on stderr what it does not like; the scan's one line says it better.
class QuietLibbpf {
 public:
  QuietLibbpf() : previous_(libbpf_set_print(nullptr)) {}
  ~QuietLibbpf() { libbpf_set_print(previous_); }
  QuietLibbpf(const QuietLibbpf &) = delete;
  QuietLibbpf &operator=(const QuietLibbpf &) = delete;

 private:
  const libbpf_print_fn_t previous_;
};

// Looks at each reached instruction and says what it needs.
class UseReport {
 public:
  UseReport(const ObjectFile &object, const ScanTarget &target, const ScanLink &link, Complaints *complaints)
      : object_(object), target_(target), link_(link), complaints_(complaints) {}

  void see(CodePoint point) {
    const bpf_insn &insn = object_.insns(point.section)[point.insn];
    if (const auto it = link_.references().find(point); it != link_.references().end()) {
      see_extern(it->second, insn.code == (BPF_JMP | BPF_CALL));
    } else if (const auto core = link_.core().find(point); core != link_.core().end()) {
      if (core->second.failed)
        complaints_->add(core->second.field.empty() ? Complaints::kEnumerator : Complaints::kField,
                         core->second.missing);
      else if (!core->second.field.empty() && !asks(point))
        fields_.insert(core->second.field);
    }
    const OpInfo *op = find_op(insn);
    if (op == nullptr)
      see_unknown(point, insn);
    else if (op->kind == OpKind::kCall && op->sub == kCallHelper && !link_.references().contains(point))
      see_helper(static_cast<u32>(insn.imm));
  }

  void finish(ScanResult *result) const {
    result->kfuncs.assign(kfuncs_.begin(), kfuncs_.end());
    result->helpers.assign(helpers_.begin(), helpers_.end());
    result->fields.assign(fields_.begin(), fields_.end());
    result->variables.assign(variables_.begin(), variables_.end());
    result->trapping.assign(trapping_.begin(), trapping_.end());
    for (const auto &[symbol, found] : link_.externs()) {
      if (!found.missing.empty() && !found.weak && !reached_externs_.contains(symbol)) {
        result->unreached.push_back(found.name);
        result->unreached_info_at.push_back(found.info_at);
      }
    }
  }

 private:
  // Is it a question about a field, not an access?
  bool asks(CodePoint point) const {
    const auto &relocs = object_.core_relocs(point.section);
    return relocs.at(u64{point.insn} * sizeof(bpf_insn)).kind == BPF_CORE_FIELD_EXISTS;
  }

  void see_extern(u32 symbol, bool is_call) {
    const auto it = link_.externs().find(symbol);
    if (it == link_.externs().end()) return;
    const ScanLink::Extern &found = it->second;
    reached_externs_.insert(symbol);
    const bool is_kfunc = found.kind == ScanLink::ExternKind::kKfunc;
    if (found.missing.empty()) {
      (is_kfunc ? kfuncs_ : variables_).insert(found.name);
    } else if (!found.weak) {
      const bool is_config = found.kind == ScanLink::ExternKind::kConfig;
      complaints_->add(is_kfunc    ? Complaints::kKfunc
                       : is_config ? Complaints::kConfig
                                   : Complaints::kVariable,
                       found.missing);
    } else if (is_call) {
      trapping_.insert(found.name);
    }
  }

  void see_helper(u32 id) {
    const char *name = helper_name(id);
    const std::string text = name == nullptr ? fmt::format("{}", id) : name;
    helpers_.insert(text);
    if (!target_.helpers.contains(id))
      complaints_->add(Complaints::kHelper, fmt::format("helper {} is not implemented", text));
  }

  void see_unknown(CodePoint point, const bpf_insn &insn) {
    std::string where = object_.sections()[point.section].name;
    for (const ElfSymbol &symbol : object_.symbols()) {
      const u64 offset = u64{point.insn} * sizeof(bpf_insn);
      if (symbol.defined && symbol.function && symbol.section == point.section && offset >= symbol.value &&
          offset - symbol.value < symbol.size)
        where = symbol.name;
    }
    complaints_->add(Complaints::kInsn,
                     fmt::format("instruction {:#04x} (src {}, off {}, imm {}; in {}) is not implemented", insn.code,
                                 unsigned{insn.src_reg}, insn.off, insn.imm, where));
  }

  const ObjectFile &object_;
  const ScanTarget &target_;
  const ScanLink &link_;
  Complaints *const complaints_;
  std::set<std::string> kfuncs_, helpers_, fields_, variables_, trapping_;
  std::set<u32> reached_externs_;
};

// Names come from the file; one line of text is to stay one.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

Result<ScanResult> scan(std::span<const u8> elf, const ScanTarget &target) {
  Result<ObjectFile> object = ObjectFile::parse(elf);
  if (!object.ok()) return object.status();
  Complaints complaints;
  Result<ObjectTables> tables = ObjectTables::read(*object, target, &complaints);
  if (!tables.ok()) return tables.status();
  ScanLink link(*object, target);
  if (Status status = link.link(); !status.ok()) return status;

  ScanFlow flow(*object, link.notes(), link.constants());
  for (const ObjectTables::Program &program : tables->programs()) {
    if (program.loaded) flow.add_entry(program.start);
  }
  if (Status status = flow.run(); !status.ok()) return status;

  UseReport uses(*object, target, link, &complaints);
  for (u32 section = 0; section < object->sections().size(); section++) {
    for (u32 insn = 0; insn < object->insns(section).size(); insn++) {
      if (flow.reached({section, insn})) uses.see({section, insn});
    }
  }
  ScanResult result;
  result.missing = complaints.list();
  uses.finish(&result);
  result.tables = tables->tables();
  result.maps = tables->maps();
  for (const ObjectTables::Program &program : tables->programs())
    result.programs.push_back({program.name, program.section, program.loaded,
                               target.note_of == nullptr ? "" : target.note_of(program.section)});
  return result;
}

}  // namespace

Result<ScanResult> scan_object(std::span<const u8> elf, const ScanTarget &target) {
  CHECK(target.kernel_btf != nullptr);
  const QuietLibbpf quiet;
  Result<ScanResult> result = scan(elf, target);
  if (!result.ok()) return Status::error("{}", printable(result.message()));
  std::transform(result->missing.begin(), result->missing.end(), result->missing.begin(), printable);
  return result;
}

std::vector<u8> weaken_unreached(std::span<const u8> elf, const ScanResult &result) {
  std::vector<u8> out(elf.begin(), elf.end());
  for (u64 at : result.unreached_info_at) {
    CHECK(at < out.size());
    out[at] = ELF64_ST_INFO(STB_WEAK, ELF64_ST_TYPE(out[at]));
  }
  return out;
}

}  // namespace uscx::bpf
