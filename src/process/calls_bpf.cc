// SPDX-License-Identifier: GPL-2.0-only
// bpf(2): the BpfSystem's, with the caller's memory and descriptors. Commands that register or unregister a table of
// callbacks wait until the scheduler is there or gone, and run as the thread's own kernel path.
#include <linux/bpf.h>
#include <sys/syscall.h>

#include <cstring>
#include <vector>

#include "bpf/object/struct_ops.h"
#include "process/calls.h"
#include "process/supervisor.h"
#include "process/system_files.h"

namespace uscx::process {
namespace {

constexpr u64 kMaxAttrBytes = 4096;

// May it attach or detach?
bool may_wait(Supervisor &s, int command, const union bpf_attr &attr) {
  if (command == BPF_LINK_CREATE || command == BPF_LINK_DETACH || command == BPF_LINK_UPDATE) return true;
  if (command != BPF_MAP_UPDATE_ELEM && command != BPF_MAP_DELETE_ELEM) return false;
  const auto map = s.host().system().get<bpf::Map>(static_cast<int>(attr.map_fd));
  return map != nullptr && map->supports(bpf::MAP_KERNEL_VALUE);
}

// Calls the system with a copy of the attributes, and writes back what it has changed of them.
s64 call_bpf(Supervisor &s, Thread &t, const std::vector<u8> &bytes) {
  union bpf_attr attr;
  std::vector<u8> buffer(std::max(bytes.size(), sizeof attr));
  std::memcpy(buffer.data(), bytes.data(), bytes.size());
  const long result =
      s.host().system().bpf(static_cast<int>(t.call.args[0]), reinterpret_cast<union bpf_attr *>(buffer.data()),
                            static_cast<u32>(bytes.size()));
  if (std::memcmp(buffer.data(), bytes.data(), bytes.size()) != 0 &&
      t.process->remote.write(t.call.args[1], buffer.data(), bytes.size()) != 0)
    return -EFAULT;
  return result;
}

Outcome do_bpf(Supervisor &s, Thread &t) {
  const u64 size = t.call.args[2] & ~0u;
  if (size > kMaxAttrBytes) return Outcome::answer(-E2BIG);
  std::vector<u8> bytes(size);
  if (t.process->remote.read(bytes.data(), t.call.args[1], size) != 0) return Outcome::answer(-EFAULT);
  union bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  std::memcpy(&attr, bytes.data(), std::min<size_t>(size, sizeof attr));
  if (!may_wait(s, static_cast<int>(t.call.args[0]), attr)) {
    const s64 result = call_bpf(s, t, bytes);
    if (t.call.args[0] == BPF_OBJ_PIN && result == 0) s.system_files().names_changed("/sys/fs/bpf");
    s.check_probes();
    return Outcome::answer(result);
  }
  return {Outcome::Kind::kSlow, 0, [&s, &t, bytes] { return Outcome::answer(call_bpf(s, t, bytes)); }};
}

Outcome do_perf_event_open(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  return Outcome::answer(s.host().system().perf_event_open(reinterpret_cast<const perf_event_attr *>(args[0]),
                                                           static_cast<int>(args[1]), static_cast<int>(args[2]),
                                                           static_cast<int>(args[3]), args[4]));
}

// Only the requests of perf events come to us.
Outcome do_ioctl(Supervisor &s, Thread &t) {
  const int fd = static_cast<int>(t.call.args[0]);
  if (!s.host().system().object_of_fd(fd)) return Outcome::let_through();
  return Outcome::answer(s.host().system().perf_event_ioctl(fd, t.call.args[1]));
}

constexpr CallEntry kTable[] = {
    {SYS_bpf, "bpf", 2000, do_bpf},
    {SYS_perf_event_open, "perf_event_open", 1000, do_perf_event_open},
    {SYS_ioctl, "ioctl", 400, do_ioctl},
};

}  // namespace

const std::span<const CallEntry> kBpfCalls = kTable;

}  // namespace uscx::process
