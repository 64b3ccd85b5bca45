// SPDX-License-Identifier: GPL-2.0-only
// The strategies choose the next schedule. Schedules run in rounds: the server (server.h) learns from all schedules of
// one round, in order of their numbers, then forks lanes that begin() and run the schedules of the next round, in any
// order.
#ifndef USCX_MACHINE_EXPLORE_STRATEGY_H_
#define USCX_MACHINE_EXPLORE_STRATEGY_H_

#include "base/rng.h"
#include "machine/explore/driver.h"

namespace uscx::machine {

constexpr u64 kMaxRound = 8192;

// The server's record of each schedule of a round.
struct ScheduleOutcome {
  u64 nr_points, nr_steps;
  u32 nr_races;
};

class SearchStrategy : public Strategy {
 public:
  virtual u64 round() const { return kMaxRound; }   // How many schedules the next round has at most.
  virtual void begin(u64 number) { (void)number; }  // Before schedule `number`, from 0.
  virtual void learn(const ScheduleOutcome &outcome) { (void)outcome; }
  // After a round of one that kept its choices. False: there is no further schedule.
  virtual bool learn_choices(const RunRecord &record) { return (void)record, true; }
  virtual bool keep_choices() const { return false; }
  virtual bool last_was_equivalent() const { return false; }
};

// At each point another CPU goes on with a probability that is drawn for each schedule.
class RandomStrategy final : public SearchStrategy {
 public:
  explicit RandomStrategy(u64 seed) : seed_(seed), rng_(seed, "explore.random") {}
  void begin(u64 number) override;
  u32 choose(const ChoicePoint &point) override;

 private:
  u64 seed_;
  Rng rng_;
  u64 one_in_ = 2;
};

// Probabilistic concurrency testing: CPUs have random priorities, the highest that can goes on, and at depth - 1 random
// points the one that runs falls to the bottom. A bug of depth d is found with a probability of 1 / (n * k^(d-1)) at
// least.
class PctStrategy final : public SearchStrategy {
 public:
  PctStrategy(u64 seed, u32 depth) : seed_(seed), depth_(depth), rng_(seed, "explore.pct") {}
  u64 round() const override { return points_ ? 1024 : 1; }
  void begin(u64 number) override;
  u32 choose(const ChoicePoint &point) override;
  void learn(const ScheduleOutcome &outcome) override;

 private:
  u64 seed_;
  u32 depth_;
  Rng rng_;
  u64 points_ = 0;  // The longest schedule of earlier rounds.
  std::vector<u64> priority_;
  std::vector<u64> change_at_;
  u32 last_ = ~0u;
};

// Depth-first over all choices with at most `bound` preemptions. Sleep sets leave out a schedule that only swaps
// neighbouring steps which touch no common object (or only read it). Under a bound that can leave out an equivalence
// class whose other members exceed the bound.
class ExhaustiveStrategy final : public SearchStrategy {
 public:
  explicit ExhaustiveStrategy(u32 bound) : bound_(bound) {}
  u64 round() const override { return 1; }
  void begin(u64) override;
  u32 choose(const ChoicePoint &point) override;
  void step_done(u32 cpu, const Footprint &footprint) override;
  bool learn_choices(const RunRecord &record) override;
  bool keep_choices() const override { return true; }
  bool last_was_equivalent() const override { return equivalent_; }

 private:
  struct Asleep {
    u32 cpu;
    Footprint footprint;
  };
  struct Node {
    u64 enabled = 0;
    u32 chosen = 0;
    u32 default_cpu = 0;
    bool goes_on = false;
    u32 preemptions = 0;  // Before this choice.
    Footprint footprint;
    std::vector<Asleep> sleep;  // On arrival.
    std::vector<Asleep> done;   // Choices explored before the present one.
  };
  static bool independent(const Footprint &a, const Footprint &b);
  static std::vector<Asleep> after(const std::vector<Asleep> &sleep, const std::vector<Asleep> &done, u32 cpu,
                                   const Footprint &footprint);
  u32 pick(const Node &node) const;  // The next choice, or kNone.
  static constexpr u32 kNone = ~0u;

  u32 bound_;
  std::vector<Node> path_;  // Choices to repeat; the last one is new.
  bool equivalent_ = false;
  // In a lane.
  size_t depth_ = 0;  // Steps so far, forced ones included.
  u32 preemptions_ = 0;
  std::vector<Asleep> sleep_;
  bool asleep_ = false;  // Everything that can go on is asleep: the rest of the schedule is known.
};

// A given schedule.
class ReplayStrategy final : public SearchStrategy {
 public:
  explicit ReplayStrategy(Schedule schedule) : schedule_(std::move(schedule)) {}
  u32 choose(const ChoicePoint &point) override;

 private:
  Schedule schedule_;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_EXPLORE_STRATEGY_H_
