// SPDX-License-Identifier: GPL-2.0-only
// BTF written as a C header for BPF programs, in the form that programs expect of a vmlinux.h: guarded, with
// preserve_access_index on every record unless BPF_NO_PRESERVE_ACCESS_INDEX is defined, and with prototypes of kfuncs
// unless BPF_NO_KFUNC_PROTOTYPES is. Header-only, because the programs that use it link different variants of libbpf.
// Pure functions.
#ifndef USCX_ABI_BTF_C_H_
#define USCX_ABI_BTF_C_H_

#include <bpf/btf.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>

namespace uscx::abi {

inline constexpr const char *kBtfProlog =
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

inline constexpr const char *kBtfEpilog =
    "\n"
    "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
    "#pragma clang attribute pop\n"
    "#endif\n"
    "\n"
    "#endif /* __VMLINUX_H__ */\n";

inline void append_btf_text(void *text, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  const int size = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (size <= 0) return;
  auto &out = *static_cast<std::string *>(text);
  const size_t old = out.size();
  out.resize(old + static_cast<size_t>(size) + 1);
  std::vsnprintf(out.data() + old, static_cast<size_t>(size) + 1, format, args);
  out.pop_back();
}

// The functions of `types` that are named in `kfuncs`, as programs declare them. As btf_as_c().
inline __u32 append_kfuncs(const btf *types, btf_dump *dumper, const std::set<std::string_view> &kfuncs,
                           std::string *out, int *error) {
  *out += "\n#ifndef BPF_NO_KFUNC_PROTOTYPES\n";
  for (__u32 id = 1; id < btf__type_cnt(types); id++) {
    const btf_type *type = btf__type_by_id(types, id);
    const char *name = btf__name_by_offset(types, type->name_off);
    if (!btf_is_func(type) || !kfuncs.contains(name)) continue;
    LIBBPF_OPTS(btf_dump_emit_type_decl_opts, options, .field_name = name);
    *out += "extern ";
    *error = btf_dump__emit_type_decl(dumper, type->type, &options);
    if (*error != 0) return id;
    *out += " __weak __ksym;\n";
  }
  *out += "#endif\n";
  return 0;
}

// All types in an order that C accepts, and the kfuncs of these names. 0, or the id of the first type that cannot be
// written, with -errno in *error.
inline __u32 btf_as_c(const btf *types, const std::set<std::string_view> &kfuncs, std::string *out, int *error) {
  *out = kBtfProlog;
  *error = 0;
  btf_dump *dumper = btf_dump__new(types, append_btf_text, out, nullptr);
  __u32 id = 1;
  if (dumper == nullptr) *error = -errno;
  while (*error == 0 && id < btf__type_cnt(types)) {
    *error = btf_dump__dump_type(dumper, id);
    if (*error == 0) id++;
  }
  if (*error == 0 && !kfuncs.empty()) id = append_kfuncs(types, dumper, kfuncs, out, error);
  btf_dump__free(dumper);
  *out += kBtfEpilog;
  return *error == 0 ? 0 : id;
}

}  // namespace uscx::abi

#endif  // USCX_ABI_BTF_C_H_
