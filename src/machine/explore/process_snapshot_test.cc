// SPDX-License-Identifier: GPL-2.0-only
#include "machine/explore/process_snapshot.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "machine/fiber.h"

namespace uscx::machine {
namespace {

// What is kept when all else goes back.
struct Shared {
  int rounds;
  u64 sum;
};

int g_global = 1;
thread_local int t_local = 2;

// Runs in a child, on a fiber of which nothing is restored: round(n) on the stack of the process, with all memory as at
// the beginning, until restore() refuses or `rounds` are done. Returns how many rounds began.
template <typename Round>
int rounds_that_begin(int rounds, Round round) {
  void *memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Shared *shared = static_cast<Shared *>(memory);
  const pid_t child = fork();
  if (child == 0) {
    ProcessSnapshot snapshot;
    Fiber fiber([&](Fiber &self) {
      if (!snapshot.take(self.stack_bottom(), Fiber::kStackBytes)) _exit(1);
      do {
        if (shared->rounds++ == rounds) break;
        self.suspend();
      } while (snapshot.restore());
      _exit(0);
    });
    fiber.resume();
    round(*shared);
    fiber.resume();
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  const int begun = WEXITSTATUS(status) == 0 ? shared->rounds : -1;
  munmap(memory, 4096);
  return begun;
}

class ProcessSnapshotTest : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer's memory does not go back";
#endif
  }
};

TEST_F(ProcessSnapshotTest, AllMemoryGoesBack) {
  auto on_heap = std::make_unique<std::vector<u64>>(10000, 7);
  int on_stack = 3;
  std::string text = "text";
  const int begun = rounds_that_begin(20, [&](Shared &) {
    CHECK(g_global == 1 && t_local == 2 && on_stack == 3 && text == "text");
    for (u64 value : *on_heap) CHECK(value == 7);
    g_global = t_local = on_stack = 9;
    text.append(1000, 'x');
    on_heap.reset();
  });
  EXPECT_EQ(begun, 21);
}

// The allocator is as it was, too: each round gets the same addresses.
TEST_F(ProcessSnapshotTest, AllocationsRepeat) {
  const int begun = rounds_that_begin(20, [](Shared &shared) {
    u64 sum = 0;
    for (size_t bytes : {24, 100, 5000, 24}) sum += reinterpret_cast<u64>(new char[bytes]);
    CHECK(shared.sum == 0 || shared.sum == sum);
    shared.sum = sum;
  });
  EXPECT_EQ(begun, 21);
}

// Not every round writes the same pages.
TEST_F(ProcessSnapshotTest, PagesThatARoundWritesForTheFirstTimeGoBack) {
  constexpr size_t kPages = 64;
  std::vector<char> memory(kPages * 4096, 1);
  const int begun = rounds_that_begin(static_cast<int>(kPages), [&](Shared &shared) {
    for (char value : memory) CHECK(value == 1);
    memory[static_cast<size_t>(shared.rounds * 37) % kPages * 4096] = 2;
  });
  EXPECT_EQ(begun, static_cast<int>(kPages) + 1);
}

TEST_F(ProcessSnapshotTest, RefusesWhatOnlyTheKernelKeeps) {
  EXPECT_EQ(rounds_that_begin(20, [](Shared &) { open("/dev/null", O_RDONLY); }), 1);
  EXPECT_EQ(rounds_that_begin(20,
                              [](Shared &) {
                                const int mode = PROT_READ | PROT_WRITE;
                                mmap(nullptr, 4096, mode, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
                              }),
            1);
  void *mapped = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(rounds_that_begin(20, [mapped](Shared &) { munmap(mapped, 4096); }), 1);
  munmap(mapped, 4096);
}

}  // namespace
}  // namespace uscx::machine
