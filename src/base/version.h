// SPDX-License-Identifier: GPL-2.0-only
// The version of uscx, from the project() of the top CMakeLists.txt: "0.9.0".
#ifndef USCX_BASE_VERSION_H_
#define USCX_BASE_VERSION_H_

namespace uscx {

extern const char *const kVersion;

}  // namespace uscx

#endif  // USCX_BASE_VERSION_H_
