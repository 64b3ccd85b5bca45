// SPDX-License-Identifier: GPL-2.0-only
// The scan against what this program has registered.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "bpf/load/scan/scan.h"
#include "bpf/object/kfunc.h"
#include "bpf/testing/env.h"

namespace uscx::bpf {
namespace {

// As tests/bpf/scan_guarded.bpf.c declares it; and one of tests/bpf/scan_missing.bpf.c with another prototype.
USCX_KFUNC(kAny, 0, void, scx_bpf_created, (u32 cpu)) { (void)cpu; }
USCX_KFUNC(kAny, 0, void, scx_bpf_not_there, (struct task_struct * p)) { (void)p; }

class OpsWithoutEnqueue final : public StructOpsType {
 public:
  const char *name() const override { return "sched_ext_ops"; }
  bool is_implemented(std::string_view member) const override { return member != "enqueue"; }
  int check_member(const StructOpsMember &, const Prog &, std::string *) override { return 0; }
  bool may_sleep(const StructOpsMember &) const override { return false; }
  int init_member(const StructOpsMember &, const void *, void *) override { return 1; }
  int validate(StructOpsMap &) override { return 0; }
  int reg(StructOpsMap &) override { return 0; }
  void unreg(StructOpsMap &) override {}
};

std::vector<std::string> missing_in(const std::string &name) {
  std::ifstream file(std::string(USCX_SCAN_OBJECTS "/") + name + ".bpf.o", std::ios::binary);
  const std::vector<u8> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  TestEnv env;
  std::vector<std::unique_ptr<StructOpsType>> types;
  types.push_back(std::make_unique<OpsWithoutEnqueue>());
  const auto system = make_test_system(env, std::move(types));
  Result<ScanResult> result = scan_object(bytes, ScanTarget::of_system(*system));
  EXPECT_TRUE(result.ok()) << result.message();
  return result.ok() ? result->missing : std::vector<std::string>{};
}

TEST(ScanTarget, OffersWhatIsRegistered) {
  EXPECT_EQ(missing_in("scan_guarded"), std::vector<std::string>{"sched_ext_ops.enqueue is not implemented"});
}

TEST(ScanTarget, AKfuncOfAnotherPrototypeIsNone) {
  const std::vector<std::string> missing = missing_in("scan_missing");
  EXPECT_EQ(std::count(missing.begin(), missing.end(), "kfunc scx_bpf_not_there is implemented with another prototype"),
            1);
  EXPECT_EQ(std::count(missing.begin(), missing.end(), "kfunc scx_bpf_not_there_in_callback is not implemented"), 1);
}

}  // namespace
}  // namespace uscx::bpf
