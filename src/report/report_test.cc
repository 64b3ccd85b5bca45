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
                      .trace_hash = 0x123456789abcdefull,
                      .has_dispatch = true,
                      .exit_where = "ops.enqueue: qmap_enqueue, scx_qmap.bpf.c:388: scx_bpf_error(\"x\");"};

// Two tasks, a kernel thread, an error exit after which both tasks run (or only one does).
void small_trace(trace::Tracer &t, bool all_go_on) {
  t.emit(EventType::task_new, 0, 0, 2, t.text("kthreadd"), 0, 1);
  t.emit(EventType::task_new, 0, 0, 100, t.text("hog-0"), static_cast<u64>(-5), 0);
  t.emit(EventType::task_new, 0, 0, 101, t.text("nap"), 0, 0);
  for (u64 bytes : {0, 32}) t.emit(EventType::scx_kick_syncs, 0, 900'000, bytes);
  t.emit(EventType::log, 0, 1'000'000, t.text("sched_ext: BPF scheduler \"qmap\" enabled"));
  t.emit(EventType::scx_state, 0, 1'000'000, SCX_ENABLED);
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
            in ops.enqueue: qmap_enqueue, scx_qmap.bpf.c:388:
            scx_bpf_error("x");
            All tasks went on in the fair class: each of the 2 that were
            runnable has run since.
Lived       4ms; the figures are of that time only, without 5ms in the fair
            class after it.
CPUs busy   57.5% (least 15.0%, most 99.9%)
Wakeups     2, latency p50 2.5us, p90 3us, p99 3us, max 3us
Dispatch    1 enqueues, 1 direct; inserts: 1 local, 0 global, 1 user; 0 kicks
Kthreads    1, 100us of CPU time
Kick syncs  0 bytes before the load, 32 loaded, 0 after
Events      SCX_EV_SELECT_CPU_FALLBACK 3
Wild loads  4 at qmap_enqueue: scx_qmap.bpf.c:388 (read as 0)
Lock waits  dsq 0x3: 450ns in 1 waits, longest 450ns

TASK               PID NICE CPU TIME    CPU     VOL   INVOL  MIGR  W p50   W p99
hog-0              100   -5      4ms  99.9%       0       0     0  2.5us   2.5us
nap                101    0    500us  12.5%       0       1     1    3us     3us
)REPORT");
  expect_80_columns(text);
}

TEST_F(ReportTest, JsonOfAnErrorExit) {
  small_trace(tracer, true);
  metrics.finish(kRun.duration_ns);
  auto json = nlohmann::ordered_json::parse(report_json(kRun, metrics));
  json.erase("phases");  // They have a test of their own.
  EXPECT_EQ(json.dump(2) + "\n", R"REPORT({
  "version": 1,
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
  "interrupted": null,
  "failed": [],
  "notes": [],
  "lives": 1,
  "starving": [],
  "has_dispatch": true,
  "exit": {
    "kind": 1025,
    "kind_name": "SCX_EXIT_ERROR_BPF",
    "code": 0,
    "reason": "scx_bpf_error",
    "message": "scx_qmap.bpf.c:388: test triggering error",
    "where": "ops.enqueue: qmap_enqueue, scx_qmap.bpf.c:388: scx_bpf_error(\"x\");",
    "hint": null,
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
      "count": 2,
      "open": 0,
      "longest_open": null
    }
  },
  "tasks": [
    {
      "name": "hog-0",
      "pid": 100,
      "nice": -5,
      "cpu_time_ns": 3997500,
      "share": 0.499688,
      "picks": 1,
      "nvcsw": 0,
      "nivcsw": 0,
      "migrations": 0,
      "wakeups": 1,
      "longest_wait_ns": 2500,
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
      "cpu_time_ns": 500000,
      "share": 0.0625,
      "picks": 1,
      "nvcsw": 0,
      "nivcsw": 1,
      "migrations": 1,
      "wakeups": 1,
      "longest_wait_ns": 2497000,
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
      "share": 0.0125,
      "picks": 1,
      "nvcsw": 1,
      "nivcsw": 0,
      "migrations": 0,
      "wakeups": 0,
      "longest_wait_ns": 0,
      "wakeup_ns": {
        "p50": null,
        "p99": null,
        "max": null
      }
    }
  ],
  "other_tasks": [],
  "cpus_busy": [
    0.999375,
    0.15
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
  "lock_waits": [
    {
      "name": "dsq 0x3",
      "waits": 1,
      "wait_ns": 450,
      "max_ns": 450
    }
  ],
  "scx_events": {
    "SCX_EV_SELECT_CPU_FALLBACK": 3
  },
  "wild_loads": [
    {
      "location": "qmap_enqueue: scx_qmap.bpf.c:388",
      "count": 4
    }
  ],
  "arena_skips": []
}
)REPORT");
}

