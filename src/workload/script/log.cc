// SPDX-License-Identifier: GPL-2.0-only
#include "workload/script/log.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace uscx::workload {

void ThreadLog::header(const std::string &policy, int priority) {
  text_ += fmt::format("# Policy : {} priority : {}\n", policy, priority);
  text_ += fmt::format("{} {:>8} {:>8} {:>8} {:>15} {:>15} {:>15} {:>10} {:>10} {:>10} {:>10}\n", "#idx", "perf", "run",
                       "period", "start", "end", "rel_st", "slack", "c_duration", "c_period", "wu_lat");
}

void ThreadLog::add(const LogRow &row) {
  if (rows_ == 0) return append(row);
  if (ring_.size() == rows_) ring_.pop_front();
  ring_.push_back(row);
}

void ThreadLog::append(const LogRow &row) {
  constexpr size_t kFlushBytes = 1 << 16;
  text_ += fmt::format("{:4} {:8} {:8} {:8} {:15} {:15} {:15} {:10} {:10} {:10} {:10}\n", index_, row.perf, row.run,
                       row.period, row.start, row.end, row.since_begin, row.slack, row.run_asked, row.period_asked,
                       row.wakeup_latency);
  if (text_.size() >= kFlushBytes) flush();
}

void ThreadLog::flush() {
  if (error_) return;
  std::FILE *file = std::fopen(path_.c_str(), begun_ ? "ae" : "we");
  const bool written = file && std::fwrite(text_.data(), 1, text_.size(), file) == text_.size();
  if (!written) error_ = errno;
  if (file && std::fclose(file) != 0 && !error_) error_ = errno;
  begun_ = true;
  text_.clear();
}

Status ThreadLog::finish() {
  for (const LogRow &row : ring_) append(row);
  ring_.clear();
  flush();
  return error_ ? Status::error("{}: {}", path_, std::strerror(error_)) : Status::ok_status();
}

Result<std::unique_ptr<LogBook>> LogBook::create(const std::string &folder) {
  struct stat info;
  if (stat(folder.c_str(), &info) != 0) return Status::error("{}: {}", folder, std::strerror(errno));
  if (!S_ISDIR(info.st_mode)) return Status::error("{}: is not a directory", folder);
  return std::unique_ptr<LogBook>(new LogBook(folder));
}

ThreadLog &LogBook::open(const std::string &name, u32 index, u64 rows) {
  std::string file = name;  // A task's name may have a slash.
  for (char &c : file)
    if (c == '/') c = '_';
  std::lock_guard guard(mutex_);
  return *logs_.emplace_back(std::make_unique<ThreadLog>(fmt::format("{}/{}.log", folder_, file), index, rows));
}

Status LogBook::finish() {
  Status first;
  for (const std::unique_ptr<ThreadLog> &log : logs_)
    if (Status status = log->finish(); !status.ok() && first.ok()) first = status;
  return first;
}

}  // namespace uscx::workload
