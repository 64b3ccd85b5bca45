// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/memory/arena_window.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"

namespace uscx::bpf {

namespace {
// By 4 GiB of the read-write half.
std::atomic<ArenaWindow *> g_windows[kHalfBytes / kArenaWindowBytes];
static_assert(std::atomic<ArenaWindow *>::is_always_lock_free);
std::atomic<ArenaWindow *> &slot(u64 address) { return g_windows[(address - kRwBase) / kArenaWindowBytes]; }
}  // namespace

ArenaWindow *ArenaWindow::find(u64 address) {
  return Region::in_rw(address) ? slot(address).load(std::memory_order_acquire) : nullptr;  // pairs with enter()
}

void ArenaWindow::enter(ArenaWindow *window) {
  CHECK(window->base % kArenaWindowBytes == 0 && Region::in_rw(window->base));
  CHECK(slot(window->base).exchange(window, std::memory_order_release) == nullptr);
}

void ArenaWindow::remove(ArenaWindow *window) {
  CHECK(slot(window->base).exchange(nullptr, std::memory_order_release) == window);
}

bool ArenaWindow::fault_in(u64 address) {
  const ArenaWindow *window = find(address);
  if (window == nullptr || address - window->pages_at >= window->bytes) return false;
  const int error = errno;
  const u64 page = (address - window->pages_at) / kPageBytes;
  const bool there = !window->absent(page, 1);
  if (there) {
    window->protect(page, 1, true);
    window->stale->store(true, std::memory_order_relaxed);
  }
  errno = error;
  return there;
}

void ArenaWindow::protect(u64 page, u64 count, bool accessible) const {
  const long result = ::syscall(SYS_mprotect, pages_at + page * kPageBytes, count * kPageBytes,
                                accessible ? PROT_READ | PROT_WRITE : PROT_NONE);
  CHECK(result == 0, "mprotect of {} arena pages: errno {}", count, errno);
}

bool ArenaWindow::absent(u64 page, u64 count) const {
  const u64 start = page * kPageBytes;
  const off_t data = ::lseek(fd, static_cast<off_t>(start), SEEK_DATA);
  return data < 0 || static_cast<u64>(data) >= start + count * kPageBytes;
}

}  // namespace uscx::bpf
