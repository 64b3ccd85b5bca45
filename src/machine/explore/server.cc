// SPDX-License-Identifier: GPL-2.0-only
#include "machine/explore/server.h"

#include <malloc.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace uscx::machine {
namespace {

// What schedules find ready, so that they need no new mappings.
constexpr size_t kHeapReserveBytes = 8 << 20;
constexpr u32 kReservedFibers = 32;

u32 nr_host_cpus() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? static_cast<u32>(CPU_COUNT(&set)) : 1;
}

void clear(RunRecord &record, bool keep_choices) {
  record.failure = Failure::kNone;
  record.complete = false;
  record.keep_choices = keep_choices;
  record.nr_points = record.nr_steps = record.nr_switches = 0;
  record.nr_deviations = record.nr_choices = record.nr_races = 0;
  record.text[0] = 0;
}

// The process that ran the schedule has ended.
void note_end(RunRecord &record, int status) {
  if (record.complete || record.failure != Failure::kNone) return;
  record.failure = Failure::kCrash;
  const std::string text = WIFSIGNALED(status) ? fmt::format("killed by signal {}", WTERMSIG(status))
                                               : fmt::format("ended with status {}", WEXITSTATUS(status));
  std::memcpy(record.text, text.c_str(), text.size() + 1);
}

void end_with_parent() { prctl(PR_SET_PDEATHSIG, SIGKILL); }

void make_room() {
  // Their stacks stay in the pool.
  std::vector<std::unique_ptr<Fiber>> fibers;
  for (u32 i = 0; i < kReservedFibers; i++) fibers.push_back(std::make_unique<Fiber>([](Fiber &) {}));
  // The heap's size stays as it is.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  // Volatile: the compiler knows that nobody looks.
  void *volatile room = std::malloc(kHeapReserveBytes);
  std::free(room);
}

}  // namespace

ScheduleServer::ScheduleServer(ScheduleBoard &board, const ExploreLimits &limits, u32 nr_lanes, const Body &body)
    : board_(board),
      nr_lanes_(std::clamp(nr_lanes ? nr_lanes : nr_host_cpus(), 1u, ScheduleBoard::kMaxLanes)),
      body_(body),
      run_{.record = &board.lanes[0].record, .limits = limits} {
  run_.on_begin = [this](bool alone) { begin(alone); };
}

void ScheduleServer::run(const ScenarioFn &scenario, const ExploreLimits &limits, ScheduleBoard &board, u32 nr_lanes,
                         const Body &body) {
  board.answer.given = false;
  clear(board.lanes[0].record, false);
  const pid_t process = fork();
  CHECK(process >= 0, "no process for a server: {}", std::strerror(errno));
  if (process == 0) ScheduleServer(board, limits, nr_lanes, body).serve(scenario);
  int status = 0;
  while (waitpid(process, &status, 0) < 0) CHECK(errno == EINTR);
  if (!board.answer.given) note_end(board.lanes[0].record, status);
}

// What follows begin() in the scenario is run by the lanes.
void ScheduleServer::serve(const ScenarioFn &scenario) {
  end_with_parent();
  set_check_failure_handler(
      [](void *arg, const std::string &text) { static_cast<ExploreRun *>(arg)->fail(Failure::kCheck, text); }, &run_);
  scenario(run_);
  run_.record->complete = true;
  if (fiber_) fiber_->resume();
  _exit(0);
}

void ScheduleServer::begin(bool alone) {
  alone_ = alone;
  make_room();
  fiber_ = std::make_unique<Fiber>([this](Fiber &) {
    body_(*this);
    board_.answer.given = true;
    _exit(0);
  });
  fiber_->resume();
}

// --- rounds ---

const ScheduleBoard::Lane *ScheduleServer::run_round(SearchStrategy &strategy, u64 first, u64 count) {
  CHECK(count <= kMaxRound);
  board_.next = first;
  board_.end = first + count;
  const auto lanes = std::begin(board_.lanes), last = lanes + (alone_ ? 1 : std::min<u64>(nr_lanes_, count));
  for (auto lane = lanes; lane != last; lane++) fork_lane(*lane, strategy, first, count);
  const ScheduleBoard::Lane *failing = nullptr;
  for (auto running = last - lanes; running > 0; running--) {
    ScheduleBoard::Lane &lane = wait_for_lane();
    if (lane.record.failure != Failure::kNone) {
      if (!failing || lane.number < failing->number) failing = &lane;
      board_.end = failing->number;
    } else if (board_.next < board_.end) {
      fork_lane(lane, strategy, first, count);
      running++;
    }
  }
  return failing;
}

void ScheduleServer::fork_lane(ScheduleBoard::Lane &lane, SearchStrategy &strategy, u64 first, u64 count) {
  clear(lane.record, strategy.keep_choices());
  lane.record.complete = true;
  const pid_t process = fork();
  CHECK(process >= 0, "no process for schedules: {}", std::strerror(errno));
  if (process == 0) run_lane(lane, strategy, first, count > 1 && !alone_);
  lane.process = process;
}

// The next of the server's children that ends. They are all lanes.
ScheduleBoard::Lane &ScheduleServer::wait_for_lane() {
  int status = 0;
  pid_t process;
  while ((process = waitpid(-1, &status, 0)) < 0) CHECK(errno == EINTR);
  const auto lane = std::find_if(std::begin(board_.lanes), std::end(board_.lanes),
                                 [process](const ScheduleBoard::Lane &l) { return l.process == process; });
  CHECK(lane != std::end(board_.lanes));
  lane->process = 0;
  note_end(lane->record, status);
  return *lane;
}

// On the fiber's stack, which is the only memory that keeps what it has from one schedule to the next.
void ScheduleServer::run_lane(ScheduleBoard::Lane &lane, SearchStrategy &strategy, u64 first, bool again) {
  end_with_parent();
  if (again) again = snapshot_.take(fiber_->stack_bottom(), Fiber::kStackBytes);
  do {
    const u64 number = board_.next++;
    if (number >= board_.end) break;
    lane.number = number;
    clear(lane.record, strategy.keep_choices());
    run_.record = &lane.record;
    run_.strategy = &strategy;
    strategy.begin(number);
    fiber_->suspend();  // The scenario goes on from begin(), and comes back at its end.
    const RunRecord &record = lane.record;
    board_.outcomes[number - first] = {record.nr_points, record.nr_steps, record.nr_races};
    std::memcpy(board_.races[number - first], record.races, record.nr_races * sizeof(record.races[0]));
  } while (again && snapshot_.restore());
  _exit(0);
}

}  // namespace uscx::machine
