// SPDX-License-Identifier: GPL-2.0-only
#include "run/scan_json.h"

#include <nlohmann/json.hpp>

#include "bpf/object/map.h"

namespace uscx::cli {

using Json = nlohmann::ordered_json;

std::string map_type_text(u32 type) {
  const char *name = bpf::map_type_name(type);
  return name == nullptr ? fmt::format("type {}", type) : name;
}

Json scan_json(const std::string &path, const bpf::ScanResult &scan) {
  Json out;
  out["object"] = path;
  out["loads"] = scan.missing.empty();
  out["missing"] = scan.missing;
  out["tables"] = Json::array();
  for (const auto &table : scan.tables)
    out["tables"].push_back({{"name", table.name}, {"type", table.type}, {"callbacks", table.callbacks}});
  out["programs"] = Json::array();
  for (const auto &program : scan.programs)
    out["programs"].push_back(
        {{"name", program.name}, {"section", program.section}, {"loaded", program.loaded}, {"note", program.note}});
  out["maps"] = Json::array();
  for (const auto &map : scan.maps)
    out["maps"].push_back({{"name", map.name}, {"type", map_type_text(map.type)}, {"max_entries", map.max_entries}});
  out["kfuncs"] = scan.kfuncs;
  out["trapping"] = scan.trapping;
  out["helpers"] = scan.helpers;
  out["variables"] = scan.variables;
  out["fields"] = scan.fields;
  out["not_checked"] = kNotChecked;
  return out;
}

}  // namespace uscx::cli
