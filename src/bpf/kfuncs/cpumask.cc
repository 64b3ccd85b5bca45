// SPDX-License-Identifier: GPL-2.0-only
// The kfuncs on CPU masks. Results that name no CPU are nr_cpu_ids (the number of possible CPUs), as in the kernel.
#include "bpf/object/cpumask.h"

#include <errno.h>

#include <bit>
#include <cstddef>
#include <cstring>

#include "base/check.h"
#include "bpf/memory/fault.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/kfunc.h"
#include "machine/explore_hooks.h"

namespace uscx::bpf {

namespace {
u64 tag_of(const void *mask) { return (reinterpret_cast<u64>(mask) ^ 0x63707573206d736bull) * 0x9e3779b97f4a7c15ull; }
}  // namespace

CpumaskPool::CpumaskPool(BpfSystem &system, u32 nr_cpus)
    : system_(system), pool_(Half::kReadOnly, sizeof(Slot), 8), rotors_(nr_cpus, ~0u) {}

CpumaskPool::Slot *CpumaskPool::slot_of(const void *mask) {
  return reinterpret_cast<Slot *>(reinterpret_cast<u64>(mask) - offsetof(Slot, mask));
}

bool CpumaskPool::is_live(const void *address) {
  if (!Region::in_ro(address) || reinterpret_cast<u64>(address) % alignof(u64) != 0) return false;
  u64 tag = 0;
  return probe_load(reinterpret_cast<u64>(&slot_of(address)->tag), sizeof(tag), &tag) && tag == tag_of(address);
}

bpf_cpumask *CpumaskPool::create() {
  Slot *slot = static_cast<Slot *>(pool_.alloc());
  std::memset(static_cast<void *>(slot), 0, sizeof(*slot));
  slot->pool = this;
  slot->mask.usage.refs.counter = 1;
  slot->tag = tag_of(&slot->mask);
  return &slot->mask;
}

void CpumaskPool::acquire(bpf_cpumask *mask) {
  machine::atomic_write(&mask->usage);
  __atomic_fetch_add(&mask->usage.refs.counter, 1, __ATOMIC_RELAXED);
}

void CpumaskPool::release(bpf_cpumask *mask) {
  machine::atomic_write(&mask->usage);
  const int left = __atomic_sub_fetch(&mask->usage.refs.counter, 1, __ATOMIC_ACQ_REL);
  CHECK(left >= 0);
  if (left > 0) return;
  Slot *slot = slot_of(mask);
  __atomic_store_n(&slot->tag, 0, __ATOMIC_RELEASE);
  slot->deferred.free = [](Deferred &item) {
    Slot *const dead = reinterpret_cast<Slot *>(&item);  // its first member
    dead->pool->pool_.free(dead);
  };
  system_.defer(slot->deferred);
}

namespace {

constexpr u32 kBits = 64;

u32 nr_cpus() { return BpfSystem::current()->nr_cpus(); }
u32 nr_words() { return (nr_cpus() + kBits - 1) / kBits; }

// The first CPU at or after `from` for which word(i) has its bit, or nr_cpu_ids.
template <typename Word>
u32 find_from(u32 from, Word word_at) {
  for (u32 i = from / kBits; i < nr_words(); i++) {
    u64 bits = word_at(i);
    if (i == from / kBits) bits &= ~0ull << (from % kBits);
    if (bits != 0) return std::min(i * kBits + static_cast<u32>(std::countr_zero(bits)), nr_cpus());
  }
  return nr_cpus();
}

// The next CPU after the one that this CPU chose last, wrapping.
template <typename Word>
u32 find_rotating(Word word_at) {
  BpfSystem *system = BpfSystem::current();
  u32 &last = system->cpumasks().rotor(system->running_cpu());
  u32 next = last + 1 < nr_cpus() ? find_from(last + 1, word_at) : nr_cpus();
  if (next >= nr_cpus()) next = find_from(0, word_at);
  if (next < nr_cpus()) last = next;
  return next;
}

bool valid_cpu(u32 cpu) { return cpu < nr_cpus(); }
u64 bit(u32 cpu) { return 1ull << (cpu % kBits); }
unsigned long *word_of(bpf_cpumask *mask, u32 cpu) { return &mask->cpumask.bits[cpu / kBits]; }
u64 word(const cpumask *mask, u32 index) { return __atomic_load_n(&mask->bits[index], __ATOMIC_RELAXED); }

bool test_and_set(bpf_cpumask *mask, u32 cpu) {
  unsigned long *const bits = word_of(mask, cpu);
  machine::atomic_write(bits);
  return __atomic_fetch_or(bits, bit(cpu), __ATOMIC_SEQ_CST) & bit(cpu);
}
bool test_and_clear(bpf_cpumask *mask, u32 cpu) {
  unsigned long *const bits = word_of(mask, cpu);
  machine::atomic_write(bits);
  return __atomic_fetch_and(bits, ~bit(cpu), __ATOMIC_SEQ_CST) & bit(cpu);
}

template <typename Combine>
bool combine(bpf_cpumask *dst, Combine word_at) {
  u64 any = 0;
  for (u32 i = 0; i < nr_words(); i++) {
    const u64 bits = word_at(i);
    __atomic_store_n(&dst->cpumask.bits[i], bits, __ATOMIC_RELAXED);
    any |= bits;
  }
  return any != 0;
}

}  // namespace

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_RET_NULL, struct bpf_cpumask *, bpf_cpumask_create, (void)) {
  return BpfSystem::current()->cpumasks().create();
}

