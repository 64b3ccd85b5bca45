// SPDX-License-Identifier: GPL-2.0-only
// Values that one side changes under a lock (or alone) and others read without it: a CPU's current task, counts, a
// task's CPU. Every access is atomic and relaxed, which costs nothing, and orders nothing: such a value is a hint, or
// is looked at again under the lock. Explore mode does not stop at these accesses, because the lock that follows is a
// yield point; what must be found out of order goes through Shared<T> (machine/sync.h).
//
// They load or store. A change that keeps part of the old value needs an Owner (machine/owner.h).
#ifndef USCX_MACHINE_RACY_H_
#define USCX_MACHINE_RACY_H_

#include <atomic>
#include <type_traits>

namespace uscx::machine {

template <typename T>
class Racy {
 public:
  constexpr Racy(T value = T()) : value_(value) {}
  operator T() const { return get(); }
  T get() const { return value_.load(std::memory_order_relaxed); }
  T operator->() const { return get(); }
  Racy &operator=(T value) {
    value_.store(value, std::memory_order_relaxed);
    return *this;
  }
  // Atomic: any number of writers. These return what it was before.
  T add(T delta) { return value_.fetch_add(delta, std::memory_order_relaxed); }
  T sub(T delta) { return value_.fetch_sub(delta, std::memory_order_relaxed); }
  T set_bits(T bits) { return value_.fetch_or(bits, std::memory_order_relaxed); }
  Racy(const Racy &) = delete;
  Racy &operator=(const Racy &) = delete;

 private:
  std::atomic<T> value_;
};

// A pointer or flag that says that something else is ready: who sees it sees what was written before it was set.
template <typename T>
class Published {
 public:
  constexpr Published(T value = T()) : value_(value) {}
  operator T() const { return get(); }
  T get() const { return value_.load(std::memory_order_acquire); }
  T operator->() const { return get(); }
  Published &operator=(T value) {
    value_.store(value, std::memory_order_release);
    return *this;
  }
  Published(const Published &) = delete;
  Published &operator=(const Published &) = delete;

 private:
  std::atomic<T> value_;
};

// The same as Racy for a field of a struct that programs see.
template <typename T>
inline T racy_load(const T &field) {
  return __atomic_load_n(&field, __ATOMIC_RELAXED);
}
template <typename T>
inline void racy_store(T &field, std::type_identity_t<T> value) {
  __atomic_store_n(&field, value, __ATOMIC_RELAXED);
}

}  // namespace uscx::machine

#endif  // USCX_MACHINE_RACY_H_
