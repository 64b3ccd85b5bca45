// SPDX-License-Identifier: GPL-2.0-only
// Schedulers that are given as source: X.bpf.c is compiled by the host's clang, against the headers in
// share/uscx/include of the build or the installation. Nothing is written to disk. Threading: none shared.
#ifndef USCX_RUN_COMPILE_H_
#define USCX_RUN_COMPILE_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx::cli {

// A name that ends in .bpf.c.
bool is_source_file(std::string_view name);

// The bytes of an object file, compiled first if it is source. clang's messages go to standard error.
Result<std::vector<u8>> read_object(const std::string &path);

}  // namespace uscx::cli

#endif  // USCX_RUN_COMPILE_H_
