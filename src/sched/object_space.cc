// SPDX-License-Identifier: GPL-2.0-only
#include "sched/object_space.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "machine/explore_hooks.h"

namespace uscx::sched {
namespace {

constexpr int kPoison = 0x6b;

class HeapObjectSpace final : public ObjectSpace {
 public:
  void *alloc(ObjectType, size_t size) override {
    void *object = std::calloc(1, size);
    CHECK(object, "no memory for a kernel object of {} bytes", size);
    live_bytes_.fetch_add(size, std::memory_order_relaxed);
    return object;
  }
  void free(ObjectType, void *object, size_t size) override {
    live_bytes_.fetch_sub(size, std::memory_order_relaxed);
    std::memset(object, kPoison, size);
    // Explore mode looks for uses of it, so that it must not be anything else.
    if (machine::exploring()) return machine::note_freed(object, size, "a kernel object");
    std::free(object);
  }
  u64 live_bytes() const override { return live_bytes_.load(std::memory_order_relaxed); }

 private:
  std::atomic<u64> live_bytes_{0};
};

}  // namespace

ObjectSpace &heap_object_space() {
  static HeapObjectSpace space;
  return space;
}

}  // namespace uscx::sched
