// SPDX-License-Identifier: GPL-2.0-only
// Unmodified objects built from Debian's kernel sources, each with the real kernel's types and with ours, run 60
// virtual seconds. scx_simple's own statistics must equal what the trace says. The folder is a compile-time definition;
// which objects must be there is in kObjects.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "abi/scx.h"
#include "bridge/host.h"
#include "schedulers/common/scx_user.h"
#include "workload/workload.h"

namespace uscx {
namespace {

struct Object {
  const char *path;  // Below the build folder.
  bool is_simple;
};
constexpr Object kObjects[] = {
    {"linux-source-6.12/scx_simple.bpf.o", true}, {"linux-source-6.12/scx_simple.own-btf.bpf.o", true},
    {"linux-source-7.2/scx_simple.bpf.o", true},  {"linux-source-7.2/scx_simple.own-btf.bpf.o", true},
    {"linux-source-7.2/scx_cpu0.bpf.o", false},   {"linux-source-7.2/scx_cpu0.own-btf.bpf.o", false},
};
constexpr u32 kCpus = 8;
constexpr u64 kDurationNs = 60 * kNsPerSec;

// Counts what scx_simple counts: direct inserts from select_cpu into local DSQs, and calls of enqueue.
class Counter : public trace::Sink {
 public:
  void on_event(const trace::Event &event, const trace::Tracer &) override {
    if (event.type == trace::EventType::scx_enqueue) enqueues++;
    if (event.type == trace::EventType::scx_direct_dispatch && event.args[1] == SCX_DSQ_LOCAL) direct_locals++;
  }
  u64 enqueues = 0;
  u64 direct_locals = 0;
};

struct Outcome {
  u64 hash = 0;
  u32 exit_kind = 0;
  u64 local = 0, global = 0;  // scx_simple's own counts.
  Counter counter;
};

void run_object(const Object &object, bool use_jit, Outcome *out) {
  bridge::HostConfig config;
  config.machine.topology = machine::Topology::flat(kCpus);
  config.use_jit = use_jit;
  auto host = bridge::Host::create(config);
  ASSERT_TRUE(host.ok()) << host.message();
  (*host)->tracer().add_sink(&out->counter);
  bpf::BpfSystem::Scope scope((*host)->system());
  schedulers::Environment environment;
  auto scheduler = schedulers::ScxObject::open_file(std::string(TEST_BUILD_DIR "/") + object.path, environment);
  ASSERT_TRUE(scheduler.ok()) << scheduler.message();
  const Status loaded = (*scheduler)->load();
  ASSERT_TRUE(loaded.ok()) << loaded.message();
  const Status attached = (*scheduler)->attach();
  ASSERT_TRUE(attached.ok()) << attached.message();
  auto workload = workload::open_workload("mixed");
  ASSERT_TRUE(workload.ok()) << workload.message();
  auto plan = (*workload)->plan({.nr_cpus = kCpus, .seed = 1, .index = 0});
  ASSERT_TRUE(plan.ok()) << plan.message();
  workload::Launcher launcher((*host)->kernel(), [](const workload::RefusedTask &task) { FAIL() << task.comm; });
  launcher.launch(plan.take());
  (*host)->machine().run_until(kDurationNs);
  EXPECT_FALSE((*scheduler)->exited());
  if (object.is_simple) {
    // The counters stop with the scheduler: read them at the same instant as the trace's.
    auto sums = (*scheduler)->percpu_sums("stats", 2);
    ASSERT_TRUE(sums.ok()) << sums.message();
    out->local = (*sums)[0];
    out->global = (*sums)[1];
    EXPECT_EQ(out->local, out->counter.direct_locals);
    EXPECT_EQ(out->global, out->counter.enqueues);
  }
  (*scheduler)->detach();
  out->exit_kind = (*host)->ext().last_exit()->kind;
  out->hash = (*host)->tracer().hash();
}

class KernelObject : public testing::TestWithParam<Object> {};

TEST_P(KernelObject, RunsAMinuteOfMixed) {
  ASSERT_TRUE(std::filesystem::exists(std::string(TEST_BUILD_DIR "/") + GetParam().path)) << "run `make objects` first";
  Outcome jit, interpreted;
  run_object(GetParam(), true, &jit);
  EXPECT_EQ(jit.exit_kind, SCX_EXIT_UNREG);
  if (GetParam().is_simple) {
    EXPECT_GT(jit.local, 1000u);
    EXPECT_GT(jit.global, 1000u);
  }
  run_object(GetParam(), false, &interpreted);
  EXPECT_EQ(jit.hash, interpreted.hash) << "JIT and interpreter must give the same trace";
}

std::string test_name(const testing::TestParamInfo<Object> &info) {
  std::string name = info.param.path;
  for (char &c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}
INSTANTIATE_TEST_SUITE_P(LinuxSource, KernelObject, testing::ValuesIn(kObjects), test_name);

}  // namespace
}  // namespace uscx
