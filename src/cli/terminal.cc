// SPDX-License-Identifier: GPL-2.0-only
#include "cli/terminal.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <iterator>

namespace uscx::cli {
namespace {

constexpr int kInterrupts[] = {SIGINT, SIGTERM, SIGHUP};
std::atomic<bool> interrupted = false;
struct sigaction previous_actions[std::size(kInterrupts)];

void on_interrupt(int signal) {
  constexpr int kKilledBy = 128;
  if (interrupted.exchange(true)) _exit(kKilledBy + signal);
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
  const std::string line = fmt::format("\r\033[K{} of {} simulated ({}%), {:.1f} million events/s",
                                       format_duration(progress.now_ns / kNsPerMs * kNsPerMs),
                                       format_duration(progress.end_ns), percent, events_per_s / 1e6);
  std::fputs(line.c_str(), stderr);
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
  for (size_t i = 0; i < std::size(kInterrupts); i++) {
    sigaction(kInterrupts[i], &action, &previous_actions[i]);
    // As nohup wants it.
    if (kInterrupts[i] != SIGINT && previous_actions[i].sa_handler == SIG_IGN)
      sigaction(kInterrupts[i], &previous_actions[i], nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < std::size(kInterrupts); i++) sigaction(kInterrupts[i], &previous_actions[i], nullptr);
}

const std::atomic<bool> *InterruptGuard::stop() const { return &interrupted; }

}  // namespace uscx::cli
