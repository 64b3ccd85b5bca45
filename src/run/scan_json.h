// SPDX-License-Identifier: GPL-2.0-only
// What a scan has found out about an object, as JSON: part of what `uscx inspect` and a refused `uscx run` print.
#ifndef USCX_RUN_SCAN_JSON_H_
#define USCX_RUN_SCAN_JSON_H_

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bpf/load/scan/scan.h"

namespace uscx::cli {

inline constexpr const char *kNotChecked =
    "Checked when it is loaded: which kfuncs are called from where, sleeping, and pointers that may be NULL. Nothing "
    "else of the kernel's verifier is there: a real kernel may refuse what runs here.";

std::string map_type_text(u32 type);
nlohmann::ordered_json scan_json(const std::string &path, const bpf::ScanResult &scan);

}  // namespace uscx::cli

#endif  // USCX_RUN_SCAN_JSON_H_
