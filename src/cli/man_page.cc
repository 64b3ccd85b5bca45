// SPDX-License-Identifier: GPL-2.0-only
// Requests of man(7) used: TH, SH, SS, TP, PP, B, nf, fi.
#include "cli/man_page.h"

#include <cctype>

#include "base/version.h"
#include "cli/command_tree.h"

namespace uscx::cli {
namespace {

// Text that roff takes for nothing else.
std::string escaped(const std::string &text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    line_begins = c == '\n';
  }
  return out;
}

// Help texts are broken for a terminal; man breaks them anew.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// "Runs a scheduler." as it stands behind a dash.
std::string lower_start(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string option_entry(const CLI::Option &option) {
  std::string name = option.get_name(false, true);
  if (const size_t comma = name.find(','); comma != std::string::npos) name.replace(comma, 1, ", ");
  if (option.get_type_size() != 0) name += " " + option.get_type_name();
  return fmt::format(".TP\n.B {}\n{}\n", escaped(name), escaped(one_line(option.get_description())));
}

// Lines that begin with blanks are examples and stay as they are; the others are paragraphs.
std::string footer_text(const std::string &footer) {
  std::string out;
  bool as_is = false, paragraph = true;
  for (size_t start = 0; start < footer.size();) {
    const size_t end = std::min(footer.find('\n', start), footer.size());
    const std::string line = footer.substr(start, end - start);
    start = end + 1;
    const bool example = line.starts_with("  ");
    if (example != as_is) out += example ? ".nf\n" : ".fi\n";
    as_is = example;
    if (line.empty()) {
      paragraph = true;
      continue;
    }
    if (paragraph) out += ".PP\n";
    paragraph = false;
    out += escaped(line) + "\n";
  }
  return as_is ? out + ".fi\n" : out;
}

std::string body(const CLI::App &command, const char *heading) {
  std::string out;
  const std::vector<const CLI::Option *> options = options_of(command);
  if (!options.empty()) out += heading;
  for (const CLI::Option *option : options) out += option_entry(*option);
  return out;
}

std::string subcommand_text(const CLI::App &command) {
  std::string out = fmt::format(".SS {} {}\n{}\n", escaped(full_name(command)), escaped(usage_of(command)),
                                escaped(one_line(command.get_description())));
  return out + body(command, "");
}

std::string see_also(const CLI::App &command) {
  const CLI::App *parent = command.get_parent();
  std::string out;
  if (parent) out = escaped(man_page_name(*parent)) + "(1)";
  if (!parent)
    for (const CLI::App *sub : subcommands_of(command))
      out += fmt::format("{}{}(1)", out.empty() ? "" : ",\n", escaped(man_page_name(*sub)));
  return ".SH SEE ALSO\n" + out + "\n";
}

}  // namespace

std::string man_page_name(const CLI::App &command) {
  std::string name = full_name(command);
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

std::string man_page(const CLI::App &command) {
  std::string title = man_page_name(command);
  std::transform(title.begin(), title.end(), title.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string out = fmt::format(".TH {} 1 \"\" \"uscx {}\" \"User Commands\"\n", escaped(title), kVersion);
  const std::string purpose = one_line(command.get_description());
  out += fmt::format(".SH NAME\n{} \\- {}\n", escaped(man_page_name(command)), escaped(lower_start(purpose)));
  out += fmt::format(".SH SYNOPSIS\n.B {}\n{}\n", escaped(full_name(command)), escaped(usage_of(command)));
  out += fmt::format(".SH DESCRIPTION\n{}\n", escaped(purpose));
  out += body(command, ".SH OPTIONS\n");
  const std::vector<const CLI::App *> subs = subcommands_of(command);
  if (!subs.empty()) out += ".SH COMMANDS\n";
  for (const CLI::App *sub : subs) {
    // A command of uscx has a page of its own.
    if (command.get_parent())
      out += subcommand_text(*sub);
    else
      out += fmt::format(".TP\n.B {}\n{}\n", escaped(full_name(*sub)), escaped(one_line(sub->get_description())));
  }
  const std::string footer = footer_text(command.get_footer());
  if (!footer.empty()) out += ".SH NOTES\n" + footer;
  return out + see_also(command);
}

}  // namespace uscx::cli
