// SPDX-License-Identifier: GPL-2.0-only
#include "schedulers/user_half.h"

#include <bpf/btf.h>
#include <gtest/gtest.h>

namespace uscx::schedulers {
namespace {

std::string parse_error(const char *scheduler, const std::vector<std::string> &args) {
  const std::unique_ptr<UserHalf> half = find_scheduler(scheduler)->make();
  const Status status = half->parse_args(args);
  return status.ok() ? "" : status.message();
}

class UserHalfObject : public testing::Test {
 protected:
  void SetUp() override {
    kernel_btf_ = btf__parse(TEST_KERNEL_BTF, nullptr);
    ASSERT_NE(kernel_btf_, nullptr);
    environment_.kernel_btf = kernel_btf_;
    environment_.own_pid = 4321;
  }
  void TearDown() override { btf__free(kernel_btf_); }

  std::unique_ptr<ScxObject> open(const char *scheduler, const std::vector<std::string> &args) {
    const std::unique_ptr<UserHalf> half = find_scheduler(scheduler)->make();
    const Status status = half->parse_args(args);
    EXPECT_TRUE(status.ok()) << status.message();
    Result<std::unique_ptr<ScxObject>> object = half->open(environment_);
    EXPECT_TRUE(object.ok()) << object.message();
    return object.ok() ? object.take() : nullptr;
  }

  btf *kernel_btf_ = nullptr;
  Environment environment_;
};

TEST(UserHalf, RegistryKnowsEachByItsOwnName) {
  ASSERT_EQ(schedulers().size(), 3U);
  for (const Scheduler &scheduler : schedulers()) EXPECT_EQ(scheduler.make()->name(), scheduler.name);
  EXPECT_EQ(find_scheduler("scx_nothing"), nullptr);
}

TEST(UserHalf, BadArgumentsAreNamed) {
  EXPECT_EQ(parse_error("scx_simple", {"-x"}), "scx_simple: unknown option -x");
  EXPECT_EQ(parse_error("scx_simple", {"-f", "word"}), "scx_simple: unexpected argument 'word'");
  EXPECT_EQ(parse_error("scx_simple", {"--fifo"}), "scx_simple: unknown option --fifo");
  EXPECT_EQ(parse_error("scx_simple", {"-"}), "scx_simple: unexpected argument '-'");
  EXPECT_EQ(parse_error("scx_qmap", {"-s"}), "scx_qmap: option -s needs a value (SLICE_US)");
  EXPECT_EQ(parse_error("scx_qmap", {"-e", "0"}), "scx_qmap: option -e: 0 is out of range; it takes 1 to 4294967295");
  EXPECT_EQ(parse_error("scx_qmap", {"-t", "5x"}), "scx_qmap: option -t: '5x' is not a number from 1 to 4294967295");
  EXPECT_EQ(parse_error("scx_qmap", {"-d", "0"}),
            "scx_qmap: option -d: 0 is no process; it takes a pid, or -1 for the scheduler itself");
  EXPECT_NE(parse_error("scx_qmap", {"-d", "-2"}), "");
}

TEST(UserHalf, FlagsClusterAndValuesMayTouchTheirLetter) {
  EXPECT_EQ(parse_error("scx_qmap", {"-SPp", "-s5000", "-Hb8", "-D", "65536"}), "");
  const std::unique_ptr<UserHalf> half = make_scx_simple();
  EXPECT_FALSE(half->help_wanted());
  EXPECT_TRUE(half->parse_args({"-vh"}).ok());
  EXPECT_TRUE(half->help_wanted());
  EXPECT_TRUE(half->verbose());
}

TEST(UserHalf, UsageHasEveryOption) {
  const std::string usage = make_scx_qmap()->usage();
  for (const char *option : {"-s SLICE_US", "-e COUNT", "-t COUNT", "-T COUNT", "-l COUNT", "-b COUNT", "-d PID",
                             "-D LEN", "-H", "-S", "-P", "-p", "-v", "-h"})
    EXPECT_NE(usage.find(fmt::format("  {}", option)), std::string::npos) << option;
}

TEST_F(UserHalfObject, SimpleDefaultsToVirtualTime) {
  EXPECT_EQ(open("scx_simple", {})->variable("fifo_sched"), 0);
  EXPECT_EQ(open("scx_simple", {"-f"})->variable("fifo_sched"), 1);
}

TEST_F(UserHalfObject, QmapOptionsReachTheObject) {
  const std::unique_ptr<ScxObject> object =
      open("scx_qmap", {"-s", "5000", "-e", "1",  "-t", "2",     "-T", "3",  "-l", "4",
                        "-b", "5",    "-d", "-1", "-D", "65536", "-S", "-P", "-p", "-H"});
  ASSERT_NE(object, nullptr);
  const std::pair<const char *, s64> expected[] = {
      {"slice_ns", 5000000},     {"test_error_cnt", 1},  {"stall_user_nth", 2},   {"stall_kernel_nth", 3},
      {"dsp_inf_loop_after", 4}, {"dsp_batch", 5},       {"disallow_tgid", 4321}, {"suppress_dump", 1},
      {"print_dsqs", 1},         {"highpri_boosting", 1}};
  for (const auto &[variable, value] : expected) EXPECT_EQ(object->variable(variable), value) << variable;
  EXPECT_EQ(*object->ops_field("exit_dump_len"), 65536);
  EXPECT_EQ(*object->ops_field("flags"), 1 << 3);
  EXPECT_EQ(*object->ops_field("timeout_ms"), 5000);
}

TEST_F(UserHalfObject, QmapMinusOneNeedsAProcess) {
  environment_.own_pid = 0;
  const std::unique_ptr<UserHalf> half = make_scx_qmap();
  ASSERT_TRUE(half->parse_args({"-d", "-1"}).ok());
  EXPECT_EQ(half->open(environment_).message(),
            "scx_qmap: option -d: -1 is nobody here, where no process is the scheduler");
}

TEST_F(UserHalfObject, EnumeratorsComeFromTheKernelsBtf) {
  const std::unique_ptr<ScxObject> object = open("scx_qmap", {});
  EXPECT_EQ(object->variable("__SCX_SLICE_DFL"), 20000000);
  EXPECT_EQ(static_cast<u64>(object->variable("__SCX_DSQ_LOCAL_ON")), 0xC000000000000000ULL);
  EXPECT_EQ(object->variable("__SCX_CPUPERF_ONE"), 1024);
}

}  // namespace
}  // namespace uscx::schedulers
