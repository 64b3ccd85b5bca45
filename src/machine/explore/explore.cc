// SPDX-License-Identifier: GPL-2.0-only
// The Explorer's loop: contexts (a fiber for each CPU's segments), choices, and what stops a schedule. The detectors
// that look at single accesses are in explore_detect.cc.
#include "machine/explore/explore.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <cstdio>
#include <cstring>
#include <utility>

#include "machine/explore/context.h"

namespace uscx::machine {

namespace ctx = boost::context;

namespace {

constexpr size_t kContextStackBytes = 256 * 1024;

struct LocalValue {
  void *(*address)();
  size_t words;
};
std::vector<LocalValue> &local_values() {
  static std::vector<LocalValue> values;
  return values;
}

struct MappedStack {
  ctx::stack_context stack;
  ctx::stack_context allocate() { return stack; }
  void deallocate(ctx::stack_context &) {}
};

// Stacks of Explorers that have ended: mappings must be at the end of a schedule what they were before.
std::vector<ctx::stack_context> &free_stacks() {
  static std::vector<ctx::stack_context> stacks;
  return stacks;
}

ctx::stack_context take_stack() {
  if (!free_stacks().empty()) {
    const ctx::stack_context stack = free_stacks().back();
    free_stacks().pop_back();
    return stack;
  }
  const size_t guard = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void *mapping = mmap(nullptr, kContextStackBytes + guard, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
  CHECK(mapping != MAP_FAILED, "no memory for a fiber's stack");
  CHECK(mprotect(mapping, guard, PROT_NONE) == 0);
  ctx::stack_context stack;
  stack.size = kContextStackBytes;
  stack.sp = static_cast<char *>(mapping) + kContextStackBytes + guard;
  return stack;
}

}  // namespace

const char *failure_name(Failure failure) {
  static constexpr const char *kNames[] = {"none",           "check",     "deadlock",  "lock order", "no progress",
                                           "use after free", "data race", "scheduler", "crash",      "program race"};
  return kNames[static_cast<u32>(failure)];
}

ContextLocal::ContextLocal(void *(*address)(), size_t size) {
  CHECK(size % sizeof(u64) == 0, "a CPU's values are words");
  local_values().push_back({address, size / sizeof(u64)});
}

// --- moving between the loop and the CPUs' fibers ---

// What a sanitizer must be told, and the continuation of whoever is not running.
struct ExploreSwitch {
  static ctx::fiber loop;  // While a CPU's code runs.
  static StackView loop_stack;
  static void *loop_thread;

