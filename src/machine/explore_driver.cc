// SPDX-License-Identifier: GPL-2.0-only
#include "machine/explore_driver.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "machine/explore_strategy.h"

namespace uscx::machine {
namespace {

// Memory that parent and children share. Only what is written is there.
class SharedRecord {
 public:
  SharedRecord() {
    void *mapping =
        mmap(nullptr, sizeof(RunRecord), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(mapping != MAP_FAILED, "no memory for the record of a schedule");
    record_ = static_cast<RunRecord *>(mapping);
  }
  ~SharedRecord() { munmap(record_, sizeof(RunRecord)); }
  SharedRecord(const SharedRecord &) = delete;
  SharedRecord &operator=(const SharedRecord &) = delete;
  RunRecord &get() { return *record_; }
  void clear() {
    record_->failure = Failure::kNone;
    record_->complete = record_->keep_choices = false;
    record_->nr_points = record_->nr_steps = record_->nr_switches = 0;
    record_->nr_deviations = record_->nr_choices = record_->nr_races = 0;
    record_->text[0] = 0;
  }

 private:
  RunRecord *record_;
};

[[noreturn]] void run_child(const ScenarioFn &scenario, SearchStrategy &strategy, RunRecord &record,
                            const ExploreLimits &limits) {
  ExploreRun run{strategy, record, limits};
  set_check_failure_handler(
      [](void *arg, const std::string &text) { static_cast<ExploreRun *>(arg)->fail(Failure::kCheck, text); }, &run);
  scenario(run);
  record.complete = true;
  _exit(0);
}

void run_schedule(const ScenarioFn &scenario, SearchStrategy &strategy, SharedRecord &shared,
                  const ExploreLimits &limits) {
  shared.clear();
  RunRecord &record = shared.get();
  record.keep_choices = strategy.keep_choices();
  const pid_t child = fork();
  CHECK(child >= 0, "no process for a schedule: {}", std::strerror(errno));
  if (child == 0) run_child(scenario, strategy, record, limits);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  if (record.complete || record.failure != Failure::kNone) return;
  record.failure = Failure::kCrash;
  const std::string text = WIFSIGNALED(status) ? fmt::format("killed by signal {}", WTERMSIG(status))
                                               : fmt::format("ended with status {}", WEXITSTATUS(status));
  std::memcpy(record.text, text.c_str(), text.size() + 1);
}

ScheduleResult result_of(const RunRecord &record) {
  ScheduleResult result;
  result.failure = record.failure;
  result.text = record.text;
  for (u32 i = 0; i < record.nr_races; i++) result.races.emplace_back(record.races[i]);
  result.nr_points = record.nr_points;
  result.nr_steps = record.nr_steps;
  result.nr_switches = record.nr_switches;
  result.schedule.assign(record.deviations, record.deviations + record.nr_deviations);
  return result;
}

void count_races(const RunRecord &record, std::vector<ExploreResult::Race> *races) {
  for (u32 i = 0; i < record.nr_races; i++) {
    auto it =
        std::find_if(races->begin(), races->end(), [&](const auto &race) { return race.text == record.races[i]; });
    if (it == races->end())
      races->push_back({record.races[i], 1});
    else
      it->schedules++;
  }
}

std::unique_ptr<SearchStrategy> make_strategy(const ExploreOptions &options) {
  switch (options.kind) {
    case ExploreOptions::Kind::kRandom: return std::make_unique<RandomStrategy>(options.seed << 32);
    case ExploreOptions::Kind::kPct: return std::make_unique<PctStrategy>(options.seed << 32, options.depth);
    case ExploreOptions::Kind::kExhaustive: return std::make_unique<ExhaustiveStrategy>(options.bound);
  }
  return nullptr;
}

}  // namespace

ExploreResult explore(const ScenarioFn &scenario, const ExploreOptions &options) {
  const std::unique_ptr<SearchStrategy> strategy = make_strategy(options);
  SharedRecord shared;
  ExploreResult result;
  for (u64 number = 0; number < options.max_schedules; number++) {
    strategy->begin(number);
    run_schedule(scenario, *strategy, shared, options.limits);
    const RunRecord &record = shared.get();
    result.schedules++;
    result.steps += record.nr_steps;
    count_races(record, &result.races);
    if (record.failure != Failure::kNone) {
      result.failing = result_of(record);
      return result;
    }
    const bool more = strategy->learn(record);
    result.equivalent += strategy->last_was_equivalent();
    if (options.progress) options.progress(result.schedules);
    if (more) continue;
    result.all = true;
    break;
  }
  return result;
}

ScheduleResult replay(const ScenarioFn &scenario, const Schedule &schedule, const ExploreLimits &limits) {
  SharedRecord shared;
  ReplayStrategy strategy(schedule);
  run_schedule(scenario, strategy, shared, limits);
  return result_of(shared.get());
}

MinimizeResult minimize(const ScenarioFn &scenario, const Schedule &schedule, Failure failure,
                        const ExploreLimits &limits) {
  MinimizeResult best;
  auto fails = [&](const Schedule &candidate) {
    ScheduleResult result = replay(scenario, candidate, limits);
    best.runs++;
    if (result.failure != failure) return false;
    best.result = std::move(result);
    return true;
  };
  if (!fails(schedule)) return best;
  // What comes of a schedule may have fewer deviations than asked for, because some were not possible any more.
  Schedule now = best.result.schedule;
  for (size_t parts = 2; !now.empty();) {
    const size_t size = (now.size() + parts - 1) / parts;
    bool smaller = false;
    for (size_t begin = 0; begin < now.size() && !smaller; begin += size) {
      Schedule rest(now.begin(), now.begin() + static_cast<ptrdiff_t>(begin));
      rest.insert(rest.end(), now.begin() + static_cast<ptrdiff_t>(std::min(begin + size, now.size())), now.end());
      if (!fails(rest)) continue;
      smaller = true;
      now = best.result.schedule.size() < rest.size() ? best.result.schedule : rest;
    }
    if (smaller)
      parts = std::max<size_t>(parts - 1, 2);
    else if (size == 1)
      break;
    else
      parts = std::min(parts * 2, now.size());
  }
  fails(now);
  return best;
}

}  // namespace uscx::machine
