// SPDX-License-Identifier: GPL-2.0-only
// futex(2): waiters queue here, in order of arrival. The value is looked at and the queue changed in one step of the
// simulation, so that no wakeup is lost.
#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>

#include "process/calls.h"
#include "process/supervisor.h"

namespace uscx::process {

void Supervisor::queue_on_futex(Thread &t, const FutexKey &key, u32 bits) {
  CHECK(!t.queued_on_futex);
  t.futex = key;
  t.futex_bits = bits;
  t.queued_on_futex = true;
  futexes_[key].push_back(&t);
}

void Supervisor::leave_futex(Thread &t) {
  if (!t.queued_on_futex) return;
  t.queued_on_futex = false;
  const auto it = futexes_.find(t.futex);
  CHECK(it != futexes_.end());
  std::erase(it->second, &t);
  if (it->second.empty()) futexes_.erase(it);
}

u32 Supervisor::wake_futex(const FutexKey &key, u32 count, u32 bits) {
  u32 woken = 0;
  const auto it = futexes_.find(key);
  if (it == futexes_.end()) return 0;
  const std::vector<Thread *> waiters = it->second;
  for (Thread *t : waiters) {
    if (woken == count) break;
    if (!(t->futex_bits & bits)) continue;
    leave_futex(*t);
    wake_thread(*t);
    woken++;
  }
  return woken;
}

u32 Supervisor::requeue_futex(const FutexKey &from, const FutexKey &to, u32 count) {
  const auto it = futexes_.find(from);
  if (it == futexes_.end() || from == to) return 0;
  const std::vector<Thread *> waiters = it->second;
  u32 moved = 0;
  for (Thread *t : waiters) {
    if (moved == count) break;
    leave_futex(*t);
    queue_on_futex(*t, to, t->futex_bits);
    moved++;
  }
  return moved;
}

namespace {

FutexKey key_of(const Thread &t, u64 address, bool is_private) {
  FutexKey key;
  key.offset = address;
  if (!is_private) {
    if (const auto place = t.process->remote.shared_memory_at(address)) {
      key.memory = place->first;
      key.offset = place->second;
      return key;
    }
  }
  key.space = t.process->space;
  return key;
}

Outcome wait(Supervisor &s, Thread &t, bool absolute, bool realtime, u32 bits, bool is_private) {
  const u64 *args = t.call.args;
  if (t.started) {
    if (!t.queued_on_futex) return Outcome::answer(0);  // Woken.
    const bool late = s.now_ns() >= t.until_ns;
    if (!late && !t.interrupted) return wait_until(t.until_ns);
    s.leave_futex(t);
    if (late) return Outcome::answer(-ETIMEDOUT);
    // A relative time limit would start anew.
    return Outcome::answer(t.until_ns != kNever && !absolute ? -EINTR : -kErestartSys);
  }
  if (bits == 0 || args[0] % sizeof(u32) != 0) return Outcome::answer(-EINVAL);
  t.until_ns = kNever;
  if (args[3] != 0) {
    timespec time{};
    if (t.process->remote.get(&time, args[3]) != 0) return Outcome::answer(-EFAULT);
    if (!valid_time(time)) return Outcome::answer(-EINVAL);
    const u64 ns = ns_of(time);
    if (!absolute)
      t.until_ns = after_ns(s.now_ns(), ns);
    else if (ns != kNever)
      t.until_ns = !realtime ? ns : ns > Supervisor::kBootRealtimeNs ? ns - Supervisor::kBootRealtimeNs : 0;
  }
  u32 value{};
  if (t.process->remote.get(&value, args[0]) != 0) return Outcome::answer(-EFAULT);
  if (value != static_cast<u32>(args[2])) return Outcome::answer(-EAGAIN);
  if (s.now_ns() >= t.until_ns) return Outcome::answer(-ETIMEDOUT);
  if (t.interrupted) return Outcome::answer(-kErestartSys);
  s.queue_on_futex(t, key_of(t, args[0], is_private), bits);
  return wait_until(t.until_ns);
}

Outcome requeue(Supervisor &s, Thread &t, bool compare, bool is_private) {
  const u64 *args = t.call.args;
  if (static_cast<s32>(args[2]) < 0 || static_cast<s32>(args[3]) < 0) return Outcome::answer(-EINVAL);
  if (compare) {
    u32 value{};
    if (t.process->remote.get(&value, args[0]) != 0) return Outcome::answer(-EFAULT);
    if (value != static_cast<u32>(args[5])) return Outcome::answer(-EAGAIN);
  }
  const FutexKey from = key_of(t, args[0], is_private), to = key_of(t, args[4], is_private);
  const u32 woken = s.wake_futex(from, static_cast<u32>(args[2]), ~0u);
  return Outcome::answer(woken + s.requeue_futex(from, to, static_cast<u32>(args[3])));
}

// FUTEX_WAKE_OP changes the second word, wakes on the first, and on the second if its old value compares.
Outcome wake_op(Supervisor &s, Thread &t, bool is_private) {
  const u64 *args = t.call.args;
  const u32 code = static_cast<u32>(args[5]);
  u32 old{};
  if (t.process->remote.get(&old, args[4]) != 0) return Outcome::answer(-EFAULT);
  const auto sign_extend = [](u32 twelve_bits) { return static_cast<s32>(twelve_bits << 20) >> 20; };
  const u32 op = code >> 28 & 7, compare = code >> 24 & 15;
  u32 arg = static_cast<u32>(sign_extend(code >> 12 & 0xfff));
  const s32 limit = sign_extend(code & 0xfff), was = static_cast<s32>(old);
  if (code >> 31) arg = 1u << (arg & 31);
  const u32 values[] = {arg, old + arg, old | arg, old & ~arg, old ^ arg};
  const bool results[] = {was == limit, was != limit, was<limit, was <= limit, was> limit, was >= limit};
  if (op >= std::size(values) || compare >= std::size(results)) return Outcome::answer(-ENOSYS);
  if (t.process->remote.put(args[4], values[op]) != 0) return Outcome::answer(-EFAULT);
  u32 woken = s.wake_futex(key_of(t, args[0], is_private), static_cast<u32>(args[2]), ~0u);
  if (results[compare]) woken += s.wake_futex(key_of(t, args[4], is_private), static_cast<u32>(args[3]), ~0u);
  return Outcome::answer(woken);
}

Outcome do_futex(Supervisor &s, Thread &t) {
  const u64 *args = t.call.args;
  const u32 flags = static_cast<u32>(args[1]);
  const bool is_private = (flags & FUTEX_PRIVATE_FLAG) != 0, realtime = (flags & FUTEX_CLOCK_REALTIME) != 0;
  const u32 command = flags & FUTEX_CMD_MASK;
  switch (command) {
    case FUTEX_WAIT: return wait(s, t, false, false, FUTEX_BITSET_MATCH_ANY, is_private);
    case FUTEX_WAIT_BITSET: return wait(s, t, true, realtime, static_cast<u32>(args[5]), is_private);
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET: {
      const u32 bits = command == FUTEX_WAKE ? FUTEX_BITSET_MATCH_ANY : static_cast<u32>(args[5]);
      if (bits == 0) return Outcome::answer(-EINVAL);
      return Outcome::answer(s.wake_futex(key_of(t, args[0], is_private), static_cast<u32>(args[2]), bits));
    }
    case FUTEX_REQUEUE: return requeue(s, t, false, is_private);
    case FUTEX_CMP_REQUEUE: return requeue(s, t, true, is_private);
    case FUTEX_WAKE_OP: return wake_op(s, t, is_private);
    default:
      s.note(fmt::format("{}: futex operation {} (priority inheritance) is not implemented", t.process->name, command));
      return Outcome::answer(-ENOSYS);
  }
}

constexpr CallEntry kTable[] = {{SYS_futex, "futex", 400, do_futex}};

}  // namespace

const std::span<const CallEntry> kFutexCalls = kTable;

}  // namespace uscx::process
