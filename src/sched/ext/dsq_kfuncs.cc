// SPDX-License-Identifier: GPL-2.0-only
// What the kfuncs of insertion, dispatch and DSQ management do (docs/reference/kfuncs.md). They are called from
// operations, and some from outside of any; context() says which locks are held.
#include <cerrno>
#include <cstring>

#include "sched/ext/impl.h"
#include "sched/ext/iter.h"

namespace uscx::sched {

namespace {

bool is_local_id(u64 dsq_id) { return dsq_id == SCX_DSQ_LOCAL || (dsq_id & SCX_DSQ_LOCAL_ON) == SCX_DSQ_LOCAL_ON; }

}  // namespace

// SCX_ENQ_IMMED is for local DSQs only; a scheduler may ask for it on all of them.
bool Ext::Impl::vet_enq_flags(ExtSched &s, u64 dsq_id, u64 *enq_flags) {
  if (is_local_id(dsq_id)) {
    if (s.flag(SCX_OPS_ALWAYS_ENQ_IMMED)) *enq_flags |= SCX_ENQ_IMMED;
    return true;
  }
  if (!(*enq_flags & SCX_ENQ_IMMED)) return true;
  error(s, fmt::format("SCX_ENQ_IMMED on a non-local DSQ 0x{:x}", dsq_id));
  return false;
}

// --- insertion ---

bool Ext::Impl::insert_preamble(ExtSched &s, Task &p, u64 dsq_id, u64 *enq_flags) {
  machine::explore_point();
  if (*enq_flags & __SCX_ENQ_INTERNAL_MASK) {
    error(s, fmt::format("invalid enq_flags 0x{:x}", *enq_flags));
    return false;
  }
  if (p.ext_sched != &s) {
    count(s, &scx_event_stats::SCX_EV_INSERT_NOT_OWNED);
    return false;
  }
  return vet_enq_flags(s, dsq_id, enq_flags);
}

void Ext::Impl::insert_commit(ExtSched &s, Task &p, u64 dsq_id, u64 enq_flags) {
  PerCpu &here = cpus[this_cpu()];
  if (here.ddsp_task) {
    if (here.ddsp_task != &p)
      return error(s, fmt::format("scheduling for {} but trying to direct-dispatch {}", task_label(*here.ddsp_task),
                                  task_label(p)));
    if (p.ts.scx.ddsp_dsq_id != SCX_DSQ_INVALID)
      return error(s, fmt::format("{} already direct-dispatched", task_label(p)));
    p.ts.scx.ddsp_dsq_id = dsq_id;
    p.ts.scx.ddsp_enq_flags = enq_flags;
    here.ddsp_site = site_here();
    trace(EventType::scx_direct_dispatch, static_cast<u64>(p.pid()), dsq_id, enq_flags);
    return;
  }
  SchedCpu &cpu = s.cpus[this_cpu()];
  if (cpu.buffered == s.max_batch) return error(s, "dispatch buffer overflow");
  cpu.buffer[cpu.buffered++] = {&p, opss::qseq(opss::load(p)), dsq_id, enq_flags, site_here()};
}

bool Ext::dsq_insert(ExtSched &s, Task &p, u64 dsq_id, u64 slice, u64 enq_flags) {
  if (!impl_->insert_preamble(s, p, dsq_id, &enq_flags)) return false;
  p.set_slice(slice ? slice : p.slice() ? p.slice() : 1);
  impl_->insert_commit(s, p, dsq_id, enq_flags);
  return true;
}

bool Ext::dsq_insert_vtime(ExtSched &s, Task &p, u64 dsq_id, u64 slice, u64 vtime, u64 enq_flags) {
  if (!impl_->insert_preamble(s, p, dsq_id, &enq_flags)) return false;
  p.set_slice(slice ? slice : p.slice() ? p.slice() : 1);
  machine::racy_store(p.ts.scx.dsq_vtime, vtime);
  impl_->insert_commit(s, p, dsq_id, enq_flags | SCX_ENQ_DSQ_PRIQ);
  return true;
}

u32 Ext::dispatch_nr_slots(ExtSched &s) { return s.max_batch - s.cpus[this_cpu()].buffered; }

void Ext::dispatch_cancel(ExtSched &s) {
  SchedCpu &cpu = s.cpus[this_cpu()];
  if (cpu.buffered)
    cpu.buffered--;
  else
    impl_->error(s, "dispatch buffer underflow");
}

bool Ext::dsq_move_to_local(ExtSched &s, u64 dsq_id, u64 enq_flags) {
  Impl &impl = *impl_;
  if (!impl.vet_enq_flags(s, SCX_DSQ_LOCAL, &enq_flags)) return false;
  CallContext *here = context();
  if (!here || !here->locked_rq) return false;
  Rq &rq = *here->locked_rq;
  impl.flush_dispatch_buffer(s, rq);
  Dsq *dsq = s.dsqs.find(dsq_id);
  if (!dsq) {
    impl.error(s, fmt::format("invalid DSQ ID 0x{:016x}", dsq_id));
    return false;
  }
  if (!impl.consume(s, rq, *dsq, enq_flags)) return false;
  s.cpus[rq.cpu].nr_dispatched++;
  return true;
}

// --- management ---

s32 Ext::create_dsq(ExtSched &s, u64 dsq_id, s32 node) {
  if (dsq_id & SCX_DSQ_FLAG_BUILTIN) return -EINVAL;
  if (node < -1 || node >= static_cast<s32>(impl_->machine.topology().nr_nodes())) return -EINVAL;
  if (s.dsqs.find(dsq_id)) return -EEXIST;
  if (impl_->alloc_faults.strikes(AllocSite::user_dsq)) return -ENOMEM;
  auto dsq = std::make_unique<Dsq>(dsq_id);
  dsq->sched = &s;
  std::shared_ptr<void> replaced;
  const bool inserted = s.dsqs.insert(std::move(dsq), &replaced);
  if (replaced) impl_->kernel.rcu().call([replaced] {});
  return inserted ? 0 : -EEXIST;
}

void Ext::destroy_dsq(ExtSched &s, u64 dsq_id) {
  Impl &impl = *impl_;
  Dsq *dsq = s.dsqs.find(dsq_id);
  if (!dsq) return;
  impl.lock_dsq(*dsq);
  const u32 nr = dsq->nr.load();
  // Null if another CPU has destroyed it meanwhile; there may be a new one of the same id by now.
  std::unique_ptr<Dsq> removed = nr ? nullptr : s.dsqs.remove(*dsq);
  if (removed) dsq->id = SCX_DSQ_INVALID;
  impl.unlock_dsq(*dsq);
  if (nr) return impl.error(s, fmt::format("attempting to destroy in-use dsq 0x{:016x} (nr={})", dsq_id, nr));
  if (!removed) return;
  // Others may still look at it, and this may be no place to start a grace period: the irq_work does.
  impl.cpus[this_cpu()].dead_dsqs.push_back(std::move(removed));
  impl.machine.raise_irq_work(this_cpu());
}

s32 Ext::dsq_nr_queued(ExtSched &s, u64 dsq_id) {
  Impl &impl = *impl_;
  if (dsq_id == SCX_DSQ_LOCAL) {
    CallContext *here = context();
    Rq &rq = here && here->locked_rq ? *here->locked_rq : impl.kernel.this_rq();
    return static_cast<s32>(rq.ext.local_dsq.nr.load());
  }
  if (is_local_id(dsq_id)) {
    const s32 cpu = impl.local_on_cpu(s, dsq_id);
    return cpu >= 0 ? static_cast<s32>(impl.kernel.rq(static_cast<u32>(cpu)).ext.local_dsq.nr.load()) : -ENOENT;
  }
  Dsq *dsq = s.dsqs.find(dsq_id);
  return dsq ? static_cast<s32>(dsq->nr.load()) : -ENOENT;
}

Task *Ext::dsq_peek(ExtSched &s, u64 dsq_id) {
  if (dsq_id & SCX_DSQ_FLAG_BUILTIN) {
    impl_->error(s, fmt::format("peek disallowed on builtin DSQ 0x{:x}", dsq_id));
    return nullptr;
  }
  Dsq *dsq = s.dsqs.find(dsq_id);
  if (!dsq) {
    impl_->error(s, fmt::format("peek on non-existent DSQ 0x{:x}", dsq_id));
    return nullptr;
  }
  return dsq->first_task;
}

void Ext::dsq_reenq(ExtSched &s, u64 dsq_id, u64 flags) {
  Impl &impl = *impl_;
  if (flags & ~__SCX_REENQ_USER_MASK) return impl.error(s, fmt::format("invalid SCX_REENQ flags 0x{:x}", flags));
  if (s.bypassing(this_cpu())) return;
  CallContext *here = context();
  Rq &this_rq = impl.kernel.this_rq();
  if (is_local_id(dsq_id)) {
    const s32 cpu = dsq_id == SCX_DSQ_LOCAL
                        ? static_cast<s32>((here && here->locked_rq ? here->locked_rq : &this_rq)->cpu)
                        : impl.local_on_cpu(s, dsq_id);
    if (cpu < 0) return;
    Rq &rq = impl.kernel.rq(static_cast<u32>(cpu));
    impl.ask_reenq_local(rq, &s);
    rq.ext.deferred_pending = true;
    impl.machine.raise_irq_work(rq.cpu);
    return;
  }
  if ((dsq_id & SCX_DSQ_FLAG_BUILTIN)) return impl.error(s, fmt::format("DSQ 0x{:x} not allowed for reenq", dsq_id));
  if (!s.dsqs.find(dsq_id)) return impl.error(s, fmt::format("non-existent DSQ 0x{:x}", dsq_id));
  {
    machine::SpinGuard guard(this_rq.ext.reenq_lock);
    for (const UserReenq &pending : this_rq.ext.reenq_users.read())
      if (pending.sched == &s && pending.dsq_id == dsq_id) return;
    this_rq.ext.reenq_users.write().push_back({&s, dsq_id});
  }
  this_rq.ext.deferred_pending = true;
  impl.machine.raise_irq_work(this_rq.cpu);
}

u32 Ext::reenqueue_local() {
  CallContext *here = context();
  ExtSched *s = impl_->root;
  if (!here || !here->locked_rq || !s) return 0;
  return impl_->reenq_local(*here->locked_rq, {s});
}

// --- iterators ---

namespace {

struct IterHandle {
  u32 slot_plus_one;
  u32 generation;
};
static_assert(sizeof(IterHandle) <= sizeof(bpf_iter_scx_dsq));

void write_handle(void *storage, IterHandle handle) {
  std::memset(storage, 0, sizeof(bpf_iter_scx_dsq));
  std::memcpy(storage, &handle, sizeof(handle));
}

}  // namespace

DsqIter *Ext::Impl::iter_of(const void *storage) {
  IterHandle handle;
  std::memcpy(&handle, storage, sizeof(handle));
  machine::SpinGuard guard(iters_lock);
  if (!handle.slot_plus_one || handle.slot_plus_one > iters->slots.size()) return nullptr;
  DsqIter &iter = iters->slots[handle.slot_plus_one - 1];
  return iter.dsq && iter.generation == handle.generation ? &iter : nullptr;
}

s32 Ext::iter_new(ExtSched *s, void *storage, u64 dsq_id, u64 flags) {
  Impl &impl = *impl_;
  write_handle(storage, {});
  if (!s) return -ENODEV;
  if (flags & ~static_cast<u64>(__SCX_DSQ_ITER_USER_FLAGS)) return -EINVAL;
  Dsq *dsq = (dsq_id & SCX_DSQ_FLAG_BUILTIN) ? nullptr : s->dsqs.find(dsq_id);
  if (!dsq) return -ENOENT;
  Impl::IterPool &pool = *impl.iters;
  machine::SpinGuard guard(impl.iters_lock);
  if (pool.free_slots.empty()) {
    pool.slots.emplace_back();
    pool.free_slots.push_back(static_cast<u32>(pool.slots.size() - 1));
  }
  const u32 slot = pool.free_slots.back();
  pool.free_slots.pop_back();
  DsqIter &iter = pool.slots[slot];
  iter.dsq = dsq;
  iter.sched = s;
  iter.snapshot_seq = dsq->seq;
  iter.flags = flags;
  write_handle(storage, {slot + 1, iter.generation});
  return 0;
}

// The cursor stands behind the task that was returned last. Later arrivals are skipped by their sequence number.
Task *Ext::iter_next(void *storage) {
  Impl &impl = *impl_;
  DsqIter *iter = impl.iter_of(storage);
  if (!iter) return nullptr;
  Dsq &dsq = *iter->dsq;
  const bool reverse = iter->flags & SCX_DSQ_ITER_REV;
  impl.lock_dsq(dsq);
  const bool started = iter->in_list;
  DsqList &nodes = dsq.list.write();  // The cursor moves.
  auto it = started ? nodes.iterator_to(iter->cursor) : nodes.end();
  Task *found = nullptr;
  for (;;) {
    if (reverse) {
      if (it == nodes.begin()) break;
      --it;
    } else {
      it = it == nodes.end() ? nodes.begin() : std::next(it);
      if (it == nodes.end()) break;
    }
    if (it->is_cursor) continue;
    Task &p = task_of(*it);
    if (static_cast<s32>(p.ts.scx.dsq_seq - iter->snapshot_seq) > 0) continue;
    found = &p;
    break;
  }
  if (found) {
    if (started) nodes.erase(nodes.iterator_to(iter->cursor));
    auto at = nodes.iterator_to(found->dsq_node);
    nodes.insert(reverse ? at : std::next(at), iter->cursor);
    iter->in_list = true;
  }
  impl.unlock_dsq(dsq);
  return found;
}

void Ext::iter_destroy(void *storage) {
  Impl &impl = *impl_;
  DsqIter *iter = impl.iter_of(storage);
  IterHandle handle;
  std::memcpy(&handle, storage, sizeof(handle));
  write_handle(storage, {});
  if (!iter) return;
  if (std::exchange(iter->in_list, false)) {
    impl.lock_dsq(*iter->dsq);
    DsqList &nodes = iter->dsq->list.write();
    nodes.erase(nodes.iterator_to(iter->cursor));
    impl.unlock_dsq(*iter->dsq);
  }
  machine::SpinGuard guard(impl.iters_lock);
  iter->dsq = nullptr;
  iter->generation++;
  impl.iters->free_slots.push_back(handle.slot_plus_one - 1);
}

void Ext::move_set_slice(void *storage, u64 slice) {
  DsqIter *iter = impl_->iter_of(storage);
  if (!iter) return;
  iter->slice = slice;
  iter->flags |= __SCX_DSQ_ITER_HAS_SLICE;
}

void Ext::move_set_vtime(void *storage, u64 vtime) {
  DsqIter *iter = impl_->iter_of(storage);
  if (!iter) return;
  iter->vtime = vtime;
  iter->flags |= __SCX_DSQ_ITER_HAS_VTIME;
}

// p leaves its DSQ (locked; unlocked on return) for dst. src's lock is held; returns the rq whose lock is held then.
Rq *Ext::Impl::move_between_dsqs(ExtSched &s, Rq &src, Dsq &from, Dsq &target, Task &p, u64 enq_flags) {
  Dsq *to = &target;
  if (to->is_local() && to->rq != &src && !can_run_on(s, p, *to->rq, true)) to = &global_dsq_of(s, p);
  if (to->is_local() && to->rq == &src) {
    move_local(s, src, from, p, enq_flags);
    return &src;
  }
  unlink_from_dsq(from, p);
  p.dsq = nullptr;
  unlock_dsq(from);
  if (to->is_local()) {
    p.set_holding_cpu(static_cast<s32>(this_cpu()));
    move_remote(src, *to->rq, p, enq_flags);
    return to->rq;
  }
  insert(s, *to, p, enq_flags);
  return &src;
}

bool Ext::Impl::owns_moved(ExtSched &s, const Task &p) {
  if (p.ext_sched == &s) return true;
  error(s,
        fmt::format("scx_bpf_dsq_move[_vtime]() on {} but the task belongs to a different scheduler", task_label(p)));
  return false;
}

bool Ext::dsq_move(ExtSched &s, void *storage, Task &p, u64 dsq_id, u64 enq_flags, bool vtime_order) {
  Impl &impl = *impl_;
  DsqIter *iter = impl.iter_of(storage);
  if (!iter || !impl.vet_enq_flags(s, dsq_id, &enq_flags)) return false;
  if (s.aborting) return false;
  if (mutated(Mutation::move_asks_early) && !impl.owns_moved(s, p)) return false;
  CallContext *here = context();
  Rq *const held = here ? here->locked_rq : nullptr;
  Rq &src = impl.kernel.task_rq(p);
  Dsq &from = *iter->dsq;
  Rq *locked = held;
  if (held != &src) {
    if (held) impl.unlock(*held);
    impl.lock(src);
    impl.kernel.update_rq_clock(src);
    locked = &src;
  }
  impl.lock_dsq(from);
  const bool still_there = p.dsq == &from && p.holding_cpu() < 0 && &impl.kernel.task_rq(p) == &src &&
                           static_cast<s32>(p.ts.scx.dsq_seq - iter->snapshot_seq) <= 0;
  // Whose it is says something only of a task that is still there: one that has left may have died since, and is
  // nobody's then.
  const bool moves = still_there && impl.owns_moved(s, p);
  if (!moves) {
    impl.unlock_dsq(from);
  } else {
    if (iter->flags & __SCX_DSQ_ITER_HAS_SLICE) p.set_slice(iter->slice);
    u64 flags = enq_flags | (vtime_order ? u64{SCX_ENQ_DSQ_PRIQ} : 0);
    const u64 vtime = iter->vtime;
    const bool has_vtime = iter->flags & __SCX_DSQ_ITER_HAS_VTIME;
    Dsq &to = impl.find_dsq_for_insert(s, held ? *held : impl.kernel.this_rq(), dsq_id, p, &flags);
    // The tree finds a task by its node, so the key may change while it is still in there.
    if (has_vtime) machine::racy_store(p.ts.scx.dsq_vtime, vtime);
    locked = impl.move_between_dsqs(s, src, from, to, p, flags);
  }
  iter->flags &= ~static_cast<u64>(__SCX_DSQ_ITER_HAS_SLICE | __SCX_DSQ_ITER_HAS_VTIME);
  if (locked != held) {
    impl.unlock(*locked);
    if (held) impl.lock(*held);
  }
  if (moves && held) s.cpus[this_cpu()].nr_dispatched++;
  return moves;
}

}  // namespace uscx::sched
