// SPDX-License-Identifier: GPL-2.0-only
#include "process/vdso.h"

#include <elf.h>
#include <errno.h>
#include <sys/syscall.h>

#include <array>
#include <cstring>
#include <string_view>
#include <vector>

namespace uscx::process {
namespace {

constexpr size_t kVdsoBytes = 2 * 4096;
constexpr size_t kStubBytes = 8;
using Stub = std::array<u8, kStubBytes>;

struct Function {
  std::string_view name;
  int nr;  // The system call that does the same, or -1: the function reports ENOSYS, and callers fall back.
};
constexpr Function kFunctions[] = {
    {"__vdso_clock_gettime", SYS_clock_gettime},
    {"__vdso_gettimeofday", SYS_gettimeofday},
    {"__vdso_time", SYS_time},
    {"__vdso_clock_getres", SYS_clock_getres},
    {"__vdso_getcpu", SYS_getcpu},
    {"__vdso_getrandom", -1},
};

Stub stub_of(int nr) {
  if (nr < 0) return {0x48, 0xc7, 0xc0, static_cast<u8>(-ENOSYS), 0xff, 0xff, 0xff, 0xc3};  // mov $-ENOSYS, %rax; ret
  return {0xb8, static_cast<u8>(nr), static_cast<u8>(nr >> 8), 0, 0, 0x0f, 0x05, 0xc3};     // mov $nr, %eax; syscall
}

// The image in memory: what it says of itself is checked, because a newer host's may be larger.
struct Image {
  std::vector<u8> bytes;
  template <typename T>
  bool get(u64 offset, T *value) const {
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return false;
    std::memcpy(value, bytes.data() + offset, sizeof(T));
    return true;
  }
  std::string_view text(u64 offset) const {
    if (offset >= bytes.size()) return {};
    const char *start = reinterpret_cast<const char *>(bytes.data() + offset);
    return {start, ::strnlen(start, bytes.size() - offset)};
  }
};

// Offsets of the dynamic symbols and of their names.
bool find_symbols(const Image &image, u64 *symbols, u64 *names) {
  Elf64_Ehdr header;
  if (!image.get(0, &header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return false;
  for (u32 i = 0; i < header.e_phnum; i++) {
    Elf64_Phdr segment;
    if (!image.get(header.e_phoff + i * sizeof segment, &segment)) return false;
    if (segment.p_type != PT_DYNAMIC) continue;
    *symbols = *names = 0;
    Elf64_Dyn entry;
    for (u64 at = segment.p_offset; image.get(at, &entry) && entry.d_tag != DT_NULL; at += sizeof entry) {
      if (entry.d_tag == DT_SYMTAB) *symbols = entry.d_un.d_ptr;
      if (entry.d_tag == DT_STRTAB) *names = entry.d_un.d_ptr;
    }
    return *symbols != 0 && *names > *symbols;
  }
  return false;
}

}  // namespace

Status patch_vdso(const Remote &remote, bool *fresh) {
  *fresh = true;
  const std::optional<u64> base = remote.auxv(AT_SYSINFO_EHDR);
  if (!base) return Status::ok_status();  // None: its calls are system calls anyway.
  Image image{std::vector<u8>(kVdsoBytes)};
  if (remote.read(image.bytes.data(), *base, image.bytes.size()) != 0) {
    image.bytes.resize(kVdsoBytes / 2);
    if (remote.read(image.bytes.data(), *base, image.bytes.size()) != 0)
      return Status::error("the program's vDSO cannot be read");
  }
  u64 symbols = 0, names = 0;
  if (!find_symbols(image, &symbols, &names)) return Status::error("the host's vDSO has a form that is not known");
  Elf64_Sym symbol;
  for (u64 at = symbols; at < names && image.get(at, &symbol); at += sizeof symbol) {
    for (const Function &function : kFunctions) {
      if (image.text(names + symbol.st_name) != function.name) continue;
      const Stub stub = stub_of(function.nr);
      Stub present;
      if (image.get(symbol.st_value, &present) && present == stub) {
        *fresh = false;
        return Status::ok_status();
      }
      if (remote.write_code(*base + symbol.st_value, stub.data(), stub.size()) != 0)
        return Status::error("{} of the program cannot be redirected: its clock would be the host's", function.name);
    }
  }
  return Status::ok_status();
}

}  // namespace uscx::process
