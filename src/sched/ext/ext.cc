// SPDX-License-Identifier: GPL-2.0-only
// The face of the sched_ext core: construction, what others may ask at any time, and small things that all its files
// use. Threading: as impl.h says; plain getters may be called from anywhere.
#include "sched/ext/ext.h"

#include <cerrno>
#include <climits>

#include "sched/cgroup.h"
#include "sched/ext/impl.h"
#include "sched/ext/iter.h"

namespace uscx::sched {

#define EVENT(name) \
  { #name, &scx_event_stats::name }
const EventName kEventNames[13] = {
    EVENT(SCX_EV_SELECT_CPU_FALLBACK),
    EVENT(SCX_EV_DISPATCH_LOCAL_DSQ_OFFLINE),
    EVENT(SCX_EV_DISPATCH_KEEP_LAST),
    EVENT(SCX_EV_ENQ_SKIP_EXITING),
    EVENT(SCX_EV_ENQ_SKIP_MIGRATION_DISABLED),
    EVENT(SCX_EV_REENQ_IMMED),
    EVENT(SCX_EV_REENQ_LOCAL_REPEAT),
    EVENT(SCX_EV_REFILL_SLICE_DFL),
    EVENT(SCX_EV_BYPASS_DURATION),
    EVENT(SCX_EV_BYPASS_DISPATCH),
    EVENT(SCX_EV_BYPASS_ACTIVATE),
    EVENT(SCX_EV_INSERT_NOT_OWNED),
    EVENT(SCX_EV_SUB_BYPASS_DISPATCH),
};
#undef EVENT

namespace {

struct OpNames {
  const char *name, *cid_name;
};
constexpr OpNames kOpNames[] = {
#define X(name, cid_name, sleepable, groups, nullable) {#name, #cid_name},
    USCX_SCX_OPS(X)
#undef X
};

constexpr size_t kHandleBytes = 64;
constexpr u64 kMaxTimeoutSeconds = 30;

u64 timeout_jiffies_of(const OpsConfig &config, Kernel &kernel) {
  return config.timeout_ms ? kernel.msecs_to_jiffies(config.timeout_ms) : kMaxTimeoutSeconds * kernel.machine().hz();
}

// What a scheduler has for each CPU is one piece of per-CPU memory in 7.2, struct scx_sched_pcpu, with the dispatch
// buffer at its end; and a piece may have 32 KiB (PCPU_MIN_UNIT_SIZE). Sizes as in the kernel's type information.
constexpr size_t kMaxPerCpuBytes = 32 * 1024;
constexpr size_t kPerCpuHeadBytes = 288, kDispatchEntryBytes = 32;

bool fits_per_cpu(Kernel &kernel, u32 max_batch) {
  const size_t bytes = kPerCpuHeadBytes + size_t{max_batch} * kDispatchEntryBytes;
  if (bytes <= kMaxPerCpuBytes) return true;
  kernel.log(fmt::format("illegal size ({}) or align (8) for percpu allocation", bytes));
  return false;
}

u64 effective_flags(const ExtOps &ops) {
  u64 flags = ops.config().flags;
  if (ops.has(Op::cpu_acquire) || ops.has(Op::cpu_release)) flags |= SCX_OPS_HAS_CPU_PREEMPT;
  return flags;
}

}  // namespace

const char *op_name(Op op, bool cid_form) {
  const OpNames &names = kOpNames[static_cast<u32>(op)];
  return cid_form ? names.cid_name : names.name;
}

int check_ops_name(std::string_view name) {
  if (name.empty() || name.size() >= SCX_OPS_NAME_LEN) return -EINVAL;
  for (char c : name)
    if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' && c != '.')
      return -EINVAL;
  return 0;
}

int check_ops_flags(u64 flags) { return flags & ~SCX_OPS_ALL_FLAGS ? -EINVAL : 0; }

int check_ops_batch(u32 dispatch_max_batch) { return dispatch_max_batch > INT_MAX ? -E2BIG : 0; }

int check_ops_timeout(u32 timeout_ms, u32 hz) {
  return (u64{timeout_ms} * hz + 999) / 1000 > kMaxTimeoutSeconds * hz ? -E2BIG : 0;
}

int check_ops_config(const OpsConfig &config, u32 hz) {
  for (int err : {check_ops_name(config.name), check_ops_flags(config.flags),
                  check_ops_batch(config.dispatch_max_batch), check_ops_timeout(config.timeout_ms, hz)})
    if (err) return err;
  return 0;
}

// --- ExtSched ---

ExtSched::ExtSched(Kernel &k, ExtOps &o, ExtSched *above, Cgroup &group)
    : kernel(k),
      ops(o),
      name(o.config().name),
      ops_flags(effective_flags(o)),
      max_batch(o.config().dispatch_max_batch ? o.config().dispatch_max_batch : u32{SCX_DSP_DFL_MAX_BATCH}),
      timeout_jiffies(timeout_jiffies_of(o.config(), k)),
      parent(above),
      cgroup(&group),
      cgroup_id(group.id()),
      level(above ? above->level + 1 : 0),
      label(above ? fmt::format("sub{}-{}", above->level + 1, group.id()) : "root"),
      handle(static_cast<scx_sched *>(k.objects().alloc(ObjectType::kOther, kHandleBytes))),
      record(std::make_shared<ExitRecord>()) {}

// What is half made goes with the object.
std::unique_ptr<ExtSched> ExtSched::create(Kernel &k, ExtOps &o, ExtSched *parent, Cgroup &cgroup,
                                           AllocFaults &faults) {
  if (faults.strikes(AllocSite::scx_sched)) return nullptr;
  std::unique_ptr<ExtSched> s(new ExtSched(k, o, parent, cgroup));
  for (AllocSite site : {AllocSite::exit_info, AllocSite::exit_bt, AllocSite::exit_msg, AllocSite::exit_dump})
    if (faults.strikes(site)) return nullptr;
  if (o.config().exit_dump_len > INT_MAX) return nullptr;  // More than kvzalloc() gives.
  s->exit_info = std::make_unique<ExitInfo>(k.objects(), o.config().exit_dump_len);
  if (faults.strikes(AllocSite::dsq_hash) || faults.strikes(AllocSite::global_dsqs)) return nullptr;
  const u32 nr_nodes = k.machine().topology().nr_nodes();
  s->global_dsqs = std::make_unique<Dsq[]>(nr_nodes);
  for (u32 node = 0; node < nr_nodes; node++) {
    if (faults.strikes(AllocSite::global_dsq)) return nullptr;
    s->global_dsqs[node].id = SCX_DSQ_GLOBAL;
    s->global_dsqs[node].sched = s.get();
  }
  if (faults.strikes(AllocSite::sched_cpus) || !fits_per_cpu(k, s->max_batch)) return nullptr;
  s->cpus = std::make_unique<SchedCpu[]>(k.nr_cpus());
  for (u32 cpu = 0; cpu < k.nr_cpus(); cpu++)
    if (faults.strikes(AllocSite::bypass_dsq)) return nullptr;
  if (faults.strikes(AllocSite::dispatch_buffers)) return nullptr;
  s->buffers = std::make_unique<DispatchEntry[]>(size_t{s->max_batch} * k.nr_cpus());
  for (u32 cpu = 0; cpu < k.nr_cpus(); cpu++) {
    s->cpus[cpu].buffer = &s->buffers[size_t{cpu} * s->max_batch];
    s->cpus[cpu].bypass_dsq.sched = s.get();
  }
  return s;
}

u64 ExtSched::live_bytes() const {
  const u64 nr_cpus = kernel.nr_cpus();
  return sizeof(ExtSched) + nr_cpus * (sizeof(SchedCpu) + max_batch * sizeof(DispatchEntry)) +
         (kernel.machine().topology().nr_nodes() + dsqs.size()) * sizeof(Dsq);
}

ExtSched::~ExtSched() { kernel.objects().free(ObjectType::kOther, handle, kHandleBytes); }

// --- Impl ---

Ext::Impl::Impl(Ext &e, Kernel &k)
    : ext(e),
      kernel(k),
      machine(k.machine()),
      cpus(k.machine().nr_cpus()),
      idle(k),
      cids(k.machine().topology()),
      hotplug_seq(k.machine().nr_cpus()),
      kick_syncs(k, alloc_faults),
      spinning(std::make_unique<std::atomic<u64>[]>(machine::mask_words(k.machine().nr_cpus()))),
      iters(std::make_unique<IterPool>()) {
  // Once and for all: a work may run while it is queued again.
  watchdog.work.fn = [this](KthreadApi &) { watchdog_work(); };
  bypass_lb.work.fn = [this](KthreadApi &) { bypass_lb_work(); };
  reap_work.fn = [this](KthreadApi &) { reap(); };
  check_in_timer.owner = this;
  check_in_timer.fn = [](machine::SimEvent &event) { static_cast<Impl *>(event.owner)->tick_check(); };
}

Ext::Impl::~Impl() {
  machine.cancel_timer(watchdog.timer);
  machine.cancel_timer(check_in_timer);
  machine.cancel_timer(bypass_lb.timer);
  // The machine is taken down with a scheduler loaded: what it holds goes with it, and the threads with the kernel.
  for (ExtSched *s : all.racy()) delete s;
  for (PerCpu &cpu : cpus)
    if (cpu.args) kernel.objects().free(ObjectType::kOther, cpu.args, sizeof(ArgScratch));
}

ArgScratch &Ext::Impl::args() {
  ArgScratch *&args = cpus[this_cpu()].args;
  if (!args) args = static_cast<ArgScratch *>(kernel.objects().alloc(ObjectType::kOther, sizeof(ArgScratch)));
  return *args;
}

// The rqs exist only after Ext does, so their part is set up when the first scheduler comes.
void Ext::Impl::init_rqs() {
  if (rqs_ready) return;
  rqs_ready = true;
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++) {
    Rq &rq = kernel.rq(cpu);
    rq.ext.local_dsq.rq = &rq;
    rq.ext.local_dsq.guard = &rq.lock;
  }
}

void Ext::Impl::set_state(u32 next) {
  state.store(next);
  trace(EventType::scx_state, next);
}

bool Ext::Impl::cpu_ok(ExtSched &s, s32 cpu, const char *where) {
  if (cpu >= 0 && static_cast<u32>(cpu) < kernel.nr_cpus()) return true;
  error(s, where ? fmt::format("invalid CPU {} {}", cpu, where) : fmt::format("invalid CPU {}", cpu));
  return false;
}

bool Ext::Impl::cid_ok(ExtSched &s, s32 cid) {
  if (cids.built() && cids.valid(cid)) return true;
  error(s, fmt::format("invalid cid {}", cid));
  return false;
}

s32 Ext::Impl::local_on_cpu(ExtSched &s, u64 dsq_id, const char *where) {
  const s32 number = static_cast<s32>(dsq_id & SCX_DSQ_LOCAL_CPU_MASK);
  if (!s.cid_form()) return cpu_ok(s, number, where) ? number : -EINVAL;
  return cid_ok(s, number) ? cids.cpu_of(static_cast<u32>(number)) : -EINVAL;
}

void Ext::Impl::lock_dsq(Dsq &dsq) {
  const u64 before_ns = now_ns();
  dsq.lock.lock();
  const u64 waited_ns = now_ns() - before_ns;
  // On threads the clock itself takes time.
  constexpr u64 kShortWaitNs = 1000;
  if (waited_ns <= (machine::on_threads() ? kShortWaitNs : machine::kCostNs[static_cast<u32>(Cost::spin_lock)])) return;
  if (!dsq.lock_text) dsq.lock_text = trace_text(fmt::format("dsq 0x{:x}", dsq.id));
  trace(EventType::lock_wait, dsq.lock_text, waited_ns);
}

void Ext::Impl::unlock_dsq(Dsq &dsq) { dsq.lock.unlock(); }

void Ext::Impl::sum_events(const ExtSched &s, scx_event_stats *out) const {
  *out = {};
  for (const EventName &event : kEventNames)
    for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++)
      out->*event.counter += machine::racy_load(s.cpus[cpu].events.*event.counter);
}

