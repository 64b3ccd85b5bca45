// SPDX-License-Identifier: GPL-2.0-only
// Names of variables, for reports: see BpfSystem::address_text().
#ifndef USCX_BPF_OBJECT_ADDRESS_NAME_H_
#define USCX_BPF_OBJECT_ADDRESS_NAME_H_

#include <string>

#include "base/types.h"

struct btf;
struct btf_type;

namespace uscx::bpf {

// "variable counters[].hits": what is at `offset` of a section of variables; empty if nothing is.
std::string variable_text(const struct btf *btf, const btf_type *section, u32 offset);

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_ADDRESS_NAME_H_
