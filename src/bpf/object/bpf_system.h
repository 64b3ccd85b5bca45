// SPDX-License-Identifier: GPL-2.0-only
// BpfSystem: bpf(2) of one simulated machine. It owns every map, program, BTF and link of a run, the kernel BTF, and
// the descriptors that user space holds. Answers are those of Linux 7.2, errno values included; what is not implemented
// is refused with -EINVAL (or what the kernel says without that option) and a log line that names it.
//
// User space is libbpf in this process, whose system calls come here through libbpf_shim.cc while a BpfSystem::Scope is
// active on the thread, or another program's, through the same bpf() and descriptor calls.
//
// Threading: commands and descriptors are one thread's at a time; the owner serialises. Programs run on any CPU, and
// with them what they call: maps, timers, masks, and the end of objects that they held last.
//
// Invariants: an object lives as long as a descriptor or another object holds it; ids are never reused; where segments
// are atomic, no deferred element is left at the end of the outermost invocation.
#ifndef USCX_BPF_OBJECT_BPF_SYSTEM_H_
#define USCX_BPF_OBJECT_BPF_SYSTEM_H_

#include <linux/bpf.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "bpf/object/bpf_fs.h"
#include "bpf/object/btf_object.h"
#include "bpf/object/env.h"
#include "bpf/object/map.h"
#include "bpf/object/object.h"
#include "bpf/object/struct_ops.h"
#include "bpf/object/virtual_files.h"

struct perf_event_attr;

namespace uscx::bpf {

class AllocTable;
class CpumaskPool;
class GraphTable;
class HookTable;
class Invocation;
class Prog;
class Program;
class RegionHeap;
class RegionPool;
class LocalStorageMap;
class TimerTable;

class BpfSystem {
 public:
  struct Options {
    std::span<const u8> base_btf;  // BTF of src/abi
    u32 nr_possible_cpus = 1;
    u32 hz = 250;
    std::string release = "7.2.12-uscx";
    std::vector<std::unique_ptr<StructOpsType>> struct_ops;
    bool use_jit = true;
    bool explore = false;  // programs tell explore mode what they do
  };
  static Result<std::unique_ptr<BpfSystem>> create(Env &env, Options options);
  ~BpfSystem();

  // bpf(2): a result or -errno.
  long bpf(int cmd, union bpf_attr *attr, u32 size);

  // The system that redirected calls on this thread go to; null outside every Scope.
  static BpfSystem *current();
  class Scope {
   public:
    explicit Scope(BpfSystem &system);
    ~Scope();

   private:
    BpfSystem *previous_;
  };

  Env &env() { return env_; }
  const Options &options() const { return options_; }
  const KernelBtf &kernel_btf() const { return *kernel_btf_; }
  VirtualFiles &files() { return files_; }
  BpfFs &fs() { return fs_; }
  CpumaskPool &cpumasks() { return *cpumasks_; }
  TimerTable &timers() { return *timers_; }
  AllocTable &allocs() { return *allocs_; }
  GraphTable &graphs() { return *graphs_; }
  HookTable &hooks() { return *hooks_; }
  u32 nr_cpus() const { return options_.nr_possible_cpus; }

  // The CPU of the running program, or of the caller of bpf(2).
  u32 running_cpu();

  // --- Descriptors of user space ---
  // A new descriptor of an object, as a command returns it.
  int install_fd(const std::shared_ptr<Object> &object);
  std::shared_ptr<Object> object_of_fd(int fd) const;
  template <typename T>
  std::shared_ptr<T> get(int fd) const {
    return std::dynamic_pointer_cast<T>(object_of_fd(fd));
  }
  // What the redirected close(), dup3() and fcntl(F_DUPFD) tell us, after the real call.
  void fd_closed(int fd);
  void fd_duplicated(int from, int to);
  // mmap() of one of our descriptors: 0 if the real calls may go on, one for each of `pieces` behind the other (none if
  // the descriptor is not ours), else -errno. See Map::check_mmap().
  struct Mmap {
    u64 address = 0;
    int prot = 0;
    int flags = 0;
    u64 offset = 0;
    u64 size = 0;
    bool own_process = true;
    std::vector<Map::MmapPiece> pieces;
  };
  int check_mmap(int fd, Mmap *mapping) const;

