// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/iter_link.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "abi/kernel.h"
#include "abi/trace.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/map.h"
#include "bpf/object/prog.h"
#include "bpf/object/seq_file.h"
#include "bpf/object/user_memory.h"

namespace uscx::bpf {
namespace {

// --- task ---

int choose_task(BpfSystem &system, const union bpf_iter_link_info &info, bool given, IterChoice *choice) {
  if (!given) return 0;
  if ((info.task.tid != 0) + (info.task.pid != 0) + (info.task.pid_fd != 0) > 1) return -EINVAL;
  choice->tid = info.task.tid;
  choice->pid = info.task.pid;
  if (info.task.pid_fd == 0) return 0;
  const auto *task = static_cast<const task_struct *>(system.env().task_of_pidfd(static_cast<int>(info.task.pid_fd)));
  if (task == nullptr) return -EBADF;
  choice->pid = static_cast<u32>(task->tgid);
  return 0;
}

int walk_tasks(BpfSystem &system, const IterChoice &choice, const IterVisitor &visit) {
  std::vector<const task_struct *> tasks;
  for (void *at = system.env().next_task(nullptr); at != nullptr; at = system.env().next_task(at)) {
    const auto *task = static_cast<const task_struct *>(at);
    // Idle tasks have no number.
    if (task->pid == 0 || (choice.tid != 0 && static_cast<u32>(task->pid) != choice.tid) ||
        (choice.pid != 0 && static_cast<u32>(task->tgid) != choice.pid))
      continue;
    tasks.push_back(task);
  }
  std::sort(tasks.begin(), tasks.end(), [](const auto *a, const auto *b) { return a->pid < b->pid; });
  for (const task_struct *task : tasks) {
    if (int err = visit({reinterpret_cast<u64>(task)}); err != 0) return err;
  }
  return visit({0});
}

// --- bpf_map_elem ---

int choose_map(BpfSystem &system, const union bpf_iter_link_info &info, bool given, IterChoice *choice) {
  if (!given || info.map.map_fd == 0) return -EBADF;
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(info.map.map_fd));
  if (object == nullptr) return -EBADF;
  choice->map = std::dynamic_pointer_cast<Map>(object);
  if (choice->map == nullptr) return -EINVAL;
  return choice->map->supports(MAP_ITERATED) ? 0 : -EINVAL;
}

// Memory that programs can read, for as long as an iterator runs.
class Pages {
 public:
  Pages(Half half, size_t bytes) : at_(Region::get().alloc_pages(half, bytes, true)) {}
  ~Pages() { Region::get().free_pages(at_); }
  Pages(const Pages &) = delete;
  Pages &operator=(const Pages &) = delete;
  template <typename T>
  T *as() const {
    return static_cast<T *>(at_);
  }
  u64 address() const { return reinterpret_cast<u64>(at_); }

 private:
  void *const at_;
};

// The kernel goes on to the values of all CPUs, one behind the other, where a map has one for each.
int walk_elements(BpfSystem &, const IterChoice &choice, const IterVisitor &visit) {
  Map &map = *choice.map;
  const u64 handle = reinterpret_cast<u64>(map.handle());
  const bool percpu = map.user_value_size() != map.value_size();
  const Pages key(Half::kReadOnly, map.key_size());
  const Pages copies(Half::kReadWrite, map.user_value_size());
  std::vector<std::vector<u64>> keys;
  std::vector<u64> next((map.key_size() + 7) / 8);
  for (int err = map.next_key(nullptr, next.data()); err == 0; err = map.next_key(keys.back().data(), next.data()))
    keys.push_back(next);
  for (const std::vector<u64> &one : keys) {
    void *const value = map.lookup(one.data());
    if (value == nullptr) continue;
    std::memcpy(key.as<void>(), one.data(), map.key_size());
    if (percpu && map.user_lookup(one.data(), copies.as<void>(), 0) != 0) continue;
    if (int err = visit({handle, key.address(), percpu ? copies.address() : reinterpret_cast<u64>(value)}); err != 0)
      return err;
  }
  return visit({handle, 0, 0});
}

constexpr Iterator kIterators[] = {
    {"task", "(struct task_struct *task)", 1u << 1, choose_task, walk_tasks},
    {"bpf_map_elem", "(struct bpf_map *map, void *key, void *value)", 3u << 2, choose_map, walk_elements},
};

// What one read() of the kernel's has room for.
constexpr size_t kMaxContextWords = 8;

// The text that a program wrote, as a file.
class IterFile final : public Object {
 public:
  explicit IterFile(BpfSystem &system) : Object(system, ObjectKind::kIterator, "") {}
  int fill(const std::string &text) {
    for (size_t at = 0; at < text.size();) {
      const ssize_t written = ::pwrite(memfd(), text.data() + at, text.size() - at, static_cast<off_t>(at));
      if (written <= 0) return written < 0 ? -errno : -EIO;
      at += static_cast<size_t>(written);
    }
    return 0;
  }
};

}  // namespace

