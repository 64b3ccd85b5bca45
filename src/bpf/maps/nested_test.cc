// SPDX-License-Identifier: GPL-2.0-only
// Maps in maps: what may be put in, what programs find, and how long it lives.
#include <errno.h>

#include <set>

#include "bpf/exec/exec.h"
#include "bpf/testing/object.h"

extern "C" int uscx_libbpf_close(int fd);

namespace uscx::bpf {
namespace {

class NestedTest : public ObjectTest, public ::testing::WithParamInterface<ExecMode> {
 protected:
  void SetUp() override {
    ObjectTest::SetUp();
    set_default_exec_mode(GetParam());
    load(USCX_TEST_OBJECTS "/nested_test.bpf.o");
  }
  void TearDown() override {
    set_default_exec_mode(ExecMode::kJit);
    ObjectTest::TearDown();
  }
  static int result(int returned) { return returned < 0 ? -errno : returned; }
  int make(bpf_map_type type, u32 entries, u32 value = 8, u32 flags = 0) {
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
    return result(bpf_map_create(type, "inner", 4, value, entries, &opts));
  }
  int make_outer(bpf_map_type type, u32 key, u32 value, int inner) {
    LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = static_cast<u32>(inner));
    return result(bpf_map_create(type, "outer", key, value, 4, &opts));
  }
};

TEST_P(NestedTest, ProgramsFindTheInnerMap) {
  u32 key = 1;
  u64 value = 7;
  ASSERT_EQ(bpf_map_update_elem(fd_of("second"), &key, &value, 0), 0);
  u32 index = 2;
  EXPECT_EQ(run_syscall("use_array", &index, sizeof(index)), 0u) << env_.logged;
  EXPECT_EQ(variable("found"), 7u);
  ASSERT_EQ(bpf_map_lookup_elem(fd_of("second"), &key, &value), 0);
  EXPECT_EQ(value, 107u);
  index = 1;
  EXPECT_EQ(run_syscall("use_array", &index, sizeof(index)), 1u);
  index = 9;
  EXPECT_EQ(run_syscall("use_array", &index, sizeof(index)), 1u);

  u64 name = 0xabcdef;
  EXPECT_EQ(run_syscall("use_hash", &name, sizeof(name)), 1u);
  const int second = fd_of("second");
  ASSERT_EQ(bpf_map_update_elem(fd_of("by_name"), &name, &second, BPF_NOEXIST), 0);
  EXPECT_EQ(run_syscall("use_hash", &name, sizeof(name)), 0u);
  EXPECT_EQ(variable("found"), 114u);
}

TEST_P(NestedTest, UserSpaceReadsIdsAndGetsTheKernelsErrors) {
  const int outer = fd_of("outer");
  u32 index = 0, id = 0;
  ASSERT_EQ(bpf_map_lookup_elem(outer, &index, &id), 0);
  EXPECT_EQ(id, system_->get<Map>(fd_of("first"))->id());
  index = 1;
  EXPECT_EQ(result(bpf_map_lookup_elem(outer, &index, &id)), -ENOENT);
  const int other_size = make(BPF_MAP_TYPE_ARRAY, 3), good = make(BPF_MAP_TYPE_ARRAY, 2);
  EXPECT_EQ(result(bpf_map_update_elem(outer, &index, &other_size, 0)), -EINVAL);
  EXPECT_EQ(result(bpf_map_update_elem(outer, &index, &good, BPF_NOEXIST)), -EINVAL);
  EXPECT_EQ(result(bpf_map_update_elem(outer, &index, &good, 0)), 0);
  const int none = -1, program = bpf_program__fd(bpf_object__find_program_by_name(object_, "use_array"));
  EXPECT_EQ(result(bpf_map_update_elem(outer, &index, &none, 0)), -EBADF);
  EXPECT_EQ(result(bpf_map_update_elem(outer, &index, &program, 0)), -EINVAL);
  EXPECT_EQ(result(bpf_map_delete_elem(outer, &index)), 0);
  EXPECT_EQ(result(bpf_map_delete_elem(outer, &index)), -ENOENT);
  index = 3;
  EXPECT_EQ(result(bpf_map_delete_elem(outer, &index)), -E2BIG);
  EXPECT_EQ(result(bpf_map_update_elem(outer, &index, &good, 0)), -E2BIG);

  EXPECT_EQ(make_outer(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 8, good), -EINVAL);
  EXPECT_EQ(make_outer(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 9999), -EBADF);
  EXPECT_EQ(make_outer(BPF_MAP_TYPE_HASH_OF_MAPS, 8, 4, outer), -EINVAL) << "two levels";
  const int inner_any = make(BPF_MAP_TYPE_ARRAY, 2, 8, BPF_F_INNER_MAP);
  const int any_outer = make_outer(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, inner_any);
  const int larger = make(BPF_MAP_TYPE_ARRAY, 50, 8, BPF_F_INNER_MAP);
  index = 0;
  EXPECT_EQ(result(bpf_map_update_elem(any_outer, &index, &larger, 0)), 0);
}

TEST_P(NestedTest, OuterMapKeepsInnerOnes) {
  const int map = make(BPF_MAP_TYPE_ARRAY, 2);
  const u32 id = system_->get<Map>(map)->id();
  u32 index = 1;
  ASSERT_EQ(bpf_map_update_elem(fd_of("outer"), &index, &map, 0), 0);
  uscx_libbpf_close(map);
  EXPECT_NE(system_->find_object(ObjectKind::kMap, id), nullptr);
  ASSERT_EQ(bpf_map_delete_elem(fd_of("outer"), &index), 0);
  EXPECT_EQ(system_->find_object(ObjectKind::kMap, id), nullptr);
}

TEST_P(NestedTest, BatchesGoOverTheIds) {
  constexpr u32 kMaps = 5;
  const int first = make(BPF_MAP_TYPE_ARRAY, 2);
  LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = static_cast<u32>(first));
  const int outer = bpf_map_create(BPF_MAP_TYPE_HASH_OF_MAPS, "outer", 8, 4, 16, &opts);
  ASSERT_GE(outer, 0);
  std::set<u32> ids, found;
  for (u64 key = 0; key < kMaps; key++) {
    const int inner = make(BPF_MAP_TYPE_ARRAY, 2);
    ids.insert(system_->get<Map>(inner)->id());
    ASSERT_EQ(bpf_map_update_elem(outer, &key, &inner, BPF_NOEXIST), 0);
  }
  u64 keys[16];
  u32 values[16], place = 0, count = 4;
  LIBBPF_OPTS(bpf_map_batch_opts, none);
  int err = bpf_map_lookup_batch(outer, nullptr, &place, keys, values, &count, &none);
  for (;;) {
    ASSERT_TRUE(err == 0 || err == -ENOENT) << err;
    found.insert(values, values + count);
    if (err != 0) break;
    count = 4;
    err = bpf_map_lookup_batch(outer, &place, &place, keys, values, &count, &none);
  }
  EXPECT_EQ(found, ids);
  count = 16;
  EXPECT_EQ(bpf_map_lookup_and_delete_batch(outer, nullptr, &place, keys, values, &count, &none), -ENOENT);
  EXPECT_EQ(count, kMaps);
  u64 next;
  EXPECT_EQ(bpf_map_get_next_key(outer, nullptr, &next), -ENOENT);
}

INSTANTIATE_TEST_SUITE_P(Modes, NestedTest, ::testing::Values(ExecMode::kJit, ExecMode::kInterp),
                         [](const auto &info) { return info.param == ExecMode::kJit ? "jit" : "interp"; });

}  // namespace
}  // namespace uscx::bpf
