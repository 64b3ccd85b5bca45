// SPDX-License-Identifier: GPL-2.0-only
// The debug dump (docs/reference/core.md, section 15): the machine's state as the kernel prints it when a scheduler
// fails. Runs in an irq_work; takes each rq's lock in turn. Every line also goes to the trace.
#include <cstring>
#include <string_view>

#include "sched/cgroup.h"
#include "sched/ext/impl.h"

namespace uscx::sched {

namespace {

constexpr std::string_view kTruncated = "\n\n~~~~ TRUNCATED ~~~~\n";
constexpr size_t kLineBytes = 1024;  // What a scheduler prints without a newline is cut into lines of this size.

char state_char(const Task &p) {
  if (p.state() & TASK_DEAD) return 'X';
  if (p.state() & TASK_UNINTERRUPTIBLE) return 'D';
  return p.state() & TASK_INTERRUPTIBLE ? 'S' : 'R';
}

}  // namespace

struct Ext::Impl::DumpState {
  Impl &impl;
  scx_dump_ctx *ctx;
  std::string out;
  u64 at_jiffies = 0;
  // Output of the operation that is running.
  std::string prefix;
  std::string partial;
  bool first = true;
  bool printed = false;

  void line(const std::string &text = "") {
    out += text;
    out += '\n';
    impl.trace(EventType::dump, impl.trace_text(text));
  }
  void ops_line() {
    if (first) line();
    first = false;
    printed = true;
    line(prefix + partial);
    partial.clear();
  }
  void ops_text(std::string_view text) {
    for (char c : text) {
      if (c != '\n') partial += c;
      if (c == '\n' || partial.size() == kLineBytes) ops_line();
    }
  }
  template <typename Fn>
  void ops_block(const char *with_prefix, Fn fn) {
    prefix = with_prefix;
    first = true;
    printed = false;
    fn();
    if (!partial.empty()) ops_line();
  }
};

void Ext::Impl::dump_task(DumpState &d, ExtSched &s, Rq &rq, Task &p, char marker) {
  const sched_ext_entity &scx = p.ts.scx;
  const s64 waited_jiffies = static_cast<s64>(scx.runnable_at - d.at_jiffies);
  const u64 word = opss::load(p);
  const Dsq *dsq = p.dsq;
  const bool own = p.ext_sched == &s;
  d.line();
  d.line(fmt::format(" {}{} {} {}{} {:+}ms", marker, state_char(p), task_label(p), own ? "*" : "", p.ext_sched->label,
                     waited_jiffies * 1000 / static_cast<s64>(machine.hz())));
  d.line(fmt::format("      scx_state/flags={}/0x{:x} dsq_flags=0x{:x} ops_state/qseq={}/{}",
                     task_state(p) >> SCX_TASK_STATE_SHIFT, p.scx_flags() & ~static_cast<u32>(SCX_TASK_STATE_MASK),
                     scx.dsq_flags, opss::state(word), word >> SCX_OPSS_QSEQ_SHIFT));
  d.line(fmt::format("      sticky/holding_cpu={}/{} dsq_id={}", scx.sticky_cpu, p.holding_cpu(),
                     dsq ? fmt::format("0x{:x}", dsq->id.get()) : "(n/a)"));
  d.line(
      fmt::format("      dsq_vtime={} slice={} weight={}", machine::racy_load(scx.dsq_vtime), p.slice(), scx.weight));
  d.line(fmt::format("      cpus={} no_mig={}", machine::MaskView(p.allowed->bits, kernel.nr_cpus()).to_hex(),
                     p.migration_disabled()));
  if (own && s.has(Op::dump_task))
    d.ops_block("    ", [&] { call(Op::dump_task, &rq, &p, [&] { s.ops.dump_task(d.ctx, &p.ts); }); });
}

void Ext::Impl::dump_cpu_fields(DumpState &d, Rq &rq) {
  const scx_rq &scx = rq.shared->scx;
  d.line();
  d.line(fmt::format("CPU {:<4}: nr_run={} flags=0x{:x} cpu_rel={} ksync={}", rq.cpu, scx.nr_running, scx.flags,
                     static_cast<int>(scx.cpu_released), machine::racy_load(scx.kick_sync)));
  d.line(fmt::format("          curr={} class={}", task_label(*rq.curr), rq.curr->sched_class->symbol()));
  const std::pair<const char *, const machine::OwnedMask *> masks[] = {{"cpus_to_kick   ", &rq.ext.to_kick},
                                                                       {"idle_to_kick   ", &rq.ext.idle_to_kick},
                                                                       {"cpus_to_preempt", &rq.ext.to_preempt},
                                                                       {"cpus_to_wait   ", &rq.ext.to_wait},
                                                                       {"cpus_to_sync   ", &rq.ext.to_sync}};
  for (auto [name, mask] : masks)
    if (rq.ext.kick_masks_sized && !mask->view().empty()) d.line(fmt::format("  {}: {}", name, mask->view().to_hex()));
}

void Ext::Impl::dump_cpu(DumpState &d, ExtSched &s, Rq &rq) {
  RqGuard guard(rq);
  const bool is_idle = rq.ext.runnable_list.read().empty() && rq.curr == rq.idle;
  if (is_idle && !s.has(Op::dump_cpu)) return;
  const size_t before = d.out.size();
  dump_cpu_fields(d, rq);
  if (s.has(Op::dump_cpu)) {
    d.ops_block("  ", [&] {
      call(Op::dump_cpu, &rq, nullptr, [&] { s.ops.dump_cpu(d.ctx, static_cast<s32>(rq.cpu), is_idle); });
    });
    if (is_idle && !d.printed) return d.out.resize(before);
  }
  // A sub-scheduler's end concerns its own tasks and those of its children.
  if (in_ext(rq.curr) && rq.curr->ext_sched->is_below(s)) dump_task(d, s, rq, *rq.curr, '*');
  for (Task &p : rq.ext.runnable_list.read())
    if (p.ext_sched->is_below(s)) dump_task(d, s, rq, p, ' ');
}

void Ext::Impl::dump(ExtSched &s, const ExitRecord &record, size_t capacity, std::string *out) {
  machine::SpinGuard guard(dump_lock);
  const std::string reason = record.reason.substr(0, sizeof(ArgScratch::dump_reason) - 1);
  std::memcpy(args().dump_reason, reason.c_str(), reason.size() + 1);
  args().dump = {.kind = static_cast<scx_exit_kind>(record.kind),
                 .exit_code = record.exit_code,
                 .reason = args().dump_reason,
                 .at_ns = now_ns(),
                 .at_jiffies = kernel.jiffies()};
  DumpState d{*this, &args().dump};
  d.at_jiffies = kernel.jiffies();
  dumping = &d;
  dumping_cpu = this_cpu();

  d.line(fmt::format("{}: {}{}", s.name, s.label, s.parent ? " " + kernel.cgroups().path(*s.cgroup) : ""));
  if (record.kind == SCX_EXIT_NONE) {
    d.line("Debug dump triggered by SysRq-D");
  } else {
    const std::string where = record.exit_cpu >= 0 ? fmt::format(" on CPU {}", record.exit_cpu) : "";
    d.line(fmt::format("{} triggered exit kind {}{}:", task_label(*kernel.this_rq().curr), record.kind, where));
    d.line(fmt::format("  {} ({})", record.reason, record.msg));
    if (!record.backtrace.empty()) {
      d.line();
      d.line("Backtrace:");
      for (const std::string &frame : record.backtrace) d.line("  " + frame);
    }
  }
  if (s.has(Op::dump)) d.ops_block("", [&] { call(Op::dump, nullptr, nullptr, [&] { s.ops.dump(d.ctx); }); });
  d.line();
  d.line("CPU states");
  d.line("----------");
  // The CPU on which it happened comes first.
  if (record.exit_cpu >= 0) dump_cpu(d, s, kernel.rq(static_cast<u32>(record.exit_cpu)));
  for (u32 cpu = 0; cpu < kernel.nr_cpus(); cpu++)
    if (static_cast<s32>(cpu) != record.exit_cpu) dump_cpu(d, s, kernel.rq(cpu));
  d.line();
  d.line("Event counters");
  d.line("--------------");
  scx_event_stats events;
  sum_events(s, &events);
  for (const EventName &event : kEventNames) d.line(fmt::format("{:>40}: {:>16}", event.name, events.*event.counter));

  dumping_cpu = ~0u;
  dumping = nullptr;
  if (d.out.size() >= capacity && capacity > kTruncated.size()) {
    d.out.resize(capacity - 1 - kTruncated.size());
    d.out += kTruncated;
  }
  *out = std::move(d.out);
}

void Ext::dump_text(ExtSched &s, const std::string &text) {
  Impl &impl = *impl_;
  if (impl.dumping_cpu != this_cpu())
    return impl.error(s, "scx_bpf_dump() must only be called from ops.dump() and friends");
  impl.dumping->ops_text(text);
}

}  // namespace uscx::sched
