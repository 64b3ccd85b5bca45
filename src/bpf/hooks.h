// SPDX-License-Identifier: GPL-2.0-only
// Points of the kernel that tracing programs may be attached to: one line of a table each (hooks.cc), from which come
// the types in the kernel BTF, what may be loaded, and what `uscx inspect` says. HookTable has the programs that are
// attached now; whoever owns the point (the bridge) runs them.
//
// A point without a source here loads and attaches, and never fires; its line says why.
//
// Threading: attaching and detaching as BpfSystem's commands; at() on any CPU, in a read section of RCU or a segment.
#ifndef USCX_BPF_HOOKS_H_
#define USCX_BPF_HOOKS_H_

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/env.h"
#include "bpf/object.h"

namespace uscx::bpf {

class BpfSystem;
class Prog;

// The type of a tracepoint's handlers is named this and the tracepoint.
inline constexpr std::string_view kTracepointPrefix = "btf_trace_";

enum class HookKind : u8 {
  kTracepoint,  // tp_btf/X, raw_tp/X: typedef btf_trace_X
  kFunction,    // fentry/X, fexit/X: function X
};

struct Hook {
  HookKind kind;
  const char *name;
  const char *returns;
  const char *params;      // "(struct task_struct *p, int cpu)", at most eight, as for kfuncs
  const char *never;       // null: it fires; else why not
  u32 nullable_words = 0;  // arguments that may be NULL
};

std::span<const Hook> list_hooks();
// Its number in the list, or -1.
s32 find_hook(HookKind kind, std::string_view name);

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

  struct Attached : Deferred {
    std::vector<std::shared_ptr<Prog>> progs;
  };
  // Null: nobody.
  const Attached *at(u32 hook, bool on_exit = false) const {
    return lists_[hook * 2 + on_exit].load(std::memory_order_acquire);
  }
  bool any() const { return nr_attached_ != 0; }
  // Called after programs came or went.
  void set_listener(std::function<void()> listener) { on_change_ = std::move(listener); }

  // -EBUSY if it is there already.
  int attach(const std::shared_ptr<Prog> &prog, u32 hook, bool on_exit);
  void detach(const Prog &prog, u32 hook, bool on_exit);
  // Nobody is attached any more, as links that are closed later find.
  void clear();

 private:
  void publish(u32 hook, bool on_exit, std::vector<std::shared_ptr<Prog>> progs);

  BpfSystem &system_;
  // Pairs with at(): whoever sees a list sees what is in it.
  const std::unique_ptr<std::atomic<Attached *>[]> lists_;
  u32 nr_attached_ = 0;
  std::function<void()> on_change_;
};

// Attaches a tracing program where it was loaded for, or a raw tracepoint's to `hook`: a descriptor of its link, or
// -errno.
long attach_tracing(const std::shared_ptr<Prog> &prog);
long attach_tracing(const std::shared_ptr<Prog> &prog, s32 hook);

// The link of a tracing program; its end detaches.
class TracingLink final : public Object {
 public:
  TracingLink(BpfSystem &system, std::shared_ptr<Prog> prog, s32 hook, bool on_exit);
  ~TracingLink() override;
  const std::shared_ptr<Prog> &prog() const { return prog_; }

 private:
  const std::shared_ptr<Prog> prog_;
  const s32 hook_;  // -1: a place that never fires and has no line
  const bool on_exit_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_HOOKS_H_
