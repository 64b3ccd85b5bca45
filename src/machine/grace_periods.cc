// SPDX-License-Identifier: GPL-2.0-only
#include "machine/grace_periods.h"

#include <pthread.h>
#include <sched.h>
#include <urcu/urcu-qsbr.h>

#include <deque>
#include <mutex>
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
  rcu_head head;  // First: grace_period_over() relies on it.
  GracePeriods *owner;
  u32 cpu;
  std::function<void()> fn;
};

struct GracePeriods::Ready {
  std::mutex mutex;
  std::deque<std::unique_ptr<Callback>> callbacks;
};

GracePeriods::GracePeriods(u32 nr_cpus, std::function<void(u32 cpu)> raise)
    : raise_(std::move(raise)), ready_(nr_cpus), thread_(urcu_qsbr_create_call_rcu_data(0, -1)) {
  CHECK(thread_, "liburcu gives no thread for callbacks");
}

GracePeriods::~GracePeriods() {
  CHECK(nr_left() == 0, "{} RCU callbacks are left", nr_left());
  if (urcu_qsbr_get_thread_call_rcu_data() == thread_) urcu_qsbr_set_thread_call_rcu_data(nullptr);
  // liburcu ends the thread, but does not join it.
  const pthread_t thread = urcu_qsbr_get_call_rcu_thread(thread_);
  urcu_qsbr_call_rcu_data_free(thread_);
  CHECK(pthread_join(thread, nullptr) == 0);
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
  auto callback = std::make_unique<Callback>();
  callback->owner = this;
  callback->cpu = cpu;
  callback->fn = std::move(fn);
  nr_left_++;
  nr_waiting_++;
  order_before(callback.get());
  urcu_qsbr_set_thread_call_rcu_data(thread_);
  urcu_qsbr_call_rcu(&callback.release()->head, grace_period_over);
}

void GracePeriods::grace_period_over(rcu_head *head) {
  std::unique_ptr<Callback> callback(reinterpret_cast<Callback *>(head));
  order_after(callback.get());
  GracePeriods &self = *callback->owner;
  order_after(&self);
  const u32 cpu = callback->cpu;
  {
    std::lock_guard<std::mutex> lock(self.ready_[cpu].mutex);
    self.ready_[cpu].callbacks.push_back(std::move(callback));
  }
  self.raise_(cpu);
  self.nr_waiting_--;  // Last: whoever waits for it may take everything down.
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
