// SPDX-License-Identifier: GPL-2.0-only
// Fuzz entry for bpf(2): the bytes are a sequence of calls of a program whose memory and descriptors are its own, and
// that memory's content. Each call is answered with a result or an errno, and at the end nothing is left.
//
// A call is its number, the size of its attributes in words of 4 bytes, and those; a zero byte ends the calls, and what
// follows is the memory, at kBase.
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "bpf/object/user_space.h"
#include "bpf/testing/env.h"

namespace {

using namespace uscx;

class Caller final : public bpf::UserSpace {
 public:
  static constexpr u64 kBase = 0x10000;
  static constexpr size_t kBytes = 0x10000;

  void fill(const uint8_t *data, size_t size) { std::memcpy(memory_.data(), data, std::min(size, kBytes)); }
  int read(void *to, u64 from, size_t size) override {
    if (!is_mine(from, size)) return -EFAULT;
    std::memcpy(to, memory_.data() + (from - kBase), size);
    return 0;
  }
  int write(u64 to, const void *from, size_t size) override {
    if (!is_mine(to, size)) return -EFAULT;
    std::memcpy(memory_.data() + (to - kBase), from, size);
    return 0;
  }
  bool stat_fd(int fd, struct stat *st) override {
    const auto it = objects_.find(fd);
    return it != objects_.end() && ::fstat(it->second->memfd(), st) == 0;
  }
  int install_fd(const std::shared_ptr<bpf::Object> &object) override {
    constexpr size_t kMaxFds = 64;
    if (objects_.size() >= kMaxFds) return -EMFILE;
    object->set_user_held();
    objects_[next_fd_] = object;
    return next_fd_++;
  }
  void close_all() {
    for (auto &[fd, object] : objects_)
      if (object->user_held()) object->user_released();
    objects_.clear();
  }

 private:
  static bool is_mine(u64 address, size_t size) {
    return address >= kBase && address - kBase <= kBytes && size <= kBytes - (address - kBase);
  }
  std::vector<u8> memory_ = std::vector<u8>(kBytes);
  std::map<int, std::shared_ptr<bpf::Object>> objects_;
  int next_fd_ = 3;
};

// A map of any size would only fill the host's memory.
void limit(int cmd, union bpf_attr *attr) {
  constexpr u32 kMaxEntries = 4096, kMaxValue = 4096;
  if (cmd != BPF_MAP_CREATE) return;
  attr->max_entries = std::min(attr->max_entries, kMaxEntries);
  attr->value_size = std::min(attr->value_size, kMaxValue);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bpf::TestEnv shared_env;
  static const std::unique_ptr<bpf::BpfSystem> system = bpf::make_test_system(shared_env);
  bpf::BpfSystem::Scope scope(*system);
  Caller caller;
  std::vector<std::pair<int, std::vector<u8>>> calls;
  size_t at = 0;
  while (at + 2 <= size && data[at] != 0) {
    const size_t bytes = std::min<size_t>(data[at + 1] % 64 * 4, size - at - 2);
    calls.emplace_back(data[at] - 1, std::vector<u8>(data + at + 2, data + at + 2 + bytes));
    at += 2 + bytes;
  }
  at = std::min(at + 1, size);
  caller.fill(data + at, size - at);
  {
    bpf::UserSpace::Scope user(&caller);
    for (auto &[cmd, bytes] : calls) {
      union bpf_attr attr;
      std::memset(&attr, 0, sizeof attr);
      std::memcpy(&attr, bytes.data(), std::min(bytes.size(), sizeof attr));
      limit(cmd, &attr);
      const long result = system->bpf(cmd, &attr, static_cast<u32>(std::min(bytes.size(), sizeof attr)));
      CHECK(result >= -4095, "command {} gives {}", cmd, result);
    }
    caller.close_all();
  }
  system->fs().clear();  // What is pinned stays otherwise.
  system->quiescent();
  shared_env.timers.clear();
  CHECK(system->maps().empty() && system->programs().empty(), "{} maps and {} programs are left", system->maps().size(),
        system->programs().size());
  shared_env.printed.clear();
  shared_env.logged.clear();
  return 0;
}
