// SPDX-License-Identifier: GPL-2.0-only
// The layouts of Linux 7.2 that programs and libbpf rely on without CO-RE, as plain numbers.
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <sched.h>
#include <sys/socket.h>

#include <cstddef>

#include "abi/kernel.h"
#include "abi/trace.h"

namespace {

#define EXPECT_AT(type, member, offset) EXPECT_EQ(offsetof(type, member), static_cast<size_t>(offset))

// Slots of both forms of the table, in order; the same list gives the offsets.
// clang-format off
#define COMMON_SLOTS_A(X) \
  X(enqueue)              \
  X(dequeue)              \
  X(dispatch) X(tick) X(runnable) X(running) X(stopping) X(quiescent) X(yield) X(core_sched_before) X(set_weight)
#define COMMON_SLOTS_B(X) X(init_task) X(exit_task) X(enable) X(disable) X(dump)
#define COMMON_SLOTS_C(X)                                                                               \
  X(cgroup_init)                                                                                        \
  X(cgroup_exit)                                                                                        \
  X(cgroup_prep_move) X(cgroup_move) X(cgroup_cancel_move) X(cgroup_set_weight) X(cgroup_set_bandwidth) \
      X(cgroup_set_idle) X(sub_attach) X(sub_detach)
// clang-format on

TEST(Layout, SchedExtOpsSlots) {
  EXPECT_EQ(sizeof(sched_ext_ops), 472u);
  size_t offset = 0;
#define SLOT(member)                                   \
  EXPECT_AT(sched_ext_ops, member, offset) << #member; \
  offset += 8;
  SLOT(select_cpu)
  COMMON_SLOTS_A(SLOT)
  SLOT(set_cpumask)
  SLOT(update_idle)
  COMMON_SLOTS_B(SLOT)
  SLOT(dump_cpu)
  SLOT(dump_task)
  COMMON_SLOTS_C(SLOT)
  SLOT(cpu_online)
  SLOT(cpu_offline)
  SLOT(init)
  SLOT(exit)
#undef SLOT
  EXPECT_EQ(offset, 280u);
  EXPECT_AT(sched_ext_ops, cpu_acquire, 456);
  EXPECT_AT(sched_ext_ops, cpu_release, 464);
}

TEST(Layout, SchedExtOpsCidSlots) {
  EXPECT_EQ(sizeof(sched_ext_ops_cid), 456u);
  size_t offset = 0;
#define SLOT(member)                                       \
  EXPECT_AT(sched_ext_ops_cid, member, offset) << #member; \
  offset += 8;
  SLOT(select_cid)
  COMMON_SLOTS_A(SLOT)
  SLOT(set_cmask)
  SLOT(update_idle)
  COMMON_SLOTS_B(SLOT)
  SLOT(dump_cid)
  SLOT(dump_task)
  COMMON_SLOTS_C(SLOT)
  SLOT(cid_online)
  SLOT(cid_offline)
  SLOT(init)
  SLOT(exit)
#undef SLOT
  EXPECT_EQ(offset, 280u);
}

template <class Ops>
void expect_ops_data() {
  EXPECT_AT(Ops, dispatch_max_batch, 280);
  EXPECT_AT(Ops, flags, 288);
  EXPECT_AT(Ops, timeout_ms, 296);
  EXPECT_AT(Ops, exit_dump_len, 300);
  EXPECT_AT(Ops, hotplug_seq, 304);
  EXPECT_AT(Ops, sub_cgroup_id, 312);
  EXPECT_AT(Ops, name, 320);
  EXPECT_AT(Ops, priv, 448);
}

TEST(Layout, SchedExtOpsData) {
  expect_ops_data<sched_ext_ops>();
  expect_ops_data<sched_ext_ops_cid>();
}

TEST(Layout, OpiIsTheSlotNumber) {
  EXPECT_EQ(offsetof(sched_ext_ops, cpu_online) / 8, static_cast<size_t>(SCX_OPI_CPU_HOTPLUG_BEGIN));
  EXPECT_EQ(offsetof(sched_ext_ops, init) / 8, static_cast<size_t>(SCX_OPI_CPU_HOTPLUG_END));
}

TEST(Layout, StructOpsMapValue) {
  EXPECT_AT(bpf_struct_ops_sched_ext_ops, common, 0);
  EXPECT_AT(bpf_struct_ops_sched_ext_ops, data, 64);
  EXPECT_EQ(sizeof(bpf_struct_ops_sched_ext_ops), 576u);
  EXPECT_AT(bpf_struct_ops_sched_ext_ops_cid, data, 64);
  EXPECT_EQ(sizeof(bpf_struct_ops_sched_ext_ops_cid), 576u);
  EXPECT_AT(bpf_struct_ops_common_value, state, 4);
}

TEST(Layout, SchedExtEntity) {
  EXPECT_EQ(sizeof(sched_ext_entity), 224u);
  EXPECT_AT(sched_ext_entity, sched, 0);
  EXPECT_AT(sched_ext_entity, dsq, 8);
  EXPECT_AT(sched_ext_entity, ops_state, 16);
  EXPECT_AT(sched_ext_entity, ddsp_dsq_id, 24);
  EXPECT_AT(sched_ext_entity, ddsp_enq_flags, 32);
  EXPECT_AT(sched_ext_entity, dsq_list, 40);
  EXPECT_AT(sched_ext_entity, dsq_priq, 64);
  EXPECT_AT(sched_ext_entity, dsq_seq, 88);
  EXPECT_AT(sched_ext_entity, dsq_flags, 92);
  EXPECT_AT(sched_ext_entity, flags, 96);
  EXPECT_AT(sched_ext_entity, weight, 100);
  EXPECT_AT(sched_ext_entity, sticky_cpu, 104);
  EXPECT_AT(sched_ext_entity, holding_cpu, 108);
  EXPECT_AT(sched_ext_entity, selected_cpu, 112);
  EXPECT_AT(sched_ext_entity, ops_qseq, 116);
  EXPECT_AT(sched_ext_entity, kf_tasks, 120);
  EXPECT_AT(sched_ext_entity, runnable_node, 136);
  EXPECT_AT(sched_ext_entity, runnable_at, 152);
  EXPECT_AT(sched_ext_entity, tid, 160);
  EXPECT_AT(sched_ext_entity, tid_hash_node, 168);
  EXPECT_AT(sched_ext_entity, slice, 176);
  EXPECT_AT(sched_ext_entity, dsq_vtime, 184);
  EXPECT_AT(sched_ext_entity, disallow, 192);
  EXPECT_AT(sched_ext_entity, cgrp_moving_from, 200);
  EXPECT_AT(sched_ext_entity, tasks_node, 208);
}

TEST(Layout, ArgumentStructs) {
  EXPECT_EQ(sizeof(scx_exit_info), 64u);
  EXPECT_AT(scx_exit_info, kind, 0);
  EXPECT_AT(scx_exit_info, exit_cpu, 4);
  EXPECT_AT(scx_exit_info, exit_code, 8);
  EXPECT_AT(scx_exit_info, flags, 16);
  EXPECT_AT(scx_exit_info, reason, 24);
  EXPECT_AT(scx_exit_info, bt, 32);
  EXPECT_AT(scx_exit_info, bt_len, 40);
  EXPECT_AT(scx_exit_info, msg, 48);
  EXPECT_AT(scx_exit_info, dump, 56);
  EXPECT_EQ(sizeof(scx_bpf_dsq_insert_vtime_args), 32u);
  EXPECT_EQ(sizeof(scx_bpf_select_cpu_and_args), 24u);
  EXPECT_EQ(sizeof(scx_cid_topo), 24u);
  EXPECT_EQ(sizeof(scx_cgroup_init_args), 32u);
  EXPECT_EQ(sizeof(scx_init_task_args), 16u);
  EXPECT_AT(scx_init_task_args, cgroup, 8);
  EXPECT_EQ(sizeof(scx_exit_task_args), 1u);
  EXPECT_EQ(sizeof(scx_cpu_release_args), 16u);
  EXPECT_EQ(sizeof(scx_dump_ctx), 40u);
  EXPECT_EQ(sizeof(scx_sub_attach_args), 16u);
  EXPECT_AT(scx_cmask, alloc_words, 8);
  EXPECT_AT(scx_cmask, bits, 16);
  EXPECT_EQ(sizeof(bpf_iter_scx_dsq), 48u);
  EXPECT_EQ(sizeof(scx_event_stats), 13u * 8);
}

TEST(Layout, MasksHaveTheKernelsSize) {
  EXPECT_EQ(sizeof(cpumask), 8192u / 8);
  EXPECT_AT(bpf_cpumask, usage, 1024);
}

// Programs for events of the trace file system need not ask for their fields' places.
TEST(Layout, Records) {
  EXPECT_AT(trace_event_raw_sched_switch, prev_pid, 24);
  EXPECT_AT(trace_event_raw_sched_switch, prev_state, 32);
  EXPECT_AT(trace_event_raw_sched_switch, next_pid, 56);
  EXPECT_AT(trace_event_raw_sched_wakeup_template, target_cpu, 32);
  EXPECT_AT(trace_event_raw_sched_migrate_task, pid, 12);
  EXPECT_AT(trace_event_raw_task_newtask, clone_flags, 32);
  EXPECT_AT(trace_event_raw_task_rename, newcomm, 28);
  EXPECT_AT(pt_regs, di, 112);
  EXPECT_EQ(sizeof(pt_regs), 168u);
}

// Eight thousand CPUs with a hundred tasks each must fit a workstation's memory.
TEST(Layout, TaskStructStaysCompact) { EXPECT_LE(sizeof(task_struct), 640u); }

}  // namespace
