// SPDX-License-Identifier: GPL-2.0-only
// Explore mode on the core: nothing is found as it is, and each bug of the past is found with its switch on, from three
// seeds. USCX_EXPLORE_SCHEDULES in the environment makes the search for nothing longer.
#include "scenario/scenario.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace uscx::scenario {
namespace {

using machine::ExploreOptions;
using machine::ExploreResult;
using machine::Failure;

// Where each schedule costs ten times as much, fewer of them look for what only those builds see.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr u64 kCleanSchedules = 25, kLoads = 100;
#else
constexpr u64 kCleanSchedules = 150, kLoads = 1000;
#endif

u64 clean_schedules() {
  const char *text = std::getenv("USCX_EXPLORE_SCHEDULES");
  return text ? std::strtoull(text, nullptr, 10) : kCleanSchedules;
}

std::string found(const ExploreResult &result) {
  return fmt::format("schedule {}: {}: {}", result.schedules, machine::failure_name(result.failing.failure),
                     result.failing.text);
}

class EachScenario : public testing::TestWithParam<Scenario> {};

TEST_P(EachScenario, NothingIsFound) {
  sched::active_mutation = sched::Mutation::none;
  for (auto kind : {ExploreOptions::Kind::kRandom, ExploreOptions::Kind::kPct}) {
    const ExploreResult result =
        machine::explore(GetParam().run, {.kind = kind, .max_schedules = clean_schedules(), .seed = 1});
    EXPECT_EQ(result.failing.failure, Failure::kNone) << found(result);
  }
}

INSTANTIATE_TEST_SUITE_P(Scenario, EachScenario, testing::ValuesIn(scenarios()), [](const auto &info) {
  std::string name = info.param.name;
  std::erase(name, '-');
  return name;
});

TEST(Loads, ManyLoadsAndUnloadsLeaveNothing) {
  const ExploreResult result = machine::explore(run_reload, {.max_schedules = kLoads / kLoadsPerSchedule, .seed = 4});
  EXPECT_EQ(result.failing.failure, Failure::kNone) << found(result);
}

TEST(Loads, TwoLoadersThatRaceLeaveNothing) {
  const ExploreResult result =
      machine::explore(run_race_load, {.max_schedules = kLoads / kLoadsPerSchedule, .seed = 4});
  EXPECT_EQ(result.failing.failure, Failure::kNone) << found(result);
}

class EachHistory : public testing::TestWithParam<History> {};

TEST_P(EachHistory, IsFoundFromThreeSeedsAndReplays) {
  const History &history = GetParam();
  const Scenario *scenario = find_scenario(history.scenario);
  ASSERT_NE(scenario, nullptr);
  sched::active_mutation = history.mutation;
  for (u64 seed : {1, 2, 3}) {
    const ExploreResult result =
        machine::explore(scenario->run, {.kind = history.kind, .max_schedules = history.schedules, .seed = seed});
    EXPECT_NE(result.failing.failure, Failure::kNone) << "seed " << seed;
    RecordProperty(fmt::format("seed{}", seed), found(result));
    std::printf("history.%s seed %llu: %s\n", history.name, static_cast<unsigned long long>(seed),
                found(result).c_str());
    const machine::ScheduleResult again = machine::replay(scenario->run, result.failing.schedule);
    EXPECT_EQ(again.failure, result.failing.failure);
    EXPECT_EQ(again.text, result.failing.text);
  }
  sched::active_mutation = sched::Mutation::none;
}

INSTANTIATE_TEST_SUITE_P(History, EachHistory, testing::ValuesIn(histories()),
                         [](const auto &info) { return std::string(info.param.name); });

}  // namespace
}  // namespace uscx::scenario
