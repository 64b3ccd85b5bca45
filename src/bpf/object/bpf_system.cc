// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/bpf_system.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "base/check.h"
#include "bpf/exec/exec.h"
#include "bpf/memory/fault.h"
#include "bpf/memory/region.h"
#include "bpf/object/alloc.h"
#include "bpf/object/command.h"
#include "bpf/object/cpumask.h"
#include "bpf/object/graph.h"
#include "bpf/object/hooks.h"
#include "bpf/object/perf_event.h"
#include "bpf/object/prog.h"
#include "bpf/object/timers.h"
#include "bpf/object/user_memory.h"
#include "bpf/object/user_space.h"

namespace uscx::bpf {

BpfSystem *BpfSystem::current() { return running().system; }

BpfSystem::Scope::Scope(BpfSystem &system) : previous_(running().system) { running().system = &system; }
BpfSystem::Scope::~Scope() { running().system = previous_; }

BpfSystem::BpfSystem(Env &env, Options options)
    : env_(env),
      options_(std::move(options)),
      cpumasks_(std::make_unique<CpumaskPool>(*this, options_.nr_possible_cpus)),
      timers_(std::make_unique<TimerTable>(*this)),
      allocs_(std::make_unique<AllocTable>(*this)),
      graphs_(std::make_unique<GraphTable>(*this)),
      hooks_(std::make_unique<HookTable>(*this)) {}

Result<std::unique_ptr<BpfSystem>> BpfSystem::create(Env &env, Options options) {
  std::vector<std::string> struct_ops;
  for (const auto &type : options.struct_ops) struct_ops.emplace_back(type->name());
  Result<std::unique_ptr<KernelBtf>> kernel = KernelBtf::build(options.base_btf, struct_ops);
  if (!kernel.ok()) return kernel.status();
  install_fault_handler();
  std::unique_ptr<BpfSystem> system(new BpfSystem(env, std::move(options)));
  system->kernel_btf_ = kernel.take();
  system->kernel_btf_object_ = std::make_shared<Btf>(*system, *system->kernel_btf_);

  VirtualFiles &files = system->files_;
  BpfSystem *self = system.get();
  files.add("/sys/kernel/btf/vmlinux", [self] {
    const std::vector<u8> &raw = self->kernel_btf().raw();
    return std::string(raw.begin(), raw.end());
  });
  const auto cpus = [self] { return cpu_list_text(self->nr_cpus()); };
  files.add("/sys/devices/system/cpu/possible", cpus);
  files.add("/sys/devices/system/cpu/present", cpus);
  files.add("/sys/devices/system/cpu/online", cpus);
  const auto config = [self] { return kernel_config_text(self->options().hz); };
  files.add("/boot/config-" + self->options().release, config);
  files.add("/proc/config.gz", config);
  files.add("/proc/kallsyms", [] { return std::string(); });
  add_probe_files(files);
  // What the host's kernel offers beyond that is not the simulated kernel's.
  for (const char *prefix : {"/sys/kernel/", "/sys/fs/bpf", "/sys/bus/event_source/", "/proc/version_signature",
                             "/boot/vmlinux-", "/lib/modules/", "/usr/lib/modules/", "/usr/lib/debug/"})
    files.hide(prefix);
  return system;
}

BpfSystem::~BpfSystem() {
  Scope scope(*this);
  fs_.clear();
  // Links first: their end unregisters tables that programs and maps are still there for.
  for (int fd : fds_of_kind(ObjectKind::kLink)) drop_fd(fd);
  for (int fd : fds_of_kind(ObjectKind::kProg)) drop_fd(fd);
  while (!user_fds_.empty()) drop_fd(user_fds_.begin()->first);
  hooks_->clear();
  quiescent();
  kernel_btf_object_.reset();
  for (const auto &objects : objects_) CHECK(objects.empty(), "an object of the emulated bpf(2) outlives its system");
}

std::vector<int> BpfSystem::fds_of_kind(ObjectKind kind) const {
  std::vector<int> fds;
  for (const auto &[fd, object] : user_fds_) {
    if (object->kind() == kind) fds.push_back(fd);
  }
  return fds;
}

void BpfSystem::drop_fd(int fd) {
  // The descriptor number may be another file's by now, if its owner closed it behind our back.
  if (object_of_fd(fd) == user_fds_.at(fd)) ::close(fd);
  fd_closed(fd);
}

// --- Descriptors ---

int BpfSystem::install_fd(const std::shared_ptr<Object> &object) {
  if (UserSpace *user = UserSpace::current()) {
    object->set_user_held();
    return user->install_fd(object);
  }
  const int fd = fcntl(object->memfd(), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return -errno;
  object->set_user_held();
  user_fds_[fd] = object;
  return fd;
}

std::shared_ptr<Object> BpfSystem::object_of_fd(int fd) const {
  struct stat st;
  UserSpace *user = UserSpace::current();
  if (user ? !user->stat_fd(fd, &st) : fstat(fd, &st) != 0) return nullptr;
  std::lock_guard hold(registry_lock_);
  auto it = by_inode_.find({st.st_dev, st.st_ino});
  return it != by_inode_.end() ? it->second->weak_from_this().lock() : nullptr;
}

void BpfSystem::fd_closed(int fd) {
  auto it = user_fds_.find(fd);
  if (it == user_fds_.end()) return;
  const std::shared_ptr<Object> object = std::move(it->second);
  user_fds_.erase(it);
  const bool last =
      std::none_of(user_fds_.begin(), user_fds_.end(), [&](const auto &entry) { return entry.second == object; });
  if (last) object->user_released();
}

void BpfSystem::fd_duplicated(int from, int to) {
  if (from == to) return;
  const std::shared_ptr<Object> object = object_of_fd(from);
  fd_closed(to);
  if (object == nullptr) return;
  object->set_user_held();
  user_fds_[to] = object;
}

int BpfSystem::check_mmap(int fd, Mmap *mapping) const {
  const std::shared_ptr<Object> object = object_of_fd(fd);
  if (object == nullptr) return 0;
  if (const auto event = std::dynamic_pointer_cast<PerfEvent>(object)) {
    if (!(mapping->flags & MAP_SHARED)) return -EINVAL;
    if (int err = event->check_mmap(mapping->size, mapping->offset); err != 0) return err;
    mapping->pieces = {{0, mapping->size}};
    return 0;
  }
  const auto map = std::dynamic_pointer_cast<Map>(object);
  if (map == nullptr) return -ENODEV;
  if (map->mmap_size() == 0) return -ENOTSUP;
  if (!(mapping->flags & MAP_SHARED)) return -EINVAL;
  if (int err = map->check_mmap(&mapping->address, mapping->size, mapping->prot, mapping->offset, mapping->own_process);
      err != 0)
    return err;
  mapping->pieces = map->mmap_pieces(mapping->offset, mapping->size);
  return 0;
}

std::shared_ptr<Object> BpfSystem::pollable(int fd) const {
  std::shared_ptr<Object> object = object_of_fd(fd);
  return object != nullptr && object->can_poll() ? object : nullptr;
}

int BpfSystem::perf_event_open(const struct perf_event_attr *user_attr, int pid, int cpu, int group_fd,
                               unsigned long flags) {
  u32 size = 0;
  if (copy_from_user(&size, reinterpret_cast<u64>(user_attr) + offsetof(perf_event_attr, size), sizeof(size)) != 0)
    return -EFAULT;
  if (size == 0) size = PERF_ATTR_SIZE_VER0;
  if (size < PERF_ATTR_SIZE_VER0 || size > kPageBytes) return -E2BIG;
  perf_event_attr attr = {};
  if (copy_from_user(&attr, reinterpret_cast<u64>(user_attr), std::min<size_t>(size, sizeof(attr))) != 0)
    return -EFAULT;
  if (flags & ~(PERF_FLAG_FD_CLOEXEC | PERF_FLAG_FD_NO_GROUP) || group_fd != -1) {
    log("bpf: perf_event_open: groups and cgroups of events are not implemented");
    return -EINVAL;
  }
  std::shared_ptr<PerfEvent> event;
  if (int err = PerfEvent::create(*this, attr, pid, cpu, &event); err != 0) return err;
  return install_fd(event);
}

int BpfSystem::perf_event_ioctl(int fd, unsigned long request) {
  const auto event = get<PerfEvent>(fd);
  if (event == nullptr) return -ENOTTY;
  switch (request) {
    case PERF_EVENT_IOC_ENABLE: event->enable(true); return 0;
    case PERF_EVENT_IOC_DISABLE: event->enable(false); return 0;
    case PERF_EVENT_IOC_RESET: event->reset(); return 0;
    default: log(fmt::format("bpf: ioctl {:#x} of a perf event is not implemented", request)); return -ENOTTY;
  }
}

// --- Objects ---

u32 BpfSystem::register_object(Object *object) {
  const int kind = static_cast<int>(object->kind());
  std::lock_guard hold(registry_lock_);
  const u32 id = next_id_[kind]++;
  objects_[kind][id] = object;
  by_inode_[object->identity()] = object;
  return id;
}

void BpfSystem::forget_object(Object *object) {
  std::lock_guard hold(registry_lock_);
  objects_[static_cast<int>(object->kind())].erase(object->id());
  by_inode_.erase(object->identity());
}

std::shared_ptr<Object> BpfSystem::find_object(ObjectKind kind, u32 id) const {
  std::lock_guard hold(registry_lock_);
  const auto &objects = objects_[static_cast<int>(kind)];
  auto it = objects.find(id);
  return it != objects.end() ? it->second->weak_from_this().lock() : nullptr;
}

StructOpsType *BpfSystem::struct_ops_type(std::string_view name) const {
  for (const auto &type : options_.struct_ops) {
    if (type->name() == name) return type.get();
  }
  return nullptr;
}

template <typename T>
std::vector<std::shared_ptr<T>> BpfSystem::all_of(ObjectKind kind) const {
  std::vector<std::shared_ptr<T>> all;
  std::lock_guard hold(registry_lock_);
  for (const auto &[id, object] : objects_[static_cast<int>(kind)])
    if (std::shared_ptr<Object> one = object->weak_from_this().lock())
      all.push_back(std::static_pointer_cast<T>(std::move(one)));
  return all;
}

std::vector<std::shared_ptr<Prog>> BpfSystem::programs() const { return all_of<Prog>(ObjectKind::kProg); }
std::vector<std::shared_ptr<Map>> BpfSystem::maps() const { return all_of<Map>(ObjectKind::kMap); }

// --- What runs ---

u32 BpfSystem::running_cpu() {
  const Invocation *invocation = Invocation::current();
  return invocation != nullptr ? invocation->env().cpu : env_.cpu();
}

void BpfSystem::timer_fired(TimerId id) {
  Scope scope(*this);
  timers_->fire(id);
}

void BpfSystem::owner_freed(const void *owner) {
  // A map that is about to end has nothing for anyone, and removing waits for locks: not under the registry's.
  std::vector<std::shared_ptr<Object>> maps;
  {
    std::lock_guard hold(registry_lock_);
    for (Map *map : maps_with_owners_)
      if (std::shared_ptr<Object> object = map->weak_from_this().lock()) maps.push_back(std::move(object));
  }
  for (const auto &map : maps) static_cast<Map &>(*map).owner_freed(owner);
}

bool BpfSystem::is_live(ObjectType type, const void *object) const {
  if (type == ObjectType::kBpfCpumask) return cpumasks_->is_live(object);
  if (type == ObjectType::kCpumask && cpumasks_->is_live(object)) return true;
  return env_.is_live(type, object);
}

void BpfSystem::release_reference(void *object) {
  if (object == nullptr) return;
  if (is_live(ObjectType::kBpfCpumask, object)) return cpumasks_->release(static_cast<bpf_cpumask *>(object));
  if (allocs_->is_live(object)) return allocs_->drop(object);
  for (ObjectType type : {ObjectType::kTask, ObjectType::kCgroup}) {
    if (env_.is_live(type, object)) return env_.release_object(type, object);
  }
}

void BpfSystem::defer(Deferred &item) {
  if (env_.defer_free(item)) return;
  if (Invocation::current() == nullptr) return item.free(item);
  item.next_deferred = nullptr;
  *deferred_end_ = &item;
  deferred_end_ = &item.next_deferred;
}

void BpfSystem::free_deferred() {
  // What is freed here may defer more, and no invocation is on the stack: those are freed at once.
  Deferred *item = deferred_first_;
  deferred_first_ = nullptr;
  deferred_end_ = &deferred_first_;
  while (item != nullptr) {
    Deferred *const next = item->next_deferred;
    item->free(*item);
    item = next;
  }
}

// --- The default way to run what bpf(2) and timers start ---

namespace {

bool run_default(Env &env, Prog &prog, u32 subprog, std::initializer_list<u64> args, u64 *r0) {
  ExecEnv exec;
  exec.cpu = env.cpu();
  exec.current_task = reinterpret_cast<u64>(env.current_task());
  exec.listener = &env;
  Invocation invocation(&exec);
  const RunResult result = run(*prog.program(), subprog, args, invocation, default_exec_mode());
  BpfSystem &system = prog.system();
  invocation.release_holdings();
  if (Invocation::current() == nullptr) system.quiescent();
  if (result.aborted()) {
    env.program_aborted(prog, *result.abort);
    return false;
  }
  *r0 = result.r0;
  return true;
}

}  // namespace

void Env::arena_store_skipped(const Program &program, u32 insn, u64 address, u64 count) {
  BpfSystem *system = BpfSystem::current();
  if (system == nullptr) return;
  // A program that does it all the time must not fill the log: a line for each doubling.
  const u64 before = program.count_arena_skips(count);
  if (std::bit_width(before) == std::bit_width(before + count)) return;
  const std::string line = fmt::format("{} stores to arena pages that do not exist, the last to {:#x} at {}",
                                       before + count, address, program.place(insn));
  system->log(fmt::format("bpf: {}: {}", program.name(), line));
  if (Prog *prog = running_prog()) prog->print_to(2, "ERROR: " + line + "\n");
}

bool Env::run_prog(Prog &prog, u64 ctx, u64 *r0) { return run_default(*this, prog, 0, {ctx}, r0); }

void Env::program_aborted(Prog &prog, const Abort &abort) {
  prog.system().log(fmt::format("bpf: {}: {}", prog.name(), abort.message));
}

bool Env::run_callback(Prog &prog, u32 subprog, std::initializer_list<u64> args) {
  u64 ignored;
  return run_default(*this, prog, subprog, args, &ignored);
}

u32 BpfSystem::next_id(ObjectKind kind, u32 after) const {
  std::lock_guard hold(registry_lock_);
  const auto &objects = objects_[static_cast<int>(kind)];
  auto it = objects.upper_bound(after);
  return it == objects.end() ? 0 : it->first;
}

int BpfSystem::map_of_fd(u32 fd, std::shared_ptr<Map> *map) const {
  const std::shared_ptr<Object> object = object_of_fd(static_cast<int>(fd));
  if (object == nullptr) return -EBADF;
  *map = std::dynamic_pointer_cast<Map>(object);
  return *map == nullptr ? -EINVAL : 0;
}

// --- bpf(2) ---

namespace {
constinit CommandEntry *g_commands = nullptr;
}

CommandRegistrar::CommandRegistrar(CommandEntry &entry) {
  entry.next = g_commands;
  g_commands = &entry;
}

const CommandEntry *find_command(int number) {
  for (const CommandEntry *entry = g_commands; entry != nullptr; entry = entry->next)
    if (entry->number == number) return entry;
  return nullptr;
}

namespace {

bool tail_is_zero(const void *data, size_t from, size_t to) {
  const u8 *bytes = static_cast<const u8 *>(data);
  return std::all_of(bytes + std::min(from, to), bytes + to, [](u8 byte) { return byte == 0; });
}

}  // namespace

long BpfSystem::bpf(int cmd, union bpf_attr *user_attr, u32 size) {
  constexpr u32 kMaxAttrBytes = 4096;
  if (size > kMaxAttrBytes) return -E2BIG;
  if (user_attr == nullptr) return -EFAULT;
  if (size > sizeof(*user_attr) && !tail_is_zero(user_attr, sizeof(*user_attr), size)) return -E2BIG;
  union bpf_attr attr;
  std::memset(&attr, 0, sizeof(attr));
  const u32 known = std::min<u32>(size, sizeof(attr));
  std::memcpy(&attr, user_attr, known);

  const CommandEntry *entry = find_command(cmd);
  if (entry == nullptr) {
    log(fmt::format("bpf: command {} is not implemented", cmd));
    return -EINVAL;
  }
  if (!tail_is_zero(&attr, entry->attr_end, sizeof(attr))) return -EINVAL;
  Scope scope(*this);
  const long result = entry->run(*this, &attr);
  std::memcpy(user_attr, &attr, known);
  return result;
}

}  // namespace uscx::bpf
