// SPDX-License-Identifier: GPL-2.0-only
#include "schedulers/common/scx_user.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <string.h>

#include <fstream>

namespace uscx::schedulers {
namespace {

class ScxObjectTest : public testing::Test {
 protected:
  void SetUp() override {
    kernel_btf_ = btf__parse(TEST_KERNEL_BTF, nullptr);
    ASSERT_NE(kernel_btf_, nullptr);
    environment_.kernel_btf = kernel_btf_;
    environment_.hotplug_seq = [] { return Result<u64>(77); };
    Result<std::unique_ptr<ScxObject>> opened = ScxObject::open_file(TEST_VARIABLES, environment_);
    ASSERT_TRUE(opened.ok()) << opened.message();
    object_ = opened.take();
  }
  void TearDown() override {
    object_.reset();
    btf__free(kernel_btf_);
  }
  std::string set_error(std::string_view path, std::string_view value) {
    const Status status = object_->set_variable(path, value);
    return status.ok() ? "" : status.message();
  }
  std::string ops_error(std::string_view field, std::string_view value) {
    const Status status = object_->set_ops_field(field, value);
    return status.ok() ? "" : status.message();
  }
  std::string open_error(const std::string &path) {
    Result<std::unique_ptr<ScxObject>> opened = ScxObject::open_file(path, environment_);
    return opened.ok() ? "" : opened.message();
  }

