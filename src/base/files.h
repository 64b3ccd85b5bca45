// SPDX-License-Identifier: GPL-2.0-only
// Reads and writes whole files of the host. An error names the path and the host's reason. Threading: no shared state.
#ifndef USCX_BASE_FILES_H_
#define USCX_BASE_FILES_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx {

// Replaces `path` by `bytes`, or leaves all as it was.
Status write_file(const std::string &path, std::string_view bytes);
// At most 256 MiB.
Result<std::vector<u8>> read_file(const std::string &path);

}  // namespace uscx

#endif  // USCX_BASE_FILES_H_
