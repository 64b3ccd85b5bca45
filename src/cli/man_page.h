// SPDX-License-Identifier: GPL-2.0-only
// Man pages from the tables of commands and options: the text of --help in the form that man reads. Pure functions.
#ifndef USCX_CLI_MAN_PAGE_H_
#define USCX_CLI_MAN_PAGE_H_

#include <CLI/CLI.hpp>
#include <string>

namespace uscx::cli {

// "uscx-run"; the page of a command covers its subcommands.
std::string man_page_name(const CLI::App &command);
std::string man_page(const CLI::App &command);

}  // namespace uscx::cli

#endif  // USCX_CLI_MAN_PAGE_H_
