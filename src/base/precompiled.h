// SPDX-License-Identifier: GPL-2.0-only
// Headers of other projects that most files include, compiled once for the build (cmake/UscxModule.cmake). No file may
// rely on it: a build without it (-DUSCX_PRECOMPILE=OFF) must pass too.
#ifndef USCX_BASE_PRECOMPILED_H_
#define USCX_BASE_PRECOMPILED_H_

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#endif  // USCX_BASE_PRECOMPILED_H_
