// SPDX-License-Identifier: GPL-2.0-only
#include "machine/explore/driver.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/need.h"
#include "machine/explore/server.h"

namespace uscx::machine {
namespace {

class SharedBoard {
 public:
  SharedBoard() {
    void *mapping =
        mmap(nullptr, sizeof(ScheduleBoard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    NEED(mapping != MAP_FAILED, "no addresses for the records of schedules (errno {}); is a limit (ulimit -v) set?",
         errno);
    board_ = static_cast<ScheduleBoard *>(mapping);
  }
  ~SharedBoard() { munmap(board_, sizeof(ScheduleBoard)); }
  SharedBoard(const SharedBoard &) = delete;
  SharedBoard &operator=(const SharedBoard &) = delete;
  ScheduleBoard &operator*() { return *board_; }
  ScheduleBoard *operator->() { return board_; }

 private:
  ScheduleBoard *board_;
};

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

void count_races(const ScheduleBoard::Races &races, u32 nr_races, ScheduleBoard::Answer *answer) {
  for (u32 i = 0; i < nr_races; i++) {
    const auto end = answer->races + answer->nr_races;
    const auto it =
        std::find_if(answer->races, end, [&](const auto &race) { return std::strcmp(race.text, races[i]) == 0; });
    if (it == std::end(answer->races)) continue;
    if (it == end) {
      std::memcpy(it->text, races[i], sizeof(races[i]));
      it->schedules = 0;
      answer->nr_races++;
    }
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

// One round. False: that was the last one.
bool explore_round(ScheduleServer &server, SearchStrategy &strategy, u64 first, u64 count) {
  ScheduleBoard::Answer &answer = server.board().answer;
  const ScheduleBoard::Lane *failing = server.run_round(strategy, first, count);
  const u64 nr_good = (failing ? failing->number : first + count) - first;
  for (u64 i = 0; i < nr_good; i++) {
    const ScheduleOutcome &outcome = server.board().outcomes[i];
    answer.steps += outcome.nr_steps;
    count_races(server.board().races[i], outcome.nr_races, &answer);
    strategy.learn(outcome);
  }
  answer.schedules += nr_good;
  if (failing) {
    answer.schedules++;
    answer.steps += failing->record.nr_steps;
    count_races(failing->record.races, failing->record.nr_races, &answer);
    answer.failing = &failing->record;
    return false;
  }
  if (!strategy.keep_choices()) return true;
  answer.all = !strategy.learn_choices(server.board().lanes[0].record);
  answer.equivalent += strategy.last_was_equivalent();
  return !answer.all;
}

void explore_rounds(ScheduleServer &server, const ExploreOptions &options) {
  const std::unique_ptr<SearchStrategy> strategy = make_strategy(options);
  for (u64 first = 0, count; first < options.max_schedules; first += count) {
    count = std::min(strategy->round(), options.max_schedules - first);
    if (!explore_round(server, *strategy, first, count)) return;
  }
}

ExploreResult result_of(const ScheduleBoard::Answer &answer) {
  ExploreResult result;
  result.schedules = answer.schedules;
  result.equivalent = answer.equivalent;
  result.all = answer.all;
  result.steps = answer.steps;
  for (u32 i = 0; i < answer.nr_races; i++) result.races.push_back({answer.races[i].text, answer.races[i].schedules});
  if (answer.failing) result.failing = result_of(*answer.failing);
  return result;
}

// Of a scenario that has no choices, and that one schedule.
ExploreResult result_of_only(const RunRecord &record) {
  ExploreResult result;
  result.schedules = 1;
  result.all = record.failure == Failure::kNone;
  if (!result.all) result.failing = result_of(record);
  return result;
}

// Delta debugging, in a server.
class Minimizer {
 public:
  Minimizer(ScheduleServer &server, Failure failure) : server_(server), failure_(failure) {}
  void run(const Schedule &schedule);

 private:
  bool fails(const Schedule &candidate);

  ScheduleServer &server_;
  const Failure failure_;
  // What came of the latest one that failed. It may have fewer deviations than asked for, because some were not
  // possible any more.
  Schedule found_;
};

bool Minimizer::fails(const Schedule &candidate) {
  ReplayStrategy strategy(candidate);
  ScheduleBoard::Answer &answer = server_.board().answer;
  const ScheduleBoard::Lane *failing = server_.run_round(strategy, answer.schedules++, 1);
  if (!failing || failing->record.failure != failure_) return false;
  found_ = result_of(failing->record).schedule;
  answer.failing = &failing->record;
  return true;
}

void Minimizer::run(const Schedule &schedule) {
  if (!fails(schedule)) return;
  Schedule now = found_;
  for (size_t parts = 2; !now.empty();) {
    const size_t size = (now.size() + parts - 1) / parts;
    bool smaller = false;
    for (size_t begin = 0; begin < now.size() && !smaller; begin += size) {
      Schedule rest(now.begin(), now.begin() + static_cast<ptrdiff_t>(begin));
      rest.insert(rest.end(), now.begin() + static_cast<ptrdiff_t>(std::min(begin + size, now.size())), now.end());
      if (!fails(rest)) continue;
      smaller = true;
      now = found_.size() < rest.size() ? found_ : rest;
    }
    if (smaller)
      parts = std::max<size_t>(parts - 1, 2);
    else if (size == 1)
      break;
    else
      parts = std::min(parts * 2, now.size());
  }
  CHECK(fails(now), "a schedule fails, and then it does not");
}

}  // namespace

ExploreResult explore(const ScenarioFn &scenario, const ExploreOptions &options) {
  SharedBoard board;
  ScheduleServer::run(scenario, options.limits, *board, options.nr_lanes,
                      [&](ScheduleServer &server) { explore_rounds(server, options); });
  return board->answer.given ? result_of(board->answer) : result_of_only(board->lanes[0].record);
}

ScheduleResult replay(const ScenarioFn &scenario, const Schedule &schedule, const ExploreLimits &limits) {
  SharedBoard board;
  ScheduleServer::run(scenario, limits, *board, 1, [&](ScheduleServer &server) {
    ReplayStrategy strategy(schedule);
    server.run_round(strategy, 0, 1);
  });
  return result_of(board->lanes[0].record);
}

MinimizeResult minimize(const ScenarioFn &scenario, const Schedule &schedule, Failure failure,
                        const ExploreLimits &limits) {
  SharedBoard board;
  ScheduleServer::run(scenario, limits, *board, 1,
                      [&](ScheduleServer &server) { Minimizer(server, failure).run(schedule); });
  MinimizeResult best;
  best.runs = board->answer.given ? board->answer.schedules : 1;
  const RunRecord &record = board->lanes[0].record;
  if (record.failure == failure && (board->answer.failing || !board->answer.given)) best.result = result_of(record);
  return best;
}

}  // namespace uscx::machine
