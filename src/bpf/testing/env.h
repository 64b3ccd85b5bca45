// SPDX-License-Identifier: GPL-2.0-only
// An Env for tests: a clock that the test moves, one task, timers that fire when the clock passes them, text kept.
#ifndef USCX_BPF_TESTING_ENV_H_
#define USCX_BPF_TESTING_ENV_H_

#include <bpf/bpf.h>
#include <errno.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "abi/btf.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"

namespace uscx::bpf {

class TestEnv : public Env {
 public:
  bool is_live(ObjectType, const void *object) const override { return live.contains(object); }
  u64 now_ns() override { return clock_ns; }
  u64 jiffies64() override { return clock_ns / ns_per_jiffy(); }
  u64 ns_per_jiffy() override { return 4000000; }
  u32 cpu() override { return on_cpu; }
  u32 nr_cpu_ids() override { return 4; }
  void *current_task() override { return task; }
  u64 current_pid_tgid() override { return 7ull << 32 | 8; }
  const char *current_comm() override { return "comm"; }
  u32 random_u32() override { return 4; }
  void trace_print(std::string_view text) override { printed += text; }
  void kernel_log(std::string_view line) override { logged += std::string(line) + "\n"; }
  void timer_arm(TimerId id, u64 expires_ns, s32) override { timers[id] = expires_ns; }
  bool timer_cancel(TimerId id) override { return timers.erase(id) > 0; }

  // Moves the clock, firing what becomes due in order of time.
  void advance_to(BpfSystem &system, u64 to_ns) {
    for (;;) {
      auto first = timers.end();
      for (auto it = timers.begin(); it != timers.end(); ++it) {
        if (it->second <= to_ns && (first == timers.end() || it->second < first->second)) first = it;
      }
      if (first == timers.end()) break;
      const TimerId id = first->first;
      clock_ns = std::max(clock_ns, first->second);
      timers.erase(first);
      system.timer_fired(id);
    }
    clock_ns = to_ns;
  }

  u64 clock_ns = 1000000000;
  u32 on_cpu = 0;
  void *task = nullptr;
  std::set<const void *> live;
  std::map<TimerId, u64> timers;
  std::string printed;
  std::string logged;
};

// A system over the project's own base BTF, on 4 CPUs.
inline std::unique_ptr<BpfSystem> make_test_system(Env &env, std::vector<std::unique_ptr<StructOpsType>> types = {}) {
  BpfSystem::Options options;
  const std::span<const std::byte> base = abi::base_btf();
  options.base_btf = {reinterpret_cast<const u8 *>(base.data()), base.size()};
  options.nr_possible_cpus = 4;
  options.struct_ops = std::move(types);
  Result<std::unique_ptr<BpfSystem>> system = BpfSystem::create(env, std::move(options));
  CHECK(system.ok(), "{}", system.message());
  return system.take();
}

// A system and what tests of maps do with it through libbpf.
class MapFixture : public ::testing::Test {
 protected:
  int create(bpf_map_type type, u32 key, u32 value, u32 entries, u32 flags = 0) {
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
    const int fd = bpf_map_create(type, "map", key, value, entries, &opts);
    return fd < 0 ? -errno : fd;
  }
  Map &map(int fd) { return *system_->get<Map>(fd); }
  static int result(int returned) { return returned < 0 ? -errno : returned; }

  TestEnv env_;
  std::unique_ptr<BpfSystem> system_ = make_test_system(env_);
  BpfSystem::Scope scope_{*system_};
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_TESTING_ENV_H_
