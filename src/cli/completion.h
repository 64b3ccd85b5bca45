// SPDX-License-Identifier: GPL-2.0-only
// Completion for shells from the tables of commands and options. Words that are no option and no subcommand are
// completed as files. Pure functions.
#ifndef USCX_CLI_COMPLETION_H_
#define USCX_CLI_COMPLETION_H_

#include <CLI/CLI.hpp>
#include <string>

namespace uscx::cli {

std::string bash_completion(const CLI::App &root);
std::string zsh_completion(const CLI::App &root);
std::string fish_completion(const CLI::App &root);

}  // namespace uscx::cli

#endif  // USCX_CLI_COMPLETION_H_
