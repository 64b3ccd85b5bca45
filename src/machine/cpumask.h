// SPDX-License-Identifier: GPL-2.0-only
// CPU masks. CpuMask owns its bits (sized for nr_cpu_ids of its machine). MaskView is a non-owning view of the words of
// the kernel's `struct cpumask` or of a CpuMask, and has all operations. A word's bits beyond nr_cpu_ids are always 0.
//
// Threading: not synchronised, except that a view reads each word atomically. A mask that several CPUs change (an idle
// mask) is changed by set_shared() and test_and_clear/set; a mask that one CPU changes while others read it is an
// OwnedMask (machine/owner.h).
#ifndef USCX_MACHINE_CPUMASK_H_
#define USCX_MACHINE_CPUMASK_H_

#include <bit>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/types.h"
#include "machine/racy.h"

namespace uscx::machine {

inline constexpr u32 mask_words(u32 nr_cpus) { return (nr_cpus + 63) / 64; }

// Words of a mask; `unsigned long` so that it is layout-compatible with struct cpumask.
using MaskWord = unsigned long;

class MaskView {
 public:
  MaskView(const MaskWord *words, u32 nr_cpus) : words_(words), nr_cpus_(nr_cpus) {}
  const MaskWord *words() const { return words_; }
  MaskWord word_at(u32 index) const { return racy_load(words_[index]); }
  u32 nr_cpus() const { return nr_cpus_; }
  bool test(u32 cpu) const { return cpu < nr_cpus_ && (word_at(cpu / 64) >> (cpu % 64) & 1); }
  bool empty() const {
    for (u32 i = 0; i < mask_words(nr_cpus_); i++)
      if (word_at(i)) return false;
    return true;
  }
  u32 weight() const {
    u32 bits = 0;
    for (u32 i = 0; i < mask_words(nr_cpus_); i++) bits += std::popcount(word_at(i));
    return bits;
  }
  bool subset_of(MaskView other) const {
    for (u32 i = 0; i < mask_words(nr_cpus_); i++)
      if (word_at(i) & ~other.word_at(i)) return false;
    return true;
  }
  bool intersects(MaskView other) const {
    for (u32 i = 0; i < mask_words(nr_cpus_); i++)
      if (word_at(i) & other.word_at(i)) return true;
    return false;
  }
  bool equals(MaskView other) const {
    for (u32 i = 0; i < mask_words(nr_cpus_); i++)
      if (word_at(i) != other.word_at(i)) return false;
    return true;
  }
  // The first set CPU >= from, or nr_cpus() if there is none.
  u32 next(u32 from) const {
    if (from >= nr_cpus_) return nr_cpus_;
    u32 i = from / 64;
    MaskWord word = word_at(i) & (~MaskWord{0} << (from % 64));
    while (!word) {
      if (++i == mask_words(nr_cpus_)) return nr_cpus_;
      word = word_at(i);
    }
    return i * 64 + std::countr_zero(word);
  }
  u32 first() const { return next(0); }
  // The first CPU >= from set in both masks, or nr_cpus().
  u32 next_and(MaskView other, u32 from) const {
    if (from >= nr_cpus_) return nr_cpus_;
    u32 i = from / 64;
    MaskWord word = word_at(i) & other.word_at(i) & (~MaskWord{0} << (from % 64));
    while (!word) {
      if (++i == mask_words(nr_cpus_)) return nr_cpus_;
      word = word_at(i) & other.word_at(i);
    }
    return i * 64 + std::countr_zero(word);
  }
  // The kernel's %*pb form: hexadecimal, most significant 32-bit chunk first, chunks separated by commas.
  std::string to_hex() const;
  // The kernel's %*pbl form: "0-3,8".
  std::string to_list() const;

 private:
  const MaskWord *words_;
  u32 nr_cpus_;
};

class CpuMask {
 public:
  CpuMask() = default;
  explicit CpuMask(u32 nr_cpus) : words_(mask_words(nr_cpus)), nr_cpus_(nr_cpus) {}
  operator MaskView() const { return MaskView(words_.data(), nr_cpus_); }
  MaskView view() const { return *this; }
  MaskWord *words() { return words_.data(); }
  u32 nr_cpus() const { return nr_cpus_; }
  bool test(u32 cpu) const { return view().test(cpu); }
  void set(u32 cpu) { words_[cpu / 64] |= MaskWord{1} << (cpu % 64); }
  void clear(u32 cpu) { words_[cpu / 64] &= ~(MaskWord{1} << (cpu % 64)); }
  // set() and clear() are for masks that nobody else looks at meanwhile; these for any number of CPUs. True if the bit
  // was set before; pairs with itself on other CPUs.
  bool test_and_clear(u32 cpu) {
    const MaskWord bit = MaskWord{1} << (cpu % 64);
    return __atomic_fetch_and(&words_[cpu / 64], ~bit, __ATOMIC_SEQ_CST) & bit;
  }
  bool test_and_set(u32 cpu) {
    const MaskWord bit = MaskWord{1} << (cpu % 64);
    return __atomic_fetch_or(&words_[cpu / 64], bit, __ATOMIC_SEQ_CST) & bit;
  }
  // For masks that several CPUs change: costs an atomic access only if something changes.
  void set_shared(u32 cpu, bool on) {
    if (test(cpu) == on) return;
    on ? test_and_set(cpu) : test_and_clear(cpu);
  }
  void clear_all() { words_.assign(words_.size(), 0); }
  void set_all() {
    for (u32 cpu = 0; cpu < nr_cpus_; cpu++) set(cpu);
  }
  void assign(MaskView other) {
    for (u32 i = 0; i < words_.size(); i++) words_[i] = other.word_at(i);
  }
  void and_with(MaskView other) {
    for (u32 i = 0; i < words_.size(); i++) words_[i] &= other.word_at(i);
  }
  void or_with(MaskView other) {
    for (u32 i = 0; i < words_.size(); i++) words_[i] |= other.word_at(i);
  }
  void and_not(MaskView other) {
    for (u32 i = 0; i < words_.size(); i++) words_[i] &= ~other.word_at(i);
  }

 private:
  std::vector<MaskWord> words_;
  u32 nr_cpus_ = 0;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_CPUMASK_H_
