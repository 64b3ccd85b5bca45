// SPDX-License-Identifier: GPL-2.0-only
#include "trace/tracer.h"

#include <queue>

#include "base/check.h"
#include "base/hash.h"

namespace uscx::trace {
namespace {

constexpr u32 kNrTypes = static_cast<u32>(EventType::count);

constexpr EventInfo kInfo[] = {
#define X(name, a0, a1, a2, a3) {#name, {#a0, #a1, #a2, #a3}},
    USCX_TRACE_EVENTS(X)
#undef X
};

constexpr bool is_text(std::string_view arg) { return arg.ends_with("_text"); }

// Bit i: argument i is the id of a text.
constexpr u8 kTextArgs[] = {
#define X(name, a0, a1, a2, a3) is_text(#a0) | is_text(#a1) << 1 | is_text(#a2) << 2 | is_text(#a3) << 3,
    USCX_TRACE_EVENTS(X)
#undef X
};

// Odd 64-bit constants without structure (digits of the square roots of small primes), one for each place in the mix.
constexpr u64 kKey[] = {0x6a09e667f3bcc909ull, 0xbb67ae8584caa73bull, 0x3c6ef372fe94f82bull, 0xa54ff53a5f1d36f1ull,
                        0x510e527fade682d1ull, 0x9b05688c2b3e6c1full, 0x1f83d9abfb41bd6bull, 0x5be0cd19137e2179ull};

// The 128-bit product folded to 64 bits: each bit of either factor reaches about all of the result.
inline u64 fold(u64 a, u64 b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<u64>(product) ^ static_cast<u64>(product >> 64);
}

u64 hash_of(std::string_view text) {
  Hash64 hash;
  hash.add_bytes(text.data(), text.size());
  return hash.value();
}

}  // namespace

const EventInfo &event_info(EventType type) {
  CHECK(type < EventType::count);
  return kInfo[static_cast<u32>(type)];
}

Tracer::Tracer(u32 nr_cpus)
    : hash_state_{kKey[6], kKey[7]},
      texts_{""},
      text_hashes_{hash_of("")},
      text_ids_{{"", 0}},
      recorder_(size_t{nr_cpus} * kRecorderDepth),
      recorder_count_(nr_cpus) {
  static_assert(std::size(kInfo) == kNrTypes && std::size(kTextArgs) == kNrTypes);
}

inline void Tracer::record(EventType type, u32 cpu, u64 time_ns, u64 a0, u64 a1, u64 a2, u64 a3) {
  // Field by field, straight into the ring: this is the hottest path, and an event that is built on the stack and then
  // copied stalls on its own stores.
  Event &event = recorder_[size_t{cpu} * kRecorderDepth + recorder_count_[cpu]++ % kRecorderDepth];
  event.time_ns = time_ns;
  event.cpu = cpu;
  event.type = type;
  event.reserved = 0;
  event.args[0] = a0;
  event.args[1] = a1;
  event.args[2] = a2;
  event.args[3] = a3;
  nr_events_++;
  const u8 texts = kTextArgs[static_cast<u32>(type)];
  if (__builtin_expect(texts != 0, 0)) {
    if (texts & 1) a0 = text_hash(a0);
    if (texts & 2) a1 = text_hash(a1);
    if (texts & 4) a2 = text_hash(a2);
    if (texts & 8) a3 = text_hash(a3);
  }
  // Two lanes with a state each; the words of the next event can be mixed while this one's state is computed.
  const u64 where = cpu | u64{static_cast<u16>(type)} << 32;
  const u64 x = fold(time_ns ^ kKey[0], where ^ kKey[1]);
  const u64 y = fold(a0 ^ kKey[2], a1 ^ kKey[3]);
  const u64 z = fold(a2 ^ kKey[4], a3 ^ kKey[5]);
  hash_state_[0] = fold(hash_state_[0] ^ x ^ y, z ^ kKey[6]);
  hash_state_[1] = fold(hash_state_[1] + y + z, x ^ kKey[7]);
  for (Sink *sink : sinks_) sink->on_event(event, *this);
}

void Tracer::emit(EventType type, u32 cpu, u64 time_ns, u64 a0, u64 a1, u64 a2, u64 a3) {
  CHECK(cpu < recorder_count_.size() && type < EventType::count);
  if (__builtin_expect(concurrent(), 0))
    buffers_[cpu].events.push_back(Event{time_ns, cpu, type, 0, {a0, a1, a2, a3}});
  else
    record(type, cpu, time_ns, a0, a1, a2, a3);
}

// Each buffer is in order of time. The heap holds the next event of each, as (time, CPU).
void Tracer::merge() {
  using Next = std::pair<u64, u32>;
  std::priority_queue<Next, std::vector<Next>, std::greater<>> order;
  std::vector<size_t> index(buffers_.size(), 0);
  const auto push = [&](u32 cpu) {
    const std::vector<Event> &events = buffers_[cpu].events;
    if (index[cpu] < events.size()) order.emplace(events[index[cpu]].time_ns, cpu);
  };
  for (u32 cpu = 0; cpu < buffers_.size(); cpu++) push(cpu);
  while (!order.empty()) {
    const u32 cpu = order.top().second;
    order.pop();
    const Event &e = buffers_[cpu].events[index[cpu]++];
    record(e.type, cpu, e.time_ns, e.args[0], e.args[1], e.args[2], e.args[3]);
    push(cpu);
  }
  for (Buffer &buffer : buffers_) buffer.events.clear();
}

u64 Tracer::text_hash(u64 id) const {
  CHECK(id < text_hashes_.size());
  return text_hashes_[id];
}

u64 Tracer::hash() const { return fold(hash_state_[0] ^ nr_events_, hash_state_[1] ^ kKey[0]); }

u64 Tracer::text(std::string_view text) {
  const auto lock = lock_texts();
  const auto found = text_ids_.find(text);
  if (found != text_ids_.end()) return found->second;
  const u64 id = texts_.size();
  texts_.emplace_back(text);
  text_hashes_.push_back(hash_of(text));
  text_ids_.emplace(text, id);
  return id;
}

const std::string &Tracer::text_of(u64 id) const {
  const auto lock = lock_texts();
  CHECK(id < texts_.size());
  return texts_[id];
}

void Tracer::add_sink(Sink *sink) {
  CHECK(sink);
  sinks_.push_back(sink);
}

std::vector<Event> Tracer::recent(u32 cpu) const {
  CHECK(cpu < recorder_count_.size());
  const u64 count = recorder_count_[cpu];
  std::vector<Event> events;
  for (u64 i = count > kRecorderDepth ? count - kRecorderDepth : 0; i < count; i++)
    events.push_back(recorder_[size_t{cpu} * kRecorderDepth + i % kRecorderDepth]);
  return events;
}

}  // namespace uscx::trace