TEST_F(ReportTest, JsonHasThePhasesThatTheReportIsNotAbout) {
  small_trace(tracer, true);
  metrics.finish(kRun.duration_ns);
  const auto phases = nlohmann::json::parse(report_json(kRun, metrics))["phases"];
  ASSERT_EQ(phases.size(), 3u);
  EXPECT_EQ(phases[0]["name"], "before");
  EXPECT_EQ(phases[0]["duration_ns"], 1'000'000);
  EXPECT_EQ(phases[0]["latency"]["wakeup_ns"]["p50"], nullptr) << "there are none";
  EXPECT_EQ(phases[1], (nlohmann::json{{"name", "scheduler"}, {"duration_ns", 4'000'000}, {"subject", true}}));
  EXPECT_EQ(phases[2]["name"], "after");
  EXPECT_EQ(phases[2]["subject"], false);
  EXPECT_EQ(phases[2]["tasks"][1]["cpu_time_ns"], 4'800'000);
  EXPECT_EQ(phases[2]["cpus_busy"][0], 1);
}

TEST_F(ReportTest, StarvingTasksComeFirstAndInWords) {
  tracer.emit(EventType::scx_state, 0, 1'000, SCX_ENABLED);
  for (u64 i = 0; i < 8; i++) {
    tracer.emit(EventType::task_new, 0, 2'000, 100 + i, tracer.text(fmt::format("hog-{}", i)), 0, 0);
    tracer.emit(EventType::scx_enqueue, 0, 2'000, 100 + i, 0);
    if (i == 0) tracer.emit(EventType::dsq_insert, 0, 2'000, 100, SCX_DSQ_LOCAL, 0, 1);
    if (i > 5) tracer.emit(EventType::dsq_insert, 0, 2'000, 100 + i, 7, 0, i - 5);
    tracer.emit(EventType::sched_wakeup, 0, 2'000, 100 + i, 0);
  }
  tracer.emit(EventType::sched_switch, 0, 3'000, 0, 0, 100, 1);
  RunInfo run = kRun;
  run.duration_ns = 5'000'000'000;
  run.has_dispatch = false;
  metrics.finish(run.duration_ns);
  const std::string text = report_text(run, metrics);
  EXPECT_EQ(text.substr(0, text.find("Machine")), R"REPORT(Scheduler   scx_qmap
Starving    7 of 8 tasks wait for a CPU at the end of the run, for 1s or more,
            the longest for 5s.
            5 in the scheduler's custody (ops.enqueue took 8, 3 came out):
            hog-1[101] since 2us, hog-2[102] since 2us, hog-3[103] since 2us,
            hog-4[104] since 2us, and 1 more.
            2 in dsq 0x7 (2 in, 0 out): hog-6[106] since 2us, hog-7[107] since
            2us.
            The scheduler has no ops.dispatch, which hands on what is in custody
            or in a DSQ of its own.
)REPORT");
  EXPECT_NE(text.find("8, latency p50 5s, p90 5s, p99 5s, max 5s; 7 of them still"), std::string::npos) << text;
  expect_80_columns(text);
  const auto json = nlohmann::json::parse(report_json(run, metrics));
  EXPECT_EQ(json["starving"].size(), 7u);
  EXPECT_EQ(json["starving"][6]["place"], "dsq 0x7");
  EXPECT_EQ(json["latency"]["wakeup_ns"]["open"], 7);
  EXPECT_EQ(json["has_dispatch"], false);
}

TEST_F(ReportTest, InterruptedAndFailedRunsSaySo) {
  RunInfo run = kRun;
  run.interrupted = "SIGTERM";
  run.failed = {{"starved=1s", "2 tasks waited longer for a CPU, hog-1[101] for 3s"}};
  metrics.finish(run.duration_ns);
  const std::string text = report_text(run, metrics);
  EXPECT_NE(text.find("\nInterrupted by SIGTERM at 10ms\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nFailed      --fail-on starved=1s: 2 tasks waited longer"), std::string::npos) << text;
  const auto json = nlohmann::json::parse(report_json(run, metrics));
  EXPECT_EQ(json["interrupted"], "SIGTERM");
  EXPECT_EQ(json["failed"][0]["condition"], "starved=1s");
}

TEST_F(ReportTest, ErrorsOfOneCauseHaveAHint) {
  tracer.emit(EventType::scx_state, 0, 1, SCX_ENABLED);
  tracer.emit(EventType::scx_exit, 0, 5, SCX_EXIT_ERROR, 0, tracer.text("runtime error"),
              tracer.text("non-existent DSQ 0x8 for hog-1[101]"));
  metrics.finish(1000);
  EXPECT_NE(report_text(kRun, metrics).find("Hint: Nobody has made this DSQ"), std::string::npos);
  EXPECT_NE(nlohmann::json::parse(report_json(kRun, metrics))["exit"]["hint"], nullptr);
}

TEST_F(ReportTest, OfARunThatEndsWithItsSchedulerNothingIsKnownOfTheTasksAfterwards) {
  small_trace(tracer, false);
  metrics.finish(kRun.duration_ns);
  RunInfo run = kRun;
  run.ended_at_exit = true;
  EXPECT_EQ(report_text(run, metrics).find("have not run since"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(report_json(run, metrics))["exit"]["stuck_tasks"], nullptr);
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