// --- Ext ---

Ext::Ext(Kernel &kernel) : impl_(std::make_unique<Impl>(*this, kernel)) {}
Ext::~Ext() = default;

bool Ext::enabled() const { return impl_->enabled; }
u32 Ext::state() const { return impl_->state.load(); }
ExtSched *Ext::root() { return impl_->root; }
u64 Ext::nr_rejected() const { return impl_->nr_rejected; }
u64 Ext::enable_seq() const { return impl_->enable_seq; }
u64 Ext::hotplug_seq() const { return impl_->hotplug_seq; }
bool Ext::switched_all() const { return impl_->switched_all; }
AllocFaults &Ext::alloc_faults() { return impl_->alloc_faults; }
void Ext::set_call_sites(const CallSites *sites) { impl_->call_sites = sites; }
u64 Ext::kick_syncs_bytes() const { return impl_->kick_syncs.live_bytes(); }

u64 Ext::live_bytes() const {
  u64 bytes = impl_->kick_syncs.live_bytes() + impl_->kernel.objects().live_bytes();
  for (const ExtSched *s : impl_->all.racy()) bytes += s->live_bytes();
  // Scratch space comes with a CPU's first need and stays.
  for (const Impl::PerCpu &cpu : impl_->cpus) bytes -= cpu.args ? sizeof(ArgScratch) : 0;
  return bytes;
}

