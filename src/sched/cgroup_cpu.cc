// SPDX-License-Identifier: GPL-2.0-only
// The cpu controller: TaskGroups and their settings. Schedulers are told of settings, and act on them if they want to.
// FIDELITY: flat-fair. The fair class looks at tasks only; weights and limits of groups mean nothing to it.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>

#include "sched/cgroup.h"
#include "sched/classes.h"
#include "sched/ext/ext.h"
#include "sched/kernel.h"

namespace uscx::sched {

using machine::SpinGuard;

namespace {

constexpr u64 kMaxWeight = 10000;
constexpr u64 kNice0Shares = 1024;
constexpr s32 kMinNice = -20, kMaxNice = 19;
constexpr u64 kMinPeriodUs = 1000, kMaxPeriodUs = 1000000, kMinQuotaUs = 1000;
constexpr u64 kMaxQuotaUs = (~u64{0} >> 20) / 1000;  // Its ratio to a period has 20 bits behind the point.

}  // namespace

TaskGroup *CgroupTree::alloc_group(Cgroup &cgroup) {
  TaskGroup &group = *new (kernel_.objects().alloc(ObjectType::kOther, sizeof(TaskGroup))) TaskGroup();
  group.cgroup = &cgroup;
  get(cgroup);
  cgroup_subsys_state &css = group.ts.css;
  css.cgroup = cgroup.abi;
  css.id = cgroup.abi->self.id;
  css.parent = cgroup.parent ? &cgroup.parent->group().ts.css : nullptr;
  group.ts.scx.weight = kDefaultCgroupWeight;
  group.ts.scx.bw_period_us = kDefaultPeriodUs;
  group.ts.scx.bw_quota_us = kNoQuota;
  group.offline.fn = [this, &group](KthreadApi &) {
    SpinGuard guard(lock_);
    offline(group);
  };
  SpinGuard guard(tree_lock_);
  all_groups_.push_back(group);
  return &group;
}

void CgroupTree::put_group(TaskGroup &group) {
  const u32 refs = group.refs.fetch_sub(1, std::memory_order_acq_rel);
  CHECK(refs > 0, "group of cgroup {}", group.cgroup->id());
  if (refs > 1) return;
  kernel_.rcu().call([this, &group] {
    {
      SpinGuard guard(tree_lock_);
      all_groups_.erase(all_groups_.iterator_to(group));
    }
    Cgroup &cgroup = *group.cgroup;
    free_group(group);
    put(cgroup);
  });
}

void CgroupTree::free_group(TaskGroup &group) {
  group.~TaskGroup();
  kernel_.objects().free(ObjectType::kOther, &group, sizeof(TaskGroup));
}

int CgroupTree::enable_cpu(Cgroup &cgroup) {
  TaskGroup &group = *alloc_group(cgroup);
  const int error = kernel_.ext().cgroup_online(group);
  if (error)
    put_group(group);
  else
    cgroup.own_group = &group;
  return error;
}

void CgroupTree::offline(TaskGroup &group) {
  CHECK(lock_.held_here() && group.cgroup->own_group == &group);
  kernel_.ext().cgroup_offline(group);
  group.cgroup->own_group = nullptr;
  put_group(group);
}

// --- settings --- ops_lock() is held.

int CgroupTree::settable(Cgroup &cgroup, TaskGroup **group) const {
  if (&cgroup == root_) return -EINVAL;
  *group = cgroup.own_group;
  return cgroup.dead || !*group ? -ENODEV : 0;
}

int CgroupTree::set_weight(Cgroup &cgroup, u64 weight) {
  if (weight < 1 || weight > kMaxWeight) return -ERANGE;
  const u64 shares = (weight * kNice0Shares + kDefaultCgroupWeight / 2) / kDefaultCgroupWeight;
  return set_shares(cgroup, shares, static_cast<u32>(weight));
}

int CgroupTree::set_weight_nice(Cgroup &cgroup, s64 nice) {
  if (nice < kMinNice || nice > kMaxNice) return -ERANGE;
  const u64 shares = weight_of_nice(static_cast<s32>(nice));
  return set_shares(cgroup, shares, cgroup_weight_of(shares));
}

int CgroupTree::set_shares(Cgroup &cgroup, u64 shares, u32 weight) {
  machine::ReadGuard guard(ops_lock_);
  TaskGroup *group;
  if (const int error = settable(cgroup, &group)) return error;
  if (machine::racy_load(group->ts.scx.idle)) return -EINVAL;
  group->shares = shares;
  kernel_.ext().cgroup_set_weight(*group, weight);
  return 0;
}

u32 CgroupTree::weight_of(const TaskGroup &group) {
  return machine::racy_load(group.ts.scx.idle) ? 0 : cgroup_weight_of(group.shares);
}

s32 CgroupTree::nice_of(const TaskGroup &group) {
  const s64 shares = static_cast<s64>(group.shares.get());
  const auto distance = [&](s32 nice) { return std::abs(static_cast<s64>(weight_of_nice(nice)) - shares); };
  s32 nice = kMinNice;
  while (nice < kMaxNice && distance(nice + 1) < distance(nice)) nice++;
  return nice;
}

int CgroupTree::set_idle(Cgroup &cgroup, bool idle) {
  machine::ReadGuard guard(ops_lock_);
  TaskGroup *group;
  if (const int error = settable(cgroup, &group)) return error;
  if (machine::racy_load(group->ts.scx.idle) != idle) group->shares = idle ? kIdlePolicyWeight : kNice0Shares;
  kernel_.ext().cgroup_set_idle(*group, idle);
  return 0;
}

int CgroupTree::set_max(Cgroup &cgroup, u64 quota_us, u64 period_us) {
  machine::ReadGuard guard(ops_lock_);
  TaskGroup *group;
  if (const int error = settable(cgroup, &group)) return error;
  return set_bandwidth(*group, period_us, quota_us, machine::racy_load(group->ts.scx.bw_burst_us));
}

int CgroupTree::set_burst(Cgroup &cgroup, u64 burst_us) {
  machine::ReadGuard guard(ops_lock_);
  TaskGroup *group;
  if (const int error = settable(cgroup, &group)) return error;
  const scx_task_group &scx = group->ts.scx;
  return set_bandwidth(*group, machine::racy_load(scx.bw_period_us), machine::racy_load(scx.bw_quota_us), burst_us);
}

int CgroupTree::set_bandwidth(TaskGroup &group, u64 period_us, u64 quota_us, u64 burst_us) {
  if (period_us < kMinPeriodUs || period_us > kMaxPeriodUs || quota_us < kMinQuotaUs) return -EINVAL;
  if (quota_us != kNoQuota) {
    if (quota_us > kMaxQuotaUs || burst_us > quota_us || burst_us + quota_us > kMaxQuotaUs) return -EINVAL;
  }
  kernel_.ext().cgroup_set_bandwidth(group, period_us, quota_us, burst_us);
  return 0;
}

}  // namespace uscx::sched
