// SPDX-License-Identifier: GPL-2.0-only
// A struct_ops object that is no scheduler.
#include "scan_test.h"

SEC("struct_ops/other_init")
int other_init(u64 *ctx) { return 0; }

SEC(".struct_ops")
struct tcp_congestion_ops other_ops = {
    .init = (void *)other_init,
    .name = "other",
};