void Ext::settle() {
  Impl &impl = *impl_;
  if (!impl.root) impl.run_until_done([&] { return impl.kick_syncs.live_bytes() == 0; });
}
ExtSched *Ext::sched_of(const ExtOps &ops) { return ops.sched_; }
CallContext *Ext::context() { return impl_->cpus[this_cpu()].context; }

const ExitRecord *Ext::last_exit() const { return impl_->last_exit.get(); }

const ExitRecord *Ext::exit_of(const ExtOps &ops) const {
  if (const ExtSched *s = ops.sched_) return s->exiting() ? s->record.get() : nullptr;
  return impl_->last_ops == &ops ? impl_->last_exit.get() : nullptr;
}

bool Ext::should_run_in_ext(const Task &p) const {
  if (!impl_->enabled || impl_->state.load() == SCX_DISABLING || p.no_scheduler) return false;
  return impl_->switching_all || p.ts.policy == SCHED_EXT;
}

int Ext::check_setscheduler(const Task &p, int policy) const {
  const bool becomes_ext = policy == SCHED_EXT && p.ts.policy != SCHED_EXT;
  return impl_->enabled && becomes_ext && machine::racy_load(p.ts.scx.disallow) ? -EACCES : 0;
}

void Ext::update_idle(Rq &rq, bool idle, bool notify) {
  Impl &impl = *impl_;
  ExtSched *s = impl.root;
  if (!s) return;
  const bool update = impl.idle.enabled() && (notify || rq.curr == rq.idle);
  if (update && !mutated(Mutation::idle_told_first)) impl.idle.update(rq.cpu, idle);
  // Masks first: either the scheduler's enqueue sees the bit, or update_idle sees the queued task.
  if (notify && s->has(Op::update_idle) && !s->bypassing(rq.cpu))
    impl.call(Op::update_idle, &rq, nullptr, [&] { s->ops.update_idle(static_cast<s32>(rq.cpu), idle); });
  if (update && mutated(Mutation::idle_told_first)) impl.idle.update(rq.cpu, idle);
}