std::span<const Iterator> list_iterators() { return kIterators; }

const Iterator *find_iterator(std::string_view name) {
  for (const Iterator &iterator : kIterators) {
    if (name == iterator.name) return &iterator;
  }
  return nullptr;
}

std::vector<std::string> Iterator::args() const {
  std::vector<std::string> names = {"meta"};
  for (const ParsedArg &arg : parse_kfunc_params(params)) names.push_back(arg.name);
  return names;
}

long link_iterator(const std::shared_ptr<Prog> &prog, const union bpf_attr &attr) {
  BpfSystem &system = prog->system();
  const std::string_view name = system.kernel_btf().type_name(prog->attr().attach_btf_id);
  const Iterator *iterator = find_iterator(name.substr(kIteratorPrefix.size()));
  union bpf_iter_link_info info;
  std::memset(&info, 0, sizeof(info));
  const u32 size = attr.link_create.iter_info_len;
  if ((size == 0) != (attr.link_create.iter_info == 0)) return -EINVAL;
  if (size > sizeof(info)) return -E2BIG;
  if (copy_from_user(&info, attr.link_create.iter_info, size) != 0) return -EFAULT;
  IterChoice choice;
  if (int err = iterator->choose(system, info, size != 0, &choice); err != 0) return err;
  return system.install_fd(std::make_shared<IterLink>(system, prog, *iterator, std::move(choice)));
}

IterLink::IterLink(BpfSystem &system, std::shared_ptr<Prog> prog, const Iterator &iterator, IterChoice choice)
    : Object(system, ObjectKind::kLink, ""), prog_(std::move(prog)), iterator_(iterator), choice_(std::move(choice)) {}

int IterLink::run(std::string *text) {
  const Pages memory(Half::kReadOnly, kPageBytes);
  u64 *const words = memory.as<u64>();
  auto *const meta = reinterpret_cast<bpf_iter_meta *>(words + kMaxContextWords);
  words[0] = reinterpret_cast<u64>(meta);
  meta->session_id = ++session_;
  return iterator_.walk(system(), choice_, [&](std::initializer_list<u64> rest) {
    std::copy(rest.begin(), rest.end(), words + 1);
    SeqFile file;
    meta->seq = static_cast<seq_file *>(file.address());
    u64 r0 = 0;
    if (!system().env().run_prog(*prog_, memory.address(), &r0)) return -EFAULT;
    if (file.overflowed()) return -E2BIG;
    // The program wants the object once more, and nothing has changed.
    if (static_cast<u32>(r0) != 0) return -EAGAIN;
    *text += file.take();
    meta->seq_num++;
    return 0;
  });
}

long IterLink::read() {
  std::string text;
  if (int err = run(&text); err != 0) return err;
  const auto file = std::make_shared<IterFile>(system());
  if (int err = file->fill(text); err != 0) return err;
  return system().install_fd(file);
}

}  // namespace uscx::bpf
