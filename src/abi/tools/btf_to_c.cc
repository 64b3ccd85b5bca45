// SPDX-License-Identifier: GPL-2.0-only
// btf_to_c IN.btf [OUT.h]: writes all types of a BTF file as a C header for BPF programs, in the form that programs
// expect of a vmlinux.h: guarded, and with preserve_access_index on every record unless BPF_NO_PRESERVE_ACCESS_INDEX is
// defined. IN may be raw BTF or an ELF file with a .BTF section. Without OUT the header goes to standard output.
//
// Build-time tool, one thread.
#include <bpf/btf.h>
#include <fmt/format.h>

#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <string>

namespace {

constexpr const char* kProlog =
    "#ifndef __VMLINUX_H__\n"
    "#define __VMLINUX_H__\n"
    "\n"
    "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
    "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n"
    "#endif\n"
    "\n"
    "#ifndef __ksym\n"
    "#define __ksym __attribute__((section(\".ksyms\")))\n"
    "#endif\n"
    "\n"
    "#ifndef __weak\n"
    "#define __weak __attribute__((weak))\n"
    "#endif\n"
    "\n";

constexpr const char* kEpilog =
    "\n"
    "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
    "#pragma clang attribute pop\n"
    "#endif\n"
    "\n"
    "#endif /* __VMLINUX_H__ */\n";

void append(void* text, const char* format, va_list args) {
  va_list again;
  va_copy(again, args);
  const int size = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (size <= 0) return;
  auto& out = *static_cast<std::string*>(text);
  const size_t old = out.size();
  out.resize(old + static_cast<size_t>(size) + 1);
  std::vsnprintf(out.data() + old, static_cast<size_t>(size) + 1, format, args);
  out.pop_back();
}

// Appends every type to *out in an order that C accepts; returns false and says why if a type cannot be written.
bool dump(const btf* types, std::string* out) {
  btf_dump* dumper = btf_dump__new(types, append, out, nullptr);
  if (dumper == nullptr) {
    fmt::print(stderr, "btf_to_c: out of memory\n");
    return false;
  }
  bool ok = true;
  for (__u32 id = 1; ok && id < btf__type_cnt(types); id++) {
    if (const int error = btf_dump__dump_type(dumper, id)) {
      fmt::print(stderr, "btf_to_c: type {} cannot be written as C ({})\n", id, error);
      ok = false;
    }
  }
  btf_dump__free(dumper);
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fputs("usage: btf_to_c IN.btf [OUT.h]\n", stderr);
    return 2;
  }
  btf* types = btf__parse(argv[1], nullptr);
  if (types == nullptr) {
    fmt::print(stderr, "btf_to_c: {}: no BTF in it\n", argv[1]);
    return 1;
  }
  std::string text = kProlog;
  const bool ok = dump(types, &text);
  btf__free(types);
  if (!ok) return 1;
  text += kEpilog;
  if (argc == 2) return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
  std::ofstream file(argv[2], std::ios::binary);
  if (!(file << text).flush()) {
    fmt::print(stderr, "btf_to_c: {}: cannot be written\n", argv[2]);
    return 1;
  }
  return 0;
}
