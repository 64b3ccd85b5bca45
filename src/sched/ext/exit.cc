// SPDX-License-Identifier: GPL-2.0-only
// How a scheduler's end begins (docs/reference/core.md, section 14): whoever claims exit_kind first decides why.
// Claiming works from any context, with any locks held; the rest waits for an irq_work, which dumps the state and wakes
// the helper.
#include "sched/ext/impl.h"

namespace uscx::sched {

namespace {

// The operations that were running on this CPU, innermost first: what a kernel would show as functions.
std::vector<std::string> callback_chain(const CallContext *context, bool cid_form) {
  std::vector<std::string> chain;
  for (; context && chain.size() < SCX_EXIT_BT_LEN; context = context->outer)
    if (context->op)
      chain.push_back(fmt::format("bpf__sched_ext_ops_{}{}", cid_form ? "cid_" : "", op_name(*context->op, cid_form)));
  return chain;
}

}  // namespace

Ext::Impl::VerdictScope::VerdictScope(Impl &impl, const CallSite &site)
    : site(site), context(impl.ext.context()), slot_(impl.cpus[this_cpu()].verdict), outer_(slot_) {
  slot_ = this;
}

Ext::Impl::VerdictScope::~VerdictScope() { slot_ = outer_; }

CallSite Ext::Impl::site_here() {
  if (!call_sites) return {};
  CallSite site = call_sites->here();
  if (const CallContext *const context = ext.context()) site.op = context->op;
  return site;
}

std::string Ext::Impl::error_site(const ExtSched &s) {
  if (!call_sites) return "";
  const VerdictScope *const verdict = cpus[this_cpu()].verdict;
  const bool is_verdict = verdict && verdict->site.code && verdict->context == ext.context();
  const CallSite site = is_verdict ? verdict->site : site_here();
  if (!site.code) return "";
  return fmt::format("{}{}", site.op ? fmt::format("ops.{}: ", op_name(*site.op, s.cid_form())) : "",
                     call_sites->text(site));
}

bool Ext::Impl::claim_exit(ExtSched &s, u32 kind, s64 code, const std::string &msg, s32 cpu) {
  if (mutated(Mutation::exit_not_claimed)) {
    if (s.exiting()) return false;
    s.exit_kind.store(kind);
  } else if (!s.exit_kind.compare_exchange(SCX_EXIT_NONE, kind)) {
    return false;
  }
  s.aborting = true;
  ExitRecord &record = *s.record;
  machine::plain_write(&record, "an exit record");
  record.kind = kind;
  record.exit_code = code;
  record.exit_cpu = cpu;
  record.reason = exit_reason(kind);
  record.msg = msg.substr(0, SCX_EXIT_MSG_LEN - 1);
  // FIDELITY: backtrace.
  if (kind >= SCX_EXIT_ERROR) record.backtrace = callback_chain(ext.context(), s.cid_form());
  if (kind >= SCX_EXIT_ERROR) record.where = error_site(s);
  if (s.parent) {
    trace(EventType::scx_sub_exit, s.cgroup_id, kind, trace_text(record.reason), trace_text(record.msg));
  } else {
    trace(EventType::scx_exit, kind, static_cast<u64>(code), trace_text(record.reason), trace_text(record.msg));
    trace(EventType::scx_exit_cpu, static_cast<u64>(cpu + 1));
  }
  cpus[this_cpu()].exit_irqs.push_back(&s);
  machine.raise_irq_work(this_cpu());
  exit_children(s);
  return true;
}

void Ext::Impl::finish_exit(ExtSched &s) {
  if (s.record->kind >= SCX_EXIT_ERROR && !s.dump_disabled)
    dump(s, *s.record, s.exit_info->dump_capacity(), &s.record->dump);
  s.helper->queue(s.disable_work);
}

void Ext::exit(ExtSched &sched, u32 kind, s64 code, const std::string &msg) {
  impl_->claim_exit(sched, kind, code, msg, static_cast<s32>(this_cpu()));
}

void Ext::sysrq_reset() {
  if (ExtSched *s = impl_->root) exit(*s, SCX_EXIT_SYSRQ, 0, "");
}

std::string Ext::sysrq_dump() {
  std::string text;
  const ExitRecord none;
  ExtSched *root = impl_->root;
  if (!root) return text;
  for (ExtSched *s : impl_->subtree(*root)) {
    std::string part;
    impl_->dump(*s, none, 0, &part);
    text += part;
  }
  return text;
}

}  // namespace uscx::sched
