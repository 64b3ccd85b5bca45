// SPDX-License-Identifier: GPL-2.0-only
#include "cli/terminal.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>

namespace uscx::cli {
namespace {

std::atomic<bool> interrupted = false;
struct sigaction previous_action;

void on_interrupt(int) {
  constexpr int kKilledByInterrupt = 128 + SIGINT;
  if (interrupted.exchange(true)) _exit(kKilledByInterrupt);
}

}  // namespace

Terminal::Terminal() : is_terminal_(isatty(STDERR_FILENO)) {}

void Terminal::write(std::string_view text) {
  if (text.empty()) return;
  clear();
  std::fwrite(text.data(), 1, text.size(), stderr);
  mid_line_ = text.back() != '\n';
}

void Terminal::show(const Progress &progress) {
  if (!is_terminal_ || mid_line_ || progress.wall_s < kFirstShownS) return;
  if (shown_ && progress.wall_s - last_shown_s_ < kIntervalS) return;
  const u64 percent = static_cast<u64>(static_cast<unsigned __int128>(progress.now_ns) * 100 / progress.end_ns);
  const double events_per_s = static_cast<double>(progress.events) / progress.wall_s;
  // Milliseconds are enough for the eye.
  fmt::print(stderr, "\r\033[K{} of {} simulated ({}%), {:.1f} million events/s",
             format_duration(progress.now_ns / kNsPerMs * kNsPerMs), format_duration(progress.end_ns), percent,
             events_per_s / 1e6);
  std::fflush(stderr);
  shown_ = true;
  last_shown_s_ = progress.wall_s;
}

void Terminal::clear() {
  if (!shown_) return;
  std::fputs("\r\033[K", stderr);
  shown_ = false;
}

InterruptGuard::InterruptGuard() {
  interrupted = false;
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &previous_action);
}

InterruptGuard::~InterruptGuard() { sigaction(SIGINT, &previous_action, nullptr); }

const std::atomic<bool> *InterruptGuard::stop() const { return &interrupted; }

}  // namespace uscx::cli
