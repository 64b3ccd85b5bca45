// SPDX-License-Identifier: GPL-2.0-only
#include "cli/terminal.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace uscx::cli {
namespace {

constexpr int kInterrupts[] = {SIGINT, SIGTERM, SIGHUP};
std::atomic<bool> interrupted = false;
std::atomic<int> which = 0;
struct sigaction previous_actions[std::size(kInterrupts)];

void on_interrupt(int signal) {
  constexpr int kKilledBy = 128;
  which = signal;
  if (interrupted.exchange(true)) _exit(kKilledBy + signal);
}

// A terminal that can go back in a line, and show colours.
bool is_capable_terminal(int fd) {
  const char *const kind = std::getenv("TERM");
  return isatty(fd) && kind != nullptr && std::string_view(kind) != "dumb";
}

// "[    1.234567] text" -> "text". Lines that differ by their time only are the same.
std::string_view without_time(std::string_view line) {
  const size_t end = line.find("] ");
  if (!line.starts_with('[') || end == std::string_view::npos) return line;
  return line.substr(0, end).find_first_not_of("[ .0123456789") == std::string_view::npos ? line.substr(end + 2) : line;
}

}  // namespace

bool wants_colour(int fd) {
  const char *const no = std::getenv("NO_COLOR");
  return (no == nullptr || *no == '\0') && is_capable_terminal(fd);
}

std::string signal_name(int signal) { return fmt::format("SIG{}", sigabbrev_np(signal)); }

Terminal::Terminal(bool quiet) : quiet_(quiet), has_progress_(!quiet && is_capable_terminal(STDERR_FILENO)) {}

void Terminal::write(std::string_view text) {
  if (text.empty() || quiet_) return;
  clear();
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    write_line(text.substr(0, end));
    text.remove_prefix(end);
  }
}

// A whole line, or a part of one.
void Terminal::write_line(std::string_view line) {
  const bool whole = !mid_line_ && line.back() == '\n';
  const std::string_view text = without_time(line);
  if (whole && line.size() > 1 && text == last_line_) return (void)repeats_++;
  tell_repeats();
  last_line_ = whole ? text : "";
  std::fwrite(line.data(), 1, line.size(), stderr);
  mid_line_ = line.back() != '\n';
}

void Terminal::tell_repeats() {
  if (repeats_ != 0) fmt::print(stderr, "(the line above {} more {})\n", repeats_, repeats_ == 1 ? "time" : "times");
  repeats_ = 0;
}

void Terminal::end() {
  clear();
  tell_repeats();
  last_line_.clear();
}

void Terminal::show_start(u32 nr_cpus) {
  constexpr u32 kLarge = 512;
  if (!has_progress_ || mid_line_ || nr_cpus < kLarge) return;
  std::fputs(fmt::format("\r\033[Kstarting {} CPUs", nr_cpus).c_str(), stderr);
  std::fflush(stderr);
  shown_ = true;
}

void Terminal::show(const Progress &progress) {
  if (!has_progress_ || mid_line_ || progress.wall_s < kFirstShownS) return;
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
  which = 0;
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
int InterruptGuard::signal() const { return which; }

}  // namespace uscx::cli
