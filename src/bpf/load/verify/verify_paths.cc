// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/load/verify/verify_paths.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace uscx::bpf {

namespace {

// A point is kept no sooner than after so many jumps and steps; one where paths seldom end is dropped again. Both are
// the kernel's figures.
constexpr u32 kJumpsBetween = 2;
constexpr u32 kStepsBetween = 8;
constexpr u32 kMissesForHit = 3;
constexpr u32 kMissesForHitInLoop = 64;

}  // namespace

bool VerifyPaths::walk_up(PathPoint *point, std::span<const TraceStep> steps, Needs needs) {
  bool is_new = false;
  walk_back(steps, &needs);
  for (; point != nullptr; point = point->before) {
    const bool adds = point->needs.add(needs);
    is_new |= adds;
    if (!adds && point->walked) break;
    point->walked = true;
    needs = point->needs;
    walk_back(point->trace, &needs);
  }
  return is_new;
}

bool VerifyPaths::is_done(const PathPoint &point) const {
  if (point.open > 0) return false;
  const auto inside = std::lower_bound(loop_ends_.begin(), loop_ends_.end(), point.first_end,
                                       [](const LoopEnd &end, u64 number) { return end.number < number; });
  return inside == loop_ends_.end() || inside->number >= point.behind_ends;
}

const PathPoint *VerifyPaths::last_round(const VerifyPath &path) const {
  const std::vector<PathPoint *> &points = points_at_[path.at];
  for (size_t i = points.size(); i-- > 0;) {
    if (points[i]->open > 0 && points[i]->state.same_calls(path.state)) return points[i];
  }
  return nullptr;
}

bool VerifyPaths::arrive(VerifyPath *path, bool begins_round) {
  if (begins_round || is_hasty_) {
    if (const PathPoint *last = last_round(*path)) {
      walk_up(path->before, path->trace, {});
      path->state.widen(last->state, is_hasty_ ? nullptr : &last->needs);
    }
  }
  std::vector<PathPoint *> &points = points_at_[path->at];
  for (size_t i = points.size(); i-- > 0;) {
    PathPoint &point = *points[i];
    const bool done = is_done(point);
    const bool guessed = !done && is_hasty_ && point.open == 0;
    if (point.state.covers(path->state, done || guessed ? &point.needs : nullptr)) {
      point.hits++;
      has_guessed_ |= guessed;
      if (!done) loop_ends_.push_back({next_end_++, path->before, path->trace, &point});
      end(*path, point.needs);
      return true;
    }
    const u32 allowed = begins_round && point.open > 0 ? kMissesForHitInLoop : kMissesForHit;
    if (++point.misses <= point.hits * allowed + allowed) continue;
    if (point.open == 0) point.state = {};
    points.erase(points.begin() + static_cast<ptrdiff_t>(i));
  }
  if (begins_round || (path->jumps >= kJumpsBetween && path->steps >= kStepsBetween)) keep(path);
  return false;
}

void VerifyPaths::keep(VerifyPath *path) {
  PathPoint &point = points_.emplace_back();
  point.state = path->state;
  point.before = path->before;
  point.trace = std::move(path->trace);
  point.at = path->at;
  point.order = points_.size();
  point.first_end = next_end_;
  points_at_[path->at].push_back(&point);
  path->before = &point;
  path->trace.clear();
  path->jumps = path->steps = 0;
}

VerifyPath VerifyPaths::fork(const VerifyPath &path, u32 at) {
  if (path.before != nullptr) path.before->open++;
  VerifyPath second = path;
  second.at = at;
  return second;
}

void VerifyPaths::end(const VerifyPath &path, const Needs &needs) {
  walk_up(path.before, path.trace, needs);
  for (PathPoint *point = path.before; point != nullptr; point = point->before) {
    CHECK(point->open > 0);
    if (--point->open > 0) break;
    close(point);
  }
}

// All paths from the point are at their ends. If each loop inside has its beginning inside, what they need is known.
void VerifyPaths::close(PathPoint *point) {
  point->behind_ends = next_end_;
  const auto first = std::lower_bound(loop_ends_.begin(), loop_ends_.end(), point->first_end,
                                      [](const LoopEnd &end, u64 number) { return end.number < number; });
  if (std::any_of(first, loop_ends_.end(), [&](const LoopEnd &end) { return end.target->order < point->order; }))
    return;
  for (bool changed = first != loop_ends_.end(); changed;) {
    changed = false;
    for (auto end = first; end != loop_ends_.end(); ++end)
      changed |= walk_up(end->before, end->trace, end->target->needs);
  }
  loop_ends_.erase(first, loop_ends_.end());
  Trace().swap(point->trace);  // nothing is walked back through it again
}

}  // namespace uscx::bpf
