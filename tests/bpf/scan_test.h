/* SPDX-License-Identifier: GPL-2.0-only
 * What the objects that src/bpf/scan_test.cc scans have in common.
 */
#ifndef USCX_TESTS_BPF_SCAN_TEST_H_
#define USCX_TESTS_BPF_SCAN_TEST_H_

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

/* Keeps what it is called with alive. */
#define USE(value)                 \
  do {                             \
    u64 used_ = (u64)(value);      \
    asm volatile("" ::"r"(used_)); \
  } while (0)

#endif /* USCX_TESTS_BPF_SCAN_TEST_H_ */
