// SPDX-License-Identifier: GPL-2.0-only
// Hash maps against models from the standard library, under seeded random operations.
#include <bpf/bpf.h>
#include <errno.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <set>

#include "base/rng.h"
#include "bpf/testing/env.h"

namespace uscx::bpf {
namespace {

class HashMapTest : public MapFixture {};

using Model = std::map<u32, u64>;

int model_update(Model &model, u32 capacity, u32 key, u64 value, u64 flags) {
  if (flags > BPF_EXIST) return -EINVAL;
  const bool there = model.contains(key);
  if (there && flags == BPF_NOEXIST) return -EEXIST;
  if (!there && flags == BPF_EXIST) return -ENOENT;
  if (!there && model.size() == capacity) return -E2BIG;
  model[key] = value;
  return 0;
}

std::set<u32> walk_keys(int fd) {
  std::set<u32> keys;
  u32 key;
  for (int err = bpf_map_get_next_key(fd, nullptr, &key); err == 0; err = bpf_map_get_next_key(fd, &key, &key))
    EXPECT_TRUE(keys.insert(key).second) << "key " << key << " comes twice";
  EXPECT_EQ(errno, ENOENT);
  return keys;
}

TEST_F(HashMapTest, BehavesAsAModelUnderRandomOperations) {
  constexpr u32 kCapacity = 40;
  for (u32 flags : {0u, u32{BPF_F_NO_PREALLOC}}) {
    const int fd = create(BPF_MAP_TYPE_HASH, 4, 8, kCapacity, flags);
    ASSERT_GE(fd, 0);
    Model model;
    Rng rng(flags + 1, "hash-test");
    for (int step = 0; step < 20000; step++) {
      u32 key = static_cast<u32>(rng.below(64));
      u64 value = rng.next();
      switch (rng.below(5)) {
        case 0:
        case 1: {
          const u64 mode = rng.below(4);  // BPF_ANY, NOEXIST, EXIST and one that is invalid
          EXPECT_EQ(result(bpf_map_update_elem(fd, &key, &value, mode)),
                    model_update(model, kCapacity, key, value, mode));
          break;
        }
        case 2: EXPECT_EQ(result(bpf_map_delete_elem(fd, &key)), model.erase(key) ? 0 : -ENOENT); break;
        case 3: {
          u64 got = 0;
          const int err = result(bpf_map_lookup_elem(fd, &key, &got));
          ASSERT_EQ(err, model.contains(key) ? 0 : -ENOENT);
          if (err == 0) {
            EXPECT_EQ(got, model[key]);
          }
          break;
        }
        default: {
          u64 got = 0;
          const int err = result(bpf_map_lookup_and_delete_elem(fd, &key, &got));
          ASSERT_EQ(err, model.contains(key) ? 0 : -ENOENT);
          if (err == 0) {
            EXPECT_EQ(got, model[key]);
            model.erase(key);
          }
        }
      }
    }
    std::set<u32> expected;
    for (const auto &[key, value] : model) expected.insert(key);
    EXPECT_EQ(walk_keys(fd), expected);
  }
}

TEST_F(HashMapTest, WalkDoesNotDependOnAddresses) {
  std::vector<u32> orders[2];
  for (auto &order : orders) {
    const int fd = create(BPF_MAP_TYPE_HASH, 4, 8, 100);
    for (u32 key = 0; key < 100; key++) {
      const u64 value = key;
      ASSERT_EQ(bpf_map_update_elem(fd, &key, &value, BPF_ANY), 0);
    }
    u32 key;
    for (int err = bpf_map_get_next_key(fd, nullptr, &key); err == 0; err = bpf_map_get_next_key(fd, &key, &key))
      order.push_back(key);
  }
  EXPECT_EQ(orders[0], orders[1]);
  EXPECT_EQ(orders[0].size(), 100u);
}

TEST_F(HashMapTest, LruEvictsTheLeastRecentlyUsed) {
  constexpr u32 kCapacity = 16;
  const int fd = create(BPF_MAP_TYPE_LRU_HASH, 4, 8, kCapacity);
  ASSERT_GE(fd, 0);
  std::list<std::pair<u32, u64>> model;  // oldest use first
  auto find = [&](u32 key) {
    return std::find_if(model.begin(), model.end(), [&](auto &entry) { return entry.first == key; });
  };
  Rng rng(3, "lru-test");
  for (int step = 0; step < 5000; step++) {
    const u32 key = static_cast<u32>(rng.below(40));
    const u64 value = rng.next();
    auto it = find(key);
    if (rng.below(2) == 0) {
      ASSERT_EQ(map(fd).update(&key, &value, BPF_ANY), 0);
      if (it != model.end())
        model.erase(it);
      else if (model.size() == kCapacity)
        model.pop_front();
      model.emplace_back(key, value);
    } else {
      const u64 *got = static_cast<u64 *>(map(fd).lookup(&key));
      ASSERT_EQ(got != nullptr, it != model.end()) << "step " << step;
      if (got != nullptr) {
        EXPECT_EQ(*got, it->second);
        model.splice(model.end(), model, it);
      }
    }
  }
}

TEST_F(HashMapTest, PerCpuValuesAreSeparate) {
  const int fd = create(BPF_MAP_TYPE_PERCPU_HASH, 4, 4, 8);  // 4-byte values: user space sees them 8 apart
  ASSERT_GE(fd, 0);
  const u32 key = 5;
  for (u32 cpu = 0; cpu < 4; cpu += 2) {
    env_.on_cpu = cpu;
    const u32 value = 100 + cpu;
    ASSERT_EQ(map(fd).update(&key, &value, BPF_ANY), 0);
  }
  u64 all[4];
  ASSERT_EQ(bpf_map_lookup_elem(fd, &key, all), 0);
  EXPECT_EQ(all[0], 100u);
  EXPECT_EQ(all[1], 0u);
  EXPECT_EQ(all[2], 102u);
  for (u32 cpu = 0; cpu < 4; cpu++) all[cpu] = cpu;
  ASSERT_EQ(bpf_map_update_elem(fd, &key, all, BPF_EXIST), 0);
  EXPECT_EQ(*static_cast<u32 *>(map(fd).lookup_percpu(&key, 3)), 3u);
  EXPECT_EQ(map(fd).lookup_percpu(&key, 4), nullptr);
}

TEST_F(HashMapTest, DeletedElementStaysUntilTheEndOfTheInvocation) {
  const int fd = create(BPF_MAP_TYPE_HASH, 4, 8, 1);
  const u32 key = 1;
  u64 value = 11;
  ASSERT_EQ(map(fd).update(&key, &value, BPF_ANY), 0);
  const u64 *old = static_cast<u64 *>(map(fd).lookup(&key));
  value = 22;
  ASSERT_EQ(map(fd).update(&key, &value, BPF_ANY), 0);
  const u64 *now = static_cast<u64 *>(map(fd).lookup(&key));
  EXPECT_NE(old, now) << "replacing a value makes a new element";
  EXPECT_EQ(*now, 22u);
}

TEST_F(HashMapTest, AttributesAreCheckedAsTheKernelDoes) {
  EXPECT_EQ(create(BPF_MAP_TYPE_HASH, 0, 8, 1), -EINVAL);
  EXPECT_EQ(create(BPF_MAP_TYPE_HASH, 4, 0, 1), -EINVAL);
  EXPECT_EQ(create(BPF_MAP_TYPE_HASH, 4, 8, 0), -EINVAL);
  EXPECT_EQ(create(BPF_MAP_TYPE_HASH, 513, 8, 1), -E2BIG);
  EXPECT_EQ(create(BPF_MAP_TYPE_HASH, 4, 5 << 20, 1), -E2BIG);
  EXPECT_EQ(create(BPF_MAP_TYPE_HASH, 4, 8, 1, BPF_F_MMAPABLE), -EINVAL);
  EXPECT_EQ(create(BPF_MAP_TYPE_LRU_HASH, 4, 8, 1, BPF_F_NO_PREALLOC), -kENotSupp);
  EXPECT_EQ(create(BPF_MAP_TYPE_PERCPU_HASH, 4, 64 << 10, 1), -E2BIG);
}

TEST_F(HashMapTest, UserSpaceAccessFlagsHold) {
  u32 key = 1;
  u64 value = 1;
  const int read_only = create(BPF_MAP_TYPE_HASH, 4, 8, 1, BPF_F_RDONLY);
  EXPECT_EQ(result(bpf_map_update_elem(read_only, &key, &value, 0)), -EPERM);
  const int write_only = create(BPF_MAP_TYPE_HASH, 4, 8, 1, BPF_F_WRONLY);
  EXPECT_EQ(bpf_map_update_elem(write_only, &key, &value, 0), 0);
  EXPECT_EQ(result(bpf_map_lookup_elem(write_only, &key, &value)), -EPERM);
  const int frozen = create(BPF_MAP_TYPE_HASH, 4, 8, 1);
  EXPECT_EQ(bpf_map_freeze(frozen), 0);
  EXPECT_EQ(result(bpf_map_update_elem(frozen, &key, &value, 0)), -EPERM);
  EXPECT_EQ(result(bpf_map_freeze(frozen)), -EBUSY);
}

TEST_F(HashMapTest, LruPercpuHashEvictsTheOldestAndHasACopyForEachCpu) {
  const int fd = create(BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 8, 2);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(create(BPF_MAP_TYPE_LRU_PERCPU_HASH, 4, 8, 2, BPF_F_NO_PREALLOC), -kENotSupp);
  for (u32 key = 0; key < 3; key++) {
    const u64 values[4] = {key, key + 10, key + 20, key + 30};
    ASSERT_EQ(bpf_map_update_elem(fd, &key, values, 0), 0);
  }
  u64 values[4];
  u32 key = 0;
  EXPECT_EQ(result(bpf_map_lookup_elem(fd, &key, values)), -ENOENT);
  key = 2;
  ASSERT_EQ(bpf_map_lookup_elem(fd, &key, values), 0);
  EXPECT_EQ(values[3], 32u);
}

}  // namespace
}  // namespace uscx::bpf
