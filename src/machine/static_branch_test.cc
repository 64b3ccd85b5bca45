// SPDX-License-Identifier: GPL-2.0-only
#include "machine/static_branch.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "machine/machine.h"

namespace uscx::machine {
namespace {

// The answer belongs to the process, so that this runs in one that has made no machine yet.
[[gnu::noinline]] bool answer() { return may_be_concurrent(); }

[[noreturn]] void life_of_a_process() {
  bool right = answer();  // Nobody has said anything: the tests are there.
  expect_run_mode();
  const bool patched = run_mode_is_patched();
  right = right && answer() == !patched && patched == (USCX_STATIC_BRANCHES == 1);
  expect_run_mode();
  right = right && run_mode_is_patched() == patched;
  need_concurrency();
  right = right && answer() && !run_mode_is_patched();
  expect_run_mode();  // A machine in run mode beside the one that needs the tests.
  right = right && answer() && !run_mode_is_patched();
  std::_Exit(right ? 0 : 1);
}

TEST(StaticBranch, TestsComeBackWhenTheyAreNeeded) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(life_of_a_process(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace uscx::machine
