// SPDX-License-Identifier: GPL-2.0-only
// What the machine has to do while schedulers come and go: tasks that sleep, wake each other, fork, exit, and change
// each other's affinity, nice values, policies and control groups.
//
// Threading: made and stopped in host context; the tasks run on all CPUs at once.
#ifndef USCX_TESTS_TORTURE_LOAD_H_
#define USCX_TESTS_TORTURE_LOAD_H_

#include <array>
#include <atomic>

#include "groups.h"
#include "sched/kernel.h"

namespace uscx::torture {

class Load {
 public:
  explicit Load(sched::Kernel &kernel);
  ~Load();
  void stop();  // Tasks exit at their next step.
  bool stopped() const { return nr_left_ == 0; }
  u64 nr_steps() const { return nr_steps_; }

 private:
  static constexpr u32 kWorkers = 10;
  static constexpr u32 kPairs = 3;
  using Fn = std::function<sched::Step(sched::Kernel &, sched::Task &)>;
  class Body;
  struct Pair {
    std::array<std::atomic<sched::Task *>, 2> players{};
    std::atomic<u32> turn = 0;
  };
  sched::Task &spawn(const std::string &comm, Fn fn, sched::Task *parent = nullptr);
  void add_workers();
  void add_pair(Pair &pair);
  void add_forker(u32 index);
  void add_changer(u32 index);
  void add_mover(u32 index);
  void change(sched::Task &p, u32 n);

  sched::Kernel &kernel_;
  Groups groups_;
  std::atomic<bool> over_ = false;
  std::atomic<u32> nr_left_ = 0;
  std::atomic<u64> nr_steps_ = 0;
  std::array<sched::Task *, kWorkers> workers_{};  // Referred to until the end.
  std::array<Pair, kPairs> pairs_;
};

}  // namespace uscx::torture

#endif  // USCX_TESTS_TORTURE_LOAD_H_
