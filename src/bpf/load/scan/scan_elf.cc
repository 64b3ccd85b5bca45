// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/scan/scan_elf.h"

#include <elf.h>
#include <libelf.h>

#include <algorithm>
#include <cstring>

namespace uscx::bpf {

namespace {

constexpr u16 kMachineBpf = 247;
constexpr u64 kMaxObjectBytes = 256u << 20;

struct ElfEnd {
  void operator()(Elf *elf) const { elf_end(elf); }
};

Status check_header(const Elf64_Ehdr &header) {
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return Status::error("not an ELF file");
  if (header.e_ident[EI_DATA] != ELFDATA2LSB)
    return Status::error("not little-endian: compile it with -target bpf or bpfel");
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return Status::error("not a 64-bit ELF file");
  if (header.e_machine != kMachineBpf)
    return Status::error("an ELF file, but not for BPF (machine {}, not {})", header.e_machine, kMachineBpf);
  if (header.e_type != ET_REL)
    return Status::error("a BPF file, but not an object (type {}, not {})", header.e_type, unsigned{ET_REL});
  // libelf hands out headers in place.
  if (header.e_shoff % alignof(Elf64_Shdr) != 0)
    return Status::error("the ELF file is corrupt: its section headers are at offset {}, not a multiple of {}",
                         header.e_shoff, alignof(Elf64_Shdr));
  if (header.e_shoff == 0 || header.e_shentsize != sizeof(Elf64_Shdr))
    return Status::error("the ELF file has no section headers");
  return Status::ok_status();
}

template <typename T>
T read_at(std::span<const u8> bytes, u64 at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

}  // namespace

u32 skip_btf_modifiers(const struct btf *btf, u32 id) {
  // A chain in real BTF has a handful of links; a loop has no end.
  for (int i = 0; i < 64; i++) {
    const btf_type *type = btf__type_by_id(btf, id);
    if (type == nullptr || id == 0) return 0;
    if (!btf_is_mod(type) && !btf_is_typedef(type)) return id;
    id = type->type;
  }
  return 0;
}

const char *btf_type_name(const struct btf *btf, u32 id) {
  const btf_type *type = id == 0 ? nullptr : btf__type_by_id(btf, id);
  const char *name = type == nullptr ? nullptr : btf__name_by_offset(btf, type->name_off);
  return name == nullptr ? "" : name;
}

std::string_view essential_name(std::string_view name) {
  // Exactly three underscores, with something on both sides; the last such place counts.
  for (size_t i = name.size() < 5 ? 0 : name.size() - 4; i-- > 0;) {
    if (name[i] != '_' && name.substr(i + 1, 3) == "___" && name[i + 4] != '_') return name.substr(0, i + 1);
  }
  return name;
}

Result<ObjectFile> ObjectFile::parse(std::span<const u8> bytes) {
  if (bytes.size() < EI_NIDENT || std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0)
    return Status::error("not an ELF file");
  if (bytes.size() < sizeof(Elf64_Ehdr) || bytes.size() > kMaxObjectBytes)
    return Status::error("not a BPF object: {} bytes", bytes.size());
  if (Status status = check_header(read_at<Elf64_Ehdr>(bytes, 0)); !status.ok()) return status;

  // libelf takes the bytes as its own to change, though it does not when it only reads.
  std::vector<char> copy(reinterpret_cast<const char *>(bytes.data()),
                         reinterpret_cast<const char *>(bytes.data()) + bytes.size());
  elf_version(EV_CURRENT);
  const std::unique_ptr<Elf, ElfEnd> elf(elf_memory(copy.data(), copy.size()));
  if (elf == nullptr || elf_kind(elf.get()) != ELF_K_ELF)
    return Status::error("the ELF file is corrupt: {}", elf_errmsg(-1));

  ObjectFile file;
  file.elf_ = elf.get();
  for (Status status : {file.read_sections(bytes), file.read_symbols(bytes), file.read_relocs(bytes)}) {
    if (!status.ok()) return status;
  }
  file.elf_ = nullptr;
  for (auto read : {&ObjectFile::read_insns, &ObjectFile::read_btf, &ObjectFile::read_core_relocs}) {
    if (Status status = (file.*read)(); !status.ok()) return status;
  }
  return file;
}

Status ObjectFile::read_sections(std::span<const u8> bytes) {
  Elf *elf = static_cast<Elf *>(elf_);
  size_t names = 0;
  size_t count = 0;
  if (elf_getshdrstrndx(elf, &names) != 0 || elf_getshdrnum(elf, &count) != 0)
    return Status::error("the ELF file is corrupt: {}", elf_errmsg(-1));
  if (count == 0 || count > bytes.size() / sizeof(Elf64_Shdr))
    return Status::error("the ELF file is corrupt: {} sections in {} bytes", count, bytes.size());
  sections_.resize(count);
  for (size_t i = 1; i < count; i++) {
    Elf_Scn *scn = elf_getscn(elf, i);
    const Elf64_Shdr *header = scn == nullptr ? nullptr : elf64_getshdr(scn);
    if (header == nullptr) return Status::error("the header of section {} is not in the file", i);
    const char *name = elf_strptr(elf, names, header->sh_name);
    if (name == nullptr) return Status::error("the name of section {} is not in the file", i);
    ElfSection &section = sections_[i];
    section.name = name;
    section.size = header->sh_size;
    section.executable = header->sh_type == SHT_PROGBITS && (header->sh_flags & SHF_EXECINSTR) != 0;
    if (header->sh_type == SHT_NOBITS || header->sh_type == SHT_NULL) continue;
    if (header->sh_offset > bytes.size() || header->sh_size > bytes.size() - header->sh_offset)
      return Status::error("section {} ({}) reaches past the end of the file: it is cut off or corrupt", i, name);
    section.bytes = bytes.subspan(header->sh_offset, header->sh_size);
  }
  return Status::ok_status();
}

Status ObjectFile::read_symbols(std::span<const u8> bytes) {
  Elf *elf = static_cast<Elf *>(elf_);
  for (size_t i = 1; i < sections_.size(); i++) {
    const Elf64_Shdr *header = elf64_getshdr(elf_getscn(elf, i));
    if (header->sh_type != SHT_SYMTAB || !symbols_.empty()) continue;
    const std::span<const u8> table = sections_[i].bytes;
    for (u64 at = 0; at + sizeof(Elf64_Sym) <= table.size(); at += sizeof(Elf64_Sym)) {
      const auto raw = read_at<Elf64_Sym>(table, at);
      ElfSymbol symbol;
      const char *name = elf_strptr(elf, header->sh_link, raw.st_name);
      if (name == nullptr) return Status::error("the name of symbol {} is not in the file", at / sizeof(Elf64_Sym));
      symbol.name = name;
      symbol.value = raw.st_value;
      symbol.size = raw.st_size;
      symbol.weak = ELF64_ST_BIND(raw.st_info) == STB_WEAK;
      symbol.local = ELF64_ST_BIND(raw.st_info) == STB_LOCAL;
      symbol.function = ELF64_ST_TYPE(raw.st_info) == STT_FUNC;
      symbol.defined = raw.st_shndx != SHN_UNDEF && raw.st_shndx < sections_.size();
      symbol.section = symbol.defined ? raw.st_shndx : 0;
      symbol.info_at = static_cast<u64>(table.data() - bytes.data()) + at + offsetof(Elf64_Sym, st_info);
      symbols_.push_back(symbol);
    }
  }
  if (symbols_.empty()) return Status::error("the object has no symbol table");
  return Status::ok_status();
}

Status ObjectFile::read_relocs(std::span<const u8>) {
  Elf *elf = static_cast<Elf *>(elf_);
  relocs_.resize(sections_.size());
  for (size_t i = 1; i < sections_.size(); i++) {
    const Elf64_Shdr *header = elf64_getshdr(elf_getscn(elf, i));
    if (header->sh_type != SHT_REL || sections_[i].name.starts_with(".rel.debug") || sections_[i].name == ".rel.BTF")
      continue;
    if (header->sh_info == 0 || header->sh_info >= sections_.size())
      return Status::error("{} relocates section {}, which there is not", sections_[i].name, header->sh_info);
    const std::span<const u8> table = sections_[i].bytes;
    for (u64 at = 0; at + sizeof(Elf64_Rel) <= table.size(); at += sizeof(Elf64_Rel)) {
      const auto raw = read_at<Elf64_Rel>(table, at);
      const u64 symbol = ELF64_R_SYM(raw.r_info);
      if (symbol >= symbols_.size() || raw.r_offset >= sections_[header->sh_info].size)
        return Status::error("relocation {} of {} is corrupt", at / sizeof(Elf64_Rel), sections_[i].name);
      relocs_[header->sh_info][raw.r_offset] = {static_cast<u32>(ELF64_R_TYPE(raw.r_info)), static_cast<u32>(symbol)};
    }
  }
  return Status::ok_status();
}

Status ObjectFile::read_insns() {
  insns_.resize(sections_.size());
  for (size_t i = 1; i < sections_.size(); i++) {
    if (!sections_[i].executable) continue;
    const std::span<const u8> bytes = sections_[i].bytes;
    if (bytes.size() % sizeof(bpf_insn) != 0)
      return Status::error("section {} does not end with a whole instruction", sections_[i].name);
    insns_[i].resize(bytes.size() / sizeof(bpf_insn));
    if (!bytes.empty()) std::memcpy(insns_[i].data(), bytes.data(), bytes.size());
  }
  return Status::ok_status();
}

Status ObjectFile::read_btf() {
  const s64 section = find_section(".BTF");
  if (section < 0) return Status::error("no BTF in the object: compile it with clang -g");
  const std::span<const u8> bytes = sections_[section].bytes;
  btf_.reset(btf__new(bytes.data(), static_cast<u32>(bytes.size())));
  if (btf_ == nullptr) return Status::error("the BTF of the object is corrupt");
  return Status::ok_status();
}

Status ObjectFile::read_core_relocs() {
  core_.resize(sections_.size());
  const s64 index = find_section(".BTF.ext");
  if (index < 0) return Status::ok_status();
  // The header up to the place that says where the CO-RE relocations are; older compilers end it before.
  struct Header {
    u16 magic;
    u8 version, flags;
    u32 hdr_len, func_info_off, func_info_len, line_info_off, line_info_len, core_relo_off, core_relo_len;
  };
  constexpr u16 kMagic = 0xeb9f;
  const Status corrupt = Status::error("section .BTF.ext is corrupt");
  std::span<const u8> bytes = sections_[index].bytes;
  if (bytes.size() < offsetof(Header, core_relo_off)) return corrupt;
  Header header{};
  std::memcpy(&header, bytes.data(), std::min(bytes.size(), sizeof(header)));
  if (header.magic != kMagic || header.version != 1 || header.hdr_len > bytes.size()) return corrupt;
  if (header.hdr_len < sizeof(Header) || header.core_relo_len == 0) return Status::ok_status();
  bytes = bytes.subspan(header.hdr_len);
  if (header.core_relo_off > bytes.size() || header.core_relo_len > bytes.size() - header.core_relo_off) return corrupt;
  bytes = bytes.subspan(header.core_relo_off, header.core_relo_len);

  if (bytes.size() < sizeof(u32)) return corrupt;
  const u32 record_bytes = read_at<u32>(bytes, 0);
  if (record_bytes < sizeof(bpf_core_relo) || record_bytes % 4 != 0) return corrupt;
  for (u64 at = sizeof(u32); at < bytes.size();) {
    if (bytes.size() - at < 2 * sizeof(u32)) return corrupt;
    const s64 section = find_section(btf_string(read_at<u32>(bytes, at)));
    const u64 count = read_at<u32>(bytes, at + sizeof(u32));
    at += 2 * sizeof(u32);
    if (section < 0 || count > (bytes.size() - at) / record_bytes) return corrupt;
    for (u64 i = 0; i < count; i++, at += record_bytes) {
      // Read as a number first: an enum must not hold what it has no name for.
      if (const u32 kind = read_at<u32>(bytes, at + offsetof(bpf_core_relo, kind)); kind > BPF_CORE_TYPE_MATCHES)
        return Status::error("CO-RE relocation kind {} is not implemented", kind);
      const auto relo = read_at<bpf_core_relo>(bytes, at);
      if (relo.insn_off % sizeof(bpf_insn) != 0 || relo.insn_off >= sections_[section].size) return corrupt;
      core_[section][relo.insn_off] = relo;
    }
  }
  return Status::ok_status();
}

s64 ObjectFile::find_section(std::string_view name) const {
  for (size_t i = 1; i < sections_.size(); i++) {
    if (sections_[i].name == name) return static_cast<s64>(i);
  }
  return -1;
}

const ElfSymbol *ObjectFile::find_symbol(u32 section, std::string_view name) const {
  for (const ElfSymbol &symbol : symbols_) {
    if (symbol.defined && symbol.section == section && symbol.name == name) return &symbol;
  }
  return nullptr;
}

const ElfSymbol *ObjectFile::function_at(u32 section, u64 offset) const {
  for (const ElfSymbol &symbol : symbols_) {
    if (symbol.defined && symbol.function && symbol.section == section && symbol.value == offset) return &symbol;
  }
  return nullptr;
}

u32 ObjectFile::find_datasec(std::string_view name) const {
  const s32 id = btf__find_by_name_kind(btf_.get(), std::string(name).c_str(), BTF_KIND_DATASEC);
  return id > 0 ? static_cast<u32>(id) : 0;
}

const char *ObjectFile::btf_string(u32 offset) const {
  const char *text = btf__str_by_offset(btf_.get(), offset);
  return text == nullptr ? "" : text;
}

u32 ObjectFile::skip_modifiers(u32 id) const { return skip_btf_modifiers(btf_.get(), id); }

}  // namespace uscx::bpf
