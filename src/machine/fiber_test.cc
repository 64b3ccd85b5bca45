// SPDX-License-Identifier: GPL-2.0-only
#include "machine/fiber.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace uscx::machine {
namespace {

TEST(Fiber, RunsInTurnsWithItsResumer) {
  std::string order;
  Fiber fiber([&](Fiber &self) {
    EXPECT_EQ(Fiber::current(), &self);
    order += "a";
    self.suspend();
    order += "b";
    self.suspend();
    order += "c";
  });
  EXPECT_EQ(order, "");
  fiber.resume();
  order += "1";
  EXPECT_EQ(Fiber::current(), nullptr);
  fiber.resume();
  order += "2";
  EXPECT_FALSE(fiber.done());
  fiber.resume();
  EXPECT_TRUE(fiber.done());
  EXPECT_EQ(order, "a1b2c");
}

TEST(Fiber, NestsAndInterleaves) {
  std::string order;
  Fiber inner([&](Fiber &self) {
    order += "i";
    self.suspend();
    order += "j";
  });
  Fiber outer([&](Fiber &self) {
    inner.resume();
    EXPECT_EQ(Fiber::current(), &self);
    self.suspend();
    order += "o";
  });
  outer.resume();
  inner.resume();  // Started by another fiber, resumed by the loop.
  outer.resume();
  EXPECT_TRUE(inner.done() && outer.done());
  EXPECT_EQ(order, "ijo");
}

struct CountOnExit {
  int &count;
  ~CountOnExit() { count++; }
};

TEST(Fiber, UnfinishedOneIsUnwound) {
  int exits = 0;
  bool after = false;
  {
    Fiber fiber([&](Fiber &self) {
      CountOnExit outer{exits};
      std::string on_the_heap(1000, 'x');
      [&] {
        CountOnExit inner{exits};
        self.suspend();
        after = true;
      }();
    });
    fiber.resume();
    EXPECT_EQ(exits, 0);
  }
  EXPECT_EQ(exits, 2);
  EXPECT_FALSE(after);
}

TEST(Fiber, OneThatNeverStartedRunsNothing) {
  bool ran = false;
  {
    Fiber fiber([&](Fiber &) { ran = true; });
  }
  EXPECT_FALSE(ran);
}

// Uses most of each stack, many times over, so that a stack that comes back from the pool is used by another fiber.
TEST(Fiber, StacksAreUsedAgain) {
  u64 sum = 0;
  for (int round = 0; round < 50; round++) {
    std::vector<std::unique_ptr<Fiber>> fibers;
    for (int i = 0; i < 20; i++)
      fibers.push_back(std::make_unique<Fiber>([&sum, i](Fiber &self) {
        volatile char big[32 * 1024];
        std::memset(const_cast<char *>(big), i, sizeof(big));
        self.suspend();
        sum += big[sizeof(big) - 1];
        if (i % 3 == 0) self.suspend();
      }));
    for (auto &fiber : fibers) fiber->resume();
    for (auto &fiber : fibers) fiber->resume();
  }
  EXPECT_EQ(sum, 50u * 190);
}

TEST(FiberDeathTest, StackOverflowFaultsAtTheGuardPage) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  struct Deep {
    static int recurse(int depth) {
      volatile char frame[1024];
      frame[0] = static_cast<char>(depth);
      return depth == 0 ? 0 : recurse(depth - 1) + frame[0];
    }
  };
  EXPECT_DEATH(
      {
        Fiber fiber([](Fiber &) { std::exit(Deep::recurse(100) & 0); });
        fiber.resume();
      },
      "");
}

}  // namespace
}  // namespace uscx::machine
