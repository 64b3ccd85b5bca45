// SPDX-License-Identifier: GPL-2.0-only
// What is read from the tables of commands and options after they are made: names, help, and what a command does not
// know. Pure functions.
#ifndef USCX_CLI_COMMAND_TREE_H_
#define USCX_CLI_COMMAND_TREE_H_

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/status.h"

namespace uscx::cli {

// "uscx session start".
std::string full_name(const CLI::App &command);
// The command's own subcommands, in the order of their definition.
std::vector<const CLI::App *> subcommands_of(const CLI::App &command);
// The options with a name that begins with a dash, --help too.
std::vector<const CLI::Option *> options_of(const CLI::App &command);
// "[options] SCHEDULER [ARGS...]": the usage line without the name.
std::string usage_of(const CLI::App &command);
std::string help_of(const CLI::App &command);
// For a command whose usage line the parser cannot know: "[options] PROGRAM [ARGS...]".
void set_usage(CLI::App *command, const std::string &text);

// The command that the words name, or an error that suggests the nearest.
Result<const CLI::App *> find_command(const CLI::App &root, const std::vector<std::string> &words);
// An error: the command has no such option or subcommand; with the nearest one that it has.
Status unknown_word(const CLI::App &command, const std::string &word);
// The error of a command line that the parser refused.
Status parse_error(const CLI::App &root, const CLI::ParseError &error);

}  // namespace uscx::cli

#endif  // USCX_CLI_COMMAND_TREE_H_
