// SPDX-License-Identifier: GPL-2.0-only
// KernelEnv answers, from the scheduler core, the questions of bpf(2), helpers and generic kfuncs about the machine.
#ifndef USCX_BRIDGE_ENV_H_
#define USCX_BRIDGE_ENV_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/rng.h"
#include "bpf/object/env.h"
#include "machine/event_queue.h"
#include "sched/kernel.h"
#include "sched/work.h"

namespace uscx::bridge {

class Host;
class KernelVariables;
class TraceHookRunner;

class KernelEnv final : public bpf::Env {
 public:
  explicit KernelEnv(Host &host);
  Host &host() { return host_; }
  ~KernelEnv() override;

  bool is_live(bpf::ObjectType type, const void *object) const override;
  u64 now_ns() override;
  u64 jiffies64() override;
  u64 ns_per_jiffy() override;
  u32 cpu() override;
  u32 nr_cpu_ids() override;
  void *current_task() override;
  u64 current_pid_tgid() override;
  const char *current_comm() override;
  u32 random_u32() override;
  void trace_print(std::string_view text) override;
  void kernel_log(std::string_view line) override;
  bool alloc_fails(machine::AllocSite site) override;
  void timer_arm(bpf::TimerId id, u64 expires_ns, s32 cpu) override;
  bool timer_cancel(bpf::TimerId id) override;
  bool defer_free(bpf::Deferred &item) override;
  void *ksym_address(std::string_view name) override;
  void *per_cpu_address(void *variable, u32 cpu) override;
  void work_queue(bpf::TimerId id) override;
  u32 nr_node_ids() override;
  u32 node_of(u32 cpu) override;
  u64 busy_ns(u32 cpu) override;
  void *next_task(const void *task) override;
  void *next_css(void *start, void *at, u32 order) override;
  void release_object(bpf::ObjectType type, void *object) override;
  void map_wakeup(bpf::Object &object) override {
    if (on_wakeup) on_wakeup(object);
  }
  // A scheduler's timer callback went wrong: the scheduler is ejected, as for its operations.
  void program_aborted(bpf::Prog &prog, const bpf::Abort &abort) override;
  void arena_store_skipped(const bpf::Program &program, u32 insn, u64 address, u64 count) override;

  std::function<void(u64, const std::string &)> on_print;
  TraceHookRunner &trace_hooks() { return *trace_hooks_; }
  // From when there is a system.
  void watch_hooks();
  // The CPU that calls from outside of the machine come from.
  void set_user_cpu(u32 cpu) { user_cpu_ = cpu; }
  // What poll() of a descriptor of the object finds may have changed. Called in the middle of a program.
  std::function<void(bpf::Object &)> on_wakeup;

 private:
  struct Timer {
    machine::SimEvent event;
    KernelEnv *env;
    bpf::TimerId id;
    sched::Work work;  // of a bpf_wq
  };
  static void timer_event(machine::SimEvent &event);
  static void work_event(machine::SimEvent &event);
  sched::Task &current();

  Host &host_;
  const std::unique_ptr<KernelVariables> variables_;
  const std::unique_ptr<TraceHookRunner> trace_hooks_;
  std::mutex random_lock_;                                 // a leaf
  Rng random_;                                             // guarded by random_lock_
  std::map<bpf::TimerId, std::unique_ptr<Timer>> timers_;  // under the lock of the table of timers
  u32 user_cpu_ = 0;                                       // set while nothing runs
};

}  // namespace uscx::bridge

#endif  // USCX_BRIDGE_ENV_H_
