// SPDX-License-Identifier: GPL-2.0-only
// Explorer: runs a machine with interleaved segments. In run mode a segment is atomic; here each CPU's segment runs on
// a fiber of its own and stops at yield points (lock, unlock, atomic accesses, entry of kfuncs and helpers), where a
// Strategy chooses which CPU goes on. Interleavings are sequentially consistent: nothing is reordered within a CPU.
//
// A point offers the CPUs that are in the middle of a segment and not blocked, and those whose next event starts within
// a window of virtual time after the earliest one, so that segments overlap as on a real machine. A choice is a CPU
// number: the sequence of choices that differ from the default (go on with the same CPU; else the earliest) is the
// schedule, and replays exactly.
//
// Detectors, always on: failing CHECKs, a cycle of waiting, lock order (by lock class), no progress within a budget of
// steps, use after free of noted memory, data races by happens-before (vector clocks over locks, atomics and
// events), and the machine's own invariants whenever no CPU is in a segment (set_quiet_check).
//
// Threading: one thread. At most 64 CPUs. A failure does not return: it goes to the RunRecord and ends the process,
// which is one that machine/explore/server.h makes to run schedules.
#ifndef USCX_MACHINE_EXPLORE_EXPLORE_H_
#define USCX_MACHINE_EXPLORE_EXPLORE_H_

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "machine/context_local.h"
#include "machine/sim/sim_machine.h"
#include "machine/sync.h"

namespace uscx::machine {

enum class Failure : u32 {
  kNone,
  kCheck,
  kDeadlock,
  kLockOrder,
  kNoProgress,
  kUseAfterFree,
  kDataRace,
  kScheduler,
  kCrash,
  kProgramRace,  // Between accesses of programs to their own memory, where that was asked for.
};
const char *failure_name(Failure failure);

struct Candidate {
  u32 cpu;
  bool start;   // Its next event would start; else it goes on.
  u64 time_ns;  // Its time now.
};

// What a step touched: an object and whether it was written, in one word.
using Footprint = std::vector<u64>;

// A choice. `steps` and `visit` name it so that it is found again though other CPUs have made other steps: the CPU that
// would go on by default has made so many steps, and was by-passed so often since the last of them.
struct ChoicePoint {
  u64 number;                                // Of points with a choice before this one.
  const std::vector<Candidate> &candidates;  // In order of CPU; at least two.
  u32 default_cpu;
  bool goes_on;  // The default is to go on with the CPU that made the last step.
  u64 steps;
  u32 visit;
};

class Strategy {
 public:
  virtual ~Strategy() = default;
  virtual u32 choose(const ChoicePoint &point) = 0;  // The CPU of a candidate.
  // The step after each choice is over, forced ones (one candidate) included.
  virtual void step_done(u32 cpu, const Footprint &footprint) { (void)cpu, (void)footprint; }
};

// Two accesses of programs that race, and the one that was first.
struct ProgramRace {
  ProgramAccess first, second;
};

// What one schedule was and led to. Lives in memory that processes share.
struct RunRecord {
  static constexpr u32 kMaxDeviations = 1 << 20;
  static constexpr u32 kMaxChoices = 1 << 20;
  static constexpr u32 kMaxFootprint = 1 << 22;
  static constexpr u32 kMaxRaces = 64, kRaceBytes = 512;
  struct Deviation {
    u32 default_cpu;  // Would go on, and
    u64 steps;        // (see ChoicePoint)
    u32 visit;
    u32 cpu;  // goes on instead.
  };
  struct Choice {  // Kept for the exhaustive strategy only.
    u64 enabled;   // CPUs, as bits.
    u32 chosen;
    u32 default_cpu;
    u32 current_goes_on;
    u32 footprint_end;  // The footprint of the step that followed, in `footprints`.
  };
  Failure failure;
  bool complete;  // The scenario has ended by itself.
  u64 nr_points, nr_steps, nr_switches;
  u32 nr_deviations, nr_choices, nr_races;
  bool keep_choices;
  char text[4096];
  char races[kMaxRaces][kRaceBytes];  // In programs' memory, each pair of places once; those beyond are left out.
  Deviation deviations[kMaxDeviations];
  Choice choices[kMaxChoices];
  u64 footprints[kMaxFootprint];
};

struct ExploreLimits {
  u64 window_ns = 20000;
  u64 max_steps = 400000;
  // If not 0, an irq_work that a CPU raises for itself is an interrupt of its own, so much later: some machines carry
  // it out at a tick or in a thread. Scenarios set it.
  u64 irq_work_delay_ns = 0;
  bool races_fail = false;  // A race in a program's memory ends the schedule as a failure.
  u32 show_events = 0;      // On a failure, print that many of the last trace events on standard error.
};

// What a scenario is given.
struct ExploreRun {
  RunRecord *record;
  ExploreLimits limits;
  Strategy *strategy = nullptr;              // From begin() on.
  const trace::Tracer *tracer = nullptr;     // Whose events are shown; the Explorer sets it.
  std::function<void(bool alone)> on_begin;  // What begin() does.

