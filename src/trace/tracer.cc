// SPDX-License-Identifier: GPL-2.0-only
#include "trace/tracer.h"

#include <algorithm>
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

// A ring of the last events.
class Tracer::Recorder : public Sink {
 public:
  explicit Recorder(size_t size) : ring_(size) {}
  void on_event(const Event &event, const Tracer &) override { ring_[count_++ % ring_.size()] = event; }
  std::vector<Event> events() const {
    std::vector<Event> events;
    for (u64 i = count_ - std::min<u64>(count_, ring_.size()); i < count_; i++)
      events.push_back(ring_[i % ring_.size()]);
    return events;
  }

 private:
  std::vector<Event> ring_;
  u64 count_ = 0;
};

Tracer::Tracer(u32 nr_cpus)
    : nr_cpus_(nr_cpus),
      hash_state_{kKey[6], kKey[7]},
      event_{},
      texts_{""},
      text_hashes_{hash_of("")},
      text_ids_{{"", 0}} {
  static_assert(std::size(kInfo) == kNrTypes && std::size(kTextArgs) == kNrTypes);
}

Tracer::~Tracer() = default;

void Tracer::take(const Event &event) {
  CHECK(event.cpu < nr_cpus_ && event.type < EventType::count);
  nr_events_++;
  u64 a0 = event.args[0], a1 = event.args[1], a2 = event.args[2], a3 = event.args[3];
  const u8 texts = kTextArgs[static_cast<u32>(event.type)];
  if (__builtin_expect(texts != 0, 0)) {
    if (texts & 1) a0 = text_hash(a0);
    if (texts & 2) a1 = text_hash(a1);
    if (texts & 4) a2 = text_hash(a2);
    if (texts & 8) a3 = text_hash(a3);
  }
  // Two lanes with a state each; the words of the next event can be mixed while this one's state is computed.
  const u64 where = event.cpu | u64{static_cast<u16>(event.type)} << 32;
  const u64 x = fold(event.time_ns ^ kKey[0], where ^ kKey[1]);
  const u64 y = fold(a0 ^ kKey[2], a1 ^ kKey[3]);
  const u64 z = fold(a2 ^ kKey[4], a3 ^ kKey[5]);
  hash_state_[0] = fold(hash_state_[0] ^ x ^ y, z ^ kKey[6]);
  hash_state_[1] = fold(hash_state_[1] + y + z, x ^ kKey[7]);
  for (Sink *sink : sinks_) sink->on_event(event, *this);
}

void Tracer::buffer(const Event &event) {
  CHECK(event.cpu < nr_cpus_ && event.type < EventType::count);
  buffers_[event.cpu].events.push_back(event);
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
    take(buffers_[cpu].events[index[cpu]++]);
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

void Tracer::keep_recent(size_t count) {
  CHECK(count > 0 && !recorder_);
  recorder_ = std::make_unique<Recorder>(count);
  add_sink(recorder_.get());
}

std::vector<Event> Tracer::recent() const { return recorder_ ? recorder_->events() : std::vector<Event>(); }

}  // namespace uscx::trace
