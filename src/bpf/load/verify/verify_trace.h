// SPDX-License-Identifier: GPL-2.0-only
// How values came to where they are along a path, so that it can be told afterwards which of them made a difference: a
// state that differs from one that was followed to the end only in values that made none leads to nothing new.
//
// Threading: values.
#ifndef USCX_BPF_LOAD_VERIFY_VERIFY_TRACE_H_
#define USCX_BPF_LOAD_VERIFY_VERIFY_TRACE_H_

#include <bitset>
#include <span>
#include <vector>

#include "base/types.h"
#include "bpf/isa/insn.h"

namespace uscx::bpf {

// A register, or eight bytes of the stack, of a frame.
using Place = u16;
inline constexpr u32 kPlacesOfFrame = kNumRegs + kFrameBytes / 8;
inline constexpr u32 kPlaces = kPlacesOfFrame * kMaxCallDepth;
constexpr Place register_place(u32 frame, u32 reg) { return static_cast<Place>(frame * kPlacesOfFrame + reg); }
// Of the bytes at `at` from the frame's r10.
constexpr Place stack_place(u32 frame, s64 at) {
  return static_cast<Place>(frame * kPlacesOfFrame + kNumRegs + static_cast<u32>(at + s64{kFrameBytes}) / 8);
}

enum class Need : u8 {
  kNone,
  kKind,   // what it is: a number, or which pointer
  kValue,  // a number decided something
};

// What of each place made a difference.
class Needs {
 public:
  Need of(Place place) const { return value_[place] ? Need::kValue : kind_[place] ? Need::kKind : Need::kNone; }
  void add(Place place, Need need);
  Need take(Place place);
  void drop_frame(u32 frame);
  // Returns whether there was anything new.
  bool add(const Needs &other);

 private:
  std::bitset<kPlaces> kind_;   // at least kKind
  std::bitset<kPlaces> value_;  // kValue
};

struct TraceStep {
  enum class Op : u8 {
    kDefine,    // `to` got a value of its own
    kMove,      // `to` got what is in `from`
    kPart,      // `to` got a number that was computed from that in `from`
    kMix,       // `to` got a value that was computed from what it had and from the number in `from`
    kOffset,    // `to` is the address that it was, moved by the number in `from`
    kSame,      // a comparison said of both what it said of one
    kUseKind,   // what `to` is was asked
    kUseValue,  // the number in `to` decided something
    kEnter,     // a frame was made; `to` is its r0
  };
  Op op;
  Place to;
  Place from;
};
using Trace = std::vector<TraceStep>;

// What made a difference before the steps, where `needs` did behind them.
void walk_back(std::span<const TraceStep> steps, Needs *needs);

}  // namespace uscx::bpf

#endif  // USCX_BPF_LOAD_VERIFY_VERIFY_TRACE_H_
