// SPDX-License-Identifier: GPL-2.0-only
// Programs of the host on a machine, without the command: their ends, time, and what is left of a killed scheduler.
#include "process/supervisor.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "sched/ext/ext.h"

namespace uscx::process {
namespace {

constexpr u64 kLimitNs = 100 * kNsPerSec;

struct Machine {
  std::unique_ptr<bridge::Host> host;
  std::unique_ptr<Supervisor> supervisor;

  explicit Machine(u64 kill_call = 0) {
    bridge::HostConfig config;
    config.machine.topology = machine::Topology::flat(4);
    Result<std::unique_ptr<bridge::Host>> created = bridge::Host::create(config);
    CHECK(created.ok(), "{}", created.message());
    host = created.take();
    SupervisorOptions options;
    options.kill_call = kill_call;
    supervisor = std::make_unique<Supervisor>(*host, std::move(options));
  }
  ~Machine() {
    for (const auto &process : supervisor->processes()) supervisor->kill(*process);
    run();
    supervisor.reset();
  }

  Process &start(std::vector<std::string> args) {
    ProgramSpec spec;
    spec.args = std::move(args);
    Result<Process *> started = supervisor->start(spec);
    CHECK(started.ok(), "{}", started.message());
    return **started;
  }
  bool run(u64 for_ns = kLimitNs) {
    machine::Machine &machine = host->machine();
    machine.run_while([this] { return !supervisor->all_gone(); }, machine.loop_now_ns() + for_ns);
    return supervisor->all_gone();
  }
};

TEST(Supervisor, SleepsInVirtualTime) {
  Machine m;
  Process &program = m.start({"/bin/sleep", "30"});
  ASSERT_TRUE(m.run());
  EXPECT_EQ(program.wait_status, 0);
  EXPECT_GE(m.host->machine().loop_now_ns(), 30 * kNsPerSec);
  EXPECT_LT(m.host->machine().loop_now_ns(), 31 * kNsPerSec);
}

TEST(Supervisor, KnowsHowProgramsEnd) {
  Machine m;
  Process &failed = m.start({"/bin/sh", "-c", "exit 3"});
  Process &killed = m.start({"/bin/sh", "-c", "kill -9 $$"});
  Process &asleep = m.start({"/bin/sleep", "1000"});
  m.run(kNsPerSec);
  EXPECT_TRUE(WIFEXITED(failed.wait_status) && WEXITSTATUS(failed.wait_status) == 3);
  EXPECT_TRUE(WIFSIGNALED(killed.wait_status) && WTERMSIG(killed.wait_status) == SIGKILL);
  EXPECT_FALSE(asleep.host_dead);
  m.supervisor->signal_all(SIGTERM);
  ASSERT_TRUE(m.run());
  EXPECT_EQ(WTERMSIG(asleep.wait_status), SIGTERM);
}

TEST(Supervisor, RepeatsAShellPipeline) {
  u64 hashes[2];
  for (u64 &hash : hashes) {
    Machine m;
    const Process &shell = m.start({"/bin/sh", "-c", "for i in 1 2 3; do sleep 0.1; echo $i; done | cat >/dev/null"});
    ASSERT_TRUE(m.run());
    EXPECT_EQ(shell.wait_status, 0);
    hash = m.host->tracer().hash();
  }
  EXPECT_EQ(hashes[0], hashes[1]);
}

// Each call in turn is the last one.
TEST(Supervisor, SurvivesAKillAtAnyCall) {
  for (u64 call = 1;; call++) {
    Machine m(call);
    const Process &shell = m.start({"/bin/sh", "-c", "sleep 0.1 & wait"});
    ASSERT_TRUE(m.run()) << "killed at call " << call;
    if (m.supervisor->nr_calls() < call) {
      EXPECT_EQ(shell.wait_status, 0);
      break;
    }
    call += 6;
  }
}

// The kernel's example, if it has been built: wherever it is killed, the next one loads.
TEST(Supervisor, NextSchedulerLoadsAfterAKill) {
  const std::string simple = std::string(USCX_EXAMPLES) + "/scx_simple";
  if (::access(simple.c_str(), X_OK) != 0) GTEST_SKIP() << simple << " is not there (make programs)";
  for (u64 call : {40, 150, 300, 400, 450, 500}) {
    Machine m(call);
    const Process &first = m.start({simple});
    ASSERT_TRUE(m.run());
    EXPECT_TRUE(WIFSIGNALED(first.wait_status));
    EXPECT_FALSE(m.host->ext().enabled());
    Process &next = m.start({simple});
    m.run(2 * kNsPerSec);
    EXPECT_FALSE(next.host_dead) << "after a kill at call " << call;
    EXPECT_TRUE(m.host->ext().enabled());
    m.supervisor->signal_all(SIGINT);
    ASSERT_TRUE(m.run());
    EXPECT_FALSE(m.host->ext().enabled());
    EXPECT_EQ(next.wait_status, 0);
  }
}

}  // namespace
}  // namespace uscx::process
