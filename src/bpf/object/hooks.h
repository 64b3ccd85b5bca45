// SPDX-License-Identifier: GPL-2.0-only
// Hooks: points of the kernel to which tracing programs may be attached, one line of a table each (hooks.cc). The types
// in the kernel BTF, the programs that may be loaded, and the output of `uscx inspect` derive from the table. HookTable
// has the programs that are attached now; the owner of a point (the bridge) runs them.
//
// A point without a source here loads and attaches, and never fires; its line says why.
//
// Threading: attaching and detaching as BpfSystem's commands; at() on any CPU, in a read section of RCU or a segment.
#ifndef USCX_BPF_OBJECT_HOOKS_H_
#define USCX_BPF_OBJECT_HOOKS_H_

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/object/env.h"
#include "bpf/object/object.h"
#include "bpf/object/perf_event.h"
#include "bpf/object/virtual_files.h"

namespace uscx::bpf {

class BpfSystem;
class Prog;

// The type of a tracepoint's handlers is named this and the tracepoint.
inline constexpr std::string_view kTracepointPrefix = "btf_trace_";

enum class HookKind : u8 {
  kTracepoint,  // tp_btf/X, raw_tp/X: typedef btf_trace_X; tracepoint/GROUP/X: a record
  kEvent,       // tracepoint/GROUP/X alone
  kFunction,    // fentry/X, fexit/X: function X; kprobe/X, kretprobe/X: the registers
};

struct Hook {
  HookKind kind;
  const char *name;  // of a tracepoint with its group: "sched/sched_switch"
  const char *returns;
  const char *params;      // "(struct task_struct *p, int cpu)", at most eight, as for kfuncs
  const char *never;       // null: it fires; else why not
  u32 nullable_words = 0;  // arguments that may be NULL
  std::string_view short_name() const;
};

std::span<const Hook> list_hooks();
// Its number in the list, by the name without its group, or -1.
s32 find_hook(HookKind kind, std::string_view name);
// The same for an event, by "sched/sched_switch".
s32 find_event(std::string_view name);

// What perf_event_open(2) has for probes: numbers of events begin here, and this is the type of those of functions.
inline constexpr u32 kFirstEventId = 100;
inline constexpr u32 kKprobeEventType = 8;
int find_probe(BpfSystem &system, const perf_event_attr &attr, PerfEvent::Probe *probe);
// The files where user space finds those numbers.
void add_probe_files(VirtualFiles &files);

// A kernel variable that programs may take as a ksym.
struct KernelVariable {
  const char *name;
  const char *type;
};
std::span<const KernelVariable> list_kernel_variables();

// What is to be known of a program's section before it is attached: "" or a line such as "never fires: no network".
std::string section_note(std::string_view section);

class HookTable {
 public:
  explicit HookTable(BpfSystem &system);
  ~HookTable();

  struct Attachment {
    std::shared_ptr<Prog> prog;
    u64 cookie;  // what bpf_get_attach_cookie() gives it
  };
  struct Attached : Deferred {
    std::vector<Attachment> list;
  };
  // Null: nobody.
  const Attached *at(u32 hook, bool on_exit = false) const {
    return lists_[hook * 2 + on_exit].load(std::memory_order_acquire);
  }
  bool any() const { return nr_attached_ != 0; }
  // Called after programs came or went.
  void set_listener(std::function<void()> listener) { on_change_ = std::move(listener); }

  // -EBUSY if it is there already.
  int attach(const std::shared_ptr<Prog> &prog, u32 hook, bool on_exit, u64 cookie);
  void detach(const Prog &prog, u32 hook, bool on_exit);
  // Nobody is attached any more, as links that are closed later find.
  void clear();

 private:
  void publish(u32 hook, bool on_exit, std::vector<Attachment> list);

  BpfSystem &system_;
  // Pairs with at(): whoever sees a list sees what is in it.
  const std::unique_ptr<std::atomic<Attached *>[]> lists_;
  u32 nr_attached_ = 0;
  std::function<void()> on_change_;
};

// Attaches a tracing program where it was loaded for, or a raw tracepoint's to `hook`: a descriptor of its link, or
// -errno.
long attach_tracing(const std::shared_ptr<Prog> &prog, u64 cookie);
long attach_tracing(const std::shared_ptr<Prog> &prog, s32 hook, u64 cookie);

// The same for an event of perf_event_open(2), which must be of the program's type.
long attach_to_event(const std::shared_ptr<Prog> &prog, const std::shared_ptr<PerfEvent> &event, u64 cookie);

// The link of a tracing program; its end detaches.
class TracingLink final : public Object {
 public:
  // `event` is null for what is not attached through one.
  TracingLink(BpfSystem &system, std::shared_ptr<Prog> prog, std::shared_ptr<PerfEvent> event, s32 hook, bool on_exit);
  ~TracingLink() override;
  const std::shared_ptr<Prog> &prog() const { return prog_; }
  bool is_perf() const { return event_ != nullptr; }

 private:
  const std::shared_ptr<Prog> prog_;
  const std::shared_ptr<PerfEvent> event_;
  const s32 hook_;  // -1: a place that never fires and has no line
  const bool on_exit_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_HOOKS_H_
