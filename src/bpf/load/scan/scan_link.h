// SPDX-License-Identifier: GPL-2.0-only
// What linking an object against a target makes of its instructions: externs, global constants, functions, CO-RE.
//
// Threading: pure; immutable once made. It refers to the object and the target.
#ifndef USCX_BPF_LOAD_SCAN_SCAN_LINK_H_
#define USCX_BPF_LOAD_SCAN_SCAN_LINK_H_

#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "bpf/load/scan/scan.h"
#include "bpf/load/scan/scan_core.h"
#include "bpf/load/scan/scan_elf.h"
#include "bpf/load/scan/scan_flow.h"

namespace uscx::bpf {

class ScanLink {
 public:
  enum class ExternKind : u8 { kKfunc, kVariable, kConfig };
  struct Extern {
    ExternKind kind = ExternKind::kKfunc;
    std::string name;     // without flavour
    std::string missing;  // what to say if it is not there; empty if it is
    bool weak = false;
    u64 info_at = 0;
    std::vector<u8> config_value;  // of a kConfig that is known
  };

  ScanLink(const ObjectFile &object, const ScanTarget &target);
  // Errors: a relocation that makes no sense.
  Status link();

  const ScanFlow::Notes &notes() const { return notes_; }
  const std::vector<std::vector<u8>> &constants() const { return constants_; }
  // By symbol index.
  const std::map<u32, Extern> &externs() const { return externs_; }
  // Symbols of externs that instructions refer to.
  const std::map<CodePoint, u32> &references() const { return references_; }
  const std::map<CodePoint, CoreAnswer> &core() const { return core_; }

 private:
  void find_externs();
  Extern describe_extern(const ElfSymbol &symbol, u32 btf_id, const std::string &section) const;
  void describe_kfunc(u32 btf_id, Extern *out) const;
  void describe_variable(u32 btf_id, Extern *out) const;
  void describe_config(u32 btf_id, Extern *out) const;
  void load_constants();
  void set_enumerators(u32 section, std::vector<u8> *bytes) const;
  Status link_section(u32 section);
  Status link_insn(CodePoint point, const bpf_insn &insn, const ElfReloc &reloc);
  LinkNote extern_note(u32 symbol, bool is_call);

  const ObjectFile &object_;
  const ScanTarget &target_;
  CoreResolver resolver_;
  ScanFlow::Notes notes_;
  std::vector<std::vector<u8>> constants_;
  std::map<u32, u32> constants_of_section_;
  std::map<u32, u32> constants_of_extern_;
  std::map<u32, Extern> externs_;
  std::map<CodePoint, u32> references_;
  std::map<CodePoint, CoreAnswer> core_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_SCAN_SCAN_LINK_H_
