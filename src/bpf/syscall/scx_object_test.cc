// SPDX-License-Identifier: GPL-2.0-only
// In-tree schedulers as Debian's kernel sources have them load unmodified. Their kfuncs belong to the bridge; here each
// is a recorder, so that a callback's calls can be seen. The objects are built by a make target; without them there is
// nothing to test.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "abi/kernel.h"
#include "abi/scx.h"
#include "bpf/exec/exec.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/prog.h"
#include "bpf/testing/env.h"

namespace uscx::bpf {
namespace {

std::vector<std::string> calls;

USCX_KFUNC(kSelectCpu, KF_RCU, s32, scx_bpf_select_cpu_dfl,
           (struct task_struct * p, s32 prev_cpu, u64 wake_flags, bool *is_idle)) {
  calls.push_back(fmt::format("select_cpu_dfl({}, {}, {})", p->pid, prev_cpu, wake_flags));
  *is_idle = true;
  return 3;
}
USCX_KFUNC(kEnqueue, KF_RCU, bool, scx_bpf_dsq_insert___v2,
           (struct task_struct * p, u64 dsq_id, u64 slice, u64 enq_flags)) {
  calls.push_back(fmt::format("insert({}, {:#x}, {}, {})", p->pid, dsq_id, slice, enq_flags));
  return true;
}
USCX_KFUNC(kEnqueue, KF_RCU, bool, __scx_bpf_dsq_insert_vtime,
           (struct task_struct * p, struct scx_bpf_dsq_insert_vtime_args *args)) {
  calls.push_back(fmt::format("insert_vtime({}, {}, {})", p->pid, args->dsq_id, args->vtime));
  return true;
}
USCX_KFUNC(kDispatch, 0, bool, scx_bpf_dsq_move_to_local___v2, (u64 dsq_id, u64 enq_flags)) {
  calls.push_back(fmt::format("move_to_local({}, {})", dsq_id, enq_flags));
  return true;
}
USCX_KFUNC(kUnlocked, KF_SLEEPABLE, s32, scx_bpf_create_dsq, (u64 dsq_id, s32 node)) {
  calls.push_back(fmt::format("create_dsq({}, {})", dsq_id, node));
  return 0;
}
USCX_KFUNC(kAny, KF_RCU, bool, scx_bpf_task_set_dsq_vtime, (struct task_struct * p, u64 vtime)) {
  calls.push_back(fmt::format("set_dsq_vtime({}, {})", p->pid, vtime));
  return true;
}
USCX_KFUNC(kAny, 0, void, scx_bpf_error_bstr, (char *fmt, u64 *data__nullable, u32 data__sz)) {
  calls.push_back("error");
  (void)fmt, (void)data__nullable, (void)data__sz;
}

class AnyOps final : public StructOpsType {
 public:
  const char *name() const override { return "sched_ext_ops"; }
  int check_member(const StructOpsMember &, const Prog &, std::string *) override { return 0; }
  bool may_sleep(const StructOpsMember &member) const override { return member.name == "init"; }
  int init_member(const StructOpsMember &member, const void *, void *) override { return member.is_callback ? 0 : 1; }
  int validate(StructOpsMap &) override { return 0; }
  int reg(StructOpsMap &map) override { return registered = &map, 0; }
  void unreg(StructOpsMap &) override { registered = nullptr; }
  StructOpsMap *registered = nullptr;
};

TEST(ScxObject, SimpleOfLinux72LoadsAndItsCallbacksCallWhatTheyShould) {
  const std::string path = std::string(USCX_TEST_KERNEL_OBJECTS "/linux-source-7.2/scx_simple.bpf.o");
  if (access(path.c_str(), R_OK) != 0) GTEST_SKIP() << path << " is not built";
  TestEnv env;
  std::vector<std::unique_ptr<StructOpsType>> types;
  types.push_back(std::make_unique<AnyOps>());
  AnyOps &ops = static_cast<AnyOps &>(*types.front());
  auto system = make_test_system(env, std::move(types));
  BpfSystem::Scope scope(*system);
  auto *task =
      static_cast<struct task_struct *>(Region::get().alloc_pages(Half::kReadOnly, sizeof(struct task_struct), true));
  env.live.insert(task);
  env.task = task;
  task->pid = 42;
  task->scx.dsq_vtime = 1000;

  bpf_object *object = bpf_object__open_file(path.c_str(), nullptr);
  ASSERT_NE(object, nullptr);
  ASSERT_EQ(bpf_object__load(object), 0) << env.logged;
  bpf_link *link = bpf_map__attach_struct_ops(bpf_object__find_map_by_name(object, "simple_ops"));
  ASSERT_NE(link, nullptr) << env.logged;

  auto *ctx = static_cast<u64 *>(Region::get().alloc_pages(Half::kReadOnly, 4096, true));
  for (ExecMode mode : {ExecMode::kJit, ExecMode::kInterp}) {
    calls.clear();
    auto call = [&](const char *member, std::initializer_list<u64> args) {
      std::copy(args.begin(), args.end(), ctx);
      ExecEnv exec{0, 0, reinterpret_cast<u64>(task)};
      Invocation invocation(&exec);
      const RunResult result =
          run(*ops.registered->prog(member)->program(), reinterpret_cast<u64>(ctx), invocation, mode);
      EXPECT_FALSE(result.aborted()) << result.abort->message;
      return result.r0;
    };
    const u64 p = reinterpret_cast<u64>(task);
    EXPECT_EQ(call("init", {}), 0u);
    EXPECT_EQ(static_cast<u32>(call("select_cpu", {p, 2, 8})), 3u);
    call("enqueue", {p, 0});
    call("dispatch", {1, 0});
    ASSERT_EQ(calls.size(), 5u);
    EXPECT_EQ(calls[0], "create_dsq(0, -1)");
    EXPECT_EQ(calls[1], "select_cpu_dfl(42, 2, 8)");
    EXPECT_EQ(calls[2].substr(0, 11), "insert(42, ") << "an idle CPU gets the task directly";
    EXPECT_EQ(calls[3].substr(0, 20), "insert_vtime(42, 0, ");
    EXPECT_EQ(calls[4], "move_to_local(0, 0)");
  }
  bpf_link__destroy(link);
  bpf_object__close(object);
  Region::get().free_pages(ctx);
  Region::get().free_pages(task);
}

}  // namespace
}  // namespace uscx::bpf
