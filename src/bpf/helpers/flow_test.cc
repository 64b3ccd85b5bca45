// SPDX-License-Identifier: GPL-2.0-only
// Tail calls and exceptions, on both executors.
#include <errno.h>

#include "bpf/exec/exec.h"
#include "bpf/testing/object.h"

namespace uscx::bpf {
namespace {

class FlowTest : public ObjectTest, public ::testing::WithParamInterface<ExecMode> {
 protected:
  void SetUp() override {
    ObjectTest::SetUp();
    set_default_exec_mode(GetParam());
    load(USCX_TEST_OBJECTS "/flow_test.bpf.o");
  }
  void TearDown() override {
    set_default_exec_mode(ExecMode::kJit);
    ObjectTest::TearDown();
  }
  int prog_fd(const char *name) { return bpf_program__fd(bpf_object__find_program_by_name(object_, name)); }
};

TEST_P(FlowTest, TailCallsEndAtTheirLimit) {
  u64 ctx = 1;
  EXPECT_EQ(run_syscall("goes_on", &ctx, sizeof(ctx)), 34u) << "the program and 33 tail calls";
  EXPECT_EQ(variable("nr_runs", 4), 34u);
  EXPECT_EQ(variable("after"), 1u) << "only where the helper fails the program goes on";
  EXPECT_EQ(run_syscall("goes_on", &ctx, sizeof(ctx)), 68u) << "the limit is an invocation's";
}

TEST_P(FlowTest, ATailCallEndsTheFunctionThatMakesIt) {
  u64 ctx = 77;
  EXPECT_EQ(run_syscall("from_function", &ctx, sizeof(ctx)), 500007u);
  EXPECT_EQ(variable("seen_ctx"), 77u);
}

TEST_P(FlowTest, WhatIsNotThereIsNotCalled) {
  u64 ctx = 0;
  EXPECT_EQ(run_syscall("beyond", &ctx, sizeof(ctx)), 9u);
}

TEST_P(FlowTest, ProgramsComeAndGo) {
  const int map = fd_of("programs");
  u64 ctx = 0;
  u32 slot = 2;
  const int ends = prog_fd("ends");
  ASSERT_EQ(bpf_map_update_elem(map, &slot, &ends, BPF_ANY), 0);
  EXPECT_EQ(run_syscall("from_function", &ctx, sizeof(ctx)), 7007u);
  u32 id = 0;
  bpf_prog_info info = {};
  u32 length = sizeof(info);
  ASSERT_EQ(bpf_map_lookup_elem(map, &slot, &id), 0);
  ASSERT_EQ(bpf_prog_get_info_by_fd(ends, &info, &length), 0);
  EXPECT_EQ(id, info.id);
  ASSERT_EQ(bpf_map_delete_elem(map, &slot), 0);
  EXPECT_EQ(bpf_map_delete_elem(map, &slot), -ENOENT);
  EXPECT_EQ(run_syscall("from_function", &ctx, sizeof(ctx)), 500007u);
}

TEST_P(FlowTest, ProgramsOfAnotherKindAreRefused) {
  const bpf_insn insns[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
  const int other = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "other", "GPL", insns, 2, nullptr);
  ASSERT_GE(other, 0);
  u32 slot = 2;
  EXPECT_EQ(bpf_map_update_elem(fd_of("programs"), &slot, &other, BPF_ANY), -EINVAL);
}

TEST_P(FlowTest, AnExceptionEndsTheProgramWithItsCookie) {
  EXPECT_EQ(run_syscall("thrown"), 43u) << env_.logged;
  EXPECT_EQ(variable("after"), 3u);
}

TEST_P(FlowTest, AnExceptionEndsInTheProgramsCallback) {
  u64 ctx = 3;
  EXPECT_EQ(run_syscall("catches", &ctx, sizeof(ctx)), 86u);
  ctx = 1;
  EXPECT_EQ(run_syscall("catches", &ctx, sizeof(ctx)), 5u);
}

INSTANTIATE_TEST_SUITE_P(Modes, FlowTest, ::testing::Values(ExecMode::kJit, ExecMode::kInterp),
                         [](const auto &info) { return info.param == ExecMode::kJit ? "jit" : "interp"; });

}  // namespace
}  // namespace uscx::bpf
