// SPDX-License-Identifier: GPL-2.0-only
// A BPF object without struct_ops.
#include "scan_test.h"

SEC("syscall")
int nothing(void *ctx) { return 0; }
