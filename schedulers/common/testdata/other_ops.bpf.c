// SPDX-License-Identifier: GPL-2.0-only
// An object for a struct_ops of another kind.
#include "uscx_scx.bpf.h"

struct some_other_ops {
  int (*run)(void);
  char name[16];
};

SEC(".struct_ops.link") struct some_other_ops other = {.name = "other"};
