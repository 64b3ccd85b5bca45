// SPDX-License-Identifier: GPL-2.0-only
// `uscx list`: what there is, from the registries themselves.
#include <algorithm>
#include <cstdio>
#include <map>

#include "bpf/object/helper.h"
#include "bpf/object/hooks.h"
#include "bpf/object/iter_link.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/map.h"
#include "cli/command.h"
#include "process/call_table.h"
#include "process/pass_through.h"
#include "run/run.h"
#include "schedulers/user_half.h"
#include "workload/builtins.h"
#include "workload/script/keys.h"

namespace uscx::cli {
namespace {

// "name    help", the help in lines of its own behind the name's column.
void print_entry(const std::string &indent, const std::string &name, size_t name_columns, std::string_view help) {
  constexpr size_t kColumns = 80;
  const size_t start = indent.size() + name_columns + 2;
  std::string line = fmt::format("{}{:<{}}  ", indent, name, name_columns);
  bool has_word = false;
  while (!help.empty()) {
    const size_t end = std::min(help.find(' '), help.size());
    const std::string_view word = help.substr(0, end);
    help.remove_prefix(std::min(end + 1, help.size()));
    if (has_word && line.size() + 1 + word.size() > kColumns) {
      fmt::print("{}\n", line);
      line.assign(start, ' ');
      has_word = false;
    }
    if (has_word) line += ' ';
    line += word;
    has_word = true;
  }
  fmt::print("{}\n", line);
}

void list_schedulers() {
  print_entry("", "fair", 12, "no BPF scheduler: all tasks in the fair class");
  for (const schedulers::Scheduler &scheduler : schedulers::schedulers())
    print_entry("", std::string(scheduler.name), 12, scheduler.help);
}

// "", where a value is none of a range.
std::string range_text(const workload::Parameter &parameter) {
  using Kind = workload::Parameter::Kind;
  if (parameter.kind == Kind::kGroup) return "";
  if (parameter.kind == Kind::kTimes) return "a time, or how it is drawn (docs/WORKLOADS.md)";
  if (parameter.kind == Kind::kDuration)
    return "; " + format_duration(static_cast<u64>(parameter.low)) + " to " +
           format_duration(static_cast<u64>(parameter.high));
  return fmt::format("; {} to {}", parameter.low, parameter.high);
}

void list_workloads() {
  std::string_view group;
  for (const workload::Builtin &builtin : workload::builtins()) {
    if (builtin.group != group) fmt::print("{}{}:\n", group.empty() ? "" : "\n", builtin.group);
    group = builtin.group;
    print_entry("", builtin.name, 10, builtin.help);
    for (const workload::Parameter &parameter : builtin.parameters) {
      std::string help = fmt::format("{}{}", parameter.help, range_text(parameter));
      if (parameter.default_text[0]) help += fmt::format(", default {}", parameter.default_text);
      print_entry("  ", fmt::format("{}=", parameter.name), 12, help);
    }
  }
  fmt::print(
      "\nfiles:\n"
      "FILE        a task script in JSON (docs/WORKLOADS.md, uscx list workload-keys):\n"
      "            a path with a slash, one that ends in .json, or - for standard input\n");
}

std::string help_of(const workload::Key &key) {
  std::string help = key.origin == workload::Origin::kRtApp ? "" : fmt::format("({}) ", origin_text(key.origin));
  if (key.meaning[0]) help += fmt::format("{}; ", key.meaning);
  help += key.type;
  if (key.default_text[0]) help += fmt::format(", default {}", key.default_text);
  return help;
}

void list_workload_keys() {
  constexpr size_t kNameColumns = 16;
  std::string places;
  for (const workload::Key &key : workload::keys()) {
    if (const std::string its = workload::places_text(key.places); its != places) {
      places = its;
      fmt::print("{}:\n", places);
    }
    print_entry("  ", key.name, kNameColumns, help_of(key));
  }
}

// The table of docs/WORKLOAD_KEYS.md.
void list_workload_keys_as_markdown() {
  fmt::print("| key | in | of | value | default | meaning | test |\n|---|---|---|---|---|---|---|\n");
  for (const workload::Key &key : workload::keys())
    fmt::print("| `{}` | {} | {} | {} | {} | {} | `{}` |\n", key.name, workload::places_text(key.places),
               origin_text(key.origin), key.type, key.default_text, key.meaning, key.test);
}

void list_kfuncs() {
  for (const bpf::KfuncEntry *kfunc : bpf::list_kfuncs())
    fmt::print("{} {}{}\n", kfunc->return_text, kfunc->name, kfunc->params_text);
}

void list_helpers() {
  for (const bpf::HelperEntry *helper : bpf::list_helpers()) fmt::print("{:>4} {}\n", helper->id, helper->name);
}

void list_maps() {
  for (const bpf::MapTypeEntry *type : bpf::list_map_types()) fmt::print("{:>4} {}\n", type->type, type->name);
}

void list_hooks() {
  static constexpr size_t kNameColumns = 24;
  for (const bpf::Hook &hook : bpf::list_hooks()) {
    const char *sections = hook.kind == bpf::HookKind::kTracepoint ? "tp_btf, raw_tp, tracepoint"
                           : hook.kind == bpf::HookKind::kEvent    ? "tracepoint"
                                                                   : "fentry, fexit, kprobe, kretprobe";
    const std::string never = hook.never ? fmt::format("; never fires: {}", hook.never) : "";
    print_entry("", hook.name, kNameColumns, sections + never);
  }
  for (const bpf::Iterator &iterator : bpf::list_iterators()) print_entry("", iterator.name, kNameColumns, "iter");
}

void list_alloc_sites() {
  for (u32 i = 0; i < static_cast<u32>(machine::AllocSite::count); i++) {
    const auto site = static_cast<machine::AllocSite>(i);
    print_entry("", machine::alloc_site_name(site), 16, machine::alloc_site_text(site));
  }
}

// By what becomes of them and why; docs/PROGRAMS.md has the same text.
void list_syscalls() {
  using process::CallFate;
  std::map<std::pair<CallFate, std::string_view>, std::string> groups;
  for (const process::CallFateRow &row : process::list_calls()) {
    std::string &names = groups[{row.fate, row.why}];
    names += names.empty() ? row.name : fmt::format(" {}", row.name);
  }
  for (const CallFate fate : {CallFate::kOurs, CallFate::kHost, CallFate::kRefused})
    for (const auto &[group, names] : groups) {
      if (group.first != fate) continue;
      const char *what = fate == CallFate::kOurs ? "simulated" : fate == CallFate::kHost ? "the host's" : "refused";
      fmt::print("{}{}{}\n", what, group.second.empty() ? "" : ": ", group.second);
      print_entry("", "", 2, names);
    }
}

void list_host_files() {
  for (const process::PassThrough &row : process::list_pass_through()) fmt::print("{:<36} {}\n", row.path, row.why);
}

struct List {
  const char *name;
  const char *help;
  void (*print)();
};
constexpr List kLists[] = {
    {"schedulers", "our own schedulers", list_schedulers},
    {"workloads", "built-in workloads and their parameters", list_workloads},
    {"workload-keys", "keys of workloads in JSON", list_workload_keys},
    {"workload-keys-table", "the same as a table in Markdown", list_workload_keys_as_markdown},
    {"kfuncs", "kernel functions that programs may call", list_kfuncs},
    {"helpers", "BPF helpers, with their numbers", list_helpers},
    {"maps", "map types, with their numbers", list_maps},
    {"hooks", "hooks of tracing programs and iterators", list_hooks},
    {"syscalls", "what becomes of each system call of a program", list_syscalls},
    {"host-files", "the host's files that programs see, and why", list_host_files},
    {"alloc-sites", "what of a load --fail-alloc can let fail", list_alloc_sites},
};

}  // namespace

void add_list_command(CLI::App &app, Action &action) {
  CLI::App *list = app.add_subcommand("list", "Lists schedulers, workloads, kfuncs, maps and more.");
  list->require_subcommand(1);
  for (const List &entry : kLists) {
    CLI::App *command = list->add_subcommand(entry.name, std::string("Lists ") + entry.help + ".");
    command->callback([&action, &entry] {
      action = [&entry] {
        entry.print();
        return static_cast<int>(kExitOk);
      };
    });
  }
}

}  // namespace uscx::cli
