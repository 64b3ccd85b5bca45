// SPDX-License-Identifier: GPL-2.0-only
// Changes of racy words (machine/racy.h) that keep part of what was there: flags in one word, counts. Such a change is
// a load and a store, and of two at once one is lost. So it names its Owner, what makes this CPU the only one that
// changes the word now. Where CPUs are concurrent, a lock that is named must be held. Explore mode lets other CPUs go
// on between the load and the store, and takes two changes that nothing orders for a data race.
//
// What any number of CPUs may change at once has Racy<T>::add(), a single access.
#ifndef USCX_MACHINE_OWNER_H_
#define USCX_MACHINE_OWNER_H_

#include "machine/cpumask.h"
#include "machine/sync.h"

namespace uscx::machine {

class Owner {
 public:
  // The lock under which the word changes, and which this CPU holds.
  Owner(const SpinLock &lock) {
    if (concurrent()) check_held(lock);
  }
  // The word is `cpu`'s own, which is this one.
  static Owner of_cpu(u32 cpu) {
    if (concurrent()) check_here(cpu);
    return {};
  }
  // Nobody else can be changing it, for a reason that is no lock.
  static Owner because(const char *reason) { return (void)reason, Owner(); }

 private:
  Owner() = default;
  static void check_held(const SpinLock &lock);
  static void check_here(u32 cpu);
};

// The word becomes what fn makes of it. `name` says in a report what it is.
template <typename T, typename Fn>
inline void change(T &word, const char *name, Owner, Fn fn) {
  const T old = racy_load(word);
  if (exploring()) explore_hook::change(&word, name);
  racy_store(word, static_cast<T>(fn(old)));
}
template <typename T, typename Fn>
inline void change(Racy<T> &word, const char *name, Owner, Fn fn) {
  const T old = word;
  if (exploring()) explore_hook::change(&word, name);
  word = static_cast<T>(fn(old));
}
// Bits that are cleared, then bits that are set.
template <typename T>
inline void change_bits(T &word, const char *name, Owner owner, std::type_identity_t<T> cleared,
                        std::type_identity_t<T> set) {
  change(word, name, owner, [=](T old) { return (old & ~cleared) | set; });
}

// A mask that its Owner changes while others look at it.
class OwnedMask {
 public:
  OwnedMask() = default;
  explicit OwnedMask(u32 nr_cpus) : mask_(nr_cpus) {}
  MaskView view() const { return mask_; }
  bool test(u32 cpu) const { return view().test(cpu); }
  void set(Owner owner, u32 cpu) { change_bits(word(cpu), kName, owner, 0, bit(cpu)); }
  void clear(Owner owner, u32 cpu) { change_bits(word(cpu), kName, owner, bit(cpu), 0); }

 private:
  static constexpr const char *kName = "a mask of CPUs";
  static MaskWord bit(u32 cpu) { return MaskWord{1} << cpu % 64; }
  MaskWord &word(u32 cpu) { return mask_.words()[cpu / 64]; }
  CpuMask mask_;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_OWNER_H_