void Ext::tick_check() { impl_->tick_check(); }

void Ext::irq_work() {
  Impl &impl = *impl_;
  Impl::PerCpu &here = impl.cpus[this_cpu()];
  Rq &rq = impl.kernel.this_rq();
  std::vector<ExtSched *> exits = std::move(here.exit_irqs);
  here.exit_irqs.clear();
  for (ExtSched *s : exits) impl.finish_exit(*s);
  if (rq.ext.kick_irq_pending) impl.run_kicks(rq);
  if (rq.ext.sync_spinning) {
    RqGuard guard(rq);
    impl.continue_sync_wait(rq);
  }
  if (rq.ext.deferred_pending) {
    RqGuard guard(rq);
    impl.kernel.update_rq_clock(rq);
    impl.run_deferred(rq);
  }
  for (std::unique_ptr<Dsq> &dsq : here.dead_dsqs) {
    CHECK(dsq->nr.load() == 0);
    impl.kernel.rcu().call([dead = std::shared_ptr<Dsq>(std::move(dsq))] {});
  }
  here.dead_dsqs.clear();
}

// --- hotplug ---

void Ext::rq_online(Rq &rq) { rq.set_scx_flags(SCX_RQ_ONLINE); }

// What waits for this CPU, wherever it is queued, goes to its local DSQ: there it is found, and pushed away.
void Ext::rq_offline(Rq &rq) {
  rq.clear_scx_flags(SCX_RQ_ONLINE);
  if (!impl_->kernel.cpu_active(rq.cpu)) impl_->cycle_runnable(rq, nullptr);
}

