// SPDX-License-Identifier: GPL-2.0-only
// `uscx btf`: the kernel BTF that programs are served.
#include "abi/btf_c.h"
#include "base/files.h"
#include "bridge/host.h"
#include "cli/command.h"
#include "run/run.h"

namespace uscx::cli {
namespace {

Result<std::string> to_c(const btf *types) {
  std::string text;
  int error = 0;
  const u32 bad_type = abi::btf_as_c(types, &text, &error);
  if (bad_type != 0) return Status::error("type {} cannot be written as C (errno {})", bad_type, -error);
  return text;
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
  CLI::App *btf = app.add_subcommand("btf", "Writes the kernel BTF that programs are served.");
  const auto path = std::make_shared<std::string>();
  btf->add_option("--dump", *path, "The file to write: raw BTF, or C if its name ends\nin .h")
      ->required()
      ->type_name("FILE");
  btf->callback([&action, path] { action = [path] { return dump(*path); }; });
}

}  // namespace uscx::cli
