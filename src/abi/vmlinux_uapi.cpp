// SPDX-License-Identifier: GPL-2.0-only
// The unnamed enums of the BPF user API (BPF_ANY, BPF_F_MMAPABLE, ...) for our kernel BTF. Programs that include a
// vmlinux.h cannot include <linux/bpf.h> as well and take these constants from it.
//
// In C an enumerator is an int and its unnamed enum cannot be referred to; in C++ it has the enum's type. So this file,
// unlike vmlinux.c, is C++; tools/btf_base.cc merges the two. One enumerator stands for each enum.
#include <linux/bpf.h>

#define DESCRIBE_ENUM_OF(enumerator) static decltype(enumerator) described_##enumerator __attribute__((used))

DESCRIBE_ENUM_OF(BPF_ANY);
DESCRIBE_ENUM_OF(BPF_F_NO_PREALLOC);
DESCRIBE_ENUM_OF(BPF_STREAM_STDOUT);
DESCRIBE_ENUM_OF(BPF_F_SKIP_FIELD_MASK);
DESCRIBE_ENUM_OF(BPF_F_INDEX_MASK);
DESCRIBE_ENUM_OF(BPF_LOCAL_STORAGE_GET_F_CREATE);
DESCRIBE_ENUM_OF(BPF_RB_NO_WAKEUP);
DESCRIBE_ENUM_OF(BPF_RB_AVAIL_DATA);
DESCRIBE_ENUM_OF(BPF_RINGBUF_BUSY_BIT);
DESCRIBE_ENUM_OF(BTF_F_COMPACT);
DESCRIBE_ENUM_OF(BPF_F_TIMER_ABS);
