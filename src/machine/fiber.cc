// SPDX-License-Identifier: GPL-2.0-only
#include "machine/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/fiber.hpp>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "machine/explore.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace uscx::machine {
namespace {

namespace ctx = boost::context;

// Free stacks. Sanitizers and the guard page see each stack's whole life through here.
class StackPool {
 public:
  ~StackPool() {
    for (char *base : free_) munmap(base, mapping_bytes());
  }
  ctx::stack_context take() {
    char *base = take_free();
    if (!base) {
      void *mapping = mmap(nullptr, mapping_bytes(), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
      CHECK(mapping != MAP_FAILED, "no memory for a fiber's stack");
      CHECK(mprotect(mapping, guard_bytes(), PROT_NONE) == 0);
      base = static_cast<char *>(mapping);
    }
    ctx::stack_context stack;
    stack.size = Fiber::kStackBytes;
    stack.sp = base + mapping_bytes();
    return stack;
  }
  void give_back(const ctx::stack_context &stack) {
    char *top = static_cast<char *>(stack.sp);
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(top - Fiber::kStackBytes, Fiber::kStackBytes);
#endif
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(top - mapping_bytes());
  }

 private:
  char *take_free() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (free_.empty()) return nullptr;
    char *base = free_.back();
    free_.pop_back();
    return base;
  }
  static size_t guard_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
  static size_t mapping_bytes() { return Fiber::kStackBytes + guard_bytes(); }
  std::mutex mutex_;
  std::vector<char *> free_;  // Guarded by mutex_.
};

StackPool stack_pool;
thread_local Fiber *current_fiber = nullptr;
// A segment that stops in the middle, in explore mode, goes on in its own fiber.
const ContextLocal current_fiber_local([]() -> void * { return &current_fiber; }, sizeof current_fiber);

// The stack allocator that Boost.Context wants: the fiber's stack is taken and returned by its owner instead, so that
// it is returned only when nothing runs on it any more.
struct BorrowedStack {
  ctx::stack_context stack;
  ctx::stack_context allocate() { return stack; }
  void deallocate(ctx::stack_context &) {}
};

struct Unwind {};

// Tells AddressSanitizer that execution moves to another stack, and that it has arrived there. The `fake` slot belongs
// to the stack that is left; null when that stack is left for good.
void leaving_stack([[maybe_unused]] void **fake, [[maybe_unused]] const void *bottom, [[maybe_unused]] size_t size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(fake, bottom, size);
#endif
}

void arrived_on_stack([[maybe_unused]] void *fake, [[maybe_unused]] const void **old_bottom,
                      [[maybe_unused]] size_t *old_size) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, old_bottom, old_size);
#endif
}

}  // namespace

struct Fiber::Impl {
  std::function<void(Fiber &)> body;
  ctx::stack_context stack;
  ctx::fiber inside;   // The fiber while it is suspended.
  ctx::fiber resumer;  // The resumer while the fiber runs.
  Fiber *outer = nullptr;
  bool started = false, running = false, done = false, unwinding = false;
  // AddressSanitizer's view of both stacks.
  void *fake_inside = nullptr, *fake_resumer = nullptr;
  const void *resumer_bottom = nullptr;
  size_t resumer_size = 0;
#if defined(__SANITIZE_THREAD__)
  void *tsan_inside = nullptr, *tsan_resumer = nullptr;
#endif

  ctx::fiber enter(Fiber &self, ctx::fiber &&from);
  void switch_in();
};

Fiber::Fiber(std::function<void(Fiber &)> body) : impl_(std::make_unique<Impl>()) {
  impl_->body = std::move(body);
  impl_->stack = stack_pool.take();
#if defined(__SANITIZE_THREAD__)
  impl_->tsan_inside = __tsan_create_fiber(0);
#endif
  Impl *impl = impl_.get();
  impl_->inside = ctx::fiber(std::allocator_arg, BorrowedStack{impl->stack},
                             [this, impl](ctx::fiber &&from) { return impl->enter(*this, std::move(from)); });
}

ctx::fiber Fiber::Impl::enter(Fiber &self, ctx::fiber &&from) {
  resumer = std::move(from);
  arrived_on_stack(nullptr, &resumer_bottom, &resumer_size);
  if (!unwinding) {
    try {
      body(self);
    } catch (const Unwind &) {
      CHECK(unwinding);
    }
  }
  done = true;
  leaving_stack(nullptr, resumer_bottom, resumer_size);
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(tsan_resumer, 0);
#endif
  return std::move(resumer);
}

void Fiber::Impl::switch_in() {
  running = true;
  started = true;
  leaving_stack(&fake_resumer, static_cast<char *>(stack.sp) - stack.size, stack.size);
#if defined(__SANITIZE_THREAD__)
  tsan_resumer = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_inside, 0);
#endif
  inside = std::move(inside).resume();
  arrived_on_stack(fake_resumer, nullptr, nullptr);
  running = false;
}

void Fiber::resume() {
  CHECK(!impl_->done);
  CHECK(!impl_->running);
  impl_->outer = current_fiber;
  current_fiber = this;
  impl_->switch_in();
  current_fiber = impl_->outer;
}

void Fiber::suspend() {
  Impl &impl = *impl_;
  CHECK(current_fiber == this, "suspend() is called from outside of the fiber");
  CHECK(!impl.unwinding, "a fiber suspends while it is unwound");
  leaving_stack(&impl.fake_inside, impl.resumer_bottom, impl.resumer_size);
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(impl.tsan_resumer, 0);
#endif
  impl.resumer = std::move(impl.resumer).resume();
  arrived_on_stack(impl.fake_inside, &impl.resumer_bottom, &impl.resumer_size);
  if (impl.unwinding) throw Unwind();
}

bool Fiber::done() const { return impl_->done; }

Fiber *Fiber::current() { return current_fiber; }

Fiber::~Fiber() {
  CHECK(!impl_->running, "a fiber is destroyed while it runs");
  if (!impl_->done) {
    // Also for one that never started: Boost.Context keeps its record on the stack, which must end normally.
    impl_->unwinding = true;
    resume();
    CHECK(impl_->done);
  }
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(impl_->tsan_inside);
#endif
  stack_pool.give_back(impl_->stack);
}

}  // namespace uscx::machine
