// SPDX-License-Identifier: GPL-2.0-only
#include "workload/builtin_scripts.h"

#include <algorithm>

namespace uscx::workload {
namespace {

// A script's text under way. Times in it are text, so that each task is a process unless it says otherwise.
class Text {
 public:
  explicit Text(const char *name) : name_(name) {}
  template <typename... Args>
  void task(std::string_view name, fmt::format_string<Args...> format, Args &&...args) {
    tasks_ += fmt::format("{}\"{}\": {{{}}}", tasks_.empty() ? "" : ", ", name,
                          fmt::format(format, std::forward<Args>(args)...));
  }
  void channel(std::string_view name, u64 capacity) {
    channels_ += fmt::format("{}\"{}\": {}", channels_.empty() ? "" : ", ", name, capacity);
  }
  Result<std::vector<PlannedTask>> plan(const Site &site) const {
    const std::string json =
        fmt::format(R"({{"global": {{"process": "each"}}, "channels": {{{}}}, "tasks": {{{}}}}})", channels_, tasks_);
    Result<std::shared_ptr<const Workload>> script = parse_workload(json, name_);
    if (!script.ok()) return script.status();
    return (*script)->plan(site);
  }

 private:
  const std::string name_;
  std::string tasks_, channels_;
};

// More than any backlog: requests wait in it, they are not turned away.
constexpr u64 kUnbounded = 1000000000;

std::string ns(u64 value) { return fmt::format("{}ns", value); }
u64 or_default(u64 value, u64 otherwise) { return value ? value : otherwise; }

}  // namespace

// A worker puts itself on its message thread's list, wakes that, and waits to be woken; the message thread wakes all of
// its list in turn. Then comes a request: a pause to think, and the work. Workers of one message thread are woken in
// the order in which they came, which is the order of the list.
Result<std::vector<PlannedTask>> plan_schbench(const Values &values, const Site &site) {
  const u64 messages = values.number("messages");
  const u64 workers = or_default(values.number("workers"), std::max<u64>(1, site.nr_cpus / messages));
  Text text("schbench");
  for (u64 i = 0; i < messages; i++) {
    text.channel(fmt::format("list{}", i), kUnbounded);
    text.task(fmt::format("schbench-m{}", i), R"("recv": "list{0}", "sem_post": "go{0}", "run": "{1}")", i,
              ns(values.number("post")));
    text.task(
        fmt::format("schbench-w{}", i),
        R"("thread_of": "schbench-m{0}", "instance": {1}, "send": "list{0}", "sem_wait": "go{0}", "sleep": "{2}", )"
        R"("run": "{3}")",
        i, workers, ns(values.number("think")), values.text("work"));
  }
  return text.plan(site);
}

// Each sender of a group sends so many messages to each of its receivers, whose sockets hold a bounded number.
Result<std::vector<PlannedTask>> plan_hackbench(const Values &values, const Site &site) {
  const u64 pairs = values.number("pairs"), loops = values.number("loops");
  Text text("hackbench");
  for (u64 group = 0; group < values.number("groups"); group++) {
    std::string sends;
    for (u64 i = 0; i < pairs; i++) {
      const std::string channel = fmt::format("{}.{}", group, i);
      text.channel(channel, values.number("buffer"));
      text.task("hackbench", R"("loop": {}, "recv": "{}", "run": "{}")", pairs * loops, channel,
                ns(values.number("work")));
      sends += fmt::format(R"(, "run": "{}", "send": "{}")", ns(values.number("work")), channel);
    }
    text.task("hackbench", R"("instance": {}, "loop": {}{})", pairs, loops, sends);
  }
  return text.plan(site);
}

// make starts a compiler for each unit, never more at once than there are jobs; each reads for a while and computes.
Result<std::vector<PlannedTask>> plan_build(const Values &values, const Site &site) {
  Text text("build");
  text.task(
      "make",
      R"("loop": 1, "phases": {{"slots": {{"loop": {}, "sem_post": "jobs"}}, "units": {{"loop": {}, )"
      R"("sem_wait": "jobs", "run": "500us", "fork": "cc1"}}, "link": {{"join": "cc1", "exec": "ld", "run": "{}"}}}})",
      or_default(values.number("jobs"), site.nr_cpus), values.number("units"), ns(values.number("link")));
  text.task("cc1", R"("instance": 0, "loop": 1, "sleep": "{}", "run": "{}", "sem_post": "jobs")", values.text("read"),
            values.text("compile"));
  return text.plan(site);
}

// Open loop: requests come at their times, whether the workers keep up or not.
Result<std::vector<PlannedTask>> plan_server(const Values &values, const Site &site) {
  Text text("server");
  text.channel("requests", kUnbounded);
  text.task("accept",
            R"("timer": {{"ref": "unique", "period": "exponential:{}", "mode": "absolute"}}, "send": "requests")",
            ns(kNsPerSec / values.number("rate")));
  text.task("worker", R"("thread_of": "accept", "instance": {}, "recv": "requests", "run": "{}")",
            or_default(values.number("workers"), u64{2} * site.nr_cpus), values.text("service"));
  return text.plan(site);
}

// A frame: the main thread prepares it, hands pieces to workers, waits for them all, and draws it; a compiler in the
// background takes what is left.
Result<std::vector<PlannedTask>> plan_game(const Values &values, const Site &site) {
  const u64 workers = or_default(values.number("workers"), std::max<u64>(1, site.nr_cpus / 2));
  const u64 compilers = values.number("compilers");
  std::string give, gather;
  for (u64 i = 0; i < workers; i++) {
    give += R"(, "sem_post": "piece")";
    gather += R"(, "sem_wait": "done")";
  }
  Text text("game");
  text.task("game", R"("run": "{}"{}{}, "run": "{}", "timer": {{"ref": "unique", "period": "{}", "mode": "relative"}})",
            values.text("prepare"), give, gather, values.text("draw"), ns(kNsPerSec / values.number("fps")));
  text.task("game-worker",
            R"("thread_of": "game", "instance": {}, "sem_wait": "piece", "run": "{}", "sem_post": "done")", workers,
            values.text("piece"));
  if (compilers)
    text.task("cc1", R"("instance": {}, "priority": {}, "run": "lognormal:50ms/80", "sleep": "exponential:1ms")",
              compilers, values.nices("nice")[0]);
  return text.plan(site);
}

// Processes that hardly live, no more at once than `alive`.
Result<std::vector<PlannedTask>> plan_forkstorm(const Values &values, const Site &site) {
  const u64 makers = std::min<u64>(or_default(values.number("makers"), site.nr_cpus), values.number("tasks"));
  Text text("forkstorm");
  text.task("slots", R"("loop": {}, "sem_post": "slots")", values.number("alive"));
  text.task("maker", R"("instance": {}, "loop": {}, "sem_wait": "slots", "fork": "short", "run": "10us")", makers,
            values.number("tasks") / makers);
  if (const u64 rest = values.number("tasks") % makers)
    text.task("maker", R"("loop": {}, "sem_wait": "slots", "fork": "short", "run": "10us")", rest);
  text.task("short", R"("instance": 0, "loop": 1, "run": "{}", "sem_post": "slots")", values.text("run"));
  return text.plan(site);
}

}  // namespace uscx::workload
