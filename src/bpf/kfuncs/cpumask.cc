// SPDX-License-Identifier: GPL-2.0-only
// The kfuncs on CPU masks. Results that name no CPU are nr_cpu_ids (the number of possible CPUs), as in the kernel.
#include "bpf/cpumask.h"

#include <errno.h>

#include <bit>
#include <cstring>

#include "base/check.h"
#include "bpf/bpf_system.h"
#include "bpf/kfunc.h"

namespace uscx::bpf {

CpumaskPool::CpumaskPool() : pool_(Half::kReadOnly, sizeof(bpf_cpumask), 8) {}

bpf_cpumask *CpumaskPool::create() {
  bpf_cpumask *mask = static_cast<bpf_cpumask *>(pool_.alloc());
  std::memset(mask, 0, sizeof(*mask));
  mask->usage.refs.counter = 1;
  live_.insert(mask);
  return mask;
}

void CpumaskPool::acquire(bpf_cpumask *mask) { mask->usage.refs.counter++; }

bool CpumaskPool::release(bpf_cpumask *mask) {
  CHECK(mask->usage.refs.counter > 0);
  if (--mask->usage.refs.counter > 0) return false;
  live_.erase(mask);
  return true;
}

void CpumaskPool::free(bpf_cpumask *mask) { pool_.free(mask); }

u32 &CpumaskPool::rotor(u32 cpu) {
  if (rotors_.size() <= cpu) rotors_.resize(cpu + 1, ~0u);
  return rotors_[cpu];
}

namespace {

constexpr u32 kBits = 64;

u32 nr_cpus() { return BpfSystem::current()->nr_cpus(); }
u32 nr_words() { return (nr_cpus() + kBits - 1) / kBits; }

// The first CPU at or after `from` for which word(i) has its bit, or nr_cpu_ids.
template <typename Word>
u32 find_from(u32 from, Word word) {
  for (u32 i = from / kBits; i < nr_words(); i++) {
    u64 bits = word(i);
    if (i == from / kBits) bits &= ~0ull << (from % kBits);
    if (bits != 0) return std::min(i * kBits + static_cast<u32>(std::countr_zero(bits)), nr_cpus());
  }
  return nr_cpus();
}

// The next CPU after the one that this CPU chose last, wrapping.
template <typename Word>
u32 find_rotating(Word word) {
  BpfSystem *system = BpfSystem::current();
  u32 &last = system->cpumasks().rotor(system->running_cpu());
  u32 next = last + 1 < nr_cpus() ? find_from(last + 1, word) : nr_cpus();
  if (next >= nr_cpus()) next = find_from(0, word);
  if (next < nr_cpus()) last = next;
  return next;
}

bool valid_cpu(u32 cpu) { return cpu < nr_cpus(); }
u64 bit(u32 cpu) { return 1ull << (cpu % kBits); }
unsigned long &word_of(bpf_cpumask *mask, u32 cpu) { return mask->cpumask.bits[cpu / kBits]; }

template <typename Combine>
bool combine(bpf_cpumask *dst, Combine word) {
  u64 any = 0;
  for (u32 i = 0; i < nr_words(); i++) {
    dst->cpumask.bits[i] = word(i);
    any |= dst->cpumask.bits[i];
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
  BpfSystem *system = BpfSystem::current();
  if (system->cpumasks().release(cpumask)) system->defer([system, cpumask] { system->cpumasks().free(cpumask); });
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_first, (const struct cpumask *cpumask)) {
  return find_from(0, [&](u32 i) { return cpumask->bits[i]; });
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_first_zero, (const struct cpumask *cpumask)) {
  return find_from(0, [&](u32 i) { return ~cpumask->bits[i]; });
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_first_and, (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_from(0, [&](u32 i) { return src1->bits[i] & src2->bits[i]; });
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_set_cpu, (u32 cpu, struct bpf_cpumask *cpumask)) {
  if (valid_cpu(cpu)) word_of(cpumask, cpu) |= bit(cpu);
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_clear_cpu, (u32 cpu, struct bpf_cpumask *cpumask)) {
  if (valid_cpu(cpu)) word_of(cpumask, cpu) &= ~bit(cpu);
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_test_cpu, (u32 cpu, const struct cpumask *cpumask)) {
  return valid_cpu(cpu) && cpumask->bits[cpu / kBits] & bit(cpu);
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_test_and_set_cpu, (u32 cpu, struct bpf_cpumask *cpumask)) {
  if (!valid_cpu(cpu)) return false;
  const bool was_set = word_of(cpumask, cpu) & bit(cpu);
  word_of(cpumask, cpu) |= bit(cpu);
  return was_set;
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_test_and_clear_cpu, (u32 cpu, struct bpf_cpumask *cpumask)) {
  if (!valid_cpu(cpu)) return false;
  const bool was_set = word_of(cpumask, cpu) & bit(cpu);
  word_of(cpumask, cpu) &= ~bit(cpu);
  return was_set;
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_setall, (struct bpf_cpumask * cpumask)) {
  for (u32 cpu = 0; cpu < nr_cpus(); cpu++) word_of(cpumask, cpu) |= bit(cpu);
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_clear, (struct bpf_cpumask * cpumask)) {
  std::memset(&cpumask->cpumask, 0, sizeof(cpumask->cpumask));
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_and,
           (struct bpf_cpumask * dst, const struct cpumask *src1, const struct cpumask *src2)) {
  return combine(dst, [&](u32 i) { return src1->bits[i] & src2->bits[i]; });
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_or,
           (struct bpf_cpumask * dst, const struct cpumask *src1, const struct cpumask *src2)) {
  combine(dst, [&](u32 i) { return src1->bits[i] | src2->bits[i]; });
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_xor,
           (struct bpf_cpumask * dst, const struct cpumask *src1, const struct cpumask *src2)) {
  combine(dst, [&](u32 i) { return src1->bits[i] ^ src2->bits[i]; });
}

USCX_KFUNC(kGeneric, KF_RCU, void, bpf_cpumask_copy, (struct bpf_cpumask * dst, const struct cpumask *src)) {
  combine(dst, [&](u32 i) { return src->bits[i]; });
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_equal, (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_from(0, [&](u32 i) { return src1->bits[i] ^ src2->bits[i]; }) >= nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_intersects, (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_from(0, [&](u32 i) { return src1->bits[i] & src2->bits[i]; }) < nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_subset, (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_from(0, [&](u32 i) { return src1->bits[i] & ~src2->bits[i]; }) >= nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_empty, (const struct cpumask *cpumask)) {
  return find_from(0, [&](u32 i) { return cpumask->bits[i]; }) >= nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, bool, bpf_cpumask_full, (const struct cpumask *cpumask)) {
  return find_from(0, [&](u32 i) { return ~cpumask->bits[i]; }) >= nr_cpus();
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_any_distribute, (const struct cpumask *cpumask)) {
  return find_rotating([&](u32 i) { return cpumask->bits[i]; });
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_any_and_distribute,
           (const struct cpumask *src1, const struct cpumask *src2)) {
  return find_rotating([&](u32 i) { return src1->bits[i] & src2->bits[i]; });
}

USCX_KFUNC(kGeneric, KF_RCU, u32, bpf_cpumask_weight, (const struct cpumask *cpumask)) {
  u32 weight = 0;
  for (u32 i = 0; i < nr_words(); i++) {
    const u32 beyond = (i + 1) * kBits > nr_cpus() ? (i + 1) * kBits - nr_cpus() : 0;
    weight += static_cast<u32>(std::popcount(static_cast<u64>(cpumask->bits[i]) << beyond));
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
