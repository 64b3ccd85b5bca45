// SPDX-License-Identifier: GPL-2.0-only
// A process of the host from outside: its memory, its descriptors, what the host's kernel says of its threads. All of
// it is read while the thread concerned waits for an answer of ours, so that nothing changes under our hands.
//
// Threading: the supervisor's thread.
#ifndef USCX_PROCESS_REMOTE_H_
#define USCX_PROCESS_REMOTE_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/types.h"

namespace uscx::process {

class Remote {
 public:
  explicit Remote(pid_t host_pid);
  ~Remote();
  Remote(const Remote &) = delete;
  Remote &operator=(const Remote &) = delete;

  pid_t host_pid() const { return host_pid_; }
  int pidfd() const { return pidfd_; }
  bool dead() const;  // All of its threads have gone; the host may still keep a zombie.
  void wait_dead() const;
  // Nothing will be asked any more: gives its descriptor back.
  void forget();

  // --- memory: 0 or -EFAULT ---
  int read(void *to, u64 from, size_t size) const;
  int write(u64 to, const void *from, size_t size) const;
  // Past page protections, for code.
  int write_code(u64 to, const void *from, size_t size) const;
  template <typename T>
  int get(T *value, u64 from) const {
    return read(value, from, sizeof(T));
  }
  template <typename T>
  int put(u64 to, const T &value) const {
    return write(to, &value, sizeof(T));
  }
  // A string with its end within `limit` bytes; -ENAMETOOLONG, -EFAULT.
  int get_string(std::string *text, u64 from, size_t limit) const;

  // --- descriptors ---
  bool stat_fd(int fd, struct stat *st) const;
  std::string link_of_fd(int fd) const;  // What /proc shows as its target.
  std::string cwd() const;
  int borrow_fd(int fd) const;     // A duplicate of ours, or -errno.
  int status_flags(int fd) const;  // O_NONBLOCK and so on, or -errno.
  std::vector<int> fds() const;

  // --- what the host's kernel says ---
  struct Signals {
    u64 blocked = 0, ignored = 0, caught = 0, pending = 0;
  };
  Signals signals(pid_t host_tid) const;
  char thread_state(pid_t host_tid) const;     // 'R', 'S', ...; 0 when it has gone.
  long current_syscall(pid_t host_tid) const;  // -1: none.
  u64 cpu_time_ns() const;                     // Of all its threads.
  std::string comm(pid_t host_tid) const;
  std::optional<u64> auxv(u64 type) const;
  // Where a shared mapping's memory comes from: a name for it and the offset; nothing for private memory.
  std::optional<std::pair<std::string, u64>> shared_memory_at(u64 address) const;

 private:
  std::string proc(const std::string &rest) const;

  const pid_t host_pid_;
  int pidfd_ = -1;
};

// A small file of the host as text; empty if it cannot be read.
std::string read_host_file(const std::string &path);
// The host's id of an eventfd, by what /proc says of it, and 1; 0 if it is none.
u64 eventfd_id(const std::string &fdinfo_path);

}  // namespace uscx::process

#endif  // USCX_PROCESS_REMOTE_H_
