// SPDX-License-Identifier: GPL-2.0-only
// The same scheduler in the other form.
#define CID_FORM
#include "callbacks.bpf.c"
