// SPDX-License-Identifier: GPL-2.0-only
// `uscx help`: the help of a command; and what an installation has of the same tables, man pages and completions.
#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "cli/command.h"
#include "cli/command_tree.h"
#include "cli/completion.h"
#include "cli/man_page.h"
#include "run/run.h"

namespace uscx::cli {
namespace {

struct HelpArguments {
  std::vector<std::string> words;
  std::string folder;
};

struct File {
  std::string path, text;
};

// What belongs below share/ of an installation, from there on.
std::vector<File> share_files(const CLI::App &root) {
  std::vector<File> files{{"bash-completion/completions/uscx", bash_completion(root)},
                          {"zsh/site-functions/_uscx", zsh_completion(root)},
                          {"fish/vendor_completions.d/uscx.fish", fish_completion(root)}};
  std::vector<const CLI::App *> commands = subcommands_of(root);
  commands.insert(commands.begin(), &root);
  for (const CLI::App *command : commands)
    files.push_back({fmt::format("man/man1/{}.1", man_page_name(*command)), man_page(*command)});
  return files;
}

int write_share(const CLI::App &root, const std::filesystem::path &folder) {
  for (const File &file : share_files(root)) {
    const std::filesystem::path path = folder / file.path;
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) return bad_input(Status::error("{}: {}", path.parent_path().string(), error.message()));
    if (Status written = write_file(path.string(), file.text); !written.ok()) return bad_input(written);
  }
  return kExitOk;
}

int do_help(const CLI::App &root, const HelpArguments &arguments) {
  if (!arguments.folder.empty()) return write_share(root, arguments.folder);
  Result<const CLI::App *> command = find_command(root, arguments.words);
  if (!command.ok()) return bad_input(command.status());
  std::fputs(help_of(**command).c_str(), stdout);
  return kExitOk;
}

}  // namespace

void add_help_command(CLI::App &app, Action &action) {
  CLI::App *help = app.add_subcommand("help", "Shows the help of a command.");
  const auto arguments = std::make_shared<HelpArguments>();
  help->add_option("COMMAND", arguments->words, "As in uscx help session start")->type_name("");
  help->add_option("--write", arguments->folder,
                   "Writes man pages and completions for bash, zsh\nand fish into a folder, as below /usr/share")
      ->type_name("FOLDER");
  help->callback([&app, &action, arguments] { action = [&app, arguments] { return do_help(app, *arguments); }; });
}

}  // namespace uscx::cli
