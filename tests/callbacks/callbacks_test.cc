// SPDX-License-Identifier: GPL-2.0-only
// A callback that never ends: whichever of sched_ext_ops it is, the scheduler is ejected with the source line, tasks go
// on in the fair class, and the next load works. The callbacks are those of callbacks.bpf.c, each with its line.
#include <gtest/gtest.h>

#include <fstream>

#include "bridge/host.h"
#include "sched/cgroup.h"
#include "sched/hotplug.h"
#include "sched/native/machine.h"
#include "schedulers/common/scx_user.h"

namespace uscx {
namespace {

using sched::Step;
using schedulers::ScxObject;

constexpr u32 kCpus = 4;
constexpr u64 kStuckNs = 15 * kNsPerSec;

struct Case {
  const char *callback;
  // It is called only when the scheduler is on its way out: that it never ends is said in the log, and changes nothing.
  bool at_the_end = false;
  bool cid_form = false;
  bool child = false;  // Called for a sub-scheduler, which comes and goes.
};
// Not here: core_sched_before, which a machine without core scheduling never asks.
constexpr Case kCases[] = {{"select_cpu"},
                           {"enqueue"},
                           {"dequeue"},
                           {"dispatch"},
                           {"tick"},
                           {"runnable"},
                           {"running"},
                           {"stopping"},
                           {"quiescent"},
                           {"yield"},
                           {"set_weight"},
                           {"set_cpumask"},
                           {"update_idle"},
                           {"init_task"},
                           {"exit_task"},
                           {"enable"},
                           {"disable"},
                           {"dump"},
                           {"dump_cpu"},
                           {"dump_task"},
                           {"cgroup_init"},
                           {"cgroup_exit"},
                           {"cgroup_prep_move"},
                           {"cgroup_move"},
                           {"cgroup_cancel_move"},
                           {"cgroup_set_weight"},
                           {"cgroup_set_bandwidth"},
                           {"cgroup_set_idle"},
                           {"cpu_online"},
                           {"cpu_offline"},
                           {"init"},
                           {"cpu_acquire"},
                           {"cpu_release"},
                           {"exit", true},
                           {"select_cid", false, true},
                           {"set_cmask", false, true},
                           {"dump_cid", false, true},
                           {"cid_online", false, true},
                           {"cid_offline", false, true},
                           {"enqueue", false, true},
                           {"sub_attach", false, true, true},
                           {"sub_detach", false, true, true},
                           {"exit", true, true}};

// The line of the callback's loop, from 1 on.
u32 line_of(const std::string &callback) {
  std::ifstream source(CALLBACKS_SOURCE);
  std::string line;
  for (u32 number = 1; std::getline(source, line); number++) {
    if (line.find("SPIN(" + callback + ")") != std::string::npos) return number;
  }
  ADD_FAILURE() << "no callback " << callback;
  return 0;
}

class Callbacks : public testing::TestWithParam<std::tuple<Case, bool>> {
 protected:
  void SetUp() override {
    bridge::HostConfig config;
    config.machine.topology = machine::Topology::flat(kCpus);
    config.use_jit = std::get<1>(GetParam());
    auto host = bridge::Host::create(config);
    ASSERT_TRUE(host.ok()) << host.message();
    host_ = host.take();
    host_->kernel().set_log_listener([this](u64, const std::string &line) { log_ += line + "\n"; });
    scope_ = std::make_unique<bpf::BpfSystem::Scope>(host_->system());
  }
  void TearDown() override {
    child_.reset();
    object_.reset();
    scope_.reset();
  }

  static const Case &what() { return std::get<0>(GetParam()); }
  void load(const std::string &endless) { object_ = load_object(endless, 0); }
  // One for a group's tasks if its id is given.
  std::unique_ptr<ScxObject> load_object(const std::string &endless, u64 cgroup_id) {
    schedulers::Environment environment;
    environment.kernel_btf = host_->system().kernel_btf().parsed();
    environment.nr_possible_cpus = kCpus;
    auto object = ScxObject::open_file(what().cid_form ? CALLBACKS_CID_OBJECT : CALLBACKS_OBJECT, environment);
    CHECK(object.ok(), "{}", object.message());
    std::unique_ptr<ScxObject> made = object.take();
    expect_ok(made->set_variable("endless", endless));
    if (cgroup_id) expect_ok(made->set_ops_field("sub_cgroup_id", fmt::format("{}", cgroup_id)));
    expect_ok(made->load());
    expect_ok(made->attach());
    return made;
  }
  static void expect_ok(const Status &status) {
    EXPECT_TRUE(status.ok()) << status.message() << schedulers::libbpf_log();
  }
  void visit_of_a_child() {
    int error = 0;
    child_ = load_object("", kernel().cgroups().make_path("/child", &error)->id());
    run_for(20 * kNsPerMs);
    child_->detach();
  }