void Ext::cpu_hotplug(u32 cpu, bool online) {
  impl_->hotplug_seq.add(1);
  if (!impl_->root) return;
  impl_->idle.update_topology();
  impl_->hotplug(cpu, online);
}

void Ext::cpu_dead(u32 cpu) { impl_->idle.cpu_dead(cpu); }

// The scheduler's own handler, or an orderly exit that asks user space to load it again.
void Ext::Impl::hotplug(u32 cpu, bool online) {
  ExtSched &s = *root;
  const Op op = online ? Op::cpu_online : Op::cpu_offline;
  if (s.has(op)) {
    call(op, nullptr, nullptr,
         [&] { online ? s.ops.cpu_online(static_cast<s32>(cpu)) : s.ops.cpu_offline(static_cast<s32>(cpu)); });
  } else {
    claim_exit(s, SCX_EXIT_UNREG_KERN, static_cast<s64>(SCX_ECODE_ACT_RESTART | SCX_ECODE_RSN_HOTPLUG),
               fmt::format("cpu {} going {}, exiting scheduler", cpu, online ? "online" : "offline"),
               static_cast<s32>(this_cpu()));
  }
}

// --- invariants ---

// The rq is quiet (between segments): each runnable task is in exactly one place, and the counts agree.
void Ext::verify(Rq &rq) {
  Impl &impl = *impl_;
  if (!impl.rqs_ready) return;
  u32 nr_runnable = 0, nr_local = 0, nr_immed = 0;
  for (Task &p : rq.ext.runnable_list.read()) {
    nr_runnable++;
    CHECK(&impl.kernel.task_rq(p) == &rq && impl.queued(p) && impl.in_ext(&p) && &p != rq.curr, "{}", task_label(p));
    const u64 state = opss::state(opss::load(p));
    const bool in_dsq = p.dsq != nullptr;
    const bool parked = p.ddsp_deferred_node.is_linked();
    const bool in_bpf = state == SCX_OPSS_QUEUED;
    CHECK(in_dsq + parked + in_bpf == 1, "{} is in {} places (dsq {} parked {} bpf {})", task_label(p),
          in_dsq + parked + in_bpf, in_dsq, parked, in_bpf);
    CHECK(in_bpf || state == SCX_OPSS_NONE, "{} has ops_state {}", task_label(p), state);
    CHECK(p.dsq_node.hook.is_linked() == in_dsq, "{}", task_label(p));
    CHECK(p.holding_cpu() == -1 && p.ts.scx.sticky_cpu == -1, "{}", task_label(p));
    if (in_dsq && p.dsq->is_local()) CHECK(p.dsq == &rq.ext.local_dsq, "{}", task_label(p));
  }
  for (Task *p = rq.ext.local_dsq.first(); p; p = rq.ext.local_dsq.next(*p)) {
    nr_local++;
    nr_immed += (p->scx_flags() & SCX_TASK_IMMED) != 0;
    CHECK(p->runnable_node.is_linked() && p->dsq == &rq.ext.local_dsq, "{}", task_label(*p));
  }
  CHECK(nr_local == rq.ext.local_dsq.nr.load() && nr_immed == rq.ext.nr_immed, "CPU {}", rq.cpu);
  const u32 running = impl.in_ext(rq.curr) && impl.queued(*rq.curr);
  CHECK(rq.shared->scx.nr_running == nr_runnable + running, "CPU {}: {} != {} + {}", rq.cpu, rq.shared->scx.nr_running,
        nr_runnable, running);
  CHECK(!(rq.scx_flags() & (SCX_RQ_IN_BALANCE | SCX_RQ_IN_WAKEUP)), "CPU {}", rq.cpu);
}

}  // namespace uscx::sched
