// SPDX-License-Identifier: GPL-2.0-only
// btf_to_c IN.btf [OUT.h]: writes all types of a BTF file as a C header for BPF programs, in the form that programs
// expect of a vmlinux.h: guarded, and with preserve_access_index on every record unless BPF_NO_PRESERVE_ACCESS_INDEX is
// defined. IN may be raw BTF or an ELF file with a .BTF section. Without OUT the header goes to standard output.
//
// Build-time tool, one thread.
#include <fmt/format.h>

#include <fstream>

#include "abi/btf_c.h"

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    std::fputs("usage: btf_to_c IN.btf [OUT.h]\n", stderr);
    return 2;
  }
  btf *types = btf__parse(argv[1], nullptr);
  if (types == nullptr) {
    fmt::print(stderr, "btf_to_c: {}: no BTF in it\n", argv[1]);
    return 1;
  }
  std::string text;
  int error = 0;
  const __u32 bad_type = uscx::abi::btf_as_c(types, {}, &text, &error);
  btf__free(types);
  if (bad_type != 0) {
    fmt::print(stderr, "btf_to_c: type {} cannot be written as C ({})\n", bad_type, error);
    return 1;
  }
  if (argc == 2) return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
  std::ofstream file(argv[2], std::ios::binary);
  if (!(file << text).flush()) {
    fmt::print(stderr, "btf_to_c: {}: cannot be written\n", argv[2]);
    return 1;
  }
  return 0;
}
