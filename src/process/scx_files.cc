// SPDX-License-Identifier: GPL-2.0-only
#include "process/scx_files.h"

#include <errno.h>
#include <fmt/format.h>

#include <algorithm>

#include "sched/ext/ext_sched.h"

namespace uscx::process {

using sched::Ext;

namespace {

constexpr std::string_view kDir = "/sys/kernel/sched_ext";

std::string_view below(std::string_view path) { return path.substr(std::min(kDir.size() + 1, path.size())); }

const char *state_name(u32 state) {
  switch (state) {
    case SCX_ENABLING: return "enabling";
    case SCX_ENABLED: return "enabled";
    case SCX_DISABLING: return "disabling";
    default: return "disabled";
  }
}

struct CommonFile {
  const char *name;
  std::string (*text)(const Ext &ext);
};
constexpr CommonFile kCommon[] = {
    {"state", [](const Ext &ext) { return std::string(state_name(ext.state())); }},
    {"switch_all", [](const Ext &ext) { return std::to_string(ext.switched_all() ? 1 : 0); }},
    {"nr_rejected", [](const Ext &ext) { return std::to_string(ext.nr_rejected()); }},
    {"hotplug_seq", [](const Ext &ext) { return std::to_string(ext.hotplug_seq()); }},
    {"enable_seq", [](const Ext &ext) { return std::to_string(ext.enable_seq()); }},
};

struct SchedulerFile {
  const char *name;
  std::string (*text)(const Ext::Loaded &loaded);
};
constexpr SchedulerFile kOfEach[] = {
    {"ops", [](const Ext::Loaded &loaded) { return loaded.name + "\n"; }},
    {"events",
     [](const Ext::Loaded &loaded) {
       std::string lines;
       for (const sched::EventName &event : sched::kEventNames)
         lines += fmt::format("{} {}\n", event.name, loaded.events.*event.counter);
       return lines;
     }},
};

}  // namespace

bool ScxFiles::covers(std::string_view path) const { return is_within(path, kDir); }

std::vector<std::string> ScxFiles::names() const {
  std::vector<std::string> names;
  for (const CommonFile &file : kCommon) names.emplace_back(file.name);
  for (const Ext::Loaded &loaded : ext_.loaded())
    for (const SchedulerFile &file : kOfEach) names.push_back(fmt::format("{}/{}", loaded.path, file.name));
  return names;
}

FileKind ScxFiles::kind(std::string_view path) const { return kind_among(names(), below(path)); }
std::vector<FileName> ScxFiles::list(std::string_view path) const { return list_among(names(), below(path)); }

std::string ScxFiles::contents(std::string_view path) const {
  path = below(path);
  for (const CommonFile &file : kCommon)
    if (path == file.name) return file.text(ext_) + "\n";
  for (const Ext::Loaded &loaded : ext_.loaded())
    for (const SchedulerFile &file : kOfEach)
      if (path == fmt::format("{}/{}", loaded.path, file.name)) return file.text(loaded);
  return "";
}

int ScxFiles::write(std::string_view, std::string_view) { return -EACCES; }

}  // namespace uscx::process
