// SPDX-License-Identifier: GPL-2.0-only
#include "bridge/env.h"

#include <linux/bpf.h>

#include "bpf/exec/exec.h"
#include "bpf/exec/program.h"
#include "bpf/object/prog.h"
#include "bridge/host.h"
#include "bridge/kernel_variables.h"
#include "bridge/scx_ops.h"
#include "bridge/trace_hooks.h"
#include "machine/explore_hooks.h"
#include "sched/cgroup.h"
#include "sched/ext/ext_sched.h"

namespace uscx::bridge {

KernelEnv::KernelEnv(Host &host)
    : host_(host),
      variables_(std::make_unique<KernelVariables>(host.kernel())),
      trace_hooks_(std::make_unique<TraceHookRunner>(host)),
      random_(host.machine().seed(), "bpf_get_prandom_u32") {}

KernelEnv::~KernelEnv() {
  for (auto &[id, timer] : timers_) host_.machine().cancel_timer(timer->event);
}

bool KernelEnv::is_live(bpf::ObjectType type, const void *object) const {
  switch (type) {
    case bpf::ObjectType::kTask: return KernelObjects::is_live(sched::ObjectType::kTask, object);
    case bpf::ObjectType::kCgroup: return KernelObjects::is_live(sched::ObjectType::kCgroup, object);
    case bpf::ObjectType::kCpumask: return KernelObjects::is_live_cpumask(object);
    case bpf::ObjectType::kRq: return KernelObjects::is_live(sched::ObjectType::kRq, object);
    case bpf::ObjectType::kBpfCpumask: return false;  // BpfSystem's own.
  }
  return false;
}

u64 KernelEnv::now_ns() { return machine::now_ns(); }
u64 KernelEnv::jiffies64() { return host_.machine().jiffies(); }
u64 KernelEnv::ns_per_jiffy() { return host_.machine().tick_ns(); }
u32 KernelEnv::cpu() { return machine::exec().on_cpu ? machine::this_cpu() : user_cpu_; }
u32 KernelEnv::nr_cpu_ids() { return host_.kernel().nr_cpus(); }

sched::Task &KernelEnv::current() {
  // In host context the caller is a user-space program, which stands for init as long as programs are not tasks.
  return machine::exec().on_cpu ? *host_.kernel().this_rq().curr : host_.kernel().init_task();
}

void *KernelEnv::current_task() { return &current().ts; }
u64 KernelEnv::current_pid_tgid() {
  const task_struct &ts = current().ts;
  return static_cast<u64>(static_cast<u32>(ts.tgid)) << 32 | static_cast<u32>(ts.pid);
}
const char *KernelEnv::current_comm() { return current().ts.comm; }
u32 KernelEnv::random_u32() {
  std::lock_guard hold(random_lock_);
  return static_cast<u32>(random_.next());
}

bool KernelEnv::defer_free(bpf::Deferred &item) {
  if (!machine::concurrent()) return false;
  host_.kernel().rcu().call([&item] { item.free(item); });
  return true;
}

void KernelEnv::trace_print(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  host_.machine().trace(trace::EventType::bpf_print, host_.tracer().text(text));
  if (on_print) on_print(now_ns(), std::string(text));
}

void KernelEnv::kernel_log(std::string_view line) { host_.kernel().log(std::string(line)); }

bool KernelEnv::alloc_fails(machine::AllocSite site) { return host_.ext().alloc_faults().strikes(site); }
void KernelEnv::watch_hooks() { trace_hooks_->watch(host_.system().hooks()); }
void *KernelEnv::ksym_address(std::string_view name) { return variables_->address(name); }
void *KernelEnv::per_cpu_address(void *variable, u32 cpu) { return variables_->per_cpu(variable, cpu); }

void KernelEnv::timer_event(machine::SimEvent &event) {
  Timer &timer = *static_cast<Timer *>(event.owner);
  machine::charge(machine::Cost::timer_irq);
  timer.env->host_.system().timer_fired(timer.id);
}

void KernelEnv::timer_arm(bpf::TimerId id, u64 expires_ns, s32 cpu) {
  std::unique_ptr<Timer> &timer = timers_[id];
  if (!timer) {
    timer = std::make_unique<Timer>();
    timer->env = this;
    timer->id = id;
    timer->event.fn = timer_event;
    timer->event.owner = timer.get();
  }
  host_.machine().cancel_timer(timer->event);
  timer->event.cpu = cpu >= 0 ? static_cast<u32>(cpu) : this->cpu();
  host_.machine().arm_timer(timer->event, std::max(expires_ns, now_ns()));
}

void KernelEnv::program_aborted(bpf::Prog &prog, const bpf::Abort &abort) {
  sched::ExtSched *sched = prog.assoc_map() ? SchedExtType::sched_of(prog.assoc_map()) : host_.ext().root();
  if (!sched || sched->exiting() || !machine::exec().on_cpu) return Env::program_aborted(prog, abort);
  std::string message = fmt::format("callback of {}: {}", prog.name(), abort.message);
  if (abort.reason == bpf::AbortReason::kBudget) message += "; " + host_.ext().soft_lockup();
  host_.ext().error(*sched, message);
}

void KernelEnv::arena_store_skipped(const bpf::Program &program, u32 insn, u64 address, u64 count) {
  const std::string place = program.name() + ": " + program.place(insn);
  host_.machine().trace(trace::EventType::arena_skip, host_.tracer().text(place), address, count);
  Env::arena_store_skipped(program, insn, address, count);
}

u32 KernelEnv::nr_node_ids() { return host_.machine().topology().nr_nodes(); }
u32 KernelEnv::node_of(u32 cpu) { return host_.machine().topology().node_of(cpu); }

u64 KernelEnv::busy_ns(u32 cpu) {
  const sched::Rq &rq = host_.kernel().rq(cpu);
  const bool idle_now = rq.curr == rq.idle;
  const u64 now = now_ns();
  const u64 idle_ns = rq.idle_ns + (idle_now && now > rq.idle_since_ns ? now - rq.idle_since_ns : 0);
  return now > idle_ns ? now - idle_ns : 0;
}

void *KernelEnv::next_task(const void *task) {
  // The kernel's list begins with CPU 0's idle task.
  sched::Kernel &kernel = host_.kernel();
  task_struct *first = &kernel.rq(0).idle->ts;
  if (task == nullptr) return first;
  bool take = task == first;
  void *next = nullptr;
  kernel.for_each_task([&](sched::Task &p) {
    if (take && next == nullptr) next = &p.ts;
    take |= &p.ts == task;
  });
  return next;
}

// A group has a state of its own and one of its cpu controller; a walk of one kind stays among them.
void *KernelEnv::next_css(void *start, void *at, u32 order) {
  auto *css = static_cast<cgroup_subsys_state *>(start);
  const bool self = css == &css->cgroup->self;
  sched::CgroupTree &tree = host_.kernel().cgroups();
  sched::Cgroup &first = tree.of(css->cgroup);
  const sched::CssOrder walk = order == BPF_CGROUP_ITER_ANCESTORS_UP       ? sched::CssOrder::kUp
                               : order == BPF_CGROUP_ITER_DESCENDANTS_POST ? sched::CssOrder::kPost
                                                                           : sched::CssOrder::kPre;
  sched::Cgroup *group = at ? &tree.of(static_cast<cgroup_subsys_state *>(at)->cgroup) : nullptr;
  do group = tree.next(first, group, walk);
  while (group && !self && !group->own_group);
  if (!group) return nullptr;
  return self ? &group->abi->self : &group->own_group->ts.css;
}

void KernelEnv::release_object(bpf::ObjectType type, void *object) {
  if (type == bpf::ObjectType::kTask) host_.kernel().put_task(*sched::task_of(static_cast<task_struct *>(object)));
  if (type == bpf::ObjectType::kCgroup)
    host_.kernel().cgroups().put(sched::CgroupTree::of(static_cast<cgroup *>(object)));
}

// A program that queues work may hold an rq lock, under which no thread can be woken: an event does it.
void KernelEnv::work_queue(bpf::TimerId id) {
  timer_arm(id, now_ns(), -1);
  Timer &timer = *timers_.at(id);
  timer.event.fn = work_event;
  if (!timer.work.fn) timer.work.fn = [this, id](sched::KthreadApi &) { host_.system().timer_fired(id); };
}

void KernelEnv::work_event(machine::SimEvent &event) {
  Timer &timer = *static_cast<Timer *>(event.owner);
  timer.env->host_.kernel().works().queue_on(event.cpu, timer.work);
}

bool KernelEnv::timer_cancel(bpf::TimerId id) {
  const auto it = timers_.find(id);
  if (it == timers_.end() || !it->second->event.queued()) return false;
  host_.machine().cancel_timer(it->second->event);
  return true;
}

}  // namespace uscx::bridge
