// SPDX-License-Identifier: GPL-2.0-only
// The deadline class. It has no tasks of its own: what is queued in it are the servers of dl_server.h, and its pick is
// the pick of the class that the server with the earliest deadline serves. The task stays in its own class.
#include <algorithm>
#include <utility>

#include "sched/classes.h"
#include "sched/ext/ext.h"
#include "sched/kernel.h"

namespace uscx::sched {

using State = DlServer::State;

namespace {

class DlClass final : public SchedClass {
 public:
  explicit DlClass(Kernel &kernel) : SchedClass(kernel, kDl, "dl_sched_class") {}
  void enqueue_task(Rq &, Task &, u64) override { CHECK(false, "the deadline class has no tasks"); }
  void dequeue_task(Rq &, Task &, u64) override { CHECK(false, "the deadline class has no tasks"); }
  void yield_task(Rq &) override { CHECK(false, "the deadline class has no tasks"); }
  void wakeup_preempt(Rq &, Task &, u64) override {}
  Task *pick_task(Rq &rq, Task *prev, bool *retry) override;
  void put_prev_task(Rq &, Task &, Task *) override { CHECK(false, "the deadline class has no tasks"); }
  void set_next_task(Rq &, Task &, bool) override { CHECK(false, "the deadline class has no tasks"); }
  u32 select_task_rq(Task &, u32 prev_cpu, u64) override { return prev_cpu; }
  void task_tick(Rq &, Task &) override {}
  void update_curr(Rq &) override {}
};

DlServer *earliest(Rq &rq) {
  DlServer *best = nullptr;
  for (DlServer *server : {&rq.fair_server, &rq.ext_server})
    if (server->state == State::kRunning && (!best || server->deadline_ns < best->deadline_ns)) best = server;
  return best;
}

// A server whose class has nothing to run is stopped. What comes up meanwhile and is above servers goes first.
Task *DlClass::pick_task(Rq &rq, Task *prev, bool *retry) {
  while (DlServer *server = earliest(rq)) {
    rq.picking_server = server;
    bool again = false;
    Task *p = server->served->pick_task(rq, prev, &again);
    rq.picking_server = nullptr;
    if (again) {
      *retry = true;
      return nullptr;
    }
    if (p && p->sched_class == server->served) return p;
    if (server->state == State::kRunning) kernel_.dl_server_stop(*server);
  }
  return nullptr;
}

bool has_tasks(const DlServer &server) {
  const Rq &rq = *server.rq;
  return server.served->rank() == SchedClass::kFair ? rq.fair.nr_queued > 0 : rq.shared->scx.nr_running > 0;
}

void new_period(DlServer &server, u64 now_ns) {
  server.left_ns = static_cast<s64>(server.runtime_ns);
  server.deadline_ns = now_ns + server.period_ns;
}

// Could what is left still be used up by the deadline without exceeding the reservation's share?
bool overflows(const DlServer &server, u64 now_ns) {
  return static_cast<unsigned __int128>(server.left_ns > 0 ? server.left_ns : 0) * server.period_ns >
         static_cast<unsigned __int128>(server.deadline_ns - now_ns) * server.runtime_ns;
}

}  // namespace

std::unique_ptr<SchedClass> make_dl_class(Kernel &kernel) { return std::make_unique<DlClass>(kernel); }

void Kernel::init_dl_servers(Rq &rq) {
  for (auto [server, served] : {std::pair(&rq.fair_server, &fair_class()), std::pair(&rq.ext_server, &ext_class())}) {
    server->rq = &rq;
    server->served = served;
    server->timer.fn = dl_timer_fired;
    server->timer.owner = server;
    server->timer.cpu = rq.cpu;
  }
  rq.fair_server.attached = true;
}

void Kernel::dl_server_attach(DlServer &server, bool attached) {
  if (server.attached == attached) return;
  if (!attached) dl_server_stop(server);
  server.attached = attached;
  if (attached && has_tasks(server)) dl_server_start(server);
}

u64 Kernel::dl_total_bandwidth() {
  u64 sum = 0;
  for (auto &rq : rqs_)
    for (const DlServer *server : {&rq->fair_server, &rq->ext_server})
      if (server->attached && rq->online) sum += server->bandwidth();
  return sum;
}

int Kernel::dl_server_set(DlServer &server, u64 runtime_ns, u64 period_ns) {
  if (period_ns < DlServer::kMinPeriodNs || period_ns > DlServer::kMaxPeriodNs || runtime_ns > period_ns)
    return -EINVAL;
  const u64 others = dl_total_bandwidth() - (server.attached ? server.bandwidth() : 0);
  if (server.attached &&
      others + DlServer::ratio(runtime_ns, period_ns) > kMaxDlBandwidth * online_mask().view().weight())
    return -EBUSY;
  RqGuard guard(*server.rq);
  update_rq_clock(*server.rq);
  dl_server_stop(server);
  server.runtime_ns = runtime_ns;
  server.period_ns = period_ns;
  server.deadline_ns = 0;  // It starts with a new period.
  if (has_tasks(server)) dl_server_start(server);
  return 0;
}

// Its class has got its first task.
void Kernel::dl_server_start(DlServer &server) {
  if (!server.attached || server.runtime_ns == 0 || server.state == State::kRunning ||
      server.state == State::kThrottled)
    return;
  const u64 now = server.rq->clock_ns;
  if (server.deadline_ns <= now || overflows(server, now)) new_period(server, now);
  server.state = State::kDeferred;
  dl_check_starving(*server.rq, *server.rq->curr);
}

void Kernel::dl_server_stop(DlServer &server) {
  if (server.state == State::kRunning) server.rq->nr_running_servers--;
  server.state = State::kStopped;
  machine_.cancel_timer(server.timer);
}

// Its class has used up the runtime, or has run while it was throttled.
void Kernel::dl_server_exhausted(DlServer &server, u64 delta_ns) {
  const u64 now = server.rq->clock_ns;
  if (server.state == State::kThrottled) {
    // Do the higher classes leave it what it needs?
    server.background_ns += delta_ns;
    if (server.background_ns < server.runtime_ns) return;
    machine_.cancel_timer(server.timer);
    server.state = State::kDeferred;
    return new_period(server, now);
  }
  if (server.state == State::kDeferred) {
    const bool armed = server.timer.queued();
    new_period(server, now);
    if (armed) machine_.arm_timer(server.timer, server.deadline_ns - server.runtime_ns);
    return;
  }
  server.state = State::kThrottled;
  server.background_ns = 0;
  server.rq->nr_running_servers--;
  machine_.arm_timer(server.timer, std::max(server.deadline_ns, now));
  resched_curr(*server.rq);
}

// `curr` runs: the timers of classes that wait below it are armed, the others' are not.
void Kernel::dl_check_starving(Rq &rq, const Task &curr) {
  rq.servers_armed = false;
  for (DlServer *server : {&rq.fair_server, &rq.ext_server}) {
    if (server->state != State::kDeferred) continue;
    if (!has_tasks(*server) || !curr.sched_class->above(*server->served)) {
      if (server->timer.queued()) machine_.cancel_timer(server->timer);
      continue;
    }
    rq.servers_armed = true;
    if (server->timer.queued()) continue;
    if (server->deadline_ns <= rq.clock_ns) new_period(*server, rq.clock_ns);
    const u64 laxity_ends_ns = server->deadline_ns - static_cast<u64>(server->left_ns);
    machine_.arm_timer(server->timer, std::max(laxity_ends_ns, rq.clock_ns));
  }
}

void Kernel::dl_timer_fired(machine::SimEvent &event) {
  DlServer &server = *static_cast<DlServer *>(event.owner);
  Rq &rq = *server.rq;
  Kernel &kernel = *rq.idle->kernel;
  charge(machine::Cost::timer_irq);
  RqGuard guard(rq);
  kernel.update_rq_clock(rq);
  rq.curr->sched_class->update_curr(rq);
  if (server.timer.queued()) return;  // That has begun a new period.
  if (server.state == State::kStopped || server.state == State::kRunning) return;
  if (!has_tasks(server)) return kernel.dl_server_stop(server);
  if (server.state == State::kThrottled) {
    // What it ran too long is taken off.
    server.left_ns += static_cast<s64>(server.runtime_ns);
    server.deadline_ns += server.period_ns;
    if (server.left_ns <= 0 || server.deadline_ns <= rq.clock_ns) new_period(server, rq.clock_ns);
  }
  server.state = State::kRunning;
  rq.nr_running_servers++;
  if (!rq.curr->sched_class->above(kernel.dl_class())) kernel.resched_curr(rq);
}

}  // namespace uscx::sched
