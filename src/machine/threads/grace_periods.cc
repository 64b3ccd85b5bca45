// SPDX-License-Identifier: GPL-2.0-only
#include "machine/threads/grace_periods.h"

#include <sched.h>
#include <urcu/urcu-qsbr.h>

#include <deque>
#include <utility>

#include "base/check.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace uscx::machine {

namespace {

// ThreadSanitizer's view: what was before a release comes before what is after an acquire of the same address.
void order_before([[maybe_unused]] void *address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(address);
#endif
}
void order_after([[maybe_unused]] void *address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(address);
#endif
}

}  // namespace

struct GracePeriods::Callback {
  u32 cpu;
  std::function<void()> fn;
};

struct GracePeriods::Ready {
  std::mutex mutex;
  std::deque<std::unique_ptr<Callback>> callbacks;
};

GracePeriods::GracePeriods(u32 nr_cpus, std::function<void(u32 cpu)> raise)
    : raise_(std::move(raise)), ready_(nr_cpus), thread_([this] { wait_for_grace_periods(); }) {}

GracePeriods::~GracePeriods() {
  CHECK(nr_left() == 0, "{} RCU callbacks are left", nr_left());
  {
    std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  called_.notify_one();
  thread_.join();
}

void GracePeriods::register_reader() {
  urcu_qsbr_register_thread();
  urcu_qsbr_thread_offline();
}

void GracePeriods::unregister_reader() { urcu_qsbr_unregister_thread(); }

void GracePeriods::online() { urcu_qsbr_thread_online(); }

void GracePeriods::offline() {
  order_before(this);
  urcu_qsbr_thread_offline();
}

void GracePeriods::call(u32 cpu, std::function<void()> fn) {
  nr_left_++;
  nr_waiting_++;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    waiting_.push_back(std::make_unique<Callback>(Callback{cpu, std::move(fn)}));
  }
  called_.notify_one();
}

void GracePeriods::wait_for_grace_periods() {
  for (;;) {
    std::vector<std::unique_ptr<Callback>> callbacks;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      called_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      callbacks.swap(waiting_);
    }
    urcu_qsbr_synchronize_rcu();
    order_after(this);
    for (std::unique_ptr<Callback> &callback : callbacks) hand_back(std::move(callback));
  }
}

void GracePeriods::hand_back(std::unique_ptr<Callback> callback) {
  const u32 cpu = callback->cpu;
  {
    std::lock_guard<std::mutex> lock(ready_[cpu].mutex);
    ready_[cpu].callbacks.push_back(std::move(callback));
  }
  raise_(cpu);
  nr_waiting_--;  // Last: whoever waits for it may take everything down.
}

u64 GracePeriods::run_ready(u32 cpu) {
  std::deque<std::unique_ptr<Callback>> callbacks;
  {
    std::lock_guard<std::mutex> lock(ready_[cpu].mutex);
    callbacks.swap(ready_[cpu].callbacks);
  }
  for (std::unique_ptr<Callback> &callback : callbacks) {
    callback->fn();
    callback.reset();
    nr_left_--;
  }
  return callbacks.size();
}

void GracePeriods::wait_until_ready() {
  while (nr_waiting_.load()) sched_yield();
}

}  // namespace uscx::machine
