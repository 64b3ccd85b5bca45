// SPDX-License-Identifier: GPL-2.0-only
// Running: all that belongs to the program code in progress on a CPU, in one record. On a machine of threads a CPU is a
// thread; in explore mode, where one thread plays all CPUs in turn, the record is kept apart for each CPU
// (machine/context_local.h). A new value of this kind is a member here, and needs no other line: the whole record is
// announced once (exec.cc).
//
// Threading: a thread's own, and in explore mode a CPU's. It starts as zero bytes. Code may keep its address only while
// it cannot be suspended.
#ifndef USCX_BPF_EXEC_RUNNING_H_
#define USCX_BPF_EXEC_RUNNING_H_

#include "base/types.h"

namespace uscx::bpf {

class BpfSystem;
class Invocation;
class UserSpace;
struct FreeStack;  // exec.cc

// The table of operations whose callback runs, for whoever called it: the bridge derives from it.
class CallbackOwner {
 protected:
  ~CallbackOwner() = default;
};

struct Running {
  Invocation *invocation;  // the innermost; null outside of BPF
  CallbackOwner *owner;    // null in programs of other types
  BpfSystem *system;       // that redirected calls go to; null outside of every BpfSystem::Scope
  UserSpace *user_space;   // the caller of bpf(2); null: this process
  u64 firing_timer;        // the timer whose callback runs; 0: none
  FreeStack *free_stacks;  // BPF stacks to be used next
  char *frames;            // memory for callbacks' arguments (bridge/call_frames.h), made at first use
  u64 nr_frames;           // of them in use
};

inline constinit thread_local Running running_record = {};
inline Running &running() { return running_record; }

}  // namespace uscx::bpf

#endif  // USCX_BPF_EXEC_RUNNING_H_
