// SPDX-License-Identifier: GPL-2.0-only
// Objects of programs, in lists, trees and kptr fields: order against a model, and that nothing outlives its holder.
#include <errno.h>

#include <algorithm>
#include <set>

#include "base/rng.h"
#include "bpf/exec/exec.h"
#include "bpf/object/alloc.h"
#include "bpf/object/cpumask.h"
#include "bpf/testing/object.h"

namespace uscx::bpf {
namespace {

class GraphTest : public ObjectTest, public ::testing::WithParamInterface<ExecMode> {
 protected:
  void SetUp() override {
    ObjectTest::SetUp();
    set_default_exec_mode(GetParam());
    load(USCX_TEST_OBJECTS "/graph_test.bpf.o");
  }
  void TearDown() override {
    set_default_exec_mode(ExecMode::kJit);
    ObjectTest::TearDown();
  }
  s64 err(int index) {
    s64 value;
    std::memcpy(&value, variable_at("errs") + 8 * index, 8);
    return value;
  }
};

TEST_P(GraphTest, TreeKeepsTheOrderOfAModel) {
  Rng rng(5, "graph-test");
  std::multiset<u64> model;
  for (int step = 0; step < 2000; step++) {
    if (rng.below(5) < 3) {
      u64 key = rng.below(500);
      ASSERT_EQ(run_syscall("add_key", &key, sizeof(key)), 0u);
      model.insert(key);
    } else {
      u64 key = 0;
      ASSERT_EQ(run_syscall("take_first", &key, sizeof(key)), model.empty() ? 1u : 0u);
      if (model.empty()) continue;
      ASSERT_EQ(key, *model.begin());
      model.erase(model.begin());
    }
  }
  ASSERT_FALSE(model.empty());
  EXPECT_EQ(system_->allocs().live(), model.size());
  u32 deepest = 0;
  for (u64 key : model) {
    const u32 depth = run_syscall("look_up", &key, sizeof(key));
    ASSERT_LT(depth, 1000u) << key;
    deepest = std::max(deepest, depth);
  }
  EXPECT_LT(deepest, 40u) << "of " << model.size();
}

TEST_P(GraphTest, EqualKeysStayInOrderOfInsertion) {
  for (int i = 0; i < 20; i++) {
    u64 key = 7;
    ASSERT_EQ(run_syscall("add_key", &key, sizeof(key)), 0u);
  }
  EXPECT_EQ(system_->allocs().live(), 20u);
}

TEST_P(GraphTest, Lists) {
  EXPECT_EQ(run_syscall("lists"), 0u) << env_.logged;
  u64 keys[4];
  std::memcpy(keys, variable_at("keys"), sizeof(keys));
  EXPECT_EQ((std::vector<u64>(keys, keys + 4)), (std::vector<u64>{3, 2, 1, 0}));
  EXPECT_EQ(err(0), 0);
  EXPECT_EQ(err(1), -EINVAL);
  EXPECT_EQ(system_->allocs().live(), 0u);
}

TEST_P(GraphTest, HoldersDropWhatTheyHold) {
  for (u32 key = 0; key < 3; key++) ASSERT_EQ(run_syscall("fill", &key, sizeof(key)), 0u) << env_.logged;
  for (u64 key = 0; key < 10; key++) ASSERT_EQ(run_syscall("add_key", &key, sizeof(key)), 0u);
  EXPECT_EQ(system_->allocs().live(), 13u);
  EXPECT_EQ(system_->cpumasks().live(), 3u);
  const u32 key = 1;
  ASSERT_EQ(bpf_map_delete_elem(fd_of("holders"), &key), 0);
  EXPECT_EQ(system_->allocs().live(), 12u);
  EXPECT_EQ(system_->cpumasks().live(), 2u) << "the object's own field";
  u32 again = 2;
  ASSERT_EQ(run_syscall("fill", &again, sizeof(again)), 0u);
  EXPECT_EQ(system_->allocs().live(), 12u);
  unload();
  EXPECT_EQ(system_->allocs().live(), 0u);
  EXPECT_EQ(system_->cpumasks().live(), 0u);
}

TEST_P(GraphTest, PercpuObjects) {
  EXPECT_EQ(run_syscall("percpu"), 0u) << env_.logged;
  EXPECT_EQ(system_->allocs().live(), 0u);
}

TEST_P(GraphTest, MisuseIsNamed) {
  run_syscall("add_unlocked");
  EXPECT_NE(env_.logged.find("bpf_rbtree_add: no lock is held"), std::string::npos) << env_.logged;
  run_syscall("drop_twice");
  EXPECT_NE(env_.logged.find("bpf_obj_drop: argument 1"), std::string::npos) << env_.logged;
}

TEST_P(GraphTest, ResilientLockReportsADeadlock) {
  EXPECT_EQ(run_syscall("res_locks"), 0u) << env_.logged;
  EXPECT_EQ(err(0), 0);
  EXPECT_EQ(static_cast<s32>(err(1)), -EDEADLK);
  EXPECT_EQ(err(2), 0);
  EXPECT_EQ(err(3), 0);
}

TEST_P(GraphTest, WorkRunsOnceItIsDue) {
  u32 key = 3;
  EXPECT_EQ(run_syscall("start_work", &key, sizeof(key)), 0u) << env_.logged;
  EXPECT_EQ(static_cast<s32>(err(0)), -EINVAL) << "not initialised";
  EXPECT_EQ(static_cast<s32>(err(1)), -EBUSY);
  EXPECT_EQ(static_cast<s32>(err(2)), -EINVAL) << "no callback";
  struct {
    u64 item;
    u64 wq[2];
    u64 ran;
  } holder;
  ASSERT_EQ(bpf_map_lookup_elem(fd_of("holders"), &key, &holder), 0);
  EXPECT_EQ(holder.ran, 0u);
  env_.advance_to(*system_, env_.clock_ns + 1);
  ASSERT_EQ(bpf_map_lookup_elem(fd_of("holders"), &key, &holder), 0);
  EXPECT_EQ(holder.ran, 3u);
  EXPECT_EQ(holder.wq[0], 0u) << "the kernel's field reads as zero";
}

INSTANTIATE_TEST_SUITE_P(Modes, GraphTest, ::testing::Values(ExecMode::kJit, ExecMode::kInterp),
                         [](const auto &info) { return info.param == ExecMode::kJit ? "jit" : "interp"; });

}  // namespace
}  // namespace uscx::bpf
