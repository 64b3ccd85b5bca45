// SPDX-License-Identifier: GPL-2.0-only
// A run is a value: what one process has run before changes nothing.
#include "run/run.h"

#include <gtest/gtest.h>

#include <atomic>

namespace uscx::cli {
namespace {

RunOptions options_of(const std::string &scheduler, u32 nr_cpus, u64 duration_ns = 200 * kNsPerMs) {
  RunOptions options;
  options.scheduler = scheduler;
  options.topology = machine::Topology::flat(nr_cpus);
  options.duration_ns = duration_ns;
  options.workloads.push_back(workload::open_workload("mixed").take());
  return options;
}

u64 hash_of(const RunOptions &options) {
  Result<RunResult> result = run(options);
  EXPECT_TRUE(result.ok()) << result.message();
  return result.ok() ? result->info.trace_hash : 0;
}

TEST(Run, RunsOfOneProcessDoNotTouchEachOther) {
  const u64 small = hash_of(options_of("scx_simple", 2));
  const u64 large = hash_of(options_of("scx_simple", 64));
  const u64 fair = hash_of(options_of("fair", 8));
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(hash_of(options_of("scx_simple", 64)), large);
    EXPECT_EQ(hash_of(options_of("fair", 8)), fair);
    EXPECT_EQ(hash_of(options_of("scx_simple", 2)), small);
  }
}

TEST(Run, HooksSeeTheRunAndDoNotChangeIt) {
  const u64 plain = hash_of(options_of("scx_simple", 2));
  RunOptions options = options_of("scx_simple", 2);
  std::string log, output;
  u64 last_ns = 0;
  options.hooks.log = [&](u64, const std::string &line) { log += line + "\n"; };
  options.hooks.output = [&](std::string_view text) { output += text; };
  options.hooks.progress = [&](const Progress &progress) { last_ns = progress.now_ns; };
  EXPECT_EQ(hash_of(options), plain);
  EXPECT_NE(log.find("\"simple\" enabled"), std::string::npos) << log;
  EXPECT_NE(output.find("local="), std::string::npos) << output;
  EXPECT_EQ(last_ns, options.duration_ns);
}

TEST(Run, AnInterruptedRunEndsInGoodOrder) {
  RunOptions options = options_of("scx_simple", 2, 1000 * kNsPerSec);
  std::atomic<bool> stop = false;
  options.hooks.stop = &stop;
  options.hooks.progress = [&](const Progress &progress) { stop = progress.now_ns > kNsPerSec; };
  Result<RunResult> result = run(options);
  ASSERT_TRUE(result.ok()) << result.message();
  EXPECT_TRUE(result->interrupted);
  EXPECT_EQ(result->metrics->exit().kind, 64u);
  EXPECT_EQ(exit_status(*result), kExitOk);
  EXPECT_LT(result->metrics->duration_ns(), options.duration_ns);
}

TEST(Run, RefusedInputLeavesNothingBehind) {
  RunOptions options = options_of("scx_simple", 2);
  const u64 plain = hash_of(options);
  options.sets.push_back({"no_such_variable", "1"});
  EXPECT_FALSE(run(options).ok());
  options.sets.clear();
  EXPECT_EQ(hash_of(options), plain);
}

}  // namespace
}  // namespace uscx::cli