  // The object behind a descriptor that poll() and epoll know, or null. Its state is Object::poll_events(), and changes
  // are announced through Env::map_wakeup().
  std::shared_ptr<Object> pollable(int fd) const;

  // perf_event_open(2) and ioctl(2) of what it gives: a result or -errno.
  int perf_event_open(const struct perf_event_attr *attr, int pid, int cpu, int group_fd, unsigned long flags);
  int perf_event_ioctl(int fd, unsigned long request);

  // --- Objects ---
  // What /proc/PID/fdinfo has of an object's descriptor.
  std::string fdinfo_text(const Object &object) const;
  std::shared_ptr<Object> find_object(ObjectKind kind, u32 id) const;
  // The lowest id of a kind above `after`; 0: there is none.
  u32 next_id(ObjectKind kind, u32 after) const;
  // The map behind a descriptor: 0, -EBADF (not ours) or -EINVAL (another object).
  int map_of_fd(u32 fd, std::shared_ptr<Map> *map) const;
  StructOpsType *struct_ops_type(std::string_view name) const;
  // All live programs and maps in id order, for reports and for tests.
  std::vector<std::shared_ptr<Prog>> programs() const;
  std::vector<std::shared_ptr<Map>> maps() const;

  // "variable dispatched", "map queue, value.head": what a program has at an address; hexadecimal if nothing.
  std::string address_text(u64 address) const;
  // For a forked process: from here on no map's memory is shared with the process that it came from.
  void unshare_maps();

  // --- What the bridge tells us ---
  void timer_fired(TimerId id);
  // The storage in all maps of a task or cgroup goes away. The address may be reused afterwards.
  void owner_freed(const void *owner);
  // True for live objects of our own kinds and those that Env vouches for.
  bool is_live(ObjectType type, const void *object) const;
  // Drops the reference that a kptr field held, whatever it points to; nothing for what is no live object.
  void release_reference(void *object);

  // Frees what programs may still be using: after a grace period where other CPUs may run programs now (Env), else when
  // no invocation is on the stack any more (at once, if none is).
  void defer(Deferred &item);
  // The same for what is rarely deferred.
  template <typename Fn>
  void defer_call(Fn fn) {
    struct Call : Deferred {
      explicit Call(Fn call) : run(std::move(call)) {}
      Fn run;
    };
    Call *call = new Call(std::move(fn));
    call->free = [](Deferred &item) {
      std::unique_ptr<Call> owned(static_cast<Call *>(&item));
      owned->run();
    };
    defer(*call);
  }
  // The outermost invocation has ended, or another quiescent state was reached.
  void quiescent() {
    if (deferred_first_ != nullptr) free_deferred();
  }

  void log(std::string_view line) { env_.kernel_log(line); }

 private:
  friend class Object;
  BpfSystem(Env &env, Options options);
  u32 register_object(Object *object);
  void forget_object(Object *object);
  template <typename T>
  std::vector<std::shared_ptr<T>> all_of(ObjectKind kind) const;
  std::vector<int> fds_of_kind(ObjectKind kind) const;
  void drop_fd(int fd);

  void free_deferred();
  friend class LocalStorageMap;
  friend class ProgLoader;

  Env &env_;
  Options options_;
  std::unique_ptr<KernelBtf> kernel_btf_;
  std::shared_ptr<Btf> kernel_btf_object_;  // The first of its kind: id 1.
  VirtualFiles files_;
  BpfFs fs_;
  std::unique_ptr<CpumaskPool> cpumasks_;
  std::unique_ptr<TimerTable> timers_;
  std::unique_ptr<AllocTable> allocs_;
  std::unique_ptr<GraphTable> graphs_;
  std::unique_ptr<HookTable> hooks_;

  mutable std::mutex registry_lock_;                  // a leaf
  u32 next_id_[kNrObjectKinds] = {1, 1, 1, 1, 1, 1};  // guarded by registry_lock_, as the next three are
  std::map<u32, Object *> objects_[kNrObjectKinds];   // by kind, then id
  std::map<std::pair<dev_t, ino_t>, Object *> by_inode_;
  std::vector<Map *> maps_with_owners_;  // Those whose owner_freed() does something.
  std::map<int, std::shared_ptr<Object>> user_fds_;
  // A queue, used only where segments are atomic.
  Deferred *deferred_first_ = nullptr;
  Deferred **deferred_end_ = &deferred_first_;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_BPF_SYSTEM_H_
