// SPDX-License-Identifier: GPL-2.0-only
// Arguments of callbacks as programs see them: a context (an array of 8-byte arguments) and, where an argument points
// to a struct, a copy of the struct and its strings, all in the read-only half. Frames nest as callbacks do.
//
// Threading: one stack of frames a thread, and in explore mode a CPU.
#ifndef USCX_BRIDGE_CALL_FRAMES_H_
#define USCX_BRIDGE_CALL_FRAMES_H_

#include <cstring>

#include "base/check.h"
#include "bpf/exec/running.h"
#include "bpf/memory/region.h"

namespace uscx::bridge {

class CallFrame {
 public:
  static constexpr u32 kMaxDepth = 16;  // A callback is at most called from within a kfunc of another, and so on.
  static constexpr size_t kFrameBytes = 256;

  CallFrame() {
    bpf::Running &running = bpf::running();
    if (running.frames == nullptr) make_stack();
    CHECK(running.nr_frames < kMaxDepth);
    frame_ = running.frames + running.nr_frames++ * kFrameBytes;
  }
  ~CallFrame() { bpf::running().nr_frames--; }
  CallFrame(const CallFrame &) = delete;
  CallFrame &operator=(const CallFrame &) = delete;

  u64 *args() { return reinterpret_cast<u64 *>(frame_); }
  // A struct argument's copy, behind the context.
  template <typename T>
  u64 copy(const T *value) {
    static_assert(sizeof(T) <= kFrameBytes - kStructOffset);
    if (!value) return 0;
    std::memcpy(frame_ + kStructOffset, value, sizeof(T));
    return reinterpret_cast<u64>(frame_ + kStructOffset);
  }

 private:
  static constexpr size_t kStructOffset = 64;
  static void make_stack();
  char *frame_;
};

// A string in the read-only half, for as long as a callback runs.
class RegionString {
 public:
  explicit RegionString(const char *text) {
    const size_t bytes = std::strlen(text ? text : "") + 1;
    copy_ = static_cast<char *>(bpf::Region::get().alloc_pages(bpf::Half::kReadOnly, bytes, true));
    std::memcpy(copy_, text ? text : "", bytes);
  }
  ~RegionString() { bpf::Region::get().free_pages(copy_); }
  RegionString(const RegionString &) = delete;
  RegionString &operator=(const RegionString &) = delete;
  char *get() { return copy_; }

 private:
  char *copy_;
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_CALL_FRAMES_H_
