// SPDX-License-Identifier: GPL-2.0-only
// bpf(2) with attributes that nobody would write: whatever they are, the answer is a result or an errno, what refers to
// other objects keeps them, and at the end nothing is left.
#include <bpf/bpf.h>
#include <errno.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "bpf/testing/env.h"

extern "C" int uscx_libbpf_close(int fd);

namespace uscx::bpf {
namespace {

class AttrFuzz {
 public:
  AttrFuzz(BpfSystem &system, u64 seed) : system_(system), rng_(seed, "attr-fuzz") {}
  ~AttrFuzz() {
    for (int fd : fds_) uscx_libbpf_close(fd);
  }

  void step() {
    union bpf_attr attr;
    std::memset(&attr, 0, sizeof(attr));
    int cmd = 0;
    switch (rng_.below(4)) {
      case 0: cmd = fill_create(&attr); break;
      case 1: cmd = fill_batch(&attr); break;
      default: cmd = fill_element(&attr); break;
    }
    // Now and then a byte of it is any other; where there are pointers, that would reach memory of the test.
    if (cmd == BPF_MAP_CREATE && rng_.below(8) == 0)
      reinterpret_cast<u8 *>(&attr)[rng_.below(64)] = static_cast<u8>(rng_.next());
    if (cmd == BPF_MAP_CREATE) attr.max_entries = std::min<u32>(attr.max_entries, 1u << 16);
    const long result = system_.bpf(cmd, &attr, sizeof(attr));
    ASSERT_GE(result, -4095) << "command " << cmd;
    if (cmd == BPF_MAP_CREATE && result >= 0) fds_.push_back(static_cast<int>(result));
    if (fds_.size() > 24 || (rng_.below(16) == 0 && !fds_.empty())) close_one();
  }

 private:
  template <typename T, size_t kCount>
  T any(const T (&values)[kCount]) {
    return values[rng_.below(kCount)];
  }
  u32 any_fd() { return fds_.empty() || rng_.below(20) == 0 ? 9999u : static_cast<u32>(fds_[rng_.below(fds_.size())]); }
  u64 any_buffer() {
    const u64 ours = reinterpret_cast<u64>(buffer_);
    return any({ours, ours + 64, ours + 1, u64{0}, u64{8}});
  }
  void close_one() {
    const size_t which = rng_.below(fds_.size());
    uscx_libbpf_close(fds_[which]);
    fds_.erase(fds_.begin() + static_cast<ptrdiff_t>(which));
  }

  int fill_create(union bpf_attr *attr) {
    attr->map_type = static_cast<u32>(rng_.below(36));
    attr->key_size = any({0u, 4u, 4u, 8u, 17u, 600u});
    attr->value_size = any({0u, 4u, 8u, 8u, 33u, 70000u});
    attr->max_entries = any({0u, 1u, 3u, 16u, 4096u, 8192u, 5000u});
    attr->map_flags = any({0u, 0u, u32{BPF_F_NO_PREALLOC}, u32{BPF_F_MMAPABLE}, u32{BPF_F_INNER_MAP}, u32{BPF_F_RDONLY},
                           u32{BPF_F_MMAPABLE | BPF_F_NO_USER_CONV}, ~0u});
    attr->inner_map_fd = any_fd();
    if (attr->map_type == BPF_MAP_TYPE_ARENA) {
      attr->key_size = attr->value_size = 0;
      attr->map_extra = any({u64{0}, u64{1} << 44, (u64{1} << 44) - 4096, u64{123}});
    }
    if (attr->map_type == BPF_MAP_TYPE_RINGBUF || attr->map_type == BPF_MAP_TYPE_USER_RINGBUF)
      attr->key_size = attr->value_size = 0;
    return BPF_MAP_CREATE;
  }
  int fill_element(union bpf_attr *attr) {
    attr->map_fd = any_fd();
    attr->key = any_buffer();
    attr->value = any_buffer();
    attr->flags = any({u64{0}, u64{0}, u64{1}, u64{2}, u64{4}, ~u64{0}});
    std::generate(buffer_, buffer_ + 8, [&] { return rng_.below(20); });
    if (rng_.below(4) == 0) *reinterpret_cast<u32 *>(buffer_ + 8) = any_fd();
    return any({int{BPF_MAP_LOOKUP_ELEM}, int{BPF_MAP_UPDATE_ELEM}, int{BPF_MAP_DELETE_ELEM}, int{BPF_MAP_GET_NEXT_KEY},
                int{BPF_MAP_LOOKUP_AND_DELETE_ELEM}, int{BPF_MAP_FREEZE}, int{BPF_OBJ_GET_INFO_BY_FD},
                int{BPF_MAP_GET_FD_BY_ID} + 1000, int{BPF_MAP_GET_NEXT_ID}});
  }
  int fill_batch(union bpf_attr *attr) {
    attr->batch.map_fd = any_fd();
    attr->batch.in_batch = any({u64{0}, any_buffer()});
    attr->batch.out_batch = any_buffer();
    attr->batch.keys = reinterpret_cast<u64>(buffer_);
    attr->batch.values = reinterpret_cast<u64>(buffer_ + kWords / 2);
    attr->batch.count = static_cast<u32>(rng_.below(4));
    attr->batch.elem_flags = any({u64{0}, u64{0}, u64{4}, u64{9}});
    return any({int{BPF_MAP_LOOKUP_BATCH}, int{BPF_MAP_UPDATE_BATCH}, int{BPF_MAP_DELETE_BATCH},
                int{BPF_MAP_LOOKUP_AND_DELETE_BATCH}});
  }

  static constexpr size_t kWords = 1u << 18;  // values of all CPUs, several of them
  BpfSystem &system_;
  Rng rng_;
  std::vector<int> fds_;
  std::vector<u64> memory_ = std::vector<u64>(kWords);
  u64 *const buffer_ = memory_.data();
};

TEST(AttrFuzz, AnythingIsAnsweredAndNothingIsLeft) {
  for (u64 seed = 1; seed <= 4; seed++) {
    TestEnv env;
    const std::unique_ptr<BpfSystem> system = make_test_system(env);
    BpfSystem::Scope scope(*system);
    {
      AttrFuzz fuzz(*system, seed);
      for (int i = 0; i < 5000; i++) {
        SCOPED_TRACE(seed);
        fuzz.step();
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
    EXPECT_TRUE(system->maps().empty());
  }
}

}  // namespace
}  // namespace uscx::bpf
