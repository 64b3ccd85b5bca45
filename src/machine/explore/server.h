// SPDX-License-Identifier: GPL-2.0-only
// Runs schedules of a scenario in child processes. Three kinds of processes take part:
//
// - The explorer's own process forks the server and waits for its answer.
// - The server runs the scenario up to its first choice, once. There it decides, on a stack of its own, which schedules
//   to run.
// - A lane is a child of the server that goes on from there. It takes the lowest number that no lane has taken, runs
//   its schedule, and puts all memory back to where it was (process_snapshot.h) for the next one. A lane that cannot do
//   so ends, and the server makes another. A failure or a crash ends a lane too.
//
// Lanes run at the same time, one for each CPU of the host. The result is the one that a single lane would find: the
// lowest number that fails counts, all lower numbers are run to their end, and outcomes are examined in order.
//
// Threading: one thread in each process. Their shared data is on the ScheduleBoard. A lane writes only to the part that
// belongs to its schedule, and the server reads that part when the lane, or the whole round, has ended.
#ifndef USCX_MACHINE_EXPLORE_SERVER_H_
#define USCX_MACHINE_EXPLORE_SERVER_H_

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>

#include "machine/explore/explore.h"
#include "machine/explore/process_snapshot.h"
#include "machine/explore/strategy.h"
#include "machine/fiber.h"

namespace uscx::machine {

// Memory that all processes share. Only what is written is there.
struct ScheduleBoard {
  static constexpr u32 kMaxLanes = 16;
  static constexpr u32 kMaxRaces = 4096;
  using Races = char[RunRecord::kMaxRaces][RunRecord::kRaceBytes];

  struct Lane {
    pid_t process;  // The server's note; 0 if it has ended.
    u64 number;     // Of its latest schedule.
    RunRecord record;
  };
  // What came of the exploration, from the server.
  struct Race {
    char text[RunRecord::kRaceBytes];
    u64 schedules;
  };
  struct Answer {
    bool given;
    u64 schedules, equivalent, steps;
    bool all;
    const RunRecord *failing;
    u32 nr_races;
    Race races[kMaxRaces];  // Those beyond are left out.
  };

  std::atomic<u64> next, end;  // Numbers that nobody has taken. The end comes down to the lowest that fails.
  ScheduleOutcome outcomes[kMaxRound];
  Races races[kMaxRound];
  Answer answer;
  Lane lanes[kMaxLanes];
};

class ScheduleServer {
 public:
  using Body = std::function<void(ScheduleServer &)>;

  // Runs `body` in a server. If the scenario ends before its first choice, `body` is not run: then there is but one
  // schedule, and lane 0 has its record. `nr_lanes` 0: one for each CPU of the host.
  static void run(const ScenarioFn &scenario, const ExploreLimits &limits, ScheduleBoard &board, u32 nr_lanes,
                  const Body &body);

  // For the body. Runs schedules first ... first + count - 1, unless one fails: then it is returned, and those after it
  // may have been run or not.
  const ScheduleBoard::Lane *run_round(SearchStrategy &strategy, u64 first, u64 count);
  ScheduleBoard &board() { return board_; }

 private:
  ScheduleServer(ScheduleBoard &board, const ExploreLimits &limits, u32 nr_lanes, const Body &body);
  [[noreturn]] void serve(const ScenarioFn &scenario);
  void begin(bool alone);
  void fork_lane(ScheduleBoard::Lane &lane, SearchStrategy &strategy, u64 first, u64 count);
  [[noreturn]] void run_lane(ScheduleBoard::Lane &lane, SearchStrategy &strategy, u64 first, bool again);
  ScheduleBoard::Lane &wait_for_lane();

  ScheduleBoard &board_;
  const u32 nr_lanes_;
  const Body &body_;
  ExploreRun run_;
  ProcessSnapshot snapshot_;
  bool alone_ = false;
  std::unique_ptr<Fiber> fiber_;  // The server's body, and in a lane what is between schedules.
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_EXPLORE_SERVER_H_
