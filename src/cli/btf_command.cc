// SPDX-License-Identifier: GPL-2.0-only
// `uscx btf`: the BTF that programs are served as the kernel's.
#include <bpf/btf.h>

#include <cstdarg>
#include <cstdio>

#include "bridge/host.h"
#include "cli/command.h"
#include "cli/run.h"

namespace uscx::cli {
namespace {

// As programs expect a vmlinux.h: guarded, and with preserve_access_index on every record.
constexpr const char *kProlog =
    "#ifndef __VMLINUX_H__\n#define __VMLINUX_H__\n\n"
    "#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n"
    "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n"
    "#endif\n\n"
    "#ifndef __ksym\n#define __ksym __attribute__((section(\".ksyms\")))\n#endif\n\n"
    "#ifndef __weak\n#define __weak __attribute__((weak))\n#endif\n\n";
constexpr const char *kEpilog =
    "\n#ifndef BPF_NO_PRESERVE_ACCESS_INDEX\n#pragma clang attribute pop\n#endif\n\n#endif /* __VMLINUX_H__ */\n";

void append(void *text, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  const int size = std::vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (size <= 0) return;
  std::string &out = *static_cast<std::string *>(text);
  const size_t old = out.size();
  out.resize(old + static_cast<size_t>(size) + 1);
  std::vsnprintf(out.data() + old, static_cast<size_t>(size) + 1, format, args);
  out.pop_back();
}

Result<std::string> to_c(const btf *types) {
  std::string text = kProlog;
  btf_dump *dumper = btf_dump__new(types, append, &text, nullptr);
  if (!dumper) return Status::error("out of memory");
  int error = 0;
  for (u32 id = 1; error == 0 && id < btf__type_cnt(types); id++) error = btf_dump__dump_type(dumper, id);
  btf_dump__free(dumper);
  if (error != 0) return Status::error("a type cannot be written as C (errno {})", -error);
  return text + kEpilog;
}

int dump(const std::string &path) {
  Result<std::unique_ptr<bridge::Host>> host = bridge::Host::create({});
  if (!host.ok()) return bad_input(host.status());
  const bpf::KernelBtf &types = (*host)->system().kernel_btf();
  std::string bytes(types.raw().begin(), types.raw().end());
  if (path.ends_with(".h")) {
    Result<std::string> text = to_c(types.parsed());
    if (!text.ok()) return bad_input(text.status().at(path));
    bytes = text.take();
  }
  const Status written = write_file(path, bytes);
  return written.ok() ? static_cast<int>(kExitOk) : bad_input(written);
}

}  // namespace

void add_btf_command(CLI::App &app, Action &action) {
  CLI::App *btf = app.add_subcommand("btf", "Writes the BTF that programs are served as the kernel's.");
  const auto path = std::make_shared<std::string>();
  btf->add_option("--dump", *path, "The file to write: raw BTF, or C for a name that ends in .h")
      ->required()
      ->type_name("FILE");
  btf->callback([&action, path] { action = [path] { return dump(*path); }; });
}

}  // namespace uscx::cli
