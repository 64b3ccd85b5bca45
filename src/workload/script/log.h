// SPDX-License-Identifier: GPL-2.0-only
// The logs that rt-app would write: a file a thread, a row a round of a phase, in its columns, so that scripts that
// read them go on working.
//
// Threading: open() may be called from any CPU; a ThreadLog belongs to its thread; finish() when the machine stands
// still.
#ifndef USCX_WORKLOAD_SCRIPT_LOG_H_
#define USCX_WORKLOAD_SCRIPT_LOG_H_

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/types.h"

namespace uscx::workload {

// Times are in us, slack is negative for late.
struct LogRow {
  u64 perf = 0;  // Loops of work.
  u64 run = 0, period = 0, start = 0, end = 0, since_begin = 0;
  s64 slack = 0;
  u64 run_asked = 0, period_asked = 0, wakeup_latency = 0;
};

class ThreadLog {
 public:
  // `rows` is how many are kept; 0: all.
  ThreadLog(std::string path, u32 index, u64 rows) : path_(std::move(path)), index_(index), rows_(rows) {}
  void header(const std::string &policy, int priority);
  void add(const LogRow &row);
  Status finish();

 private:
  void append(const LogRow &row);
  void flush();

  const std::string path_;
  const u32 index_;
  const u64 rows_;
  bool begun_ = false;  // The file is there.
  int error_ = 0;       // The first errno.
  std::string text_;
  std::deque<LogRow> ring_;
};

class LogBook {
 public:
  // Fails if the folder is not there.
  static Result<std::unique_ptr<LogBook>> create(const std::string &folder);
  ThreadLog &open(const std::string &name, u32 index, u64 rows);
  Status finish();

 private:
  explicit LogBook(std::string folder) : folder_(std::move(folder)) {}
  const std::string folder_;
  std::mutex mutex_;  // The list.
  std::vector<std::unique_ptr<ThreadLog>> logs_;
};

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_LOG_H_
