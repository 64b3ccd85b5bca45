// SPDX-License-Identifier: GPL-2.0-only
#include "machine/explore/strategy.h"

#include <algorithm>

namespace uscx::machine {

namespace {

bool may_go_on(const std::vector<Candidate> &candidates, u32 cpu) {
  return std::any_of(candidates.begin(), candidates.end(), [&](const Candidate &c) { return c.cpu == cpu; });
}

}  // namespace

// --- random ---

void RandomStrategy::begin(u64 number) {
  rng_ = Rng(seed_ + number, "explore.random");
  static constexpr u64 kOneIn[] = {2, 4, 8, 16, 64};
  one_in_ = kOneIn[rng_.below(std::size(kOneIn))];
}

u32 RandomStrategy::choose(const ChoicePoint &point) {
  if (rng_.below(one_in_) != 0) return point.default_cpu;
  return point.candidates[rng_.below(point.candidates.size())].cpu;
}

// --- PCT ---

void PctStrategy::begin(u64 number) {
  rng_ = Rng(seed_ + number, "explore.pct");
  priority_.clear();
  change_at_.clear();
  last_ = ~0u;
  for (u32 i = 1; i < depth_; i++) change_at_.push_back(rng_.below(std::max<u64>(points_, 1)));
}

void PctStrategy::learn(const ScheduleOutcome &outcome) { points_ = std::max(points_, outcome.nr_points); }

u32 PctStrategy::choose(const ChoicePoint &point) {
  for (const Candidate &candidate : point.candidates)
    while (priority_.size() <= candidate.cpu) priority_.push_back(depth_ + rng_.below(u64{1} << 32));
  for (size_t i = 0; i < change_at_.size(); i++)
    if (change_at_[i] == point.number && last_ != ~0u) priority_[last_] = i;
  const Candidate *best = &point.candidates[0];
  for (const Candidate &candidate : point.candidates)
    if (priority_[candidate.cpu] > priority_[best->cpu]) best = &candidate;
  last_ = best->cpu;
  return last_;
}

// --- exhaustive ---

bool ExhaustiveStrategy::independent(const Footprint &a, const Footprint &b) {
  for (u64 x : a)
    for (u64 y : b)
      if (x >> 1 == y >> 1 && ((x | y) & 1)) return false;
  return true;
}

// Who sleeps after `cpu` made a step: what touches nothing of it would only come to the same later.
std::vector<ExhaustiveStrategy::Asleep> ExhaustiveStrategy::after(const std::vector<Asleep> &sleep,
                                                                  const std::vector<Asleep> &done, u32 cpu,
                                                                  const Footprint &footprint) {
  std::vector<Asleep> result;
  for (const auto *list : {&sleep, &done})
    for (const Asleep &asleep : *list)
      if (asleep.cpu != cpu && independent(asleep.footprint, footprint)) result.push_back(asleep);
  return result;
}

u32 ExhaustiveStrategy::pick(const Node &node) const {
  auto allowed = [&](u32 cpu) {
    if (!(node.enabled >> cpu & 1)) return false;
    if (node.goes_on && cpu != node.default_cpu && node.preemptions >= bound_) return false;
    for (const auto *list : {&node.sleep, &node.done})
      for (const Asleep &asleep : *list)
        if (asleep.cpu == cpu) return false;
    return true;
  };
  if (allowed(node.default_cpu)) return node.default_cpu;
  for (u32 cpu = 0; cpu < 64; cpu++)
    if (allowed(cpu)) return cpu;
  return kNone;
}

void ExhaustiveStrategy::begin(u64) {
  depth_ = 0;
  preemptions_ = 0;
  sleep_.clear();
  asleep_ = equivalent_ = false;
}

u32 ExhaustiveStrategy::choose(const ChoicePoint &point) {
  u32 chosen = point.default_cpu;
  if (depth_ < path_.size()) {
    chosen = path_[depth_].chosen;
  } else if (!asleep_) {
    Node node;
    for (const Candidate &candidate : point.candidates) node.enabled |= u64{1} << candidate.cpu;
    node.default_cpu = point.default_cpu;
    node.goes_on = point.goes_on;
    node.preemptions = preemptions_;
    node.sleep = sleep_;
    chosen = pick(node);
    if (chosen == kNone) {
      asleep_ = true;
      chosen = point.default_cpu;
    }
  }
  preemptions_ += point.goes_on && chosen != point.default_cpu;
  return chosen;
}

void ExhaustiveStrategy::step_done(u32 cpu, const Footprint &footprint) {
  const bool last = depth_ + 1 == path_.size();
  if (last)
    sleep_ = after(path_[depth_].sleep, path_[depth_].done, cpu, footprint);
  else if (depth_ >= path_.size())
    sleep_ = after(sleep_, {}, cpu, footprint);
  depth_++;
}

// Appends what was new in this schedule to the path, and goes back to the last choice with an alternative.
bool ExhaustiveStrategy::learn_choices(const RunRecord &record) {
  auto footprint_of = [&](u32 i) {
    const u32 begin = i ? record.choices[i - 1].footprint_end : 0;
    return Footprint(record.footprints + begin, record.footprints + record.choices[i].footprint_end);
  };
  if (!path_.empty()) path_.back().footprint = footprint_of(static_cast<u32>(path_.size() - 1));
  equivalent_ = false;
  for (u32 i = static_cast<u32>(path_.size()); i < record.nr_choices; i++) {
    const RunRecord::Choice &choice = record.choices[i];
    Node node{choice.enabled, choice.chosen, choice.default_cpu, choice.current_goes_on != 0};
    if (!path_.empty()) {
      const Node &up = path_.back();
      node.preemptions = up.preemptions + (up.goes_on && up.chosen != up.default_cpu);
      node.sleep = after(up.sleep, up.done, up.chosen, up.footprint);
    }
    for (const Asleep &asleep : node.sleep) equivalent_ = equivalent_ || asleep.cpu == node.chosen;
    if (equivalent_) break;
    node.footprint = footprint_of(i);
    path_.push_back(std::move(node));
  }
  while (!path_.empty()) {
    Node &node = path_.back();
    node.done.push_back({node.chosen, std::move(node.footprint)});
    node.footprint.clear();
    node.chosen = pick(node);
    if (node.chosen != kNone) return true;
    path_.pop_back();
  }
  return false;
}

// --- replay ---

u32 ReplayStrategy::choose(const ChoicePoint &point) {
  for (const RunRecord::Deviation &deviation : schedule_) {
    if (deviation.default_cpu != point.default_cpu || deviation.steps != point.steps) continue;
    // A schedule that is being minimized may ask for what is not possible any more.
    if (deviation.visit == point.visit && may_go_on(point.candidates, deviation.cpu)) return deviation.cpu;
  }
  return point.default_cpu;
}

}  // namespace uscx::machine