  sched::Task &spawn(const char *comm, sched::Script::Fn fn, sched::Task *leader = nullptr) {
    sched::Task *p = kernel().create_task(
        {.comm = comm, .behavior = std::make_unique<sched::Script>(std::move(fn)), .leader = leader});
    CHECK(p != nullptr);
    return *p;
  }
  // Tasks of all sorts, and one that does to them what calls the rarer callbacks.
  void start_tasks() {
    const auto use_cpu = [](sched::Kernel &, sched::Task &) { return Step::run(kNsPerMs); };
    for (u32 i = 0; i < 2 * kCpus; i++) hogs_.push_back(&spawn("hog", use_cpu));
    spawn("thread", use_cpu, hogs_.back());
    spawn("sleeper", [n = 0](sched::Kernel &, sched::Task &) mutable {
      return n++ % 2 ? Step::sleep_until(machine::now_ns() + kNsPerMs) : Step::run(kNsPerMs / 2);
    });
    spawn("yielder",
          [n = 0](sched::Kernel &, sched::Task &) mutable { return n++ % 2 ? Step::yield() : Step::run(kNsPerMs); });
    spawn("root", [this, n = 0](sched::Kernel &, sched::Task &) mutable {
      interfere(n++);
      return Step::sleep_until(machine::now_ns() + 5 * kNsPerMs);
    });
  }
  void interfere(int step) {
    machine::CpuMask two(kCpus);
    two.set(0), two.set(1);
    switch (step) {
      case 0: kernel().set_user_nice(*hogs_[0], 5); break;
      case 1: kernel().set_cpus_allowed(*hogs_[1], two); break;
      case 2:
        spawn("short",
              [n = 0](sched::Kernel &, sched::Task &) mutable { return n++ ? Step::exit() : Step::run(1000); });
        break;
      case 3: kernel().set_scheduler(*hogs_[2], SCHED_FIFO, 3, 0); break;
      case 5: kernel().set_scheduler(*hogs_[2], SCHED_NORMAL, 0, 0); break;
      case 6: host_->ext().sysrq_dump(); break;
      case 7: kernel().hotplug().request(3, false); break;
      case 12: kernel().hotplug().request(3, true); break;
      default: interfere_with_cgroups(step); break;
    }
  }
  void interfere_with_cgroups(int step) {
    sched::CgroupTree &tree = kernel().cgroups();
    int error = 0;
    switch (step) {
      case 15: group_ = tree.make_path("/group", &error); break;
      case 16: tree.attach(*group_, *hogs_[3]); break;
      case 17: tree.set_weight(*group_, 300); break;
      case 18: tree.set_max(*group_, 50000, 100000); break;
      case 19: tree.set_idle(*group_, true); break;
      case 20: tree.attach(tree.root(), *hogs_[3]); break;
      case 21: tree.attach(*group_, *hogs_.back()); break;
      case 22: tree.attach(tree.root(), *hogs_.back()); break;
      case 23: EXPECT_EQ(tree.remove(*group_), 0); break;
      default: break;
    }
  }
  sched::Kernel &kernel() { return host_->kernel(); }
  void run_for(u64 ns) { host_->machine().run_until(host_->machine().loop_now_ns() + ns); }
  const sched::ExitRecord &last_exit() { return *host_->ext().last_exit(); }
  // The tasks get what the CPUs have.
  void expect_progress() {
    u64 before = 0, after = 0;
    for (const sched::Task *hog : hogs_) before += hog->ts.se.sum_exec_runtime;
    run_for(100 * kNsPerMs);
    for (const sched::Task *hog : hogs_) after += hog->ts.se.sum_exec_runtime;
    EXPECT_GT(after - before, 100 * kNsPerMs);
  }

  std::unique_ptr<bridge::Host> host_;
  std::unique_ptr<bpf::BpfSystem::Scope> scope_;
  std::unique_ptr<ScxObject> object_, child_;
  std::vector<sched::Task *> hogs_;
  sched::Cgroup *group_ = nullptr;
  std::string log_;
};

TEST_P(Callbacks, OneThatNeverEndsEndsTheScheduler) {
  start_tasks();
  load(what().callback);
  run_for(200 * kNsPerMs);
  if (what().child) visit_of_a_child();
  if (!what().at_the_end) run_for(kStuckNs);
  object_->detach();
  host_->ext().settle();
  const std::string place = fmt::format("callbacks.bpf.c:{}:", line_of(what().callback));
  const std::string text = fmt::format("ops.{}(): instruction budget exhausted at insn ", what().callback);
  EXPECT_EQ(host_->ext().state(), SCX_DISABLED);
  if (what().at_the_end) {
    EXPECT_EQ(last_exit().kind, u32{SCX_EXIT_UNREG}) << last_exit().msg;
    EXPECT_NE(log_.find(text), std::string::npos) << log_;
    EXPECT_NE(log_.find(place), std::string::npos) << log_;
  } else {
    EXPECT_EQ(last_exit().kind, u32{SCX_EXIT_ERROR}) << "never called?";
    EXPECT_EQ(last_exit().msg.find(text), 0u) << last_exit().msg;
    EXPECT_NE(last_exit().msg.find(place), std::string::npos) << last_exit().msg;
    EXPECT_NE(last_exit().msg.find("; soft lockup - CPU "), std::string::npos) << last_exit().msg;
    EXPECT_TRUE(last_exit().msg.ends_with(" stuck for 15s")) << last_exit().msg;
  }
  expect_progress();

  load("");
  expect_progress();
  EXPECT_FALSE(object_->exited());
  object_->detach();
  EXPECT_EQ(last_exit().kind, u32{SCX_EXIT_UNREG}) << last_exit().msg;
}

std::string case_name(const testing::TestParamInfo<std::tuple<Case, bool>> &info) {
  const Case &one = std::get<0>(info.param);
  return fmt::format("{}{}_{}", one.callback, one.cid_form ? "_cid_form" : "",
                     std::get<1>(info.param) ? "jit" : "interp");
}
INSTANTIATE_TEST_SUITE_P(Ops, Callbacks, testing::Combine(testing::ValuesIn(kCases), testing::Bool()), case_name);

}  // namespace
}  // namespace uscx
