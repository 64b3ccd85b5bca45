// SPDX-License-Identifier: GPL-2.0-only
// Env: the interface by which the emulated bpf(2), the helpers and the generic kfuncs use the machine below them. The
// bridge implements it over the scheduler core; tests implement it with a clock of their own. src/bpf knows nothing of
// scheduling: a task is an address that Env vouches for.
//
// Threading: an Env belongs to one BpfSystem and is called on whichever thread runs that system's programs.
#ifndef USCX_BPF_OBJECT_ENV_H_
#define USCX_BPF_OBJECT_ENV_H_

#include <initializer_list>
#include <string_view>

#include "base/alloc_faults.h"
#include "base/types.h"
#include "bpf/exec/exec.h"

namespace uscx::bpf {

// Kinds of kernel object whose address a program may hand back to a kfunc or helper.
enum class ObjectType : u8 {
  kTask,        // struct task_struct
  kCgroup,      // struct cgroup
  kCpumask,     // struct cpumask: the kernel's own, or the head of a bpf_cpumask
  kBpfCpumask,  // struct bpf_cpumask: made by bpf_cpumask_create()
  kRq,          // struct rq
};
const char *object_type_name(ObjectType type);

// Says which addresses are live objects of a type. A kfunc body never sees an address that is not.
class ObjectRegistry {
 public:
  virtual ~ObjectRegistry() = default;
  virtual bool is_live(ObjectType type, const void *object) const = 0;
};

struct Abort;
class Object;
class Prog;
class Program;

// Memory that programs may still be using, to be given back later. Part of what is freed, so that deferring allocates
// nothing.
struct Deferred {
  void (*free)(Deferred &item) = nullptr;
  Deferred *next_deferred = nullptr;
};

// Names a timer for as long as its map element lives; never reused in a run.
using TimerId = u64;

class Env : public ObjectRegistry, public ExecListener {
 public:
  // Clocks of the CPU that runs the program. boot_ns counts time suspended too, of which a simulated machine has none.
  virtual u64 now_ns() = 0;
  virtual u64 boot_ns() { return now_ns(); }
  virtual u64 jiffies64() = 0;
  virtual u64 ns_per_jiffy() = 0;

  virtual u32 cpu() = 0;
  virtual u32 nr_cpu_ids() = 0;
  virtual u32 nr_node_ids() { return 1; }
  virtual u32 node_of(u32 /*cpu*/) { return 0; }
  // How long a CPU has not been idle.
  virtual u64 busy_ns(u32 /*cpu*/) { return now_ns(); }

  // Reads memory of the current task's user space; false if it is not there, or there is none.
  virtual bool read_user(u64 /*address*/, void * /*to*/, u64 /*bytes*/) { return false; }

  // The task after another in the order of creation, the first for null; null after the last.
  virtual void *next_task(const void *) { return nullptr; }
  // The cgroup state after `at` in a walk from `start` (BPF_CGROUP_ITER_*), the first for null; null after the last.
  virtual void *next_css(void *start, void *at, u32 /*order*/) { return at == nullptr ? start : nullptr; }

  // The task that runs on this CPU, as programs see it; never null inside an invocation.
  virtual void *current_task() = 0;
  virtual u64 current_pid_tgid() = 0;  // tgid in the high half
  virtual const char *current_comm() = 0;

  // One draw from the named random stream of bpf_get_prandom_u32().
  virtual u32 random_u32() = 0;

  // One message of bpf_trace_printk(), as it was formatted (a trailing newline is the program's own).
  virtual void trace_print(std::string_view text) = 0;
  // One kernel log line of the emulation (a refused command, say).
  virtual void kernel_log(std::string_view line) = 0;
  // Is there no memory for this (base/alloc_faults.h)? Asked before each allocation of a load.
  virtual bool alloc_fails(machine::AllocSite) { return false; }

  // Calls BpfSystem::timer_fired(id) at expires_ns, on `cpu` or, if that is negative, on this one. Arming an armed
  // timer moves it.
  virtual void timer_arm(TimerId id, u64 expires_ns, s32 cpu) = 0;
  // The same for a bpf_wq: calls timer_fired(id) soon from a context that may sleep. By default a timer that is due.
  virtual void work_queue(TimerId id) { timer_arm(id, now_ns(), -1); }
  // True if the timer was armed.
  virtual bool timer_cancel(TimerId id) = 0;

  // Calls item.free(item) once every program that runs now on any CPU has ended, and returns true. False if no other
  // CPU can be in the middle of one: BpfSystem then waits for the end of the outermost invocation alone.
  virtual bool defer_free(Deferred &) { return false; }

  // Runs a program that bpf(2) or a timer starts, from outside of any other: BPF_PROG_TEST_RUN's (r1 = ctx) and a
  // timer's callback. False if it was aborted; the owner of the Env says what that means. The default runs it with this
  // Env's CPU and task and releases what it leaves held.
  virtual bool run_prog(Prog &prog, u64 ctx, u64 *r0);
  virtual bool run_callback(Prog &prog, u32 subprog, std::initializer_list<u64> args);
  // A program or callback that these ran was stopped by a violation. By default a line in the log.
  virtual void program_aborted(Prog &prog, const Abort &abort);

  // Programs of the invocation that ends skipped `count` stores to arena pages that do not exist; the last was by
  // `insn` of `program` to the user's address `address`. By default a line in the log.
  void arena_store_skipped(const Program &program, u32 insn, u64 address, u64 count) override;

  // Drops a reference that a program's field held: of a task or cgroup.
  virtual void release_object(ObjectType, void *) {}

  // User space that polls this object's descriptor is woken (a program submitted a record, or took samples): what
  // BpfSystem::poll_events() says of it may have changed.
  virtual void map_wakeup(Object &) {}

  // The task behind a process file descriptor, the key of user space for task storage; null if there is none.
  virtual void *task_of_pidfd(int) { return nullptr; }
  // The same for a directory's descriptor in the cgroup file system.
  virtual void *cgroup_of_fd(int) { return nullptr; }

  // The address of a kernel variable that programs take as a ksym ("runqueues"), and of its copy for a CPU; null if it
  // is not modelled.
  virtual void *ksym_address(std::string_view) { return nullptr; }
  virtual void *per_cpu_address(void *, u32) { return nullptr; }
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_ENV_H_
