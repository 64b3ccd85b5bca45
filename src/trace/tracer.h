// SPDX-License-Identifier: GPL-2.0-only
// The tracer takes every event of a run: it hashes it, keeps it in the flight recorder of its CPU, and hands it to the
// sinks (metrics, Perfetto file, tests). Sinks see events in emission order, which is the same in each run of the same
// input.
//
// Threading: one writer at a time. After set_concurrent(), emit() only puts the event into a buffer of its CPU, which
// one thread at a time writes, text() may be called from anywhere, and merge() hands over what came since the last
// time, in order of time (and of CPUs), while nobody writes. The hash then says nothing: time is real, and so no run is
// repeated.
#ifndef USCX_TRACE_TRACER_H_
#define USCX_TRACE_TRACER_H_

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "trace/event.h"

namespace uscx::trace {

struct EventInfo {
  const char *name;
  const char *args[4];  // "_" where unused.
};
const EventInfo &event_info(EventType type);

class Tracer;

class Sink {
 public:
  virtual ~Sink() = default;
  // `event` is valid during the call.
  virtual void on_event(const Event &event, const Tracer &tracer) = 0;
};

class Tracer {
 public:
  // `nr_cpus` sizes the flight recorder: the last `kRecorderDepth` events of each CPU.
  static constexpr u32 kRecorderDepth = 64;
  explicit Tracer(u32 nr_cpus);

  void emit(EventType type, u32 cpu, u64 time_ns, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0);

  // Registers a string for *_text arguments; the same text gives the same id, ids grow from 1 in order of first use.
  // Id 0 is the empty string.
  u64 text(std::string_view text);
  const std::string &text_of(u64 id) const;

  void add_sink(Sink *sink);  // Not owned.

  void set_concurrent() { buffers_.resize(recorder_count_.size()); }
  bool concurrent() const { return !buffers_.empty(); }
  void merge();

  u64 nr_events() const { return nr_events_; }
  u32 nr_cpus() const { return static_cast<u32>(recorder_count_.size()); }
  // A function of the canonical bytes of all events so far (time, CPU, type, arguments, texts): no ids, no addresses.
  u64 hash() const;
  // The flight recorder's events of one CPU, oldest first.
  std::vector<Event> recent(u32 cpu) const;

 private:
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  u64 text_hash(u64 id) const;
  void record(EventType type, u32 cpu, u64 time_ns, u64 a0, u64 a1, u64 a2, u64 a3);
  std::unique_lock<std::mutex> lock_texts() const {
    return concurrent() ? std::unique_lock<std::mutex>(texts_mutex_) : std::unique_lock<std::mutex>();
  }

  u64 nr_events_ = 0;
  u64 hash_state_[2];
  std::vector<Sink *> sinks_;
  struct alignas(64) Buffer {
    std::vector<Event> events;
  };
  std::vector<Buffer> buffers_;     // By CPU; empty unless concurrent.
  mutable std::mutex texts_mutex_;  // Taken for texts if concurrent.
  std::deque<std::string> texts_;   // A reference from text_of() stays valid.
  std::vector<u64> text_hashes_;
  std::unordered_map<std::string, u64, TextHash, std::equal_to<>> text_ids_;  // Looked up only, never iterated.
  std::vector<Event> recorder_;                                               // nr_cpus x kRecorderDepth, a ring a CPU.
  std::vector<u64> recorder_count_;                                           // Events of each CPU so far.
};

}  // namespace uscx::trace

#endif  // USCX_TRACE_TRACER_H_
