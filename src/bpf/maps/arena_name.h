// SPDX-License-Identifier: GPL-2.0-only
// Names for addresses in programs' memory, those in arenas among them, for reports.
#ifndef USCX_BPF_MAPS_ARENA_NAME_H_
#define USCX_BPF_MAPS_ARENA_NAME_H_

#include <string>

#include "bpf/object/bpf_system.h"

namespace uscx::bpf {

// As BpfSystem::address_text(), and of an arena of the program's the variable too: "variable counters[].hits", or
// "arena pages + 0x1040". The map itself has no BTF; the program that uses it has.
std::string address_text_of(const BpfSystem &system, const Prog &program, u64 address);

}  // namespace uscx::bpf

#endif  // USCX_BPF_MAPS_ARENA_NAME_H_
