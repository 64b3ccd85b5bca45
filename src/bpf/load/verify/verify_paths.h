// SPDX-License-Identifier: GPL-2.0-only
// Which states of a program were looked at, so that a path ends where it has nothing new to show. Paths are followed
// depth first. Points along them are kept as a tree; behind a point all was looked at once no path below it is open.
// Then its needs say which values made a difference, and a state that differs in others only is the same to what
// follows.
//
// A path that ends at a point that is still open (a loop) needs what that point comes to need later: such ends are kept
// and walked back again when the outermost such point is done. Until then all values of the points inside count.
//
// Threading: none.
#ifndef USCX_BPF_LOAD_VERIFY_VERIFY_PATHS_H_
#define USCX_BPF_LOAD_VERIFY_VERIFY_PATHS_H_

#include <deque>
#include <vector>

#include "bpf/load/verify/verify_state.h"
#include "bpf/load/verify/verify_trace.h"

namespace uscx::bpf {

// A point of a path, with the steps that led to it from the one before.
struct PathPoint {
  VerifyState state;
  PathPoint *before = nullptr;
  Trace trace;
  Needs needs;
  u32 at = 0;
  u32 open = 1;         // paths that go on from here, and points behind this one that are open
  bool walked = false;  // the steps to it were walked back once
  u32 hits = 0;         // paths that ended here
  u32 misses = 0;       // and that did not
  u64 order = 0;        // of its making
  u64 first_end = 0;    // loop ends behind it: from this number on
  u64 behind_ends = 0;  // to before that one, once it is not open
};

// A path where it is now.
struct VerifyPath {
  VerifyState state;
  u32 at = 0;   // the next instruction
  u32 now = 0;  // the one that is looked at
  PathPoint *before = nullptr;
  Trace trace;    // steps since then
  u32 jumps = 0;  // since then
  u32 steps = 0;
};

class VerifyPaths {
 public:
  explicit VerifyPaths(size_t nr_insns) : points_at_(nr_insns) {}

  // A path arrives where others may have been: returns whether it ends there. If a loop's next round begins here (the
  // kernel's iterators and may_goto), numbers that change from round to round and decided nothing are given up.
  bool arrive(VerifyPath *path, bool begins_round);
  // A second path from where this one is.
  VerifyPath fork(const VerifyPath &path, u32 at);
  // The path is over.
  void end(const VerifyPath &path) { end(path, {}); }

  // There are many paths: from now on any loop gives up what changes from round to round, and the needs of points
  // inside of loops count as they are known until then, so that a path may end that has something to show yet.
  // has_guessed() says whether one did.
  void make_haste() { is_hasty_ = true; }
  bool has_guessed() const { return has_guessed_; }

 private:
  struct LoopEnd {
    u64 number;
    PathPoint *before;
    Trace trace;
    const PathPoint *target;
  };

  void end(const VerifyPath &path, const Needs &needs);
  void keep(VerifyPath *path);
  void close(PathPoint *point);
  bool is_done(const PathPoint &point) const;
  const PathPoint *last_round(const VerifyPath &path) const;
  // Adds to the needs of all points before; returns whether there was anything new.
  static bool walk_up(PathPoint *point, std::span<const TraceStep> steps, Needs needs);

  std::vector<std::vector<PathPoint *>> points_at_;  // by instruction
  std::deque<PathPoint> points_;
  std::vector<LoopEnd> loop_ends_;  // in order of their numbers
  u64 next_end_ = 0;
  bool is_hasty_ = false;
  bool has_guessed_ = false;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_VERIFY_VERIFY_PATHS_H_