USCX_KFUNC(kGeneric, KF_ACQUIRE | KF_TRUSTED_ARGS, struct bpf_cpumask *, bpf_cpumask_acquire,
           (struct bpf_cpumask * cpumask)) {
  BpfSystem::current()->cpumasks().acquire(cpumask);
  return cpumask;
}

USCX_KFUNC(kGeneric, KF_RELEASE, void, bpf_cpumask_release, (struct bpf_cpumask * cpumask)) {
  BpfSystem::current()->cpumasks().release(cpumask);
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_first, (const struct cpumask *cpumask)) {
  return find_from(0, [&](u32 i) { return word(cpumask, i); });
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_first_zero, (const struct cpumask *cpumask)) {
  return find_from(0, [&](u32 i) { return ~word(cpumask, i); });
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_first_and, (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_from(0, [&](u32 i) { return word(src1, i) & word(src2, i); });
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_set_cpu, (u32 cpu, struct bpf_cpumask *cpumask)) {
  if (valid_cpu(cpu)) test_and_set(cpumask, cpu);
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_clear_cpu, (u32 cpu, struct bpf_cpumask *cpumask)) {
  if (valid_cpu(cpu)) test_and_clear(cpumask, cpu);
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_test_cpu, (u32 cpu, const struct cpumask *cpumask)) {
  if (!valid_cpu(cpu)) return false;
  machine::atomic_read(&cpumask->bits[cpu / kBits]);
  return word(cpumask, cpu / kBits) & bit(cpu);
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_test_and_set_cpu, (u32 cpu, struct bpf_cpumask *cpumask)) {
  return valid_cpu(cpu) && test_and_set(cpumask, cpu);
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_test_and_clear_cpu, (u32 cpu, struct bpf_cpumask *cpumask)) {
  return valid_cpu(cpu) && test_and_clear(cpumask, cpu);
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_setall, (struct bpf_cpumask * cpumask)) {
  for (u32 cpu = 0; cpu < nr_cpus(); cpu++) __atomic_fetch_or(word_of(cpumask, cpu), bit(cpu), __ATOMIC_RELAXED);
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_clear, (struct bpf_cpumask * cpumask)) {
  std::memset(&cpumask->cpumask, 0, sizeof(cpumask->cpumask));
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_and,
           (struct bpf_cpumask * dst, const struct cpumask *src1, const struct cpumask *src2)) {
  return combine(dst, [&](u32 i) { return word(src1, i) & word(src2, i); });
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_or,
           (struct bpf_cpumask * dst, const struct cpumask *src1, const struct cpumask *src2)) {
  combine(dst, [&](u32 i) { return word(src1, i) | word(src2, i); });
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_xor,
           (struct bpf_cpumask * dst, const struct cpumask *src1, const struct cpumask *src2)) {
  combine(dst, [&](u32 i) { return word(src1, i) ^ word(src2, i); });
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_copy, (struct bpf_cpumask * dst, const struct cpumask *src)) {
  combine(dst, [&](u32 i) { return word(src, i); });
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_equal, (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_from(0, [&](u32 i) { return word(src1, i) ^ word(src2, i); }) >= nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_intersects, (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_from(0, [&](u32 i) { return word(src1, i) & word(src2, i); }) < nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_subset, (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_from(0, [&](u32 i) { return word(src1, i) & ~word(src2, i); }) >= nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_empty, (const struct cpumask *cpumask)) {
  return find_from(0, [&](u32 i) { return word(cpumask, i); }) >= nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_full, (const struct cpumask *cpumask)) {
  return find_from(0, [&](u32 i) { return ~word(cpumask, i); }) >= nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_any_distribute, (const struct cpumask *cpumask)) {
  return find_rotating([&](u32 i) { return word(cpumask, i); });
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_any_and_distribute,
           (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_rotating([&](u32 i) { return word(src1, i) & word(src2, i); });
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_weight, (const struct cpumask *cpumask)) {
  u32 weight = 0;
  for (u32 i = 0; i < nr_words(); i++) {
    const u32 beyond = (i + 1) * kBits > nr_cpus() ? (i + 1) * kBits - nr_cpus() : 0;
    weight += static_cast<u32>(std::popcount(static_cast<u64>(word(cpumask, i)) << beyond));
  }
  return weight;
}

USCX_KFUNC(kGeneric, KF_RCU, s32, bpf_cpumask_populate, (struct cpumask * cpumask, void *src, u64 src__sz)) {
  const u64 needed = u64{nr_words()} * sizeof(u64);
  if (src__sz < needed) return -EACCES;
  if (reinterpret_cast<u64>(src) % sizeof(u64) != 0) return -EINVAL;
  std::memcpy(cpumask->bits, src, needed);
  return 0;
}

}  // namespace uscx::bpf
