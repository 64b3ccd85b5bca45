// SPDX-License-Identifier: GPL-2.0-only
// Arenas: what bpf(2) refuses, the allocator against a model, and programs on both executors.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <set>

#include "base/rng.h"
#include "bpf/exec/exec.h"
#include "bpf/maps/arena_map.h"
#include "bpf/testing/env.h"
#include "bpf/testing/object.h"

extern "C" void *uscx_libbpf_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset);

namespace uscx::bpf {
namespace {

constexpr u64 kUser = 1ull << 44;

class ArenaTest : public ObjectTest {
 protected:
  int create(u32 pages, u32 flags, u64 extra, u32 value_size = 0) {
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags, .map_extra = extra);
    const int fd = bpf_map_create(BPF_MAP_TYPE_ARENA, "arena", 0, value_size, pages, &opts);
    return fd < 0 ? -errno : fd;
  }
  ArenaMap &arena(int fd) { return static_cast<ArenaMap &>(*system_->get<Map>(fd)); }
};

TEST_F(ArenaTest, CreationRefusesWhatTheKernelRefuses) {
  EXPECT_EQ(create(4, 0, kUser), -EINVAL) << "not mmap-able";
  EXPECT_EQ(create(0, BPF_F_MMAPABLE, kUser), -EINVAL);
  EXPECT_EQ(create(4, BPF_F_MMAPABLE, kUser, 8), -EINVAL);
  EXPECT_EQ(create(4, BPF_F_MMAPABLE | BPF_F_NO_PREALLOC, kUser), -EINVAL);
  EXPECT_EQ(create(4, BPF_F_MMAPABLE, kUser + 1), -EINVAL);
  EXPECT_EQ(create((1u << 20) + 1, BPF_F_MMAPABLE, kUser), -E2BIG);
  EXPECT_EQ(create(2, BPF_F_MMAPABLE, kUser - 4096), -ERANGE) << "crosses 4 GiB";
  EXPECT_GE(create(1u << 20, BPF_F_MMAPABLE | BPF_F_NO_USER_CONV | BPF_F_SEGV_ON_FAULT, kUser), 0);
}

TEST_F(ArenaTest, AddressesRunOutWithAnErrno) {
  std::vector<int> fds;
  int fd = 0;
  while ((fd = create(1, BPF_F_MMAPABLE, kUser)) >= 0 && fds.size() < 64) fds.push_back(fd);
  EXPECT_EQ(fd, -ENOMEM);
  EXPECT_GE(fds.size(), 8u);
}

TEST_F(ArenaTest, AllocatorBehavesAsAModel) {
  constexpr u32 kPages = 50;
  const int fd = create(kPages, BPF_F_MMAPABLE, kUser);
  ASSERT_GE(fd, 0);
  ArenaMap &map = arena(fd);
  std::set<u64> taken;
  Rng rng(3, "arena-test");
  for (int step = 0; step < 3000; step++) {
    const u32 count = static_cast<u32>(rng.below(6) + 1);
    const u64 at = kUser + rng.below(kPages) * kPageBytes;
    const u64 page = (at - kUser) / kPageBytes;
    bool room = page + count <= kPages;
    for (u64 i = page; i < page + count; i++) room &= !taken.contains(i);
    switch (rng.below(3)) {
      case 0: {
        ASSERT_EQ(map.alloc_pages(at, count), room ? at : 0);
        for (u64 i = page; room && i < page + count; i++) taken.insert(i);
        break;
      }
      case 1: {
        const u64 got = map.alloc_pages(0, count);
        if (got == 0) break;
        for (u64 i = (got - kUser) / kPageBytes; i < (got - kUser) / kPageBytes + count; i++)
          ASSERT_TRUE(taken.insert(i).second) << "page " << i << " given out twice";
        break;
      }
      default:
        map.free_pages(at, count);
        for (u64 i = page; i < page + count; i++) taken.erase(i);
    }
  }
  EXPECT_EQ(map.reserve_pages(kUser, kPages + 1), -EINVAL);
  map.free_pages(kUser, kPages);
  EXPECT_EQ(map.reserve_pages(kUser, kPages), 0);
  EXPECT_EQ(map.reserve_pages(kUser, 1), -EBUSY);
  EXPECT_EQ(map.alloc_pages(0, 1), 0u);
}

TEST_F(ArenaTest, ProgramsUseIt) {
  for (ExecMode mode : {ExecMode::kJit, ExecMode::kInterp}) {
    SCOPED_TRACE(mode == ExecMode::kJit ? "jit" : "interp");
    load(USCX_TEST_OBJECTS "/arena_test.bpf.o");
    set_default_exec_mode(mode);
    EXPECT_EQ(run_syscall("use_globals"), 0u);
    EXPECT_EQ(variable("read_back"), 78u);
    EXPECT_EQ(run_syscall("build_list"), 0u);
    EXPECT_EQ(variable("first_page"), kUser);
    EXPECT_EQ(variable("sum"), 45u);
    EXPECT_EQ(run_syscall("atomics"), 0u);
    EXPECT_EQ(variable("old_value"), 40u);
    EXPECT_EQ(variable("read_back"), 42u);
    EXPECT_EQ(variable("missing"), 1u);
    EXPECT_EQ(env_.logged.find("stores to arena"), std::string::npos) << env_.logged;
    EXPECT_EQ(run_syscall("touch_missing"), 0u);
    EXPECT_EQ(variable("missing"), 0u);
    EXPECT_NE(env_.logged.find("3 stores to arena pages that do not exist"), std::string::npos) << env_.logged;
    env_.logged.clear();
    unload();
  }
  set_default_exec_mode(ExecMode::kJit);
}

TEST_F(ArenaTest, UserSpacesTouchMakesAPage) {
  load(USCX_TEST_OBJECTS "/arena_test.bpf.o");
  char *start = static_cast<char *>(
      uscx_libbpf_mmap(nullptr, 64 * kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of("arena"), 0));
  ASSERT_NE(start, MAP_FAILED);
  EXPECT_EQ(run_syscall("read_user_page"), 0u);
  EXPECT_EQ(variable("read_back"), 0u);
  start[20 * kPageBytes] = 9;
  EXPECT_EQ(run_syscall("read_user_page"), 0u);
  EXPECT_EQ(variable("read_back"), 9u);
  ArenaMap &map = arena(bpf_map__fd(bpf_object__find_map_by_name(object_, "arena")));
  EXPECT_EQ(map.alloc_pages(kUser + 20 * kPageBytes, 1), 0u) << "user space's page is taken";
  EXPECT_EQ(map.alloc_pages(0, 30), kUser + 21 * kPageBytes) << "the smaller of the two ranges that fit";
  map.free_pages(kUser + 20 * kPageBytes, 1);
  EXPECT_EQ(start[20 * kPageBytes], 0) << "a fresh page";
  munmap(start, 64 * kPageBytes);
}

TEST_F(ArenaTest, TwoArenasOfOneAddressDoNotMeet) {
  load(USCX_TEST_OBJECTS "/arena_test.bpf.o");
  bpf_object *first = object_;
  run_syscall("use_globals");
  object_ = nullptr;
  load(USCX_TEST_OBJECTS "/arena_test.bpf.o");
  run_syscall("use_globals");
  run_syscall("use_globals");
  EXPECT_EQ(variable("read_back"), 79u);
  bpf_object__close(object_);
  object_ = first;
  run_syscall("use_globals");
  EXPECT_EQ(variable("read_back"), 79u);
}

}  // namespace
}  // namespace uscx::bpf
