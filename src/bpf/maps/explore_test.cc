// SPDX-License-Identifier: GPL-2.0-only
// Operations on maps by several CPUs at once, in explore mode: what each order leaves behind is possible one after the
// other.
#include <bpf/btf.h>

#include "bpf/memory/value_lock.h"
#include "bpf/testing/env.h"
#include "machine/explore/driver.h"
#include "machine/explore/toy.h"

namespace uscx::bpf {
namespace {

using machine::ExploreOptions;
using machine::ExploreRun;
using machine::Failure;
using machine::on_cpus;

// Deleted memory stays until the end of the schedule, as a grace period that never ends here.
class ExploredEnv final : public TestEnv {
 public:
  u32 cpu() override { return machine::exec().on_cpu ? machine::this_cpu() : 0; }
  bool defer_free(Deferred &item) override {
    if (!machine::concurrent()) return false;
    deferred_.push_back(&item);
    return true;
  }
  void free_deferred() {
    for (Deferred *item : deferred_) item->free(*item);
    deferred_.clear();
  }

 private:
  std::vector<Deferred *> deferred_;
};

using MapTestBody = std::function<void(ExploreRun &run, Map &map)>;

// No schedule of `body` on a map of the type fails.
void expect_right(bpf_map_type type, u32 key, u32 entries, u32 flags, const MapTestBody &body) {
  const machine::ScenarioFn scenario = [&](ExploreRun &run) {
    ExploredEnv env;
    const std::unique_ptr<BpfSystem> system = make_test_system(env);
    const BpfSystem::Scope scope(*system);
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
    const int fd = bpf_map_create(type, "map", key, sizeof(u64), entries, &opts);
    CHECK(fd >= 0, "no map: errno {}", errno);
    system->unshare_maps();
    body(run, *system->get<Map>(fd));
    env.free_deferred();
  };
  for (auto kind : {ExploreOptions::Kind::kRandom, ExploreOptions::Kind::kPct}) {
    const machine::ExploreResult result = machine::explore(scenario, {.kind = kind, .max_schedules = 150});
    EXPECT_EQ(result.failing.failure, Failure::kNone) << result.failing.text;
  }
}

u32 count_of(Map &map) {
  u32 count = 0, key;
  for (int err = map.next_key(nullptr, &key); err == 0; err = map.next_key(&key, &key)) count++;
  return count;
}

// Every CPU updates, deletes and looks up the same few keys. A value is always one that was stored under its key.
void churn(ExploreRun &run, Map &map, u32 capacity) {
  auto program = [&](u32 seed) {
    return [&map, &run, seed] {
      for (u32 i = 0; i < 6; i++) {
        const u32 key = (seed + i) % 4;
        const u64 value = u64{key} << 32 | seed;
        map.update(&key, &value, BPF_ANY);
        const u32 other = (seed + 2 * i) % 4;
        const u64 *found = static_cast<u64 *>(map.lookup(&other));
        if (found && *found >> 32 != other) run.fail(Failure::kScheduler, "a value of another key");
        if (i % 3 == 2) map.erase(&key);
      }
    };
  };
  on_cpus(run, {program(0), program(1), program(3)});
  if (count_of(map) > capacity) run.fail(Failure::kScheduler, "more elements than there is room for");
  // Whatever was lost or counted twice shows when the map is filled.
  for (u32 key = 0; key < 4; key++) map.erase(&key);
  const u64 value = 0;
  for (u32 key = 10; key < 10 + capacity; key++)
    if (map.update(&key, &value, BPF_NOEXIST) != 0) run.fail(Failure::kScheduler, "there is less room than there was");
  const u32 one_more = 99;
  const bool lru = map.type() == BPF_MAP_TYPE_LRU_HASH;
  if ((map.update(&one_more, &value, BPF_NOEXIST) == 0) != lru) run.fail(Failure::kScheduler, "there is too much room");
}

TEST(MapsExplored, HashKeepsItsCount) {
  expect_right(BPF_MAP_TYPE_HASH, 4, 3, 0, [](ExploreRun &run, Map &map) { churn(run, map, 3); });
}

TEST(MapsExplored, LruKeepsItsCount) {
  expect_right(BPF_MAP_TYPE_LRU_HASH, 4, 3, 0, [](ExploreRun &run, Map &map) { churn(run, map, 3); });
}

// What one CPU pushes another one pops, once.
TEST(MapsExplored, QueueLosesNothing) {
  expect_right(BPF_MAP_TYPE_QUEUE, 0, 100, 0, [](ExploreRun &run, Map &map) {
    u64 pushed = 0, popped = 0;
    auto program = [&](u64 first) {
      return [&, first] {
        for (u64 value = first; value < first + 4; value++) {
          if (map.push(&value, 0) == 0) pushed += value;
          u64 got = 0;
          if (map.pop(&got) == 0) popped += got;
        }
      };
    };
    on_cpus(run, {program(1), program(100), program(10000)});
    for (u64 got = 0; map.pop(&got) == 0;) popped += got;
    if (pushed != popped) run.fail(Failure::kScheduler, "a value was lost or came twice");
  });
}

TEST(MapsExplored, ValueLockKeepsOthersOut) {
  expect_right(BPF_MAP_TYPE_ARRAY, 4, 1, 0, [](ExploreRun &run, Map &map) {
    const u32 zero = 0;
    u32 *lock = static_cast<u32 *>(map.lookup(&zero));
    u32 inside = 0;
    auto program = [&] {
      for (int i = 0; i < 3; i++) {
        if (!try_value_lock(lock)) run.fail(Failure::kScheduler, "the lock was not waited for");
        if (inside++ != 0) run.fail(Failure::kScheduler, "two at once");
        machine::explore_point();
        inside--;
        value_unlock(lock);
      }
    };
    on_cpus(run, {program, program, program});
  });
}

}  // namespace
}  // namespace uscx::bpf
