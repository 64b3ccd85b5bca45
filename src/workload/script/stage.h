// SPDX-License-Identifier: GPL-2.0-only
// For tests: a script on a whole simulated machine under the fair class, with the rows of its logs.
#ifndef USCX_WORKLOAD_SCRIPT_STAGE_H_
#define USCX_WORKLOAD_SCRIPT_STAGE_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "sched/native/machine.h"
#include "workload/script/log.h"
#include "workload/workload.h"

namespace uscx::workload {

class Stage {
 public:
  using Row = std::vector<s64>;  // In the order of the log's columns.
  enum Column { kIndex, kPerf, kRun, kPeriod, kStart, kEnd, kSince, kSlack, kRunAsked, kPeriodAsked, kLatency };

  explicit Stage(const std::string &json, u32 nr_cpus = 2) : Stage(parse_workload(json, "test.json"), nr_cpus) {}
  Stage(Result<std::shared_ptr<const Workload>> workload, u32 nr_cpus) : m(nr_cpus) {
    std::string pattern = ::testing::TempDir() + "uscx-logs-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    logs_ = LogBook::create(folder_).take();
    m.kernel.set_log_listener([this](u64, const std::string &line) { log += line + "\n"; });
    EXPECT_TRUE(workload.ok()) << (workload.ok() ? "" : workload.message());
    workload_ = workload.take();
    const Site site{.nr_cpus = nr_cpus, .logs = logs_.get(), .say = [this](const std::string &text) { said += text; }};
    auto plan = workload_->plan(site);
    EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.message());
    launcher_ = std::make_unique<Launcher>(m.kernel, [](const RefusedTask &task) { ADD_FAILURE() << task.comm; });
    launcher_->launch(plan.take());
  }
  ~Stage() { std::filesystem::remove_all(folder_); }

  void run_ms(u64 ms) { m.run_for(ms * kNsPerMs); }
  sched::Task *find(const std::string &comm) {
    sched::Task *found = nullptr;
    m.kernel.for_each_task([&](sched::Task &p) {
      if (p.comm() == comm) found = &p;
    });
    return found;
  }
  u32 count() {
    u32 tasks = 0;
    m.kernel.for_each_task([&](sched::Task &p) { tasks += p.kind == sched::TaskKind::kWorkload; });
    return tasks;
  }
  // The rows of "rt-app-NAME.log", once the run is over.
  std::vector<Row> rows(const std::string &name) {
    EXPECT_TRUE(logs_->finish().ok());
    std::ifstream file(folder_ + "/" + name + ".log");
    std::vector<Row> rows;
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with('#')) continue;
      std::istringstream words(line);
      Row &row = rows.emplace_back();
      for (s64 word; words >> word;) row.push_back(word);
    }
    return rows;
  }
  std::string text(const std::string &name) {
    EXPECT_TRUE(logs_->finish().ok());
    std::ifstream file(folder_ + "/" + name + ".log");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  sched::TestMachine m;
  std::string log, said;

 private:
  std::string folder_;
  std::shared_ptr<const Workload> workload_;
  std::unique_ptr<LogBook> logs_;
  std::unique_ptr<Launcher> launcher_;
};

// What a column of some rows has; each value may be up to 100 us more, for switches and calls.
inline void expect_column(const std::vector<Stage::Row> &rows, Stage::Column column, const std::vector<s64> &values) {
  ASSERT_EQ(rows.size(), values.size());
  for (size_t i = 0; i < rows.size(); i++) {
    EXPECT_GE(rows[i][column], values[i]) << "row " << i;
    EXPECT_LE(rows[i][column], values[i] + 100) << "row " << i;
  }
}

}  // namespace uscx::workload

#endif  // USCX_WORKLOAD_SCRIPT_STAGE_H_
