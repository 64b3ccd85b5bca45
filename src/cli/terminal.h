// SPDX-License-Identifier: GPL-2.0-only
// What a run writes on standard error: kernel log lines, the scheduler's output, and on a terminal a progress line that
// the others never collide with. The host's clock is used for display only. Not thread-safe.
#ifndef USCX_CLI_TERMINAL_H_
#define USCX_CLI_TERMINAL_H_

#include <string>
#include <string_view>

#include "run/run.h"

namespace uscx::cli {

// Whether people who look at the stream want colours: it is a terminal that has them, and NO_COLOR is not set.
bool wants_colour(int fd);
std::string signal_name(int signal);  // "SIGINT"

class Terminal {
 public:
  // A quiet one shows nothing.
  explicit Terminal(bool quiet = false);
  ~Terminal() { end(); }
  void write(std::string_view text);    // Whole lines, or parts of them.
  void show_start(u32 nr_cpus);         // Large machines take a while before there is progress.
  void show(const Progress &progress);  // Does nothing on a file, or if it is too early to.
  void clear();
  void end();  // Nothing comes any more.

 private:
  void write_line(std::string_view line);
  void tell_repeats();
  static constexpr double kFirstShownS = 0.5, kIntervalS = 0.2;
  const bool quiet_, has_progress_;
  std::string last_line_;  // Without the time in front of it, and how often it has come again.
  u64 repeats_ = 0;
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
  int signal() const;  // Which one it was; 0: none.
};

}  // namespace uscx::cli

#endif  // USCX_CLI_TERMINAL_H_
