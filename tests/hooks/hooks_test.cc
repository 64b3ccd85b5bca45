// SPDX-License-Identifier: GPL-2.0-only
// Tracing programs fire where the machine has what they are attached to, with the right arguments and as often as the
// trace says; the others load, attach and never fire. Kernel variables have the values of the machine.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <linux/perf_event.h>
#include <unistd.h>

#include <bit>
#include <sstream>

#include "bridge/host.h"
#include "sched/cgroup.h"
#include "sched/native/machine.h"
#include "schedulers/common/scx_user.h"
#include "workload/workload.h"

extern "C" int uscx_libbpf_close(int fd);

namespace uscx {
namespace {

using schedulers::ScxObject;

class Counter : public trace::Sink {
 public:
  void on_event(const trace::Event &event, const trace::Tracer &) override {
    if (counting) counts[static_cast<size_t>(event.type)]++;
  }
  u64 of(trace::EventType type) const { return counts.at(static_cast<size_t>(type)); }
  bool counting = false;
  std::vector<u64> counts = std::vector<u64>(256);
};

class HooksTest : public testing::Test {
 protected:
  void start(bool use_jit) {
    bridge::HostConfig config;
    config.machine.topology = machine::Topology::parse("2n:2l:2c:1t").take();
    config.use_jit = use_jit;
    auto host = bridge::Host::create(config);
    ASSERT_TRUE(host.ok()) << host.message();
    host_ = host.take();
    host_->tracer().add_sink(&counter_);
    host_->kernel().set_log_listener([this](u64, const std::string &line) { log_ += line + "\n"; });
    schedulers::Environment environment;
    environment.kernel_btf = host_->system().kernel_btf().parsed();
    environment.nr_possible_cpus = host_->kernel().nr_cpus();
    scope_ = std::make_unique<bpf::BpfSystem::Scope>(host_->system());
    auto object = ScxObject::open_file(HOOKS_OBJECT, environment);
    ASSERT_TRUE(object.ok()) << object.message();
    object_ = object.take();
    // It is for a map that only its user knows.
    bpf_program__set_autoattach(bpf_object__find_program_by_name(object_->object(), "list_squares"), false);
    const Status loaded = object_->load();
    ASSERT_TRUE(loaded.ok()) << loaded.message() << schedulers::libbpf_log();
  }
  // Attaches, runs some tasks that come and go, detaches; counts what happens in between.
  void run() {
    counter_.counting = true;
    const Status attached = object_->attach();
    ASSERT_TRUE(attached.ok()) << attached.message() << schedulers::libbpf_log();
    auto workload = workload::open_workload("mixed");
    auto plan = (*workload)->plan({.nr_cpus = 8, .seed = 1, .index = 0});
    ASSERT_TRUE(plan.ok()) << plan.message();
    workload::Launcher launcher(host_->kernel(), [](const workload::RefusedTask &task) { FAIL() << task.comm; });
    launcher.launch(plan.take());
    host_->machine().run_until(300 * kNsPerMs);
    counter_.counting = false;
  }
  // What an iterator's program writes.
  static std::string read_iterator(const bpf_program *program, bpf_iter_link_info *info) {
    LIBBPF_OPTS(bpf_iter_attach_opts, opts, .link_info = info, .link_info_len = info ? u32{sizeof(*info)} : 0);
    bpf_link *link = bpf_program__attach_iter(program, &opts);
    EXPECT_NE(link, nullptr) << errno;
    if (link == nullptr) return "";
    const int fd = bpf_iter_create(bpf_link__fd(link));
    EXPECT_GE(fd, 0) << fd;
    std::string text;
    char buffer[100];
    for (ssize_t bytes; (bytes = ::read(fd, buffer, sizeof(buffer))) > 0;)
      text.append(buffer, static_cast<size_t>(bytes));
    uscx_libbpf_close(fd);
    bpf_link__destroy(link);
    return text;
  }
  void test_run(const char *name, const sched::Task *task = nullptr) {
    int pid = task ? task->pid() : 0;
    LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = task ? &pid : nullptr, .ctx_size_in = task ? u32{sizeof(pid)} : 0);
    const bpf_program *program = bpf_object__find_program_by_name(object_->object(), name);
    ASSERT_EQ(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0) << name;
    ASSERT_EQ(opts.retval, 0u) << name;
  }
  void expect_masks(const sched::Task &p, u64 bits, bool in_force) {
    test_run("read_masks", &p);
    for (const char *name : {"mask_word", "mask_probed", "mask_cpus"})
      EXPECT_EQ(static_cast<u64>(object_->variable(name)), bits) << name;
    EXPECT_EQ(object_->variable("mask_weight"), std::popcount(bits));
    EXPECT_EQ(object_->variable("mask_is_in_force"), in_force);
    EXPECT_EQ(object_->variable("mask_subset"), 1);
  }
  sched::Task &hog(const machine::CpuMask &cpus) {
    return *host_->kernel().create_task({.comm = "hog", .cpus = &cpus, .behavior = std::make_unique<sched::Hog>()});
  }
  u64 calls(const std::string &name) { return static_cast<u64>(object_->variable(name + ".calls")); }
  void TearDown() override {
    object_.reset();
    scope_.reset();
  }

