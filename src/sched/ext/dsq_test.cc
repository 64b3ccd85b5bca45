// SPDX-License-Identifier: GPL-2.0-only
// DSQs against simple models, iterators, the errors of insertion, kicks, and dumps.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "base/rng.h"
#include "sched/ext/impl.h"
#include "sched/native/scheduler.h"

namespace uscx::sched {
namespace {

std::vector<Task *> contents(Dsq &dsq) {
  std::vector<Task *> tasks;
  for (Task *p = dsq.first(); p; p = dsq.next(*p)) tasks.push_back(p);
  return tasks;
}

TEST(Dsq, FifoAndVtimeOrderAgainstAModel) {
  Rng rng(3, "dsq-model");
  std::vector<std::unique_ptr<Task>> tasks;
  for (int i = 0; i < 64; i++) tasks.push_back(std::make_unique<Task>());
  for (bool vtime : {false, true}) {
    Dsq dsq(1);
    std::vector<Task *> model;
    for (int step = 0; step < 5000; step++) {
      Task &p = *tasks[rng.below(tasks.size())];
      if (p.dsq) {
        dsq.unlink(p);
        p.dsq = nullptr;
        std::erase(model, &p);
      } else if (vtime) {
        // Around the wrap of 64 bits, with many ties.
        p.ts.scx.dsq_vtime = ~u64{0} - 8 + rng.below(16);
        dsq.insert_vtime(p);
        auto later = [&](Task *q) { return static_cast<s64>(p.ts.scx.dsq_vtime - q->ts.scx.dsq_vtime) < 0; };
        model.insert(std::find_if(model.begin(), model.end(), later), &p);
      } else {
        const bool head = rng.below(4) == 0;
        dsq.insert_fifo(p, head);
        model.insert(head ? model.begin() : model.end(), &p);
      }
      ASSERT_EQ(contents(dsq), model);
      ASSERT_EQ(dsq.nr.load(), model.size());
    }
    for (Task *p : model) {
      dsq.unlink(*p);
      p->dsq = nullptr;
    }
  }
}

// What comes next may have left, and be elsewhere, when the lock is held again.
TEST(Dsq, AWalkGoesOnWhateverLeavesOrComesMeanwhile) {
  Dsq dsq(1), other(2);
  std::vector<std::unique_ptr<Task>> tasks;
  for (int i = 0; i < 6; i++) {
    tasks.push_back(std::make_unique<Task>());
    if (i < 5) dsq.insert_fifo(*tasks.back(), false);
  }
  auto leave = [&](int i) {
    dsq.unlink(*tasks[i]);
    tasks[i]->dsq = nullptr;
  };
  DsqWalk walk(dsq), another(dsq);
  EXPECT_EQ(walk.next(), tasks[0].get());
  leave(0);
  leave(1);
  other.insert_fifo(*tasks[1], false);
  EXPECT_EQ(walk.next(), tasks[2].get());
  EXPECT_EQ(another.next(), tasks[2].get());
  leave(3);
  dsq.insert_fifo(*tasks[5], false);
  EXPECT_EQ(walk.next(), tasks[4].get());
  EXPECT_EQ(walk.next(), tasks[5].get());
  EXPECT_EQ(walk.next(), nullptr);
  walk.finish();
  another.finish();
  for (int i : {2, 4, 5}) leave(i);
  other.unlink(*tasks[1]);
  tasks[1]->dsq = nullptr;
}

TEST(Dsq, TableAgainstAModel) {
  Rng rng(4, "dsq-table");
  DsqTable table;
  std::map<u64, Dsq *> model;
  for (int step = 0; step < 20000; step++) {
    const u64 id = rng.below(300) << (rng.below(2) * 32);
    auto it = model.find(id);
    EXPECT_EQ(table.find(id), it == model.end() ? nullptr : it->second);
    if (it == model.end()) {
      auto dsq = std::make_unique<Dsq>(id);
      model[id] = dsq.get();
      std::shared_ptr<void> replaced;
      EXPECT_TRUE(table.insert(std::move(dsq), &replaced));
    } else if (rng.below(2)) {
      EXPECT_EQ(table.remove(*it->second).get(), it->second);
      model.erase(it);
    }
    ASSERT_EQ(table.size(), model.size());
  }
}

// Who found a DSQ and then removes it may find that another has its id by now.
TEST(Dsq, RemovalIsOfTheVeryDsqAndNotOfItsId) {
  DsqTable table;
  std::shared_ptr<void> replaced;
  auto insert = [&] {
    auto dsq = std::make_unique<Dsq>(5);
    Dsq &inserted = *dsq;
    EXPECT_TRUE(table.insert(std::move(dsq), &replaced));
    return &inserted;
  };
  Dsq *const first = insert();
  const std::unique_ptr<Dsq> removed = table.remove(*first);
  EXPECT_EQ(removed.get(), first);
  EXPECT_EQ(table.remove(*first), nullptr);
  Dsq *const second = insert();
  EXPECT_EQ(table.remove(*first), nullptr);
  EXPECT_EQ(table.find(5), second);
}

// Four waiting tasks on DSQ 1, seen from inside a dispatch call.
struct WithQueue : ::testing::Test {
  WithQueue() : m(1) {
    s.on_init = [this] { return m.ext().create_dsq(sched(), 1, -1) | m.ext().create_dsq(sched(), 2, -1); };
    s.on_select_cpu = [](Task &, s32 prev, u64) { return prev; };
    s.on_enqueue = [this](Task &p, u64 flags) {
      if (p.is_kthread())
        m.ext().dsq_insert(sched(), p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, flags);
      else
        m.ext().dsq_insert(sched(), p, 1, SCX_SLICE_DFL, flags);
    };
    s.on_dispatch = [this](s32, Task *) {
      if (inside && m.ext().dsq_nr_queued(sched(), 1) >= 4) std::exchange(inside, nullptr)();
      m.ext().dsq_move_to_local(sched(), 1, 0);
      m.ext().dsq_move_to_local(sched(), 2, 0);
    };
    s.ready();
    for (int i = 0; i < 5; i++) m.hog();
  }
  ExtSched &sched() { return *Ext::sched_of(s); }
  // Runs fn inside a dispatch call and then on until things have settled.
  void within(std::function<void()> fn) {
    inside = std::move(fn);
    if (!Ext::sched_of(s)) {
      ASSERT_EQ(m.attach(s), 0);
    }
    m.run_checked(200 * kNsPerMs);
    EXPECT_EQ(inside, nullptr);
  }
  std::vector<Task *> walk(u64 flags) {
    alignas(8) char it[sizeof(bpf_iter_scx_dsq)];
    EXPECT_EQ(m.ext().iter_new(&sched(), it, 1, flags), 0);
    std::vector<Task *> seen;
    while (Task *p = m.ext().iter_next(it)) seen.push_back(p);
    m.ext().iter_destroy(it);
    return seen;
  }
  ExtMachine m;
  TestScheduler s;
  std::function<void()> inside;
};

TEST_F(WithQueue, IteratorsSeeTheQueueInBothDirections) {
  within([&] {
    std::vector<Task *> expected = contents(*sched().dsqs.find(1));
    EXPECT_GE(expected.size(), 4u);
    EXPECT_EQ(walk(0), expected);
    EXPECT_EQ(m.ext().dsq_peek(sched(), 1), expected[0]);
    std::reverse(expected.begin(), expected.end());
    EXPECT_EQ(walk(SCX_DSQ_ITER_REV), expected);
    alignas(8) char it[sizeof(bpf_iter_scx_dsq)];
    EXPECT_EQ(m.ext().iter_new(&sched(), it, 99, 0), -ENOENT);
    EXPECT_EQ(m.ext().iter_next(it), nullptr);
    EXPECT_EQ(m.ext().iter_new(&sched(), it, SCX_DSQ_GLOBAL, 0), -ENOENT);
    EXPECT_EQ(m.ext().iter_new(&sched(), it, 1, 1), -EINVAL);
    m.ext().iter_destroy(it);
    EXPECT_EQ(m.ext().iter_new(nullptr, it, 1, 0), -ENODEV);
  });
  EXPECT_EQ(m.ext().state(), SCX_ENABLED);
  m.detach(s);
}

TEST_F(WithQueue, TasksQueuedAfterTheIteratorBeganAreInvisibleAndMovesSkipThem) {
  within([&] {
    alignas(8) char it[sizeof(bpf_iter_scx_dsq)];
    ASSERT_EQ(m.ext().iter_new(&sched(), it, 1, 0), 0);
    Task *first = m.ext().iter_next(it);
    // To the end of the same queue: it is a newcomer now, so the walk does not meet it again.
    m.ext().move_set_slice(it, 12345);
    EXPECT_TRUE(m.ext().dsq_move(sched(), it, *first, 1, 0, false));
    EXPECT_EQ(first->ts.scx.slice, 12345u);
    EXPECT_FALSE(m.ext().dsq_move(sched(), it, *first, 2, 0, false));
    size_t seen = 1;
    while (Task *p = m.ext().iter_next(it)) {
      EXPECT_NE(p, first);
      seen++;
    }
    EXPECT_EQ(seen, sched().dsqs.find(1)->nr.load());
    EXPECT_EQ(contents(*sched().dsqs.find(1)).back(), first);
    m.ext().iter_destroy(it);
    // To another queue, in vtime order.
    ASSERT_EQ(m.ext().iter_new(&sched(), it, 1, 0), 0);
    Task *a = m.ext().iter_next(it);
    Task *b = m.ext().iter_next(it);
    m.ext().move_set_vtime(it, 200);
    EXPECT_TRUE(m.ext().dsq_move(sched(), it, *a, 2, 0, true));
    m.ext().move_set_vtime(it, 100);
    EXPECT_TRUE(m.ext().dsq_move(sched(), it, *b, 2, 0, true));
    m.ext().iter_destroy(it);
    EXPECT_EQ(contents(*sched().dsqs.find(2)), (std::vector<Task *>{b, a}));
  });
  EXPECT_EQ(m.ext().state(), SCX_ENABLED);
  m.detach(s);
  EXPECT_EQ(s.exit_msg, "");
}

TEST_F(WithQueue, EachErrorEjectsWithItsMessage) {
  struct Case {
    const char *message;
    std::function<void(ExtSched &, Task &)> fault;
  };
  Ext &e = m.ext();
  const Case cases[] = {
      {"dispatch buffer overflow",
       [&](ExtSched &r, Task &p) {
         for (int i = 0; i < 33; i++) e.dsq_insert(r, p, 1, 1, 0);
       }},
      {"dispatch buffer underflow", [&](ExtSched &r, Task &) { e.dispatch_cancel(r); }},
      {"invalid enq_flags 0x200000000000000",
       [&](ExtSched &r, Task &p) { e.dsq_insert(r, p, 1, 1, SCX_ENQ_DSQ_PRIQ); }},
      {"SCX_ENQ_IMMED on a non-local DSQ 0x1", [&](ExtSched &r, Task &p) { e.dsq_insert(r, p, 1, 1, SCX_ENQ_IMMED); }},
      {"invalid DSQ ID 0x0000000000000063", [&](ExtSched &r, Task &) { e.dsq_move_to_local(r, 0x63, 0); }},
      {"attempting to destroy in-use dsq 0x0000000000000001 (nr=5)", [&](ExtSched &r, Task &) { e.destroy_dsq(r, 1); }},
      {"peek disallowed on builtin DSQ 0x8000000000000001",
       [&](ExtSched &r, Task &) { e.dsq_peek(r, SCX_DSQ_GLOBAL); }},
      {"peek on non-existent DSQ 0x63", [&](ExtSched &r, Task &) { e.dsq_peek(r, 0x63); }},
      {"invalid CPU 77", [&](ExtSched &r, Task &) { e.kick_cpu(r, 77, 0); }},
      {"PREEMPT/WAIT cannot be used with SCX_KICK_IDLE", [&](ExtSched &r, Task &) { e.kick_cpu(r, 0, 3); }},
      {"invalid SCX_REENQ flags 0x4", [&](ExtSched &r, Task &) { e.dsq_reenq(r, 1, 4); }},
      {"DSQ 0x8000000000000001 not allowed for reenq", [&](ExtSched &r, Task &) { e.dsq_reenq(r, SCX_DSQ_GLOBAL, 0); }},
      {"Invalid cpuperf target 1025 for CPU 0", [&](ExtSched &r, Task &) { e.cpuperf_set(r, 0, 1025); }},
      {"scx_bpf_dump() must only be called from ops.dump() and friends",
       [&](ExtSched &r, Task &) { e.dump_text(r, "x"); }},
      {"called on a task not being operated on", [&](ExtSched &r, Task &p) { e.task_cgroup(r, p); }},
      {"per-node idle tracking is disabled",
       [&](ExtSched &r, Task &p) { e.pick_idle_cpu_node(r, p.ts.cpus_ptr, 0, 0); }},
  };
  for (const Case &c : cases) {
    s.exit_msg.clear();
    within([&] { c.fault(sched(), *sched().dsqs.find(1)->first()); });
    EXPECT_EQ(s.exit_msg, c.message);
    EXPECT_EQ(s.exit_kind, SCX_EXIT_ERROR);
    EXPECT_EQ(m.ext().last_exit()->exit_cpu, 0);
    EXPECT_EQ(m.log.back(), fmt::format("sched_ext: test: {}", c.message));
    m.detach(s);
  }
}

TEST(DsqInsert, BadVerdictsEjectAndTheTaskIsKept) {
  struct Case {
    u64 dsq;
    bool vtime, twice;
    const char *message;
  };
  const Case cases[] = {
      {0xcafef00d, false, false, "non-existent DSQ 0xcafef00d for "},
      {SCX_DSQ_LOCAL, true, false, "cannot use vtime ordering for built-in DSQs"},
      {SCX_DSQ_LOCAL_ON | 9, false, false, "invalid CPU 9 in SCX_DSQ_LOCAL_ON dispatch verdict"},
      {SCX_DSQ_LOCAL, false, true, " already direct-dispatched"},
      {SCX_DSQ_BYPASS, false, false, "non-existent DSQ 0x8000000000000003 for "},
  };
  for (const Case &c : cases) {
    ExtMachine m(2);
    TestScheduler s;
    s.on_select_cpu = [&](Task &p, s32 prev, u64) {
      ExtSched &r = *Ext::sched_of(s);
      c.vtime ? m.ext().dsq_insert_vtime(r, p, c.dsq, SCX_SLICE_DFL, 0, 0)
              : m.ext().dsq_insert(r, p, c.dsq, SCX_SLICE_DFL, 0);
      if (c.twice) m.ext().dsq_insert(r, p, c.dsq, SCX_SLICE_DFL, 0);
      return prev;
    };
    s.ready();
    Task &p = m.script("w", [run = false](Kernel &, Task &) mutable {
      run = !run;
      return run ? Step::run(kNsPerMs) : Step::sleep_until(machine::now_ns() + kNsPerMs);
    });
    ASSERT_EQ(m.attach(s), 0);
    m.run_for(100 * kNsPerMs);
    EXPECT_EQ(s.exit_kind, SCX_EXIT_ERROR) << c.message;
    EXPECT_NE(s.exit_msg.find(c.message), std::string::npos) << s.exit_msg;
    const u64 before = p.ts.se.sum_exec_runtime;
    m.run_checked(100 * kNsPerMs);
    EXPECT_GT(p.ts.se.sum_exec_runtime, before);
    m.detach(s);
  }
}

TEST(DsqInsert, MixingOrdersAndForbiddenCpusEject) {
  for (int which = 0; which < 2; which++) {
    ExtMachine m(2);
    TestScheduler s;
    s.on_init = [&] { return m.ext().create_dsq(*Ext::sched_of(s), 1, -1); };
    machine::CpuMask one = m.mask({1});
    u64 n = 0;
    s.on_enqueue = [&](Task &p, u64 flags) {
      ExtSched &r = *Ext::sched_of(s);
      if (p.is_kthread())
        m.ext().dsq_insert(r, p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
      else if (which)
        m.ext().dsq_insert(r, p, SCX_DSQ_LOCAL_ON | 0, SCX_SLICE_DFL, flags);
      else if (n++ % 2)
        m.ext().dsq_insert(r, p, 1, SCX_SLICE_DFL, flags);
      else
        m.ext().dsq_insert_vtime(r, p, 1, SCX_SLICE_DFL, 5, flags);
    };
    s.ready();
    for (int i = 0; i < 6; i++) m.hog(0, &one);
    ASSERT_EQ(m.attach(s), 0);
    m.run_for(kNsPerSec);
    const std::string expected = which ? "SCX_DSQ_LOCAL[_ON] target CPU 0 not allowed for hog[" : "-enqueued tasks";
    EXPECT_NE(s.exit_msg.find(expected), std::string::npos) << s.exit_msg;
    m.run_checked(50 * kNsPerMs);
    m.detach(s);
  }
}

TEST(Kick, PreemptTakesTheCpuAndWaitCyclesEnd) {
  // A ring of CPUs, each kicking the next with WAIT at every enqueue: nobody may be kept for ever.
  ExtMachine m(3);
  TestScheduler s;
  s.mutable_config().timeout_ms = 1000;
  s.on_enqueue = [&](Task &p, u64 flags) {
    ExtSched &r = *Ext::sched_of(s);
    if (p.is_kthread()) {
      m.ext().dsq_insert(r, p, SCX_DSQ_LOCAL, SCX_SLICE_INF, flags | SCX_ENQ_PREEMPT);
      return;
    }
    m.ext().dsq_insert(r, p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
    m.ext().kick_cpu(r, static_cast<s32>((machine::this_cpu() + 1) % 3), SCX_KICK_WAIT);
  };
  s.ready();
  std::vector<Task *> tasks;
  for (int i = 0; i < 12; i++)
    tasks.push_back(&m.script("y", [run = false](Kernel &, Task &) mutable {
      run = !run;
      return run ? Step::run(20000) : Step::yield();
    }));
  ASSERT_EQ(m.attach(s), 0);
  for (int i = 0; i < 200; i++) {
    m.run_for(5 * kNsPerMs);
    m.kernel.verify_all();
  }
  EXPECT_EQ(s.exit_msg, "");
  for (Task *p : tasks) EXPECT_GT(p->ts.se.sum_exec_runtime, 50 * kNsPerMs);
  m.detach(s);
  EXPECT_EQ(s.faults(), std::vector<std::string>());
}

TEST(Dump, HasTheKernelsForm) {
  ExtMachine m(1);
  TestScheduler s("dumper");
  s.on_dump = [&] { m.ext().dump_text(*Ext::sched_of(s), "hello\nwor"); };
  s.on_dump_task = [&](Task &p) { m.ext().dump_text(*Ext::sched_of(s), fmt::format("pid={}\n", p.pid())); };
  u64 n = 0;
  s.on_enqueue = [&](Task &p, u64 flags) {
    if (++n == 50) m.ext().exit(*Ext::sched_of(s), SCX_EXIT_ERROR_BPF, 0, "test error");
    m.ext().dsq_insert(*Ext::sched_of(s), p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, flags);
  };
  s.ready();
  for (int i = 0; i < 3; i++) m.hog();
  ASSERT_EQ(m.attach(s), 0);
  m.run_for(3 * kNsPerSec);
  EXPECT_EQ(s.exit_kind, SCX_EXIT_ERROR_BPF);
  const std::string &d = s.exit_dump;
  EXPECT_EQ(d.substr(0, 13), "dumper: root\n");
  EXPECT_NE(d.find("triggered exit kind 1025 on CPU 0:\n  scx_bpf_error (test error)\n\nBacktrace:\n"),
            std::string::npos)
      << d;
  EXPECT_NE(d.find("\n\nhello\nwor\n\nCPU states\n----------\n\nCPU 0   : nr_run="), std::string::npos) << d;
  EXPECT_NE(d.find("\n      sticky/holding_cpu=-1/-1 dsq_id="), std::string::npos);
  EXPECT_NE(d.find("\n      cpus=1 no_mig=0\n\n    pid="), std::string::npos);
  EXPECT_NE(d.find("\nEvent counters\n--------------\n"), std::string::npos);
  EXPECT_EQ(m.log.back(), "sched_ext: dumper: test error");
  m.detach(s);
  // Cut to its size, with the mark at the end.
  TestScheduler tiny("tiny");
  tiny.mutable_config().exit_dump_len = 200;
  tiny.on_init = [&] { return m.ext().error(*Ext::sched_of(tiny), "x"), -EINVAL; };
  m.attach(tiny.ready());
  EXPECT_EQ(tiny.exit_dump.size(), 199u);
  EXPECT_TRUE(tiny.exit_dump.ends_with("\n\n~~~~ TRUNCATED ~~~~\n"));
  m.detach(tiny);
}

}  // namespace
}  // namespace uscx::sched
