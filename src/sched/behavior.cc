// SPDX-License-Identifier: GPL-2.0-only
// Kernel threads as fibers: each wait of the thread's code is a step. The fiber is resumed in a segment of the CPU on
// which the thread runs; its stack is taken when it first runs.
#include "sched/behavior.h"

#include "machine/context_local.h"
#include "machine/fiber.h"
#include "sched/current.h"
#include "sched/kernel.h"

namespace uscx::sched {
namespace {

constinit thread_local KthreadApi *running = nullptr;
const machine::ContextLocal running_local([]() -> void * { return &running; }, sizeof(running));

class FiberBehavior final : public Behavior, private KthreadApi {
 public:
  explicit FiberBehavior(std::function<void(KthreadApi &)> body) : body_(std::move(body)) {}

  Step next(Kernel &kernel, Task &self) override {
    kernel_ = &kernel;
    self_ = &self;
    if (!fiber_) fiber_ = std::make_unique<machine::Fiber>([this](machine::Fiber &) { body_(*this); });
    step_ = Step::exit();  // What it does if it ends.
    running = this;
    fiber_->resume();
    running = nullptr;
    return step_;
  }

 private:
  Kernel &kernel() override { return *kernel_; }
  Task &self() override { return *self_; }
  void run(u64 ns) override { wait(Step::run(ns)); }
  void block() override { wait(Step::block()); }
  void sleep(u64 ns) override { wait(Step::sleep_until(machine::now_ns() + ns)); }
  void wait(Step step) {
    CHECK(machine::Fiber::current() == fiber_.get(), "a kernel thread waits outside of its own code");
    step_ = step;
    fiber_->suspend();
  }

  std::function<void(KthreadApi &)> body_;
  Kernel *kernel_ = nullptr;
  Task *self_ = nullptr;
  Step step_ = Step::exit();
  std::unique_ptr<machine::Fiber> fiber_;
};

}  // namespace

KthreadApi *current_api() { return running; }

std::unique_ptr<Behavior> make_fiber_behavior(std::function<void(KthreadApi &)> body) {
  return std::make_unique<FiberBehavior>(std::move(body));
}

}  // namespace uscx::sched
