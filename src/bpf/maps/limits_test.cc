// SPDX-License-Identifier: GPL-2.0-only
// How large maps may be: each limit, and one beyond, with the kernel's answer.
#include <bpf/bpf.h>
#include <errno.h>
#include <gtest/gtest.h>

#include "bpf/testing/env.h"

namespace uscx::bpf {
namespace {

class MapLimits : public MapFixture {};

struct Shape {
  u32 key_size, value_size, max_entries;
};

TEST_F(MapLimits, AreTheKernels) {
  constexpr u32 kPerCpu = 32768;  // PCPU_MIN_UNIT_SIZE
  constexpr u32 kArenaPages = 1u << 20;
  const struct {
    const char *what;
    bpf_map_type type;
    Shape at, beyond;
    int at_result, beyond_result;
    u32 flags = 0;
  } kLimits[] = {
      {"a hash's key", BPF_MAP_TYPE_HASH, {512, 8, 4}, {513, 8, 4}, 0, -E2BIG},
      {"a hash's value", BPF_MAP_TYPE_HASH, {8, 1u << 20, 1}, {8, 4u << 20, 1}, 0, -E2BIG},
      {"a hash without entries", BPF_MAP_TYPE_HASH, {8, 8, 1}, {8, 8, 0}, 0, -EINVAL},
      {"a per-CPU hash's value", BPF_MAP_TYPE_PERCPU_HASH, {8, kPerCpu, 1}, {8, kPerCpu + 1, 1}, 0, -E2BIG},
      {"a per-CPU array's value", BPF_MAP_TYPE_PERCPU_ARRAY, {4, kPerCpu, 1}, {4, kPerCpu + 1, 1}, 0, -E2BIG},
      {"an array's key", BPF_MAP_TYPE_ARRAY, {4, 8, 1}, {5, 8, 1}, 0, -EINVAL},
      {"an array's value", BPF_MAP_TYPE_ARRAY, {4, 1u << 20, 1}, {4, 1u << 31, 1}, 0, -E2BIG},
      {"an array without entries", BPF_MAP_TYPE_ARRAY, {4, 8, 1}, {4, 8, 0}, 0, -EINVAL},
      {"a ring buffer of whole pages", BPF_MAP_TYPE_RINGBUF, {0, 0, 4096}, {0, 0, 4097}, 0, -EINVAL},
      {"a ring buffer's power of two", BPF_MAP_TYPE_RINGBUF, {0, 0, 8192}, {0, 0, 12288}, 0, -EINVAL},
      {"a queue without entries", BPF_MAP_TYPE_QUEUE, {0, 8, 1}, {0, 8, 0}, 0, -EINVAL},
      {"an arena's pages", BPF_MAP_TYPE_ARENA, {0, 0, 1}, {0, 0, kArenaPages + 1}, 0, -E2BIG, BPF_F_MMAPABLE},
  };
  for (const auto &limit : kLimits) {
    const auto made = [&](const Shape &shape) {
      const int fd = create(limit.type, shape.key_size, shape.value_size, shape.max_entries, limit.flags);
      return fd < 0 ? fd : 0;
    };
    EXPECT_EQ(made(limit.at), limit.at_result) << limit.what;
    EXPECT_EQ(made(limit.beyond), limit.beyond_result) << limit.what << ", beyond";
  }
}

TEST_F(MapLimits, WhatIsFullTakesNoMore) {
  const u64 value = 1;
  const int hash = create(BPF_MAP_TYPE_HASH, 4, 8, 3);
  const int array = create(BPF_MAP_TYPE_ARRAY, 4, 8, 3);
  for (u32 key = 0; key < 4; key++) {
    EXPECT_EQ(result(bpf_map_update_elem(hash, &key, &value, BPF_ANY)), key < 3 ? 0 : -E2BIG) << key;
    EXPECT_EQ(result(bpf_map_update_elem(array, &key, &value, BPF_ANY)), key < 3 ? 0 : -E2BIG) << key;
  }
  const int queue = create(BPF_MAP_TYPE_QUEUE, 0, 8, 3);
  for (u32 n = 0; n < 4; n++)
    EXPECT_EQ(result(bpf_map_update_elem(queue, nullptr, &value, BPF_ANY)), n < 3 ? 0 : -E2BIG) << n;
}

}  // namespace
}  // namespace uscx::bpf
