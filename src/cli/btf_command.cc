// SPDX-License-Identifier: GPL-2.0-only
// `uscx btf`: the kernel BTF that programs are served.
#include <cstdio>

#include "abi/btf_c.h"
#include "base/files.h"
#include "bpf/object/kfunc.h"
#include "bridge/host.h"
#include "cli/command.h"
#include "run/run.h"

namespace uscx::cli {
namespace {

Result<std::string> to_c(const btf *types) {
  std::set<std::string_view> kfuncs;
  for (const bpf::KfuncEntry *kfunc : bpf::list_kfuncs()) kfuncs.insert(kfunc->name);
  std::string text;
  int error = 0;
  const u32 bad_type = abi::btf_as_c(types, kfuncs, &text, &error);
  if (error != 0) return Status::error("type {} cannot be written as C (errno {})", bad_type, -error);
  return text;
}

// Into the file `path`, or if it is empty to standard output as C.
int dump(const std::string &path) {
  Result<std::unique_ptr<bridge::Host>> host = bridge::Host::create({});
  if (!host.ok()) return bad_input(host.status());
  const bpf::KernelBtf &types = (*host)->system().kernel_btf();
  std::string bytes(types.raw().begin(), types.raw().end());
  if (path.empty() || path.ends_with(".h")) {
    Result<std::string> text = to_c(types.parsed());
    if (!text.ok()) return bad_input(text.status());
    bytes = text.take();
  }
  if (path.empty()) return std::fputs(bytes.c_str(), stdout), kExitOk;
  const Status written = write_file(path, bytes);
  return written.ok() ? static_cast<int>(kExitOk) : bad_input(written);
}

}  // namespace

void add_btf_command(CLI::App &app, Action &action) {
  CLI::App *btf = app.add_subcommand("btf", "Writes the kernel BTF that programs are served.");
  const auto path = std::make_shared<std::string>();
  const auto header = std::make_shared<bool>(false);
  btf->add_option("--dump", *path, "The file to write: raw BTF, or C if its name ends\nin .h")->type_name("FILE");
  btf->add_flag("--header", *header, "Prints C: a vmlinux.h with prototypes of all kfuncs");
  btf->callback([&action, path, header] {
    action = [path, header] {
      if (path->empty() != *header)
        return bad_input(Status::error("uscx btf takes one of --header and --dump FILE; see uscx btf --help"));
      return dump(*path);
    };
  });
}

}  // namespace uscx::cli
