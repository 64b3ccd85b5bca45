// SPDX-License-Identifier: GPL-2.0-only
// The invariants of the whole machine, checked between segments (tests, debug builds, explore mode).
#include "sched/cgroup.h"
#include "sched/ext/ext.h"
#include "sched/kernel.h"

namespace uscx::sched {

void Kernel::verify_task(Task &p) {
  const Rq &rq = task_rq(p);
  CHECK(!p.dead && p.refs > 0, "{} [{}]", p.comm(), p.pid());
  CHECK(!p.pi_lock.held(), "{} [{}]", p.comm(), p.pid());
  CHECK(p.on_rq_state() != kOnRqMigrating, "{} [{}] is under way between events", p.comm(), p.pid());
  CHECK(p.on_rq() == (p.state() == TASK_RUNNING), "{} [{}]: on_rq {}, state {}", p.comm(), p.pid(),
        static_cast<int>(p.on_rq_state()), p.state());
  CHECK((p.ts.on_cpu != 0) == (rq.curr == &p), "{} [{}]", p.comm(), p.pid());
  CHECK(!p.ts.on_cpu || p.on_rq(), "{} [{}] runs without being queued", p.comm(), p.pid());
  CHECK(p.fair.queued == (p.on_rq() && p.sched_class == &fair_class()), "{} [{}]", p.comm(), p.pid());
  CHECK(p.fair.node.is_linked() == (p.fair.queued && rq.fair.curr != &p), "{} [{}]", p.comm(), p.pid());
  CHECK(p.rt_node.is_linked() == (p.on_rq() && p.sched_class == &rt_class()), "{} [{}]", p.comm(), p.pid());
  CHECK(!p.sleep_timer.queued() || !p.on_rq(), "{} [{}] runs with its sleep timer armed", p.comm(), p.pid());
  // A task that is where it may not be waits for migration/N, which moves it; otherwise it is stranded.
  const bool allowed = p.allowed_on(p.cpu) || p.migration_disabled();
  CHECK(!p.on_rq() || allowed || p.migration_pending, "{} [{}] is queued on CPU {}", p.comm(), p.pid(), p.cpu);
  CHECK(p.cpus_ptr() == p.cpus_mask() ? p.allowed == kernel_mask(p.cpus) : p.cpus_ptr() == p.allowed, "{} [{}]",
        p.comm(), p.pid());
  CHECK(&class_for(p) == p.sched_class || ext_->state() == SCX_ENABLING || ext_->state() == SCX_DISABLING,
        "{} [{}] is in {}", p.comm(), p.pid(), p.sched_class->symbol());
}

void Kernel::verify_rq(Rq &rq) {
  CHECK(!rq.lock.held(), "CPU {}", rq.cpu);
  CHECK(rq.curr->cpu == rq.cpu && rq.shared->curr == &rq.curr->ts, "CPU {}", rq.cpu);
  CHECK(rq.next_class, "CPU {}", rq.cpu);
  // A CPU is idle while work waits on it only if it has been told.
  CHECK(rq.curr != rq.idle || rq.need_resched || (rq.fair.nr_queued == 0 && rq.rt.queue.racy().empty()) ||
            ext_->switched_all(),
        "CPU {} is idle with {} tasks", rq.cpu, rq.nr_running);
  const bool idle = rq.curr == rq.idle && rq.nr_running == 0;
  CHECK(idle_cpus_.test(rq.cpu) == (idle && attracts(rq)), "CPU {}", rq.cpu);
  CHECK(online_.test(rq.cpu) || (rq.nr_running == 0 && !rq.active && !rq.online), "CPU {} is offline", rq.cpu);
  CHECK(active_.test(rq.cpu) == rq.active, "CPU {}", rq.cpu);
  CHECK(rq.curr == rq.idle || machine_.tick_running(rq.cpu) || (rq.nohz_full && can_stop_tick(rq)),
        "CPU {} runs {} without a tick", rq.cpu, rq.curr->comm());
  u64 load = 0;
  __int128 key_sum = 0;
  for (const Task &p : rq.fair.tree.racy()) {
    CHECK(p.cpu == rq.cpu && p.fair.queued, "{} [{}]", p.comm(), p.pid());
    load += p.fair.weight;
    key_sum += static_cast<__int128>(static_cast<s64>(p.fair.vruntime_ns - rq.fair.base_vruntime_ns)) *
               static_cast<s64>(p.fair.weight);
  }
  CHECK(load == rq.fair.tree_load && key_sum == rq.fair.tree_key_sum, "CPU {}", rq.cpu);
  const Task *curr = rq.fair.curr;
  CHECK(!curr || curr == rq.curr, "CPU {}", rq.cpu);
  CHECK(load + (curr && curr->fair.queued ? curr->fair.weight : 0) == rq.fair.load, "CPU {}", rq.cpu);
  ext_->verify(rq);
}

void Kernel::verify_all() {
  std::vector<u32> nr_running(nr_cpus());
  for (Task &p : tasks_.racy()) {
    verify_task(p);
    if (p.on_rq()) nr_running[p.cpu]++;
  }
  for (auto &rq : rqs_) {
    CHECK(rq->nr_running == nr_running[rq->cpu], "CPU {} counts {} runnable tasks, has {}", rq->cpu, rq->nr_running,
          nr_running[rq->cpu]);
    verify_rq(*rq);
  }
  cgroups_->verify();
}

}  // namespace uscx::sched