  // From the loop into a context; returns when some code of it has come back to the loop.
  static void enter(Explorer::Context &c) {
    StackSwitch here;
    loop_thread = here.thread();
    here.leave(c.stack, c.thread);
    c.fiber = std::move(c.fiber).resume();
    c.stack = here.arrive();
  }
  // From the code of a context to the loop.
  static void leave(Explorer::Context &c) {
    StackSwitch here;
    c.thread = here.thread();
    here.leave(loop_stack, loop_thread);
    loop = std::move(loop).resume();
    loop_stack = here.arrive();
  }
  static ctx::fiber body(Explorer &explorer, Explorer::Context &c, ctx::fiber &&from) {
    loop = std::move(from);
    loop_stack = StackSwitch::first_arrival();
    while (!c.quit) {
      explorer.begin_segment(c);
      c.active = false;
      leave(c);
    }
    StackSwitch::last_leave(loop_stack, loop_thread);
    return std::move(loop);
  }
};
ctx::fiber ExploreSwitch::loop;
StackView ExploreSwitch::loop_stack;
void *ExploreSwitch::loop_thread = nullptr;

// --- life ---

Explorer::Explorer(Machine &machine, ExploreRun &run) : machine_(SimMachine::of(machine)), run_(run) {
  CHECK(!exec_context.on_cpu && !machine_.explorer_);
  need_concurrency();
  CHECK(machine.nr_cpus() <= 64, "explore mode has at most 64 CPUs, not {}", machine.nr_cpus());
  const u32 nr_clocks = machine.nr_cpus() + 1;
  host_clock_.assign(nr_clocks, 0);
  host_clock_[machine.nr_cpus()] = 1;
  event_clocks_.assign(machine.nr_cpus(), Clock(nr_clocks, 0));
  for (const LocalValue &local : local_values())
    for (size_t i = 0; i < local.words; i++) locals_.push_back(static_cast<u64 *>(local.address()) + i);
  for (u32 cpu = 0; cpu < machine.nr_cpus(); cpu++) {
    auto c = std::make_unique<Context>();
    c->cpu = cpu;
    c->clock.assign(nr_clocks, 0);
    c->clock[cpu] = 1;
    c->locals.assign(locals_.size(), 0);
    const ctx::stack_context stack = take_stack();
    c->mapped = stack;
    c->stack = {static_cast<char *>(stack.sp) - stack.size, stack.size};
    c->thread = StackSwitch::new_thread();
    Context *context = c.get();
    c->fiber = ctx::fiber(std::allocator_arg, MappedStack{stack}, [this, context](ctx::fiber &&from) {
      return ExploreSwitch::body(*this, *context, std::move(from));
    });
    contexts_.push_back(std::move(c));
  }
  machine_.explorer_ = this;
  machine_.interleaver_ = this;
  run_.tracer = &machine_.tracer();
  if (run_.limits.show_events) machine_.tracer().keep_recent(run_.limits.show_events);
}

Explorer::~Explorer() {
  CHECK(!exec_context.on_cpu && nr_active_ == 0);
  machine_.explorer_ = nullptr;
  machine_.interleaver_ = nullptr;
  for (auto &c : contexts_) {
    c->quit = true;
    ExploreSwitch::enter(*c);
    free_stacks().push_back(c->mapped);
  }
}

bool Explorer::in_segment(u32 cpu) const { return contexts_[cpu]->active; }

void Explorer::begin_segment(Context &c) { machine_.segment(*c.event, c.event_time_ns); }

// --- the loop ---

void Explorer::drive(const std::function<bool()> &go_on, u64 end_ns) {
  CHECK(!exec_context.on_cpu);
  run_.begin();
  go_on_ = &go_on;
  end_ns_ = end_ns;
  for (auto &c : contexts_) join(c->clock, host_clock_);
  while (next_cpu_ != kNobody || offer()) {
    run(next_cpu_ != kNobody ? std::exchange(next_cpu_, kNobody) : choose());
    if (nr_active_ == 0 && quiet_check_) quiet_check_();
  }
  for (auto &c : contexts_) join(host_clock_, c->clock);
  host_clock_[machine_.nr_cpus()]++;
}

// In host context. False: nobody is to go on, and no segment is open.
bool Explorer::offer() {
  if (collect(end_ns_, (*go_on_)())) return true;
  if (nr_active_ == 0) return false;
  // What the open segments wait for is in events that are still to come.
  if (!collect(~u64{0}, true)) stuck();
  return true;
}

SimEvent *Explorer::next_event(u32 cpu, u64 *time_ns) {
  SimEvent *event = machine_.queue_.first_of(cpu);
  if (event) *time_ns = std::max(machine_.queue_.time_of(*event), machine_.cpus_[cpu].busy_until_ns);
  return event;
}

// Finds out who may go on now. `starts`: new segments too, up to end_ns.
bool Explorer::collect(u64 end_ns, bool starts) {
  candidates_.clear();
  u64 earliest_ns = ~u64{0};
  for (u32 cpu = 0; cpu < contexts_.size(); cpu++) {
    const Context &c = *contexts_[cpu];
    u64 time_ns = 0;
    if (c.active) {
      const bool blocked = c.waits_for ? c.waits_for->held() : c.spinning && c.spin_progress == progress_;
      if (blocked) continue;
      earliest_ns = std::min(earliest_ns, c.exec.segment_start_ns);
      candidates_.push_back({cpu, false, c.exec.now_ns});
    } else if (next_event(cpu, &time_ns)) {
      earliest_ns = std::min(earliest_ns, time_ns);
      if (starts && time_ns <= end_ns) candidates_.push_back({cpu, true, time_ns});
    }
  }
  std::erase_if(candidates_, [&](const Candidate &candidate) {
    return candidate.start && candidate.time_ns - earliest_ns > run_.limits.window_ns;
  });
  if (!candidates_.empty() && earliest_ns != ~u64{0})
    machine_.loop_now_ns_ = std::max(machine_.loop_now_ns_, earliest_ns);
  return !candidates_.empty();
}

u32 Explorer::default_choice(bool *goes_on) const {
  *goes_on = false;
  const Candidate *first = &candidates_[0];
  for (const Candidate &candidate : candidates_) {
    if (candidate.cpu == current_cpu_ && !candidate.start) {
      *goes_on = true;
      return candidate.cpu;
    }
    if (candidate.time_ns < first->time_ns) first = &candidate;
  }
  return first->cpu;
}

// Of candidates_; counts as a step, which must follow.
u32 Explorer::choose() {
  RunRecord &record = *run_.record;
  bool goes_on;
  const u32 default_cpu = default_choice(&goes_on);
  u32 chosen = default_cpu;
  if (candidates_.size() > 1) {
    Context &by_default = *contexts_[default_cpu];
    const ChoicePoint point{record.nr_points++, candidates_,        default_cpu, goes_on,
                            by_default.steps,   by_default.visits++};
    chosen = run_.strategy->choose(point);
    if (chosen != default_cpu) {
      if (record.nr_deviations == RunRecord::kMaxDeviations) fail(Failure::kNoProgress, "the schedule is too long");
      record.deviations[record.nr_deviations++] = {default_cpu, point.steps, point.visit, chosen};
    }
    if (goes_on && chosen != default_cpu) record.nr_switches++;
  }
  u64 enabled = 0;
  for (const Candidate &candidate : candidates_) enabled |= u64{1} << candidate.cpu;
  CHECK(enabled >> chosen & 1, "the schedule wants CPU {}, which cannot go on", chosen);
  if (++record.nr_steps > run_.limits.max_steps)
    fail(Failure::kNoProgress, fmt::format("not done after {} steps; {}", run_.limits.max_steps, whereabouts()));
  choice_ = {enabled, chosen, default_cpu, goes_on};
  return chosen;
}

void Explorer::begin_step(Context &c) {
  footprint_.clear();
  c.steps++;
  c.visits = 0;
}

void Explorer::end_step(Context &c) {
  c.clock[c.cpu]++;
  run_.strategy->step_done(c.cpu, footprint_);
  RunRecord &record = *run_.record;
  if (!record.keep_choices) return;
  const u32 begin = record.nr_choices ? record.choices[record.nr_choices - 1].footprint_end : 0;
  if (record.nr_choices == RunRecord::kMaxChoices || begin + footprint_.size() > RunRecord::kMaxFootprint)
    fail(Failure::kNoProgress, "the schedule is too long for exhaustive exploration");
  std::copy(footprint_.begin(), footprint_.end(), record.footprints + begin);
  choice_.footprint_end = begin + static_cast<u32>(footprint_.size());
  record.choices[record.nr_choices++] = choice_;
}

// Until its segment ends, or another CPU is to go on.
void Explorer::run(u32 cpu) {
  Context &c = *contexts_[cpu];
  begin_step(c);
  if (!c.active) {
    c.event = next_event(cpu, &c.event_time_ns);
    machine_.queue_.cancel(*c.event);
    c.active = true;
    nr_active_++;
    progress_++;
    join(c.clock, event_clocks_[cpu]);
    event_access(cpu);
    exec_context = ExecContext{&machine_, 0, machine_.loop_now_ns_, false};
  } else {
    exec_context = c.exec;
  }
  current_cpu_ = cpu;
  swap_locals(c);
  ExploreSwitch::enter(c);
  swap_locals(c);
  if (c.active) return;
  c.exec = exec_context;
  machine_.enter_host_context();
  nr_active_--;
  progress_++;
  if (!c.held.empty())
    fail(Failure::kCheck, fmt::format("CPU {} ends a segment with lock {} held", cpu, c.held.back()->name()));
  end_step(c);
}

// A yield point. Whoever is chosen again stays on its stack: most steps are not worth a switch.
void Explorer::leave() {
  Context &c = current();
  c.exec = exec_context;
  machine_.enter_host_context();
  end_step(c);
  CHECK(offer());
  next_cpu_ = choose();
  if (next_cpu_ != c.cpu) return ExploreSwitch::leave(c);
  next_cpu_ = kNobody;
  begin_step(c);
  exec_context = c.exec;
}

// The thread's values and those kept for this CPU change places.
void Explorer::swap_locals(Context &c) {
  for (size_t i = 0; i < locals_.size(); i++) std::swap(*locals_[i], c.locals[i]);
}

// --- endings ---

std::string Explorer::whereabouts() const {
  std::string text;
  for (const auto &c : contexts_) {
    if (!c->active) continue;
    text += fmt::format("{}CPU {} ", text.empty() ? "" : "; ", c->cpu);
    if (c->waits_for)
      text += fmt::format("waits for lock {} of CPU {}", c->waits_for->name(), c->waits_for->owner());
    else if (c->spinning)
      text += fmt::format("waits: {}", c->spin_what);
    else
      text += "goes on";
    for (const SpinLock *lock : c->held) text += fmt::format(", holds {}", lock->name());
  }
  return text;
}

void Explorer::stuck() { fail(Failure::kDeadlock, whereabouts()); }

void Explorer::fail(Failure failure, const std::string &text) { run_.fail(failure, text); }

namespace {

// Ids of DSQs and flags are made of bits; the rest are numbers, and texts.
std::string argument_text(std::string_view name, u64 value, const trace::Tracer &tracer) {
  if (name.ends_with("_text")) return fmt::format("{}={:?}", name.substr(0, name.size() - 5), tracer.text_of(value));
  if (name == "dsq_id" || name.ends_with("flags")) return fmt::format("{}={:#x}", name, value);
  return fmt::format("{}={}", name, static_cast<s64>(value));
}

// In order of time, and of emission at one time.
void print_events(std::vector<trace::Event> events, const trace::Tracer &tracer) {
  std::stable_sort(events.begin(), events.end(),
                   [](const trace::Event &a, const trace::Event &b) { return a.time_ns < b.time_ns; });
  for (const trace::Event &event : events) {
    const trace::EventInfo &info = trace::event_info(event.type);
    std::string line = fmt::format("{:>12} CPU {} {}", event.time_ns, event.cpu, info.name);
    for (u32 a = 0; a < 4; a++)
      if (std::strcmp(info.args[a], "_") != 0) line += " " + argument_text(info.args[a], event.args[a], tracer);
    std::fprintf(stderr, "%s\n", line.c_str());
  }
}

}  // namespace

void ExploreRun::begin(bool alone) {
  if (const auto fn = std::exchange(on_begin, nullptr)) fn(alone);
}

void ExploreRun::fail(Failure failure, const std::string &text) {
  record->failure = failure;
  const size_t length = std::min(text.size(), sizeof(record->text) - 1);
  std::memcpy(record->text, text.data(), length);
  record->text[length] = 0;
  if (tracer) print_events(tracer->recent(), *tracer);
  // The open segments are in the middle of things: nothing is destroyed.
  _exit(kExitOurBug);
}

// --- the Machine's side ---

void SimMachine::note_event(u32 cpu) { explorer_->event_access(cpu); }

void SimMachine::explored_arm(SimEvent &timer, u64 time_ns) {
  note_event(timer.cpu);
  queue_.schedule(timer, time_ns);
}

void SimMachine::explored_cancel(SimEvent &timer) {
  note_event(timer.cpu);
  queue_.cancel(timer);
}

}  // namespace uscx::machine
