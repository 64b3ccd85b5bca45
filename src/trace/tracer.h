// SPDX-License-Identifier: GPL-2.0-only
// The tracer takes every event of a run: it hashes the event and passes it to the sinks (metrics, Perfetto file, the
// keeper of the last events, tests). Sinks see events in emission order, which is the same in each run of the same
// input.
//
// Threading: one writer at a time. After set_concurrent() each CPU has a buffer of its own: emit() only puts the event
// there (one thread at a time writes to a buffer), and text() may be called from any thread. While no thread writes,
// merge() passes on the events since the last merge, in order of time, then of CPUs. The hash has no meaning then: time
// is real, so that no run is repeated.
#ifndef USCX_TRACE_TRACER_H_
#define USCX_TRACE_TRACER_H_

#include <deque>
#include <functional>
#include <memory>
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
  explicit Tracer(u32 nr_cpus);
  ~Tracer();

  // Inlined, so that an event's fields are stored once, where they are taken from.
  void emit(EventType type, u32 cpu, u64 time_ns, u64 a0 = 0, u64 a1 = 0, u64 a2 = 0, u64 a3 = 0) {
    if (concurrent()) [[unlikely]]
      return buffer(Event{time_ns, cpu, type, 0, {a0, a1, a2, a3}});
    event_ = {time_ns, cpu, type, 0, {a0, a1, a2, a3}};
    take(event_);
  }

  // Registers a string for *_text arguments; the same text gives the same id, ids grow from 1 in order of first use.
  // Id 0 is the empty string.
  u64 text(std::string_view text);
  const std::string &text_of(u64 id) const;

  void add_sink(Sink *sink);  // Not owned.

  void set_concurrent() { buffers_.resize(nr_cpus_); }
  bool concurrent() const { return !buffers_.empty(); }
  void merge();

  u64 nr_events() const { return nr_events_; }
  u32 nr_cpus() const { return nr_cpus_; }
  // A function of the canonical bytes of all events so far (time, CPU, type, arguments, texts): no ids, no addresses.
  u64 hash() const;
  // From now on the last `count` events are kept: recent(), oldest first.
  void keep_recent(size_t count);
  std::vector<Event> recent() const;

 private:
  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  u64 text_hash(u64 id) const;
  void take(const Event &event);
  void buffer(const Event &event);
  std::unique_lock<std::mutex> lock_texts() const {
    return concurrent() ? std::unique_lock<std::mutex>(texts_mutex_) : std::unique_lock<std::mutex>();
  }

  const u32 nr_cpus_;
  u64 nr_events_ = 0;
  u64 hash_state_[2];
  Event event_;  // The last one, while it is taken.
  std::vector<Sink *> sinks_;
  struct alignas(64) Buffer {
    std::vector<Event> events;
  };
  std::vector<Buffer> buffers_;     // By CPU; empty unless concurrent.
  mutable std::mutex texts_mutex_;  // Taken for texts if concurrent.
  std::deque<std::string> texts_;   // A reference from text_of() stays valid.
  std::vector<u64> text_hashes_;
  std::unordered_map<std::string, u64, TextHash, std::equal_to<>> text_ids_;  // Looked up only, never iterated.
  class Recorder;
  std::unique_ptr<Recorder> recorder_;  // One of the sinks.
};

}  // namespace uscx::trace

#endif  // USCX_TRACE_TRACER_H_
