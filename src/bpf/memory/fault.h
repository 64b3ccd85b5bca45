// SPDX-License-Identifier: GPL-2.0-only
// Memory faults of BPF programs. A SIGSEGV or SIGBUS inside translated code (set_code_fault_decoder()), or inside one
// of the probing functions below, is turned into a value or an abort; any other one goes to the handler that was there
// before (AddressSanitizer's report, a core dump).
//
// The handler is installed with the first program or by install_fault_handler(), after the sanitizers' own handlers, so
// that it runs before them; sanitizer builds need no option for that (allow_user_segv_handler is on by default). Code
// that installs another SIGSEGV handler later must chain to ours.
//
// Threads: the handler reads only immutable tables and the state of the thread that faulted.
#ifndef USCX_BPF_MEMORY_FAULT_H_
#define USCX_BPF_MEMORY_FAULT_H_

#include <cstddef>

#include "base/types.h"

namespace uscx::bpf {

void install_fault_handler();

// Asked first about a fault in code that is none of the probing functions: true if it has decided where the thread goes
// on, by changing the mcontext_t. The translator of programs sets it, before the first of them runs.
using CodeFaultDecoder = bool (*)(void *machine_context);
void set_code_fault_decoder(CodeFaultDecoder decoder);

// A load of 1, 2, 4 or 8 bytes, zero extended. False when the memory is not readable.
bool probe_load(u64 address, unsigned size, u64 *value);
// A store of 1, 2, 4 or 8 bytes. False, and nothing is written, when the memory is not writable.
bool probe_store(u64 address, unsigned size, u64 value);
// Whether `size` (4 or 8) bytes at `address` can be written; leaves them as they are.
bool probe_writable(u64 address, unsigned size);
// Copies between memory that may be unmapped and memory that is not. False when it faulted; a part may be copied.
bool probe_copy(void *to, const void *from, size_t bytes);

}  // namespace uscx::bpf

#endif  // USCX_BPF_MEMORY_FAULT_H_
