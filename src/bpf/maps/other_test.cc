// SPDX-License-Identifier: GPL-2.0-only
// Arrays, queues, stacks and task storage against models, and what user space's mmap of an array shares.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <deque>

#include "base/rng.h"
#include "bpf/maps/local_storage_map.h"
#include "bpf/testing/env.h"

extern "C" void *uscx_libbpf_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset);
extern "C" int uscx_libbpf_close(int fd);

namespace uscx::bpf {
namespace {

class MapTest : public MapFixture {};

TEST_F(MapTest, ArrayBehavesAsAModel) {
  constexpr u32 kEntries = 9;
  const int fd = create(BPF_MAP_TYPE_ARRAY, 4, 12, kEntries);
  ASSERT_GE(fd, 0);
  std::vector<std::array<u32, 3>> model(kEntries);
  Rng rng(1, "array-test");
  for (int step = 0; step < 5000; step++) {
    const u32 index = static_cast<u32>(rng.below(kEntries + 2));
    std::array<u32, 3> value{static_cast<u32>(rng.next()), static_cast<u32>(rng.next()), 3};
    if (rng.below(2) == 0) {
      const u64 flags = rng.below(4);
      const int expected = flags > BPF_EXIST      ? -EINVAL
                           : index >= kEntries    ? -E2BIG
                           : flags == BPF_NOEXIST ? -EEXIST
                                                  : 0;
      ASSERT_EQ(result(bpf_map_update_elem(fd, &index, &value, flags)), expected);
      if (expected == 0) model[index] = value;
    } else {
      ASSERT_EQ(result(bpf_map_lookup_elem(fd, &index, &value)), index < kEntries ? 0 : -ENOENT);
      if (index < kEntries) {
        EXPECT_EQ(value, model[index]);
      }
    }
  }
  const u32 index = 0;
  EXPECT_EQ(result(bpf_map_delete_elem(fd, &index)), -EINVAL);
  u32 key, count = 0;
  for (int err = bpf_map_get_next_key(fd, nullptr, &key); err == 0; err = bpf_map_get_next_key(fd, &key, &key))
    EXPECT_EQ(key, count++);
  EXPECT_EQ(count, kEntries);
}

TEST_F(MapTest, MmapableArraySharesItsPages) {
  const int fd = create(BPF_MAP_TYPE_ARRAY, 4, 5000, 1, BPF_F_MMAPABLE);
  ASSERT_GE(fd, 0);
  void *view = uscx_libbpf_mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(view, MAP_FAILED);
  const u32 zero = 0;
  char *program_side = static_cast<char *>(map(fd).lookup(&zero));
  static_cast<char *>(view)[4999] = 7;
  EXPECT_EQ(program_side[4999], 7);
  program_side[0] = 9;
  EXPECT_EQ(static_cast<char *>(view)[0], 9);
  munmap(view, 8192);
  EXPECT_EQ(uscx_libbpf_mmap(nullptr, 16384, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
  ASSERT_EQ(bpf_map_freeze(fd), 0);
  EXPECT_EQ(uscx_libbpf_mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_EQ(errno, EPERM);
  const int plain = create(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
  EXPECT_EQ(uscx_libbpf_mmap(nullptr, 4096, PROT_READ, MAP_SHARED, plain, 0), MAP_FAILED);
}

TEST_F(MapTest, ReadOnlyArrayLiesWhereProgramsCannotWrite) {
  const int fd = create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY_PROG | BPF_F_MMAPABLE);
  const u32 zero = 0;
  EXPECT_TRUE(Region::in_ro(map(fd).lookup(&zero)));
  EXPECT_TRUE(Region::in_rw(map(create(BPF_MAP_TYPE_ARRAY, 4, 8, 1)).lookup(&zero)));
}

TEST_F(MapTest, PerCpuArrayGivesEachCpuItsOwn) {
  const int fd = create(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 3);
  ASSERT_GE(fd, 0);
  const u32 key = 2;
  for (u32 cpu = 0; cpu < 4; cpu++) {
    env_.on_cpu = cpu;
    *static_cast<u64 *>(map(fd).lookup(&key)) += cpu + 1;
  }
  u64 values[4];
  ASSERT_EQ(bpf_map_lookup_elem(fd, &key, values), 0);
  for (u64 cpu = 0; cpu < 4; cpu++) EXPECT_EQ(values[cpu], cpu + 1);
  // What the JIT inlines must be what the call gives.
  const InlineOp op = map(fd).inline_lookup();
  ASSERT_EQ(op.kind, InlineOp::Kind::kArrayLookup);
  EXPECT_EQ(static_cast<const char *>(op.array.values) + key * op.array.value_stride + 3 * op.array.cpu_stride,
            map(fd).lookup(&key));
  EXPECT_EQ(create(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1, BPF_F_MMAPABLE), -EINVAL);
}

TEST_F(MapTest, QueueAndStackBehaveAsADeque) {
  for (bpf_map_type type : {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK}) {
    constexpr u32 kCapacity = 5;
    const int fd = create(type, 0, 8, kCapacity);
    ASSERT_GE(fd, 0);
    std::deque<u64> model;
    Rng rng(2, "queue-test");
    for (int step = 0; step < 5000; step++) {
      u64 value = rng.next();
      switch (rng.below(3)) {
        case 0: {
          const u64 flags = rng.below(4);
          int expected = flags == BPF_NOEXIST || flags > BPF_EXIST ? -EINVAL : 0;
          if (expected == 0 && model.size() == kCapacity) {
            if (flags == BPF_EXIST)
              model.pop_front();
            else
              expected = -E2BIG;
          }
          ASSERT_EQ(result(bpf_map_update_elem(fd, nullptr, &value, flags)), expected);
          if (expected == 0) model.push_back(value);
          break;
        }
        default: {
          const bool pop = step % 2 == 0;
          u64 got = 1;
          const int err =
              result(pop ? bpf_map_lookup_and_delete_elem(fd, nullptr, &got) : bpf_map_lookup_elem(fd, nullptr, &got));
          ASSERT_EQ(err, model.empty() ? -ENOENT : 0);
          if (model.empty()) break;
          EXPECT_EQ(got, type == BPF_MAP_TYPE_QUEUE ? model.front() : model.back());
          if (pop) type == BPF_MAP_TYPE_QUEUE ? model.pop_front() : model.pop_back();
        }
      }
    }
    EXPECT_EQ(result(bpf_map_delete_elem(fd, nullptr)), -EINVAL);
  }
}

TEST_F(MapTest, LocalStorageGoesWithItsOwner) {
  for (bpf_map_type type : {BPF_MAP_TYPE_TASK_STORAGE, BPF_MAP_TYPE_CGRP_STORAGE}) {
    struct btf *btf = btf__new_empty();
    const int word = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
    ASSERT_EQ(btf__load_into_kernel(btf), 0);
    LIBBPF_OPTS(bpf_map_create_opts, opts, .btf_fd = static_cast<u32>(btf__fd(btf)),
                .btf_key_type_id = static_cast<u32>(word), .btf_value_type_id = static_cast<u32>(word),
                .map_flags = BPF_F_NO_PREALLOC);
    const int fd = bpf_map_create(type, "storage", 4, 4, 0, &opts);
    ASSERT_GE(fd, 0) << errno;
    auto &storage = static_cast<LocalStorageMap &>(map(fd));
    int tasks[2];
    EXPECT_EQ(storage.get(&tasks[0], false, nullptr), nullptr);
    const int initial = 5;
    void *first = storage.get(&tasks[0], true, &initial);
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(*static_cast<int *>(first), 5);
    EXPECT_EQ(storage.get(&tasks[0], true, nullptr), first);
    EXPECT_EQ(*static_cast<int *>(storage.get(&tasks[1], true, nullptr)), 0);
    system_->owner_freed(&tasks[0]);
    EXPECT_EQ(storage.get(&tasks[0], false, nullptr), nullptr);
    EXPECT_NE(storage.get(&tasks[1], false, nullptr), nullptr);
    EXPECT_EQ(storage.remove(&tasks[1]), 0);
    EXPECT_EQ(storage.remove(&tasks[1]), -ENOENT);
    opts.map_flags = 0;
    EXPECT_EQ(result(bpf_map_create(type, "storage", 4, 4, 0, &opts)), -EINVAL);
    uscx_libbpf_close(fd);
    btf__free(btf);
  }
}

TEST_F(MapTest, MissingTypesAreNamed) {
  EXPECT_EQ(create(BPF_MAP_TYPE_LPM_TRIE, 8, 4, 16, BPF_F_NO_PREALLOC), -EINVAL);
  EXPECT_NE(env_.logged.find("map type lpm_trie is not implemented"), std::string::npos) << env_.logged;
}

}  // namespace
}  // namespace uscx::bpf
