// SPDX-License-Identifier: GPL-2.0-only
#include "cli/completion.h"

#include <functional>

#include "cli/command_tree.h"

namespace uscx::cli {
namespace {

// Calls `visit` for the command and all below it.
void for_each_command(const CLI::App &command, const std::function<void(const CLI::App &)> &visit) {
  visit(command);
  for (const CLI::App *sub : subcommands_of(command)) for_each_command(*sub, visit);
}

// "--cpus", "-h".
std::vector<std::string> names_of(const CLI::Option &option) {
  std::vector<std::string> names;
  for (const std::string &name : option.get_snames()) names.push_back("-" + name);
  for (const std::string &name : option.get_lnames()) names.push_back("--" + name);
  return names;
}

bool takes_value(const CLI::Option &option) { return option.get_type_size() != 0; }

std::string replaced(std::string text, const std::string &what, const std::string &by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
  return text;
}

std::string one_line(const std::string &text) { return replaced(text, "\n", " "); }

// In single quotes, as bash and zsh read it.
std::string quoted(const std::string &text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

std::string zsh_function(const CLI::App &command) { return "_" + replaced(full_name(command), " ", "_"); }

// Within _arguments, colons and brackets end a text.
std::string zsh_text(const std::string &text) {
  return replaced(replaced(replaced(one_line(text), ":", "\\:"), "[", "\\["), "]", "\\]");
}

std::string zsh_commands(const CLI::App &command) {
  std::string out = fmt::format("{}() {{\n  local -a commands=(\n", zsh_function(command));
  for (const CLI::App *sub : subcommands_of(command))
    out += fmt::format("    {}\n", quoted(sub->get_name() + ":" + zsh_text(sub->get_description())));
  for (const CLI::Option *option : options_of(command))
    for (const std::string &name : names_of(*option))
      out += fmt::format("    {}\n", quoted(name + ":" + zsh_text(option->get_description())));
  out += "  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    return\n  fi\n";
  out += "  shift words\n  (( CURRENT-- ))\n  case $words[1] in\n";
  for (const CLI::App *sub : subcommands_of(command))
    out += fmt::format("    {}) {} ;;\n", sub->get_name(), zsh_function(*sub));
  return out + "  esac\n}\n\n";
}

std::string zsh_options(const CLI::App &command) {
  std::string out = fmt::format("{}() {{\n  _arguments \\\n", zsh_function(command));
  for (const CLI::Option *option : options_of(command)) {
    const std::string value = takes_value(*option) ? ":" + zsh_text(option->get_type_name()) + ":_files" : "";
    for (const std::string &name : names_of(*option))
      out += fmt::format("    {} \\\n",
                         quoted(fmt::format("*{}[{}]{}", name, zsh_text(option->get_description()), value)));
  }
  return out + "    '*:file:_files'\n}\n\n";
}

// True in fish where the line has all words of the command's name and none of its subcommands.
std::string fish_condition(const CLI::App &command) {
  std::string out;
  for (const CLI::App *at = &command; at->get_parent(); at = at->get_parent())
    out = fmt::format("__fish_seen_subcommand_from {}{}{}", at->get_name(), out.empty() ? "" : "; and ", out);
  std::string subs;
  for (const CLI::App *sub : subcommands_of(command)) subs += " " + sub->get_name();
  if (subs.empty()) return out;
  return fmt::format("{}{}not __fish_seen_subcommand_from{}", out, out.empty() ? "" : "; and ", subs);
}

std::string fish_text(const std::string &text) {
  return "'" + replaced(replaced(one_line(text), "\\", "\\\\"), "'", "\\'") + "'";
}

// A word that begins with a dash is an option, unless the one before it takes a value. Where no word fits, bash
// completes files.
constexpr const char *kBash =
    "_uscx() {\n"
    "  local command=uscx subs options i\n"
    "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "    case \"$command ${COMP_WORDS[i]}\" in\n"
    "      COMMANDS) command=\"$command ${COMP_WORDS[i]}\" ;;\n"
    "    esac\n"
    "  done\n"
    "  case \"$command\" in\n"
    "WORDS\n"
    "  esac\n"
    "  case \"$command ${COMP_WORDS[COMP_CWORD-1]}\" in\n"
    "    VALUED) subs= options= ;;\n"
    "  esac\n"
    "  local current=${COMP_WORDS[COMP_CWORD]}\n"
    "  if [[ $current == -* ]]; then subs=$options; fi\n"
    "  COMPREPLY=($(compgen -W \"$subs\" -- \"$current\"))\n"
    "}\n"
    "complete -o default -F _uscx uscx\n";

}  // namespace

std::string bash_completion(const CLI::App &root) {
  std::string commands, words, valued;
  for_each_command(root, [&](const CLI::App &command) {
    const std::string name = full_name(command);
    std::string subs, options;
    for (const CLI::App *sub : subcommands_of(command)) {
      subs += " " + sub->get_name();
      commands += fmt::format("{}\"{}\"", commands.empty() ? "" : "|", full_name(*sub));
    }
    for (const CLI::Option *option : options_of(command)) {
      for (const std::string &spelling : names_of(*option)) {
        options += " " + spelling;
        if (takes_value(*option)) valued += fmt::format("{}\"{} {}\"", valued.empty() ? "" : "|", name, spelling);
      }
    }
    words += fmt::format("    \"{}\") subs=\"{}\" options=\"{}\" ;;\n", name, subs, options);
  });
  return replaced(replaced(replaced(kBash, "COMMANDS", commands), "WORDS\n", words), "VALUED", valued);
}

std::string zsh_completion(const CLI::App &root) {
  std::string out = "#compdef uscx\n\n";
  for_each_command(root, [&](const CLI::App &command) {
    out += subcommands_of(command).empty() ? zsh_options(command) : zsh_commands(command);
  });
  return out + "_uscx \"$@\"\n";
}

std::string fish_completion(const CLI::App &root) {
  std::string out;
  for_each_command(root, [&](const CLI::App &command) {
    const std::string start = fmt::format("complete -c uscx -n {} ", fish_text(fish_condition(command)));
    for (const CLI::App *sub : subcommands_of(command))
      out += fmt::format("{}-f -a {} -d {}\n", start, sub->get_name(), fish_text(sub->get_description()));
    for (const CLI::Option *option : options_of(command)) {
      out += start;
      for (const std::string &name : option->get_snames()) out += fmt::format("-s {} ", name);
      for (const std::string &name : option->get_lnames()) out += fmt::format("-l {} ", name);
      out += fmt::format("{}-d {}\n", takes_value(*option) ? "-r " : "", fish_text(option->get_description()));
    }
  });
  return out;
}

}  // namespace uscx::cli
