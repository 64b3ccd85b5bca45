// SPDX-License-Identifier: GPL-2.0-only
// Maps in maps.
#include "vmlinux.h"
// libbpf's headers use vmlinux.h's types.
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "GPL";

struct inner {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2);
  __type(key, u32);
  __type(value, u64);
};

struct inner first SEC(".maps"), second SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 3);
  __type(key, u32);
  __array(values, struct inner);
} outer SEC(".maps") = {
    .values = {&first, 0, &second},
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, u64);
  __array(values, struct inner);
} by_name SEC(".maps");

u64 found, missing;

static int add(void *map) {
  u32 key = 1;
  u64 *value;

  if (!map) {
    missing++;
    return 1;
  }
  value = bpf_map_lookup_elem(map, &key);
  if (!value) return 2;
  found += *value;
  *value += 100;
  return 0;
}

SEC("syscall")
int use_array(u32 *ctx) {
  u32 key = *ctx;

  return add(bpf_map_lookup_elem(&outer, &key));
}

SEC("syscall")
int use_hash(u64 *ctx) {
  u64 key = *ctx;

  return add(bpf_map_lookup_elem(&by_name, &key));
}