  // What a scenario does before is the same in all schedules, and done once; begin() returns for each schedule, and
  // what comes after is done for each. `alone`: that uses more than private memory (files, memory that processes
  // share), so that schedules are run one after the other, each in a process for itself. The Explorer calls it before
  // the first choice, if the scenario did not.
  void begin(bool alone = false);
  // Ends the run with a failure of the scheduler under test or of its scenario.
  [[noreturn]] void fail(Failure failure, const std::string &text);
};

class Explorer final : public Interleaver {
 public:
  Explorer(Machine &machine, ExploreRun &run);  // From here on the machine's segments interleave.
  ~Explorer();                                  // Host context, no segment open.
  Explorer(const Explorer &) = delete;
  Explorer &operator=(const Explorer &) = delete;

  void set_quiet_check(std::function<void()> check) { quiet_check_ = std::move(check); }
  // Says in words what races where; called once for each pair of places, while nothing yields.
  void set_race_text(std::function<std::string(const ProgramRace &)> text) { race_text_ = std::move(text); }

  // For the machine.
  bool in_segment(u32 cpu) const override;
  u64 irq_work_delay_ns() const override { return run_.limits.irq_work_delay_ns; }
  void drive(const std::function<bool()> &go_on, u64 end_ns) override;

  [[noreturn]] void fail(Failure failure, const std::string &text);

  // --- hooks, on a CPU ---
  void atomic_access(const void *object, bool write);
  void atomic_done(const void *object);
  void plain_access(const void *object, bool write, const char *what);
  void change(const void *word, const char *name);  // Between the load and the store (machine/owner.h).
  void program_access(const ProgramAccess &access);
  void use(const void *memory, const char *what);
  void freed(const void *memory, size_t size, const char *what);
  void spin(const char *what);
  void before_lock(const SpinLock &lock);
  void after_lock(const SpinLock &lock, bool tried);
  void after_unlock(const SpinLock &lock);
  void lock_busy(const SpinLock &lock);
  void event_access(u32 cpu);

 private:
  using Clock = std::vector<u32>;  // By CPU; the host is the last.
  struct Context;
  struct Variable {
    u32 write_cpu = ~0u, write_clock = 0;
    const char *write_what = nullptr;
    Clock reads;
  };
  // One access to a word of programs' memory, the latest of its kind by its CPU.
  struct ProgramCell {
    u32 cpu, clock;
    u8 bytes;  // Of the word, as bits.
    ProgramAccess access;
  };
  friend struct ExploreSwitch;

  bool collect(u64 end_ns, bool starts);
  SimEvent *next_event(u32 cpu, u64 *time_ns);
  bool offer();
  u32 choose();
  void begin_step(Context &c);
  void end_step(Context &c);
  void run(u32 cpu);
  void begin_segment(Context &c);
  void leave();  // From a CPU's code, until chosen again.
  u32 default_choice(bool *goes_on) const;
  void touch(const void *object, bool write);
  void check_program_word(u64 word, u8 bytes, const ProgramAccess &access);
  void report_program_race(const ProgramCell &before, const ProgramAccess &now);
  void check_wait_cycle();
  void note_order(const SpinLock &held, const SpinLock &taken);
  [[noreturn]] void stuck();
  std::string whereabouts() const;
  void swap_locals(Context &c);
  static void join(Clock &to, const Clock &from);
  Context &current() { return *contexts_[current_cpu_]; }

  SimMachine &machine_;
  ExploreRun &run_;
  std::vector<std::unique_ptr<Context>> contexts_;
  std::vector<u64 *> locals_;  // The thread's.
  // Of the present drive().
  const std::function<bool()> *go_on_ = nullptr;
  u64 end_ns_ = 0;
  std::vector<Candidate> candidates_;
  RunRecord::Choice choice_ = {};  // The latest.
  static constexpr u32 kNobody = ~0u;
  u32 next_cpu_ = kNobody;  // Was chosen by the CPU that went before.
  u32 current_cpu_ = kNobody;
  u32 nr_active_ = 0;
  u64 progress_ = 0;
  Footprint footprint_;
  std::function<void()> quiet_check_;
  std::function<std::string(const ProgramRace &)> race_text_;
  // Detectors. Looked up only, never iterated, but for the ordered ones.
  std::unordered_map<const void *, Clock> released_;
  std::unordered_map<const void *, Variable> variables_;
  std::unordered_map<u64, std::vector<ProgramCell>> program_memory_;  // By address / 8.
  std::set<std::tuple<const void *, u32, const void *, u32>> races_;  // Places of those that were reported.
  std::vector<Clock> event_clocks_;
  Clock host_clock_;
  std::map<std::string, std::set<std::string>> lock_order_;
  std::map<const char *, std::pair<size_t, const char *>> freed_;
};

}  // namespace uscx::machine

#endif  // USCX_MACHINE_EXPLORE_EXPLORE_H_
