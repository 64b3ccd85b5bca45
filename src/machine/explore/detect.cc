// SPDX-License-Identifier: GPL-2.0-only
// The hooks at yield points and what they look for: cycles of waiting, lock order, use after free, data races.
//
// Happens-before: each CPU has a vector clock. Locks, atomics and events hand clocks on; an atomic access both takes
// and gives. A plain access races if the last conflicting one of another CPU is not in this CPU's clock.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "machine/explore/context.h"

namespace uscx::machine {

namespace explore_hook {

void atomic_access(const void *object, bool write) { exec_context.explorer->atomic_access(object, write); }
void atomic_done(const void *object) { exec_context.explorer->atomic_done(object); }
void plain_access(const void *object, bool write, const char *what) {
  exec_context.explorer->plain_access(object, write, what);
}
void change(const void *word, const char *name) { exec_context.explorer->change(word, name); }
void program_access(const ProgramAccess &access) { exec_context.explorer->program_access(access); }
void use(const void *memory, const char *what) { exec_context.explorer->use(memory, what); }
void freed(const void *memory, size_t size, const char *what) { exec_context.explorer->freed(memory, size, what); }
void spin_wait(const char *what) { exec_context.explorer->spin(what); }
void before_lock(const SpinLock &lock) { exec_context.explorer->before_lock(lock); }
void after_lock(const SpinLock &lock, bool tried) { exec_context.explorer->after_lock(lock, tried); }
void after_unlock(const SpinLock &lock) { exec_context.explorer->after_unlock(lock); }
void lock_busy(const SpinLock &lock) { exec_context.explorer->lock_busy(lock); }
void event_access(u32 cpu) { exec_context.explorer->event_access(cpu); }

}  // namespace explore_hook

namespace {

// An object and whether it is written, in one word. Addresses repeat from schedule to schedule: each is run by a child
// of the same process.
u64 mark(const void *object, bool write) { return reinterpret_cast<u64>(object) << 1 | (write ? 1 : 0); }

}  // namespace

void Explorer::join(Clock &to, const Clock &from) {
  for (size_t i = 0; i < to.size(); i++) to[i] = std::max(to[i], from[i]);
}

void Explorer::touch(const void *object, bool write) {
  if (object) footprint_.push_back(mark(object, write));
}

// --- atomics and points ---

void Explorer::atomic_access(const void *object, bool write) {
  if (object) use(object, "atomic access");
  Context &c = current();
  c.spinning = false;
  if (write) progress_++;
  leave();
  if (c.first_look == Context::kNoLook) c.first_look = progress_;
  touch(object, write);
  if (!object) return;
  use(object, "atomic access");
  Clock &released = released_.try_emplace(object, c.clock.size(), 0).first->second;
  join(c.clock, released);
  if (write) join(released, c.clock);
}

void Explorer::atomic_done(const void *object) {
  progress_++;
  touch(object, true);
  released_[object] = current().clock;
}

// --- locks ---

void Explorer::before_lock(const SpinLock &lock) {
  use(&lock, lock.name());
  Context &c = current();
  c.spinning = false;
  // Who finds it taken is not woken before it is free.
  c.waits_for = &lock;
  if (lock.held()) check_wait_cycle();
  leave();
  c.waits_for = nullptr;
  use(&lock, lock.name());
  touch(&lock, true);
}

void Explorer::lock_busy(const SpinLock &lock) {
  Context &c = current();
  c.waits_for = &lock;
  check_wait_cycle();
  leave();
  c.waits_for = nullptr;
  touch(&lock, true);
}

void Explorer::after_lock(const SpinLock &lock, bool tried) {
  Context &c = current();
  progress_++;
  // Who only tries waits for nobody.
  for (const SpinLock *held : c.held)
    if (!tried) note_order(*held, lock);
  c.held.push_back(&lock);
  auto it = released_.find(&lock);
  if (it != released_.end()) join(c.clock, it->second);
}

void Explorer::after_unlock(const SpinLock &lock) {
  Context &c = current();
  progress_++;
  std::erase(c.held, &lock);
  released_[&lock] = c.clock;
  touch(&lock, true);
  leave();
}

void Explorer::check_wait_cycle() {
  const u32 self = current_cpu_;
  u32 cpu = self;
  for (size_t hops = 0; hops <= contexts_.size(); hops++) {
    const Context &c = *contexts_[cpu];
    if (!c.waits_for || !c.waits_for->held()) return;
    cpu = c.waits_for->owner();
    if (cpu == self) stuck();
    if (!contexts_[cpu]->active) return;
  }
}

// One node a class; locks of one class are told apart by their place in it, which must grow.
void Explorer::note_order(const SpinLock &held, const SpinLock &taken) {
  if (std::strcmp(held.name(), taken.name()) == 0) {
    if (taken.place() > held.place()) return;
    fail(Failure::kLockOrder, fmt::format("CPU {} takes {} {} with {} {} held", current_cpu_, taken.name(),
                                          taken.place(), held.name(), held.place()));
  }
  if (!lock_order_[held.name()].insert(taken.name()).second) return;
  // Is there a way back?
  std::vector<std::string> todo{taken.name()};
  std::set<std::string> seen;
  while (!todo.empty()) {
    const std::string name = todo.back();
    todo.pop_back();
    if (name == held.name())
      fail(Failure::kLockOrder, fmt::format("CPU {} takes {} with {} held; elsewhere it is the other way round",
                                            current_cpu_, taken.name(), held.name()));
    if (!seen.insert(name).second) continue;
    for (const std::string &next : lock_order_[name]) todo.push_back(next);
  }
}

// --- waiting ---

void Explorer::spin(const char *what) {
  Context &c = current();
  c.spinning = true;
  c.spin_progress = std::min(c.first_look, progress_);
  c.first_look = Context::kNoLook;
  c.spin_what = what;
  leave();
  // `spinning` stays until it does something else: whoever only looks again makes no progress for others.
}

void Explorer::event_access(u32 cpu) {
  progress_++;
  touch(&machine_.cpus_[cpu], true);
  if (exec_context.on_cpu) join(event_clocks_[cpu], current().clock);
}

// --- memory ---

void Explorer::use(const void *memory, const char *what) {
  if (freed_.empty()) return;
  const char *address = static_cast<const char *>(memory);
  auto it = freed_.upper_bound(address);
  if (it == freed_.begin()) return;
  --it;
  if (address < it->first + it->second.first)
    fail(Failure::kUseAfterFree,
         fmt::format("CPU {} uses {} in {}, which is freed", current_cpu_, what, it->second.second));
}

void Explorer::freed(const void *memory, size_t size, const char *what) {
  freed_[static_cast<const char *>(memory)] = {size, what};
}

// --- data races ---

void Explorer::plain_access(const void *object, bool write, const char *what) {
  use(object, what);
  touch(object, write);
  Context &c = current();
  Variable &v = variables_[object];
  if (v.reads.empty()) v.reads.assign(c.clock.size(), 0);
  auto race = [&](u32 other, const char *other_how) {
    fail(Failure::kDataRace, fmt::format("CPU {} {} {} while CPU {} {} it, without order", c.cpu,
                                         write ? "writes" : "reads", what, other, other_how));
  };
  if (v.write_cpu != ~0u && v.write_cpu != c.cpu && v.write_clock > c.clock[v.write_cpu]) race(v.write_cpu, "writes");
  if (write) {
    for (u32 cpu = 0; cpu < contexts_.size(); cpu++)
      if (cpu != c.cpu && v.reads[cpu] > c.clock[cpu]) race(cpu, "reads");
    v.write_cpu = c.cpu;
    v.write_clock = c.clock[c.cpu];
    v.write_what = what;
  } else {
    v.reads[c.cpu] = c.clock[c.cpu];
  }
}

void Explorer::change(const void *word, const char *name) {
  plain_access(word, true, name);
  current().spinning = false;
  progress_++;
  leave();
  touch(word, true);
}

// --- races in programs' memory ---

// Every access yields before it, so that each is in a step of its own: what a CPU hands on afterwards covers it.
void Explorer::program_access(const ProgramAccess &access) {
  Context &c = current();
  c.spinning = false;
  if (access.write) progress_++;
  leave();
  const u64 first = access.address / 8, last = (access.address + access.size - 1) / 8;
  if (access.atomic) {
    Clock &released =
        released_.try_emplace(reinterpret_cast<const void *>(access.address), c.clock.size(), 0).first->second;
    join(c.clock, released);
    if (access.write) join(released, c.clock);
  }
  for (u64 word = first; word <= last; word++) {
    touch(reinterpret_cast<const void *>(word * 8), access.write);
    const u64 begin = std::max(access.address, word * 8), end = std::min(access.address + access.size, word * 8 + 8);
    const u32 bytes = ((1u << (end - begin)) - 1) << (begin - word * 8);
    check_program_word(word, static_cast<u8>(bytes), access);
  }
}

void Explorer::check_program_word(u64 word, u8 bytes, const ProgramAccess &access) {
  const Context &c = current();
  std::vector<ProgramCell> &cells = program_memory_[word];
  for (const ProgramCell &cell : cells) {
    const bool conflict = cell.cpu != c.cpu && cell.bytes & bytes && (cell.access.write || access.write) &&
                          !(cell.access.atomic && access.atomic);
    if (conflict && cell.clock > c.clock[cell.cpu]) report_program_race(cell, access);
  }
  // What races with an older access of this CPU races with this one too, if this one is no weaker.
  std::erase_if(cells, [&](const ProgramCell &cell) {
    return cell.cpu == c.cpu && (cell.bytes & ~bytes) == 0 && (access.write || !cell.access.write) &&
           (!access.atomic || cell.access.atomic);
  });
  cells.push_back({c.cpu, c.clock[c.cpu], bytes, access});
}

void Explorer::report_program_race(const ProgramCell &before, const ProgramAccess &now) {
  ProgramRace race{before.access, now};
  if (!races_.emplace(race.first.program, race.first.insn, race.second.program, race.second.insn).second) return;
  std::string text;
  {
    // Whoever finds the words looks at things that would yield.
    const Mode mode = std::exchange(exec_context.mode, Mode::kRun);
    text = race_text_ ? race_text_(race) : fmt::format("a race at {:#x}", now.address);
    exec_context.mode = mode;
  }
  RunRecord &record = *run_.record;
  for (u32 i = 0; i < record.nr_races; i++)
    if (text == record.races[i]) return;
  if (record.nr_races < RunRecord::kMaxRaces) {
    char *const place = record.races[record.nr_races++];
    const size_t length = std::min(text.size(), sizeof(record.races[0]) - 1);
    std::memcpy(place, text.data(), length);
    place[length] = 0;
  }
  if (run_.limits.races_fail) fail(Failure::kProgramRace, text);
}

}  // namespace uscx::machine
