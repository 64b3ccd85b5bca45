// SPDX-License-Identifier: GPL-2.0-only
#include "cli/command_tree.h"

#include "base/nearest.h"

namespace uscx::cli {
namespace {

std::vector<std::string> subcommand_names(const CLI::App &command) {
  std::vector<std::string> names;
  for (const CLI::App *sub : subcommands_of(command)) names.push_back(sub->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App &command) {
  std::vector<std::string> names;
  for (const CLI::Option *option : options_of(command))
    for (const std::string &name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// The last command of the line that the parser has understood.
const CLI::App &last_command(const CLI::App &command) {
  const std::vector<CLI::App *> parsed = command.get_subcommands();
  return parsed.empty() ? command : last_command(*parsed.back());
}

class UsageFormatter final : public CLI::Formatter {
 public:
  explicit UsageFormatter(std::string text) : text_(std::move(text)) {}
  std::string make_usage(const CLI::App *, std::string name) const override {
    return fmt::format("Usage: {} {}\n", name, text_);
  }

 private:
  const std::string text_;
};

std::string see_help(const CLI::App &command) { return fmt::format("see {} --help", full_name(command)); }

}  // namespace

std::string full_name(const CLI::App &command) {
  const CLI::App *parent = command.get_parent();
  return parent ? full_name(*parent) + " " + command.get_name() : command.get_name();
}

std::vector<const CLI::App *> subcommands_of(const CLI::App &command) { return command.get_subcommands({}); }

std::vector<const CLI::Option *> options_of(const CLI::App &command) {
  return command.get_options([](const CLI::Option *option) { return option->nonpositional(); });
}

std::string help_of(const CLI::App &command) {
  return command.get_formatter()->make_help(&command, full_name(command), CLI::AppFormatMode::Normal);
}

void set_usage(CLI::App *command, const std::string &text) {
  const auto formatter = std::make_shared<UsageFormatter>(text);
  formatter->column_width(command->get_formatter()->get_column_width());
  command->formatter(formatter);
}

std::string usage_of(const CLI::App &command) {
  const std::string help = help_of(command), before = "\nUsage: " + full_name(command) + " ";
  const size_t start = help.find(before);
  CHECK(start != std::string::npos, "no usage of {}", full_name(command));
  const size_t begin = start + before.size();
  return help.substr(begin, help.find('\n', begin) - begin);
}

Result<const CLI::App *> find_command(const CLI::App &root, const std::vector<std::string> &words) {
  const CLI::App *command = &root;
  for (const std::string &word : words) {
    const std::vector<const CLI::App *> subs = subcommands_of(*command);
    const auto found =
        std::find_if(subs.begin(), subs.end(), [&](const CLI::App *sub) { return sub->get_name() == word; });
    if (found == subs.end()) return unknown_word(*command, word);
    command = *found;
  }
  return command;
}

Status unknown_word(const CLI::App &command, const std::string &word) {
  if (word.starts_with("-"))
    return Status::error("unknown option {}{}; {}", word,
                         did_you_mean(word.substr(0, word.find('=')), option_names(command)), see_help(command));
  if (subcommands_of(command).empty())
    return Status::error("{} does not take '{}'; {}", full_name(command), word, see_help(command));
  return Status::error("{} has no subcommand '{}'{}; {}", full_name(command), word,
                       did_you_mean(word, subcommand_names(command)), see_help(command));
}

Status parse_error(const CLI::App &root, const CLI::ParseError &error) {
  const CLI::App &command = last_command(root);
  const bool of_words =
      dynamic_cast<const CLI::ExtrasError *>(&error) || dynamic_cast<const CLI::RequiredError *>(&error);
  const std::vector<std::string> unknown = command.remaining();
  if (of_words && !unknown.empty()) return unknown_word(command, unknown[0]);
  if (command.get_require_subcommand_min() > 0 && command.get_subcommands().empty())
    return Status::error("{} needs one of its subcommands, {}; {}", full_name(command),
                         fmt::join(subcommand_names(command), ", "), see_help(command));
  return Status::error("{}; {}", error.what(), see_help(command));
}

}  // namespace uscx::cli
