// SPDX-License-Identifier: GPL-2.0-only
// A BPF object file as the scan sees it: sections, symbols, relocations of each section, BTF and CO-RE relocations. All
// offsets and indices in it are checked here once, so that users need not.
//
// Threading: immutable once parsed. It refers to the bytes that it was parsed from.
#ifndef USCX_BPF_LOAD_SCAN_SCAN_ELF_H_
#define USCX_BPF_LOAD_SCAN_SCAN_ELF_H_

#include <bpf/btf.h>
#include <linux/bpf.h>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx::bpf {

struct BtfFree {
  void operator()(struct btf *btf) const { btf__free(btf); }
};

struct ElfSection {
  std::string name;
  bool executable = false;
  u64 size = 0;
  std::span<const u8> bytes;  // empty for .bss
};

struct ElfSymbol {
  std::string name;
  u64 value = 0;
  u64 size = 0;
  bool weak = false;
  bool local = false;
  bool function = false;
  bool defined = false;
  u32 section = 0;  // a valid index if defined
  u64 info_at = 0;  // file offset of its st_info
};

struct ElfReloc {
  u32 type = 0;
  u32 symbol = 0;  // a valid index
};

class ObjectFile {
 public:
  static Result<ObjectFile> parse(std::span<const u8> bytes);

  const std::vector<ElfSection> &sections() const { return sections_; }
  const std::vector<ElfSymbol> &symbols() const { return symbols_; }
  const struct btf *btf() const { return btf_.get(); }
  // Relocations of a section by byte offset.
  const std::map<u64, ElfReloc> &relocs(u32 section) const { return relocs_[section]; }
  // CO-RE relocations of a section by byte offset of the instruction. Type ids and strings are not checked.
  const std::map<u64, bpf_core_relo> &core_relocs(u32 section) const { return core_[section]; }

  // Instructions of an executable section (whole ones: a tail of less than eight bytes is an error of parse()).
  std::span<const bpf_insn> insns(u32 section) const { return insns_[section]; }
  // The section's index, or -1.
  s64 find_section(std::string_view name) const;
  // The symbol defined in the section under this name, or null.
  const ElfSymbol *find_symbol(u32 section, std::string_view name) const;
  // The function that starts at an offset, or null.
  const ElfSymbol *function_at(u32 section, u64 offset) const;
  // The id of the DATASEC of that name, or 0.
  u32 find_datasec(std::string_view name) const;
  // "" for an offset that is not in the BTF's strings.
  const char *btf_string(u32 offset) const;
  // The type that is left without typedef, const, volatile and the like; 0 for void and for nonsense.
  u32 skip_modifiers(u32 id) const;

 private:
  Status read_sections(std::span<const u8> bytes);
  Status read_symbols(std::span<const u8> bytes);
  Status read_relocs(std::span<const u8> bytes);
  Status read_insns();
  Status read_btf();
  Status read_core_relocs();

  std::vector<ElfSection> sections_;
  std::vector<ElfSymbol> symbols_;
  std::vector<std::map<u64, ElfReloc>> relocs_;
  std::vector<std::map<u64, bpf_core_relo>> core_;
  std::vector<std::vector<bpf_insn>> insns_;
  std::unique_ptr<struct btf, BtfFree> btf_;
  void *elf_ = nullptr;  // only while parse() runs
};

// What btf__type_by_id() gives after typedef, const, volatile, restrict and tags; 0 for void and for nonsense.
u32 skip_btf_modifiers(const struct btf *btf, u32 id);
// The name of a type, "" if it has none.
const char *btf_type_name(const struct btf *btf, u32 id);
// A name without its "___flavour".
std::string_view essential_name(std::string_view name);

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_SCAN_SCAN_ELF_H_
