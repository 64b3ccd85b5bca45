// SPDX-License-Identifier: GPL-2.0-only
// The explorer on toy programs: a machine without a kernel, whose CPUs run one function each.
#include "machine/explore/explore.h"

#include <gtest/gtest.h>

#include "machine/explore/driver.h"
#include "machine/explore/toy.h"
#include "machine/owner.h"

namespace uscx::machine {
namespace {

void counters(ExploreRun &run, bool locked) {
  Plain<u32> count("count");
  SpinLock lock;
  auto add = [&] {
    if (locked) lock.lock();
    const u32 old = count.read();
    explore_point();
    count.write() = old + 1;
    if (locked) lock.unlock();
  };
  on_cpus(run, {add, add});
  if (count.racy() != 2) run.fail(Failure::kScheduler, "an increment was lost");
}

// Two Shared increments that are not atomic together: no race, but a lost update.
void lost_update(ExploreRun &run) {
  Shared<u32> count{0};
  auto add = [&] { count.store(count.load() + 1); };
  on_cpus(run, {add, add});
  if (count.load() != 2) run.fail(Failure::kScheduler, "an increment was lost");
}

void ab_ba(ExploreRun &run, bool same_order, bool named) {
  SpinLock a(SpinLock::Kind::kPrivate, "a"), b(SpinLock::Kind::kPrivate, named ? "b" : "a");
  b.set_place(1);
  auto forward = [&] {
    a.lock();
    b.lock();
    b.unlock();
    a.unlock();
  };
  auto backward = [&] {
    b.lock();
    a.lock();
    a.unlock();
    b.unlock();
  };
  on_cpus(run, {forward, same_order ? std::function<void()>(forward) : std::function<void()>(backward)});
}

ExploreResult random(const ScenarioFn &scenario, u64 schedules = 200, u64 seed = 1) {
  return explore(scenario, {.max_schedules = schedules, .seed = seed});
}

ExploreResult exhaustive(const ScenarioFn &scenario, u32 bound = 100) {
  return explore(scenario, {.kind = ExploreOptions::Kind::kExhaustive, .bound = bound, .max_schedules = 100000});
}

TEST(Explore, RaceWithoutLockIsFound) {
  const ExploreResult result = random([](ExploreRun &run) { counters(run, false); });
  EXPECT_EQ(result.failing.failure, Failure::kDataRace) << result.failing.text;
}

TEST(Explore, LockedCounterIsRight) {
  const ExploreResult result = exhaustive([](ExploreRun &run) { counters(run, true); });
  EXPECT_EQ(result.failing.failure, Failure::kNone) << result.failing.text;
  EXPECT_TRUE(result.all);
}

TEST(Explore, EachStrategyFindsTheLostUpdate) {
  for (auto kind : {ExploreOptions::Kind::kRandom, ExploreOptions::Kind::kPct, ExploreOptions::Kind::kExhaustive}) {
    const ExploreResult result = explore(lost_update, {.kind = kind, .depth = 2, .bound = 1, .max_schedules = 100});
    EXPECT_EQ(result.failing.failure, Failure::kScheduler) << result.schedules;
  }
}

TEST(Explore, WithoutPreemptionsThereIsNoLostUpdate) {
  const ExploreResult result = exhaustive(lost_update, 0);
  EXPECT_EQ(result.failing.failure, Failure::kNone);
  EXPECT_TRUE(result.all);
}

TEST(Explore, LockOrderIsCheckedWithoutADeadlock) {
  const ExploreResult result = random([](ExploreRun &run) { ab_ba(run, false, true); }, 1);
  EXPECT_EQ(result.failing.failure, Failure::kLockOrder) << result.failing.text;
  const ExploreResult same_class = random([](ExploreRun &run) { ab_ba(run, false, false); }, 1);
  EXPECT_EQ(same_class.failing.failure, Failure::kLockOrder) << same_class.failing.text;
  EXPECT_EQ(exhaustive([](ExploreRun &run) { ab_ba(run, true, true); }).failing.failure, Failure::kNone);
}

// The ring is found though a third CPU goes on.
TEST(Explore, DeadlockIsFoundByItsCycle) {
  const ScenarioFn scenario = [](ExploreRun &run) {
    Shared<bool> a_set{false}, b_set{false};
    auto wait = [](Shared<bool> &mine, Shared<bool> &other) {
      while (!other.load()) spin_wait("the other");
      mine.store(true);
    };
    on_cpus(run, {[&] { wait(a_set, b_set); }, [&] { wait(b_set, a_set); }});
  };
  EXPECT_EQ(random(scenario).failing.failure, Failure::kDeadlock);
}

TEST(Explore, SpinningEnds) {
  const ScenarioFn scenario = [](ExploreRun &run) {
    Shared<bool> set{false};
    on_cpus(run, {[&] {
                    while (!set.load()) spin_wait("set");
                  },
                  [&] { set.store(true); }});
  };
  const ExploreResult result = exhaustive(scenario);
  EXPECT_EQ(result.failing.failure, Failure::kNone) << result.failing.text;
  EXPECT_TRUE(result.all);
}

// A program's accesses to one word by two CPUs, each with what it is: a race is a finding, once for each two places.
std::vector<std::string> program_races(ProgramAccess one, ProgramAccess other) {
  const ScenarioFn scenario = [&](ExploreRun &run) {
    one.insn = 1;
    other.insn = 2;
    auto twice = [](const ProgramAccess &access) {
      program_access(access);
      program_access(access);
    };
    on_cpus(run, {[&] { twice(one); }, [&] { twice(other); }});
  };
  const ExploreResult result = random(scenario, 50);
  EXPECT_EQ(result.failing.failure, Failure::kNone) << result.failing.text;
  std::vector<std::string> texts;
  for (const ExploreResult::Race &race : result.races) texts.push_back(race.text);
  return texts;
}

TEST(Explore, RacesOfProgramsAreFindings) {
  const ProgramAccess read{.address = 0x1000, .size = 8}, write{.address = 0x1000, .size = 8, .write = true};
  const ProgramAccess atomic{.address = 0x1000, .size = 8, .write = true, .atomic = true};
  const ProgramAccess other_half{.address = 0x1004, .size = 4, .write = true};
  const ProgramAccess low_half{.address = 0x1000, .size = 4, .write = true};
  const ProgramAccess across{.address = 0xffc, .size = 8, .write = true};
  EXPECT_EQ(program_races(write, write).size(), 1u);
  EXPECT_EQ(program_races(read, write).size(), 1u);
  EXPECT_EQ(program_races(atomic, write).size(), 1u);
  EXPECT_FALSE(program_races(other_half, write).empty());
  EXPECT_FALSE(program_races(across, low_half).empty());
  EXPECT_TRUE(program_races(read, read).empty());
  EXPECT_TRUE(program_races(atomic, atomic).empty());
  EXPECT_TRUE(program_races(low_half, other_half).empty());
}

TEST(Explore, RacesOfProgramsFailIfThatIsAskedFor) {
  const ScenarioFn scenario = [](ExploreRun &run) {
    auto write = [] { program_access({.address = 0x1000, .size = 8, .write = true}); };
    on_cpus(run, {write, write});
  };
  ExploreOptions options{.max_schedules = 50};
  options.limits.races_fail = true;
  EXPECT_EQ(explore(scenario, options).failing.failure, Failure::kProgramRace);
}

// A lock orders programs too.
TEST(Explore, LockedProgramsDoNotRace) {
  const ScenarioFn scenario = [](ExploreRun &run) {
    SpinLock lock;
    auto write = [&] {
      SpinGuard guard(lock);
      program_access({.address = 0x1000, .size = 8, .write = true});
    };
    on_cpus(run, {write, write});
  };
  EXPECT_TRUE(random(scenario, 50).races.empty());
}

TEST(Explore, UseAfterFreeIsFound) {
  const ScenarioFn scenario = [](ExploreRun &run) {
    static u64 memory[4];
    Shared<u64 *> pointer{memory};
    on_cpus(run, {[&] {
                    u64 *p = pointer.load();
                    explore_point();
                    note_use(p + 1, "memory");
                  },
                  [&] { note_freed(memory, sizeof(memory), "memory"); }});
  };
  EXPECT_EQ(random(scenario).failing.failure, Failure::kUseAfterFree);
}

TEST(Explore, ACrashIsAResult) {
  const ExploreResult result = random([](ExploreRun &) { __builtin_trap(); }, 1);
  EXPECT_EQ(result.failing.failure, Failure::kCrash);
}

// Two CPUs set a flag each in one word.
ExploreResult set_flags(Owner (*claim)(const SpinLock &lock), bool locked) {
  return random([=](ExploreRun &run) {
    u32 word = 0;
    SpinLock lock;
    auto set = [&](u32 bit) {
      if (locked) lock.lock();
      change_bits(word, "the word", claim(lock), 0, bit);
      if (locked) lock.unlock();
    };
    on_cpus(run, {[&] { set(1); }, [&] { set(2); }});
    if (word != 3) run.fail(Failure::kScheduler, "a flag was lost");
  });
}

TEST(Explore, AChangeNeedsItsOwner) {
  const auto by_lock = [](const SpinLock &lock) { return Owner(lock); };
  const auto by_claim = [](const SpinLock &) { return Owner::because("nobody else would"); };
  const auto by_cpu = [](const SpinLock &) { return Owner::of_cpu(1); };
  EXPECT_EQ(set_flags(by_lock, true).failing.failure, Failure::kNone);
  EXPECT_EQ(set_flags(by_claim, true).failing.failure, Failure::kNone);
  const ExploreResult unheld = set_flags(by_lock, false);
  EXPECT_EQ(unheld.failing.failure, Failure::kCheck);
  EXPECT_NE(unheld.failing.text.find("changes what lock \"lock\" protects"), std::string::npos) << unheld.failing.text;
  EXPECT_EQ(set_flags(by_cpu, false).failing.failure, Failure::kCheck);
  const ExploreResult race = set_flags(by_claim, false);
  EXPECT_EQ(race.failing.failure, Failure::kDataRace);
  EXPECT_NE(race.failing.text.find("writes the word while"), std::string::npos) << race.failing.text;
}

// The detector does not see it, because stores alone may race.
TEST(Explore, AStoreBetweenTheLoadAndTheStoreOfAChangeIsLost) {
  const ExploreResult result = random([](ExploreRun &run) {
    u32 word = 0;
    Shared<bool> stored = false;
    on_cpus(run, {[&] { change_bits(word, "the word", Owner::of_cpu(0), 0, 1); },
                  [&] {
                    stored.store(true);
                    racy_store(word, 6);
                  }});
    if (word == 1) run.fail(Failure::kScheduler, "a store was lost");
  });
  EXPECT_EQ(result.failing.failure, Failure::kScheduler);
}

// n independent writers have one schedule; two writers of one variable have two.
TEST(Explore, IndependentStepsAreRunOnce) {
  const ScenarioFn independent = [](ExploreRun &run) {
    Shared<u32> values[3];
    on_cpus(run, {[&] { values[0].store(1); }, [&] { values[1].store(1); }, [&] { values[2].store(1); }});
  };
  const ExploreResult one = exhaustive(independent);
  EXPECT_TRUE(one.all);
  EXPECT_EQ(one.schedules - one.equivalent, 1u);
  const ScenarioFn conflicting = [](ExploreRun &run) {
    Shared<u32> value;
    on_cpus(run, {[&] { value.store(1); }, [&] { value.store(2); }, [&] { value.store(3); }});
  };
  const ExploreResult six = exhaustive(conflicting);
  EXPECT_TRUE(six.all);
  EXPECT_EQ(six.schedules - six.equivalent, 6u);
}

TEST(Explore, AFailureReplaysAndIsMinimized) {
  const ScenarioFn scenario = [](ExploreRun &run) {
    Shared<u32> count{0}, other{0};
    auto add = [&] {
      for (int i = 0; i < 20; i++) other.fetch_add(1);
      count.store(count.load() + 1);
      for (int i = 0; i < 20; i++) other.fetch_add(1);
    };
    on_cpus(run, {add, add, add});
    if (count.load() != 3) run.fail(Failure::kScheduler, "an increment was lost");
  };
  const ExploreResult result = random(scenario, 1000);
  ASSERT_EQ(result.failing.failure, Failure::kScheduler);
  for (int i = 0; i < 3; i++) {
    const ScheduleResult again = replay(scenario, result.failing.schedule);
    EXPECT_EQ(again.failure, result.failing.failure);
    EXPECT_EQ(again.text, result.failing.text);
    EXPECT_EQ(again.nr_steps, result.failing.nr_steps);
  }
  const MinimizeResult small = minimize(scenario, result.failing.schedule, Failure::kScheduler);
  EXPECT_EQ(small.result.failure, Failure::kScheduler);
  EXPECT_LE(small.result.schedule.size(), 2u);
}

TEST(Explore, TheSameSeedGivesTheSameSchedules) {
  const ExploreResult a = random([](ExploreRun &run) { counters(run, true); }, 20, 7);
  const ExploreResult b = random([](ExploreRun &run) { counters(run, true); }, 20, 7);
  EXPECT_EQ(a.steps, b.steps);
}

// How many lanes there are cannot be seen in what comes of it: neither in what fails first, though others after it fail
// sooner, nor in sums over schedules.
TEST(Explore, LanesDoNotChangeTheAnswer) {
  const ScenarioFn scenario = [](ExploreRun &run) {
    Shared<u32> count{0}, other{0};
    auto add = [&] {
      for (int i = 0; i < 10; i++) other.fetch_add(1);
      program_access({.address = 0x1000, .size = 8, .write = true});
      const u32 old = count.load();
      program_access({.address = 0x2000 + old * 8, .size = 8, .write = true});
      count.store(old + 1);
    };
    on_cpus(run, {add, add, add});
    if (count.load() == 1) run.fail(Failure::kScheduler, "two increments were lost");
  };
  for (auto kind : {ExploreOptions::Kind::kRandom, ExploreOptions::Kind::kPct}) {
    for (u64 seed = 1; seed <= 3; seed++) {
      ExploreOptions options{.kind = kind, .max_schedules = 1000, .seed = seed, .nr_lanes = 1};
      const ExploreResult one = explore(scenario, options);
      options.nr_lanes = 5;
      const ExploreResult five = explore(scenario, options);
      EXPECT_EQ(one.schedules, five.schedules);
      EXPECT_EQ(one.steps, five.steps);
      EXPECT_EQ(one.failing.failure, five.failing.failure);
      EXPECT_EQ(one.failing.schedule.size(), five.failing.schedule.size());
      ASSERT_EQ(one.races.size(), five.races.size());
      for (size_t i = 0; i < one.races.size(); i++) {
        EXPECT_EQ(one.races[i].text, five.races[i].text);
        EXPECT_EQ(one.races[i].schedules, five.races[i].schedules);
      }
    }
  }
}

// Most processes run many schedules, and none sees what another one left.
TEST(Explore, EachScheduleFindsWhatWasBuiltOnce) {
  bool begin_early = false;
  const ScenarioFn scenario = [&begin_early](ExploreRun &run) {
    u32 built = 0;
    std::vector<u32> on_heap(10000, 1);
    built++;
    if (begin_early) run.begin();
    on_cpus(run, {[&] { on_heap.assign(20000, 2); }, [&] { built++; }});
    static u32 ends = 0;
    if (built != 2 || on_heap.size() != 20000 || ends++ != 0) run.fail(Failure::kScheduler, "an earlier one was seen");
  };
  const ExploreResult result = random(scenario, 1000);
  EXPECT_EQ(result.failing.failure, Failure::kNone) << result.failing.text;
  EXPECT_EQ(result.schedules, 1000u);
  // Now each maps stacks, so that no process can go back.
  begin_early = true;
  const ExploreResult early = random(scenario, 100);
  EXPECT_EQ(early.failing.failure, Failure::kNone) << early.failing.text;
  EXPECT_EQ(early.schedules, 100u);
}

// Late, so that a process has run many schedules before.
TEST(Explore, ACrashOfOneScheduleIsFoundAndReplays) {
  const ScenarioFn scenario = [](ExploreRun &run) {
    Shared<u32> at[4];
    u32 order = 0;
    auto go = [&](u32 cpu) {
      for (int i = 0; i < 3; i++) at[cpu].fetch_add(1);
      order = order * 4 + cpu;
    };
    on_cpus(run, {[&] { go(0); }, [&] { go(1); }, [&] { go(2); }, [&] { go(3); }});
    if (order == ((3 * 4 + 1) * 4 + 0) * 4 + 2) __builtin_trap();
  };
  const ExploreResult result = random(scenario, 5000);
  ASSERT_EQ(result.failing.failure, Failure::kCrash);
  EXPECT_GT(result.schedules, 1u);
  EXPECT_EQ(replay(scenario, result.failing.schedule).failure, Failure::kCrash);
}

}  // namespace
}  // namespace uscx::machine
