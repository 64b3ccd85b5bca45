// SPDX-License-Identifier: GPL-2.0-only
#include "machine/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "machine/context_local.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace uscx::machine {
namespace {

namespace ctx = boost::context::detail;

struct Stack {
  char *top = nullptr;
};

// Free stacks. Sanitizers and the guard page see each stack's whole life through here.
class StackPool {
 public:
  ~StackPool() {
    for (char *base : free_) munmap(base, mapping_bytes());
  }
  Stack take() {
    char *base = take_free();
    if (!base) {
      void *mapping = mmap(nullptr, mapping_bytes(), PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
      CHECK(mapping != MAP_FAILED, "no memory for a fiber's stack");
      CHECK(mprotect(mapping, guard_bytes(), PROT_NONE) == 0);
      base = static_cast<char *>(mapping);
    }
    return {base + mapping_bytes()};
  }
  void give_back(const Stack &stack) {
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack.top - Fiber::kStackBytes, Fiber::kStackBytes);
#endif
    const std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back(stack.top - mapping_bytes());
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

// The switch itself. Nothing that ThreadSanitizer instruments may run between its switch and ours: the entry of a
// function would be noted for one stack, and its end for the other.
[[gnu::noinline, gnu::no_sanitize_thread]] ctx::transfer_t switch_stacks(ctx::fcontext_t to, void *argument,
                                                                         [[maybe_unused]] void *tsan_to) {
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(tsan_to, 0);
#endif
  return ctx::jump_fcontext(to, argument);
}

}  // namespace

struct Fiber::Impl {
  Fiber *self = nullptr;
  std::function<void(Fiber &)> body;
  Stack stack;
  ctx::fcontext_t inside = nullptr;   // The fiber while it is suspended.
  ctx::fcontext_t resumer = nullptr;  // The resumer while the fiber runs.
  Fiber *outer = nullptr;
  bool running = false, done = false, unwinding = false;
  // AddressSanitizer's view of both stacks.
  void *fake_inside = nullptr, *fake_resumer = nullptr;
  const void *resumer_bottom = nullptr;
  size_t resumer_size = 0;
  void *tsan_inside = nullptr, *tsan_resumer = nullptr;

  [[noreturn]] static void enter(ctx::transfer_t from);
  void switch_in();
};

Fiber::Fiber(std::function<void(Fiber &)> body) : impl_(std::make_unique<Impl>()) {
  impl_->self = this;
  impl_->body = std::move(body);
  impl_->stack = stack_pool.take();
#if defined(__SANITIZE_THREAD__)
  impl_->tsan_inside = __tsan_create_fiber(0);
#endif
  impl_->inside = ctx::make_fcontext(impl_->stack.top, kStackBytes, Impl::enter);
}

void Fiber::Impl::enter(ctx::transfer_t from) {
  Impl &impl = *static_cast<Impl *>(from.data);
  impl.resumer = from.fctx;
  arrived_on_stack(nullptr, &impl.resumer_bottom, &impl.resumer_size);
  try {
    impl.body(*impl.self);
  } catch (const Unwind &) {
    CHECK(impl.unwinding);
  }
  impl.done = true;
  leaving_stack(nullptr, impl.resumer_bottom, impl.resumer_size);
  switch_stacks(impl.resumer, nullptr, impl.tsan_resumer);
  __builtin_unreachable();
}

void Fiber::Impl::switch_in() {
  running = true;
  leaving_stack(&fake_resumer, stack.top - kStackBytes, kStackBytes);
#if defined(__SANITIZE_THREAD__)
  tsan_resumer = __tsan_get_current_fiber();
#endif
  inside = switch_stacks(inside, this, tsan_inside).fctx;
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
  impl.resumer = switch_stacks(impl.resumer, nullptr, impl.tsan_resumer).fctx;
  arrived_on_stack(impl.fake_inside, &impl.resumer_bottom, &impl.resumer_size);
  if (impl.unwinding) throw Unwind();
}

bool Fiber::done() const { return impl_->done; }

const void *Fiber::stack_bottom() const { return impl_->stack.top - kStackBytes; }

Fiber *Fiber::current() { return current_fiber; }

Fiber::~Fiber() {
  CHECK(!impl_->running, "a fiber is destroyed while it runs");
  const bool started = impl_->resumer;
  if (started && !impl_->done) {
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