  Counter counter_;
  std::unique_ptr<bridge::Host> host_;
  std::unique_ptr<bpf::BpfSystem::Scope> scope_;
  std::unique_ptr<ScxObject> object_;
  std::string log_;
};

TEST_F(HooksTest, ProgramsFireAsOftenAsTheTraceSaysWithTheRightArguments) {
  start(true);
  run();
  using trace::EventType;
  EXPECT_EQ(calls("on_switch"), counter_.of(EventType::sched_switch));
  EXPECT_EQ(calls("on_raw_switch"), counter_.of(EventType::sched_switch));
  EXPECT_EQ(calls("on_waking"), counter_.of(EventType::sched_waking));
  EXPECT_EQ(calls("on_wakeup") + calls("on_wakeup_new"), counter_.of(EventType::sched_wakeup));
  EXPECT_EQ(calls("on_migrate"), counter_.of(EventType::sched_migrate_task));
  EXPECT_EQ(calls("on_new"), counter_.of(EventType::task_new));
  EXPECT_EQ(calls("on_exit"), counter_.of(EventType::task_exit));
  EXPECT_GT(calls("on_switch"), 100u);
  EXPECT_GT(calls("on_new"), 1u);
  EXPECT_EQ(object_->variable("tick_cpus"), 0xff);
  EXPECT_EQ(calls("on_tick"), calls("on_tick_exit"));
  EXPECT_EQ(calls("on_reg"), 1u);
  EXPECT_EQ(calls("on_reg_exit"), 1u);
  for (const char *name : {"on_switch", "on_raw_switch", "on_waking", "on_wakeup", "on_wakeup_new", "on_migrate",
                           "on_exit", "on_new", "on_tick", "on_tick_exit", "on_reg", "on_reg_exit"})
    EXPECT_EQ(object_->variable(std::string(name) + ".wrong"), 0) << name;
}

TEST_F(HooksTest, WhatIsNotThereLoadsAttachesAndSaysThatItNeverFires) {
  start(true);
  run();
  EXPECT_EQ(calls("on_futex"), 0u);
  EXPECT_NE(log_.find("see_futex is attached and never fires: tasks make no system calls"), std::string::npos) << log_;
  EXPECT_EQ(log_.find("see_switch"), std::string::npos);
}

TEST_F(HooksTest, ControlGroups) {
  start(true);
  run();
  host_->machine().run_on(0, [&] {
    sched::CgroupTree &tree = host_->kernel().cgroups();
    int error = 0;
    sched::Cgroup *leaf = tree.make_path("/a/b", &error);
    ASSERT_NE(leaf, nullptr) << error;
    EXPECT_EQ(tree.attach(*leaf, host_->kernel().init_task()), 0);
    EXPECT_EQ(tree.make(tree.root(), "a2"), 0);
    EXPECT_EQ(tree.remove(*tree.find("/a2")), 0);
  });
  host_->machine().run_until(400 * kNsPerMs);
  EXPECT_EQ(calls("on_mkdir"), 3u) << log_;
  EXPECT_EQ(object_->variable("groups_seen"), 4);
  EXPECT_EQ(calls("on_attach"), 1u);
  EXPECT_EQ(calls("on_rmdir"), 1u);
  for (const char *name : {"on_mkdir", "on_attach", "on_rmdir"})
    EXPECT_EQ(object_->variable(std::string(name) + ".wrong"), 0) << name;
  // Its own, its task group's and init's: programs have given back theirs.
  EXPECT_EQ(host_->kernel().cgroups().find("/a/b")->refs, 3u);
}

TEST_F(HooksTest, NamesThatTasksGet) {
  start(true);
  run();
  EXPECT_EQ(calls("on_rename"), 0u);
  host_->machine().run_on(0, [&] {
    sched::Kernel &kernel = host_->kernel();
    sched::Task &p = hog(host_->machine().topology().all());
    kernel.rename(p, "a new name, quite long");
    EXPECT_EQ(p.comm(), "a new name, qui");
  });
  EXPECT_EQ(calls("on_rename"), 1u);
  EXPECT_EQ(calls("on_rename_record"), 1u);
  for (const char *name : {"on_rename", "on_rename_record"})
    EXPECT_EQ(object_->variable(std::string(name) + ".wrong"), 0) << name;
  EXPECT_EQ(log_.find("see_rename"), std::string::npos) << log_;
}

TEST_F(HooksTest, RecordsAndRegistersSayWhatTheArgumentsSay) {
  start(true);
  run();
  EXPECT_EQ(calls("on_record"), calls("on_switch"));
  EXPECT_EQ(calls("on_move_record"), calls("on_migrate"));
  EXPECT_GT(calls("on_move_record"), 0u);
  EXPECT_EQ(calls("on_probe"), calls("on_tick"));
  EXPECT_EQ(calls("on_probe_exit"), 1u);
  for (const char *name : {"on_record", "on_move_record", "on_probe", "on_probe_exit"})
    EXPECT_EQ(object_->variable(std::string(name) + ".wrong"), 0) << name;
  EXPECT_EQ(calls("on_kick_probe") + calls("on_futex_record"), 0u);
  EXPECT_NE(log_.find("see_kick_probe is attached and never fires: nothing here enters it"), std::string::npos) << log_;
  EXPECT_NE(log_.find("see_futex_recor is attached and never fires: tasks make no"), std::string::npos) << log_;
}

TEST_F(HooksTest, ProbesOfWhatIsNotThereAreRefused) {
  start(true);
  bpf_program *program = bpf_object__find_program_by_name(object_->object(), "see_kick_probe");
  EXPECT_EQ(bpf_program__attach_kprobe(program, false, "no_such_function"), nullptr);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_EQ(bpf_program__attach_tracepoint(program, "sched", "sched_switch"), nullptr);
  EXPECT_EQ(errno, EINVAL) << "a program for functions";
  program = bpf_object__find_program_by_name(object_->object(), "see_record");
  EXPECT_EQ(bpf_program__attach_tracepoint(program, "sched", "no_such_event"), nullptr);
  EXPECT_EQ(errno, ENOENT);
}

TEST_F(HooksTest, CookiesSayWhichLinkItWas) {
  start(true);
  bpf_program *program = bpf_object__find_program_by_name(object_->object(), "see_cookie");
  LIBBPF_OPTS(bpf_tracepoint_opts, opts, .bpf_cookie = 77);
  bpf_link *link = bpf_program__attach_tracepoint_opts(program, "task", "task_newtask", &opts);
  ASSERT_NE(link, nullptr) << errno;
  run();
  EXPECT_EQ(object_->variable("cookie"), 77);
  bpf_link__destroy(link);
}

TEST_F(HooksTest, SamplesNeverCome) {
  start(true);
  perf_event_attr attr = {};
  attr.type = PERF_TYPE_SOFTWARE;
  attr.size = sizeof(attr);
  attr.config = PERF_COUNT_SW_CPU_CLOCK;
  attr.freq = 1;
  attr.sample_freq = 100;
  const int fd = host_->system().perf_event_open(&attr, -1, 0, -1, 0);
  ASSERT_GE(fd, 0);
  bpf_program *program = bpf_object__find_program_by_name(object_->object(), "see_sample");
  bpf_link *link = bpf_program__attach_perf_event(program, fd);
  ASSERT_NE(link, nullptr) << errno;
  EXPECT_NE(log_.find("see_sample is attached and never fires: performance events take no"), std::string::npos) << log_;
  bpf_link__destroy(link);
}

TEST_F(HooksTest, IteratorsGoOverTasksInOrderOfTheirNumbers) {
  start(true);
  run();
  const bpf_program *program = bpf_object__find_program_by_name(object_->object(), "list_tasks");
  const std::string text = read_iterator(program, nullptr);
  std::istringstream lines(text);
  std::string line, first;
  int previous = 0, count = 0;
  while (std::getline(lines, line) && !line.ends_with(" tasks")) {
    const int pid = std::stoi(line);
    EXPECT_GT(pid, previous) << text;
    previous = pid;
    if (count++ == 0) first = line;
  }
  EXPECT_EQ(line, fmt::format("{} tasks", count));
  EXPECT_EQ(count, static_cast<int>(host_->kernel().nr_tasks()));
  EXPECT_EQ(first, "1 init");
  bpf_iter_link_info one = {};
  one.task.tid = static_cast<u32>(previous);
  EXPECT_TRUE(read_iterator(program, &one).ends_with("1 tasks\n"));
}

TEST_F(HooksTest, IteratorsGoOverElements) {
  start(true);
  const int map = bpf_map__fd(bpf_object__find_map_by_name(object_->object(), "squares"));
  for (u32 key = 1; key <= 3; key++) {
    const u64 value = key * key;
    ASSERT_EQ(bpf_map_update_elem(map, &key, &value, BPF_ANY), 0);
  }
  const bpf_program *program = bpf_object__find_program_by_name(object_->object(), "list_squares");
  bpf_iter_link_info info = {};
  info.map.map_fd = static_cast<u32>(map);
  const std::string text = read_iterator(program, &info);
  for (const char *pair : {"1:1 ", "2:4 ", "3:9 "}) EXPECT_NE(text.find(pair), std::string::npos) << text;
  EXPECT_NE(read_iterator(program, &info).find("3:10 "), std::string::npos);
  EXPECT_EQ(bpf_program__attach_iter(program, nullptr), nullptr);
  EXPECT_EQ(errno, EBADF) << "no map";
}

TEST_F(HooksTest, TheInterpreterSeesTheSame) {
  start(true);
  run();
  const u64 hash = host_->tracer().hash(), switches = calls("on_switch");
  TearDown();
  host_.reset();
  counter_ = Counter();
  start(false);
  run();
  EXPECT_EQ(host_->tracer().hash(), hash);
  EXPECT_EQ(calls("on_switch"), switches);
}

TEST_F(HooksTest, NothingFiresAfterTheLinksAreGone) {
  start(true);
  run();
  object_->detach();
  EXPECT_EQ(host_->system().find_object(bpf::ObjectKind::kLink, 1), nullptr);
  const u64 before = calls("on_switch");
  host_->machine().run_until(400 * kNsPerMs);
  EXPECT_EQ(calls("on_switch"), before);
}

TEST_F(HooksTest, LinksAreListedAndAProgramIsAttachedOnce) {
  start(true);
  bpf_program *program = bpf_object__find_program_by_name(object_->object(), "see_switch");
  bpf_link *link = bpf_program__attach(program);
  ASSERT_NE(link, nullptr);
  bpf_link_info info = {};
  u32 size = sizeof(info);
  ASSERT_EQ(bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &size), 0);
  EXPECT_EQ(info.type, u32{BPF_LINK_TYPE_TRACING});
  EXPECT_EQ(info.tracing.attach_type, u32{BPF_TRACE_RAW_TP});
  EXPECT_EQ(bpf_program__attach(program), nullptr);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_EQ(bpf_link_detach(bpf_link__fd(link)), -EOPNOTSUPP);
  bpf_link__destroy(link);
  link = bpf_program__attach(program);
  EXPECT_NE(link, nullptr);
  bpf_link__destroy(link);
}