  btf *kernel_btf_ = nullptr;
  Environment environment_;
  std::unique_ptr<ScxObject> object_;
};

TEST_F(ScxObjectTest, FilesThatAreNoSchedulerAreRefused) {
  EXPECT_EQ(open_error("/nonexistent/x.bpf.o"), "/nonexistent/x.bpf.o: No such file or directory");
  const std::string text_file = testing::TempDir() + "not_elf.bpf.o";
  std::ofstream(text_file) << "hello";
  EXPECT_NE(open_error(text_file).find("not_elf.bpf.o: not a BPF object (no ELF file)"), std::string::npos);
  const std::string cut_file = testing::TempDir() + "cut.bpf.o";
  std::ofstream(cut_file) << "\177ELF and nothing after";
  EXPECT_NE(open_error(cut_file).find("cut.bpf.o: not a BPF object that libbpf can open"), std::string::npos);
  EXPECT_NE(open_error(TEST_OTHER_OPS).find("no scheduler: other is a struct some_other_ops, not a sched_ext_ops"),
            std::string::npos);
}

TEST_F(ScxObjectTest, IntegersOfAllSizesAreRangeChecked) {
  EXPECT_EQ(set_error("slice_ns", "18446744073709551615"), "");
  EXPECT_EQ(object_->variable("slice_ns"), -1);
  EXPECT_EQ(set_error("slice_ns", "0x10"), "");
  EXPECT_EQ(object_->variable("slice_ns"), 16);
  EXPECT_EQ(set_error("nudge", "-128"), "");
  EXPECT_EQ(object_->variable("nudge"), -128);
  EXPECT_EQ(set_error("nudge", "128"), "nudge (s8): 128 is out of range; it takes -128 to 127");
  EXPECT_EQ(set_error("counter", "4294967296"), "counter (u32): 4294967296 is out of range; it takes 0 to 4294967295");
  EXPECT_EQ(set_error("counter", "-1"), "counter (u32): '-1' is not a number from 0 to 4294967295");
  EXPECT_EQ(object_->variable("counter"), 7);
}

TEST_F(ScxObjectTest, BoolsEnumsAndStrings) {
  EXPECT_EQ(set_error("enabled", "on"), "");
  EXPECT_EQ(object_->variable("enabled"), 1);
  EXPECT_EQ(set_error("enabled", "2"), "enabled (bool): '2' is neither true nor false");
  EXPECT_EQ(set_error("mode", "MODE_SLOW"), "");
  EXPECT_EQ(object_->variable("mode"), 10);
  EXPECT_EQ(set_error("mode", "MODE_ODD"), "mode (enum mode): 'MODE_ODD' is none of MODE_OFF, MODE_FAST, MODE_SLOW");
  EXPECT_EQ(set_error("big_mode", "BIG_MODE_ALL"), "");
  EXPECT_EQ(object_->variable("big_mode"), 1LL << 40);
  EXPECT_EQ(set_error("label", "seven77"), "");
  EXPECT_EQ(object_->variable("label[6]"), '7');
  EXPECT_EQ(set_error("label", "eight888"), "label (char[8]): a string of 8 characters, at most 7");
  EXPECT_EQ(set_error("label", "ab"), "");
  EXPECT_EQ(object_->variable("label[6]"), 0);
}

TEST_F(ScxObjectTest, MembersAndElements) {
  EXPECT_EQ(set_error("levels[1].offsets[2]", "-300"), "");
  EXPECT_EQ(object_->variable("levels[1].offsets[2]"), -300);
  EXPECT_EQ(object_->variable("levels[0].offsets[2]"), 0);
  EXPECT_EQ(set_error("levels[0].bias", "-1"), "");
  EXPECT_EQ(object_->variable("levels[0].limit"), 4294967295LL);
  EXPECT_EQ(set_error("levels[2].weight", "1"),
            "index of levels (struct level[2]): 2 is out of range; it takes 0 to 1");
  EXPECT_EQ(set_error("levels[0].size", "1"),
            "levels[0] (struct level) has no member 'size'; it has weight, offsets, narrow");
  EXPECT_EQ(set_error("levels[0].narrow", "1"), "levels[0].narrow is a bit field, which cannot be set");
  EXPECT_EQ(set_error("levels[0", "1"), "levels: '[0' lacks its ]");
  EXPECT_EQ(set_error("levels[0]weight", "1"), "levels[0]: expected .MEMBER or [INDEX], not 'weight'");
  EXPECT_EQ(set_error("counter.x", "1"), "counter (u32) has no members");
  EXPECT_EQ(set_error("counter[0]", "1"), "counter (u32) is not an array");
}

TEST_F(ScxObjectTest, WhatCannotBeSetSaysWhatCould) {
  EXPECT_EQ(set_error("levels", "1"), "levels (struct level[2]): an array is set element by element, levels[0] to [1]");
  EXPECT_EQ(set_error("levels[0]", "1"),
            "levels[0] (struct level): it is set member by member: weight, offsets, narrow");
  EXPECT_EQ(set_error("somewhere", "1"), "somewhere (pointer): values of this type cannot be set");
  EXPECT_EQ(set_error("slice", "1"),
            "variables.bpf.o has no variable 'slice'; it has big_mode, counter, enabled, label, levels, mode, nudge, "
            "slice_ns, somewhere, uei, uei_dump, uei_dump_len");
}

TEST_F(ScxObjectTest, EnumeratorsAreTheKernelsAndMissingOnesZero) {
  EXPECT_EQ(static_cast<u64>(object_->variable("__SCX_DSQ_GLOBAL")), 0x8000000000000001ULL);
  EXPECT_EQ(object_->variable("__SCX_NO_SUCH_THING"), 0);
}

TEST_F(ScxObjectTest, OpsFieldsByName) {
  EXPECT_EQ(*object_->ops_field("timeout_ms"), 1000);
  EXPECT_EQ(ops_error("timeout_ms", "20"), "");
  EXPECT_EQ(*object_->ops_field("timeout_ms"), 20);
  EXPECT_EQ(ops_error("timeout_ms", "20s"), "timeout_ms (u32): '20s' is not a number from 0 to 4294967295");
  EXPECT_EQ(ops_error("name", "renamed"), "");
  const std::string known =
      "it has dispatch_max_batch, flags, timeout_ms, exit_dump_len, hotplug_seq, sub_cgroup_id, name";
  EXPECT_EQ(ops_error("enqueue", "1"), "variables_ops has no field 'enqueue' that can be set; " + known);
  EXPECT_EQ(ops_error("priv", "1"), "variables_ops has no field 'priv' that can be set; " + known);
}

TEST_F(ScxObjectTest, OpsFlagsByNameOrNumber) {
  EXPECT_EQ(ops_error("flags", "ENQ_EXITING|SCX_OPS_SWITCH_PARTIAL"), "");
  EXPECT_EQ(*object_->ops_field("flags"), 0xc);
  EXPECT_TRUE(object_->set_ops_flag("KEEP_BUILTIN_IDLE", true).ok());
  EXPECT_EQ(*object_->ops_field("flags"), 0xd);
  EXPECT_TRUE(object_->set_ops_flag("KEEP_BUILTIN_IDLE|ENQ_EXITING", false).ok());
  EXPECT_EQ(*object_->ops_field("flags"), 0x8);
  EXPECT_EQ(ops_error("flags", "0x2"), "");
  EXPECT_EQ(*object_->ops_field("flags"), 2);
  EXPECT_EQ(ops_error("flags", "ENQ_LAST|NAME_LEN").rfind("flags: 'NAME_LEN' is no flag of this kernel; it has ", 0),
            0U);
  EXPECT_EQ(*object_->ops_field("flags"), 2);
}

TEST_F(ScxObjectTest, HotplugSequenceGoesToEveryTable) {
  EXPECT_EQ(object_->ops_tables(), (std::vector<std::string>{"variables_ops", "second_ops"}));
  EXPECT_EQ(*object_->ops_field("hotplug_seq"), 77);
  EXPECT_TRUE(object_->select_ops_table("second_ops").ok());
  EXPECT_EQ(*object_->ops_field("hotplug_seq"), 77);
  EXPECT_EQ(*object_->ops_field("timeout_ms"), 0);
  EXPECT_EQ(object_->select_ops_table("third").message(),
            "variables.bpf.o has no ops table 'third'; it has variables_ops, second_ops");
}

// The record is read as ops.exit() writes it, from memory.
TEST_F(ScxObjectTest, ExitRecordIsReadBack) {
  EXPECT_FALSE(object_->exited());
  EXPECT_EQ(object_->exit_info().kind, 0);
  EXPECT_EQ(set_error("uei.reason", "scx_bpf_error"), "");
  EXPECT_EQ(set_error("uei.msg", "x.bpf.c:1: oops"), "");
  EXPECT_EQ(set_error("uei.exit_cpu", "3"), "");
  EXPECT_EQ(set_error("uei.exit_code", "281474976710656"), "");
  EXPECT_FALSE(object_->exited());
  EXPECT_EQ(set_error("uei.kind", "1025"), "");
  ASSERT_TRUE(object_->exited());
  const ExitInfo info = object_->exit_info();
  EXPECT_EQ(info.kind, 1025);
  EXPECT_TRUE(info.wants_restart());
  EXPECT_EQ(info.line(), "scx_bpf_error (x.bpf.c:1: oops) on CPU 3");
}

TEST(ExitInfo, LineLeavesOutWhatIsNotKnown) {
  ExitInfo info;
  info.reason = "unregistered from user space";
  EXPECT_EQ(info.line(), "unregistered from user space");
  info.cpu = -1;
  EXPECT_EQ(info.line(), "unregistered from user space");
}

}  // namespace
}  // namespace uscx::schedulers
