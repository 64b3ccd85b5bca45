// SPDX-License-Identifier: GPL-2.0-only
// What a run writes on standard error: kernel log lines, the scheduler's output, and on a terminal a progress line that
// the others never collide with. The host's clock is used for display only. Not thread-safe.
#ifndef USCX_CLI_TERMINAL_H_
#define USCX_CLI_TERMINAL_H_

#include <string>
#include <string_view>

#include "run/run.h"

namespace uscx::cli {

class Terminal {
 public:
  Terminal();
  ~Terminal() { clear(); }
  void write(std::string_view text);    // Whole lines, or parts of them.
  void show(const Progress &progress);  // Does nothing on a file, or if it is too early to.
  void clear();

 private:
  static constexpr double kFirstShownS = 0.5, kIntervalS = 0.2;
  const bool is_terminal_;
  bool shown_ = false;
  bool mid_line_ = false;  // The last text had no newline at its end: a progress line would be appended to it.
  double last_shown_s_ = 0;
};

// While it lives, SIGINT, SIGTERM and SIGHUP set stop(), and a second one ends the process at once. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  const std::atomic<bool> *stop() const;
};

}  // namespace uscx::cli

#endif  // USCX_CLI_TERMINAL_H_