TEST_F(HooksTest, KernelVariablesAreTheMachines) {
  start(true);
  test_run("read_variables");
  for (u32 cpu = 0; cpu < 8; cpu++) {
    EXPECT_EQ(object_->variable(fmt::format("rq_cpu[{}]", cpu)), cpu + 1);
    EXPECT_EQ(object_->variable(fmt::format("llc_of[{}]", cpu)), cpu / 2 * 2 + 1);  // the LLC's first CPU
  }
  EXPECT_EQ(static_cast<u32>(object_->variable("preempt_count")), 0x80000001u);
  EXPECT_EQ(object_->variable("has_core_priority"), 1);
  EXPECT_EQ(object_->variable("config_hz"), 250);
  EXPECT_EQ(object_->variable("config_nr_cpus"), 8192);
  EXPECT_EQ(object_->variable("preempt_rcu"), 1);
}

// Schedulers that find out whether they run in an interrupt ask for these, as other kernels keep count in them.
TEST_F(HooksTest, WhatOnlyOtherKernelsHaveMayBeAskedFor) {
  start(true);
  test_run("read_other_kernels");
  EXPECT_EQ(object_->variable("has_pcpu_hot"), 0);
  EXPECT_EQ(object_->variable("softirq_count"), -1);
}

TEST_F(HooksTest, ATasksMaskIsInIt) {
  for (bool use_jit : {true, false}) {
    start(use_jit);
    sched::Kernel &kernel = host_->kernel();
    machine::CpuMask some(8);
    some.set(1), some.set(6);
    sched::Task &p = hog(some);
    host_->machine().run_until(10 * kNsPerMs);
    expect_masks(p, 0x42, true);
    some.set(3);
    EXPECT_EQ(kernel.set_cpus_allowed(p, some), 0);
    expect_masks(p, 0x4a, true);
    // Two tasks on a CPU, so that it is switched out, and then pinned.
    kernel.migrate_disable(p);
    machine::CpuMask here(8);
    here.set(p.cpu);
    hog(here);
    host_->machine().run_until(host_->machine().loop_now_ns() + 50 * kNsPerMs);
    expect_masks(p, 0x4a, false);
    kernel.migrate_enable(p);
    expect_masks(p, 0x4a, true);
    TearDown();
  }
}

}  // namespace
}  // namespace uscx
