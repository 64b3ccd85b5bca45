// SPDX-License-Identifier: GPL-2.0-only
// `uscx new NAME`: the source of a small scheduler to begin with, from schedulers/template.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/command.h"
#include "run/run.h"
#include "schedulers/embedded.h"

namespace uscx::cli {
namespace {

constexpr const char *kFooter =
    "Examples:\n"
    "  uscx new mine\n"
    "  uscx run mine.bpf.c";

Status check_name(const std::string &name) {
  // ops.name has 128 bytes, and names of functions are longer than NAME by a word.
  constexpr size_t kMaxName = 100;
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto fits = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); };
  if (is_letter(name[0]) && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), fits))
    return Status::ok_status();
  return Status::error("'{}' cannot be a name: it takes up to {} letters, digits and underscores, a letter first", name,
                       kMaxName);
}

std::string source_of(const std::string &name) {
  constexpr std::string_view kPlaceholder = "NAME";
  const std::span<const u8> bytes = schedulers::embedded_template();
  std::string text(bytes.begin(), bytes.end());
  for (size_t at = 0; (at = text.find(kPlaceholder, at)) != std::string::npos; at += name.size())
    text.replace(at, kPlaceholder.size(), name);
  return text;
}

int do_new(const std::string &name) {
  if (Status status = check_name(name); !status.ok()) return bad_input(status);
  const std::string path = name + ".bpf.c", text = source_of(name);
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0 && errno == EEXIST)
    return bad_input(Status::error("{} exists, and is not replaced; remove it, or give another name", path));
  if (fd < 0) return bad_input(Status::error("{}: {}", path, std::strerror(errno)));
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  ::close(fd);
  if (!written) {
    ::unlink(path.c_str());
    return bad_input(Status::error("{}: {}", path, std::strerror(error)));
  }
  fmt::print("{} is a scheduler that works; run it with: uscx run {}\n", path, path);
  return kExitOk;
}

}  // namespace

void add_new_command(CLI::App &app, Action &action) {
  CLI::App *command = app.add_subcommand("new", "Writes a small scheduler to begin with.");
  const auto name = std::make_shared<std::string>();
  command->add_option("NAME", *name, "The scheduler's name; the file is NAME.bpf.c")->required()->type_name("");
  command->footer(kFooter);
  command->callback([&action, name] { action = [name] { return do_new(*name); }; });
}

}  // namespace uscx::cli
