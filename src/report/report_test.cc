// SPDX-License-Identifier: GPL-2.0-only
// Both forms of the report of small made-up traces, compared in full.
#include "report/report.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "abi/scx.h"

namespace uscx::report {
namespace {

using trace::EventType;

const RunInfo kRun = {.scheduler = "scx_qmap",
                      .workload = "mixed",
                      .topology = "1n:1l:2c:1t",
                      .cpus = 2,
                      .hz = 250,
                      .seed = 7,
                      .duration_ns = 10'000'000,
                      .wall_ns = 1'234'567'890,
                      .events = 21,
                      .trace_hash = 0x123456789abcdefull};

// Two tasks, a kernel thread, an error exit after which both tasks run (or only one does).
void small_trace(trace::Tracer &t, bool all_go_on) {
  t.emit(EventType::task_new, 0, 0, 2, t.text("kthreadd"), 0, 1);
  t.emit(EventType::task_new, 0, 0, 100, t.text("hog-0"), static_cast<u64>(-5), 0);
  t.emit(EventType::task_new, 0, 0, 101, t.text("nap"), 0, 0);
  for (u64 bytes : {0, 32}) t.emit(EventType::scx_kick_syncs, 0, 900'000, bytes);
  t.emit(EventType::log, 0, 1'000'000, t.text("sched_ext: BPF scheduler \"qmap\" enabled"));
  t.emit(EventType::sched_waking, 0, 1'000'000, 100, 0, 0, 0);
  t.emit(EventType::scx_enqueue, 0, 1'000'000, 100, 1);
  t.emit(EventType::dsq_insert, 0, 1'000'000, 100, 3, 1, 1);
  t.emit(EventType::dsq_remove, 0, 1'002'000, 100, 3, 0);
  t.emit(EventType::dsq_insert, 0, 1'002'000, 100, SCX_DSQ_LOCAL, 1, 1);
  t.emit(EventType::sched_switch, 0, 1'002'500, 0, 0, 100, 1);
  t.emit(EventType::sched_waking, 0, 2'000'000, 101, 1, 0, 100);
  t.emit(EventType::scx_direct_dispatch, 0, 2'000'000, 101, SCX_DSQ_LOCAL, 0);
  t.emit(EventType::sched_migrate_task, 0, 2'000'000, 101, 0, 1);
  t.emit(EventType::sched_switch, 1, 2'003'000, 0, 0, 101, 1);
  t.emit(EventType::sched_switch, 1, 2'503'000, 101, 0, 2, 1);
  t.emit(EventType::sched_switch, 1, 2'603'000, 2, 1, 0, 0);
  t.emit(EventType::scx_event, 0, 2'700'000, t.text("SCX_EV_SELECT_CPU_FALLBACK"), 3);
  t.emit(EventType::wild_load, 0, 2'800'000, t.text("qmap_enqueue: scx_qmap.bpf.c:388"), 4);
  t.emit(EventType::lock_wait, 1, 2'900'000, t.text("dsq 0x3"), 450);
  t.emit(EventType::scx_exit, 0, 5'000'000, SCX_EXIT_ERROR_BPF, 0, t.text("scx_bpf_error"),
         t.text("scx_qmap.bpf.c:388: test triggering error"));
  t.emit(EventType::scx_exit_cpu, 0, 5'000'000, 1);
  t.emit(EventType::scx_state, 0, 5'100'000, SCX_DISABLED);
  t.emit(EventType::scx_kick_syncs, 0, 5'150'000, 0);
  if (all_go_on) t.emit(EventType::sched_switch, 1, 5'200'000, 0, 0, 101, 1);
}

struct ReportTest : testing::Test {
  trace::Tracer tracer{2};
  Metrics metrics{2};
  ReportTest() { tracer.add_sink(&metrics); }
  void expect_80_columns(const std::string &text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  }
};

TEST_F(ReportTest, TextOfAnErrorExit) {
  small_trace(tracer, true);
  metrics.finish(kRun.duration_ns);
  const std::string text = report_text(kRun, metrics);
  EXPECT_EQ(text, R"REPORT(Scheduler   scx_qmap
Machine     2 CPUs (1n:1l:2c:1t), 250 Hz
Workload    mixed, seed 7
Run         10ms of virtual time in 1.2s, 21 events
Trace       0123456789abcdef
Exit        SCX_EXIT_ERROR_BPF (1025) at 5ms on CPU 0
            scx_bpf_error: scx_qmap.bpf.c:388: test triggering error
            All tasks went on in the fair class: each of the 2 that were
            runnable has run since.
CPUs busy   72.0% (least 54.0%, most 90.0%)
Wakeups     2, latency p50 2.5us, p90 3us, p99 3us, max 3us
Dispatch    1 enqueues, 1 direct; inserts: 1 local, 0 global, 1 user; 0 kicks
Kthreads    1, 100us of CPU time
Kick syncs  0 bytes before the load, 32 loaded, 0 after
Events      SCX_EV_SELECT_CPU_FALLBACK 3
Wild loads  4 at qmap_enqueue: scx_qmap.bpf.c:388 (read as 0)
Lock waits  dsq 0x3: 450ns in 1 waits, longest 450ns

TASK               PID NICE CPU TIME    CPU     VOL   INVOL  MIGR  W p50   W p99
hog-0              100   -5      9ms  90.0%       0       0     0  2.5us   2.5us
nap                101    0    5.3ms  53.0%       0       1     1    3us     3us
)REPORT");
  expect_80_columns(text);
}

TEST_F(ReportTest, JsonOfAnErrorExit) {
  small_trace(tracer, true);
  metrics.finish(kRun.duration_ns);
  EXPECT_EQ(report_json(kRun, metrics), R"REPORT({
  "scheduler": "scx_qmap",
  "workload": "mixed",
  "cpus": 2,
  "machine": "simulated",
  "topology": "1n:1l:2c:1t",
  "hz": 250,
  "seed": 7,
  "duration_ns": 10000000,
  "events": 21,
  "wall_s": 1.234568,
  "trace_hash": "0123456789abcdef",
  "notes": [],
  "exit": {
    "kind": 1025,
    "kind_name": "SCX_EXIT_ERROR_BPF",
    "code": 0,
    "reason": "scx_bpf_error",
    "message": "scx_qmap.bpf.c:388: test triggering error",
    "cpu": 0,
    "time_ns": 5000000,
    "runnable_tasks": 2,
    "stuck_tasks": 0
  },
  "memory": {
    "kick_syncs_bytes": {
      "before": 0,
      "loaded": 32,
      "after": 0
    }
  },
  "log": [
    "[    0.001000] sched_ext: BPF scheduler \"qmap\" enabled"
  ],
  "latency": {
    "wakeup_ns": {
      "p50": 2500,
      "p90": 3000,
      "p99": 3000,
      "max": 3000,
      "count": 2
    }
  },
  "tasks": [
    {
      "name": "hog-0",
      "pid": 100,
      "nice": -5,
      "cpu_time_ns": 8997500,
      "share": 0.449875,
      "picks": 1,
      "nvcsw": 0,
      "nivcsw": 0,
      "migrations": 0,
      "wakeups": 1,
      "wakeup_ns": {
        "p50": 2500,
        "p99": 2500,
        "max": 2500
      }
    },
    {
      "name": "nap",
      "pid": 101,
      "nice": 0,
      "cpu_time_ns": 5300000,
      "share": 0.265,
      "picks": 2,
      "nvcsw": 0,
      "nivcsw": 1,
      "migrations": 1,
      "wakeups": 1,
      "wakeup_ns": {
        "p50": 3000,
        "p99": 3000,
        "max": 3000
      }
    }
  ],
  "kthreads": [
    {
      "name": "kthreadd",
      "pid": 2,
      "nice": 0,
      "cpu_time_ns": 100000,
      "share": 0.005,
      "picks": 1,
      "nvcsw": 1,
      "nivcsw": 0,
      "migrations": 0,
      "wakeups": 0,
      "wakeup_ns": {
        "p50": 0,
        "p99": 0,
        "max": 0
      }
    }
  ],
  "other_tasks": [],
  "cpus_busy": [
    0.89975,
    0.54
  ],
  "dispatch": {
    "enqueues": 1,
    "direct": 1,
    "local_inserts": 1,
    "global_inserts": 0,
    "user_inserts": 1,
    "bypass_inserts": 0,
    "kicks": 0,
    "dsqs": [
      {
        "id": "0x3",
        "name": "dsq 0x3",
        "inserts": 1,
        "removes": 1,
        "max_depth": 1
      },
      {
        "id": "0xc000000000000000",
        "name": "local dsq 0",
        "inserts": 1,
        "removes": 0,
        "max_depth": 1
      }
    ]
  },
  "scx_events": {
    "SCX_EV_SELECT_CPU_FALLBACK": 3
  },
  "wild_loads": [
    {
      "location": "qmap_enqueue: scx_qmap.bpf.c:388",
      "count": 4
    }
  ],
  "arena_skips": [],
  "lock_waits": [
    {
      "name": "dsq 0x3",
      "waits": 1,
      "wait_ns": 450,
      "max_ns": 450
    }
  ]
}
)REPORT");
}

TEST_F(ReportTest, TaskThatDoesNotGoOnIsNamed) {
  small_trace(tracer, false);
  metrics.finish(kRun.duration_ns);
  const std::string text = report_text(kRun, metrics);
  EXPECT_EQ(text.find("All tasks went on"), std::string::npos);
  EXPECT_NE(text.find("1 of the 2 tasks that were runnable"), std::string::npos) << text;
  EXPECT_NE(text.find("nap[101]"), std::string::npos);
}

TEST_F(ReportTest, FairHasNoExit) {
  metrics.finish(1000);
  EXPECT_EQ(report_text(kRun, metrics).find("Exit"), std::string::npos);
  const auto json = nlohmann::json::parse(report_json(kRun, metrics));
  EXPECT_EQ(json["exit"]["kind"], 0);
  EXPECT_EQ(json["exit"]["kind_name"], "SCX_EXIT_NONE");
  EXPECT_EQ(json["exit"]["cpu"], -1);
  EXPECT_TRUE(json["tasks"].empty());
}

TEST_F(ReportTest, ManyTasksAreGrouped) {
  for (u64 pid = 1; pid <= 30; pid++) {
    tracer.emit(EventType::task_new, 0, 0, 100 + pid, tracer.text(fmt::format("{}{}", pid % 2 ? "hog." : "web", pid)),
                0, 0);
    tracer.emit(EventType::sched_switch, 0, pid * 1000, pid == 1 ? 0 : 99 + pid, 0, 100 + pid, 1);
  }
  metrics.finish(31'000);
  const std::string text = report_text(kRun, metrics);
  EXPECT_NE(text.find("\nhog*                 15      15us   24.2%"), std::string::npos) << text;
  EXPECT_NE(text.find("\nweb*                 15"), std::string::npos) << text;
  EXPECT_NE(text.find("The 10 of 30 tasks with most CPU time:"), std::string::npos) << text;
  expect_80_columns(text);
}

TEST_F(ReportTest, LongMessagesAreWrapped) {
  std::string message;
  for (int i = 0; i < 60; i++) message += fmt::format("word{} ", i);
  tracer.emit(EventType::scx_exit, 0, 5, SCX_EXIT_ERROR, 0, tracer.text("runtime error"), tracer.text(message));
  metrics.finish(1000);
  expect_80_columns(report_text(kRun, metrics));
}

TEST_F(ReportTest, ColourOnlyWhenAsked) {
  small_trace(tracer, true);
  metrics.finish(kRun.duration_ns);
  EXPECT_EQ(report_text(kRun, metrics).find('\033'), std::string::npos);
  EXPECT_NE(report_text(kRun, metrics, true).find("\033[31mExit"), std::string::npos);
}

TEST_F(ReportTest, MessageThatIsNotUtf8StillGivesJson) {
  tracer.emit(EventType::scx_exit, 0, 5, SCX_EXIT_ERROR, 0, tracer.text("runtime error"), tracer.text("bad \xff byte"));
  metrics.finish(1000);
  EXPECT_NO_THROW(EXPECT_FALSE(nlohmann::json::parse(report_json(kRun, metrics))["exit"]["message"].empty()));
}

}  // namespace
}  // namespace uscx::report
