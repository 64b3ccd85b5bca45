// SPDX-License-Identifier: GPL-2.0-only
#include "process/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "process/system_files.h"
#include "process/tracee.h"
#include "process/user_memory.h"

namespace uscx::process {

class ThreadBehavior final : public sched::Behavior {
 public:
  ThreadBehavior(Supervisor &supervisor, Thread &thread) : supervisor_(supervisor), thread_(thread) {}
  sched::Step next(sched::Kernel &, sched::Task &) override { return supervisor_.step(thread_); }

 private:
  Supervisor &supervisor_;
  Thread &thread_;
};

Supervisor::Supervisor(bridge::Host &host, SupervisorOptions options)
    : host_(host),
      options_(std::move(options)),
      system_scope_(host.system()),
      random_(host.machine().seed(), "getrandom"),
      system_files_(std::make_unique<SystemFiles>(
          host, [this](int pid, int tid) { return host_directory(pid, tid); }, [this] { check_probes(); })),
      timer_fds_(host.machine(), [this] { check_probes(); }),
      poll_proxies_(host, [this] { check_probes(); }) {}

Supervisor::~Supervisor() {
  CHECK(all_gone(), "a program outlives its supervisor");
  for (auto &process : processes_) host_.machine().cancel_timer(process->alarm);
  host_.system().fs().clear();
  // What a name or a descriptor on its way through a socket may still have kept.
  for (auto &[key, object] : held_) object->user_released();
}

void Supervisor::note(const std::string &line) {
  if (std::find(notes_.begin(), notes_.end(), line) != notes_.end()) return;
  notes_.push_back(line);
  if (options_.say) options_.say(line);
}

std::string Supervisor::host_directory(int pid, int tid) const {
  const Process *process = find_process(pid);
  if (!process || process->host_dead) return "";
  const std::string directory = fmt::format("/proc/{}", process->remote.host_pid());
  if (tid == 0) return directory;
  const Thread *thread = find_thread(tid);
  return thread ? fmt::format("{}/task/{}", directory, thread->host_tid) : "";
}

// --- births ---

Process *Supervisor::new_process(pid_t host_pid, Notifier &notifier) {
  Process &process = *processes_.emplace_back(std::make_unique<Process>(host_pid, notifier));
  process.timers = std::make_unique<PosixTimers>(*this, process);
  return &process;
}

Thread *Supervisor::new_thread(Process &process, pid_t host_tid, sched::TaskSpec spec, int *error) {
  auto thread = std::make_unique<Thread>();
  Thread &t = *thread;
  t.process = &process;
  t.host_tid = host_tid;
  spec.kind = sched::TaskKind::kOther;
  spec.behavior = std::make_unique<ThreadBehavior>(*this, t);
  sched::Task *task = kernel().create_task(std::move(spec), error);
  if (!task) return nullptr;
  kernel().get_task(*task);
  t.task = task;
  t.tid = task->pid();
  process.threads.push_back(&t);
  threads_[host_tid] = std::move(thread);
  return &t;
}

sched::TaskSpec Supervisor::inherit(const Thread &creator, const std::string &comm) const {
  const sched::Task &parent = *creator.task;
  sched::TaskSpec spec;
  spec.comm = comm;
  spec.policy = static_cast<int>(parent.ts.policy);
  spec.nice = parent.nice();
  spec.rt_priority = parent.rt_priority;
  spec.cpus = parent.cpus;
  return spec;
}

Thread *Supervisor::adopt_thread(Process &process, pid_t host_tid, const Thread &creator, int *error) {
  sched::TaskSpec spec = inherit(creator, creator.task->comm());
  spec.leader = sched::task_of(creator.task->ts.group_leader);
  spec.parent = sched::task_of(creator.task->ts.real_parent);
  return new_thread(process, host_tid, std::move(spec), error);
}

Process *Supervisor::adopt_process(pid_t host_pid, const Thread &creator, bool shares_memory, int *error) {
  Process &process = *new_process(host_pid, *creator.process->notifier);
  sched::TaskSpec spec = inherit(creator, creator.task->comm());
  spec.parent = creator.task;
  Thread *thread = new_thread(process, host_pid, std::move(spec), error);
  if (!thread) {
    processes_.pop_back();
    return nullptr;
  }
  process.pid = thread->tid;
  process.space = shares_memory ? creator.process->space : next_space_++;
  process.parent = creator.process;
  process.program = creator.process->program;
  process.name = creator.process->name;
  process.image_is_new = false;
  process.has_signal_fds = creator.process->has_signal_fds;
  process.dumpable = creator.process->dumpable;
  return &process;
}

Result<Process *> Supervisor::start(const ProgramSpec &spec) {
  CHECK(!machine::exec().on_cpu);
  Result<Launched> launched = launch(spec);
  if (!launched.ok()) return launched.status();
  struct stat st;
  for (int fd : spec.fds)
    if (::fstat(fd, &st) == 0) external_.insert({st.st_dev, st.st_ino});
  Notifier &notifier = *notifiers_.emplace_back(std::move(launched->notifier));
  Process &process = *new_process(launched->host_pid, notifier);
  const size_t slash = spec.args[0].rfind('/');
  process.name = slash == std::string::npos ? spec.args[0] : spec.args[0].substr(slash + 1);
  process.space = next_space_++;
  process.program = &process;
  sched::TaskSpec task;
  task.comm = process.name;
  int error = 0;
  Thread *thread = new_thread(process, launched->host_pid, std::move(task), &error);
  if (!thread) {
    ::kill(launched->host_pid, SIGKILL);
    ::waitpid(launched->host_pid, nullptr, 0);
    processes_.pop_back();
    return Status::error("{}: the loaded scheduler refuses its task (errno {})", spec.args[0], -error);
  }
  process.pid = thread->tid;
  process.image_is_new = false;  // Until the execve() under way has been made.
  enter_user(*thread);
  return &process;
}

// --- looking up ---

Thread *Supervisor::find_thread(int tid) const {
  for (const auto &[host_tid, thread] : threads_) {
    if (thread->tid == tid) return thread.get();
  }
  return nullptr;
}

Process *Supervisor::find_process(int pid) const {
  for (const auto &process : processes_) {
    if (process->pid == pid) return process.get();
  }
  return nullptr;
}

bool Supervisor::all_gone() const {
  return std::all_of(processes_.begin(), processes_.end(), [](const auto &process) { return process->gone; });
}

// --- waiting ---

void Supervisor::wake_thread(Thread &t) {
  t.woken = true;
  if (t.waiting) kernel().wake(*t.task);
}

void Supervisor::check_probes() {
  // A woken thread stays in the list until it is served, and the probes do not change it. Many may wait for one pipe.
  std::map<PipeKey, bool> pipes;
  for (Thread *t : probing_) {
    if (!t->waiting || t->woken || !t->probe) continue;
    const auto known = t->probed_pipe ? pipes.find(*t->probed_pipe) : pipes.end();
    const bool ready = known != pipes.end() ? known->second : t->probe();
    if (t->probed_pipe) pipes[*t->probed_pipe] = ready;
    if (ready) wake_thread(*t);
  }
}

// --- signals ---

namespace {
bool ignored_by_default(int signal) {
  return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH;
}
}  // namespace

bool Supervisor::is_fatal(const Remote::Signals &signals, int signal) const {
  const u64 bit = 1ull << (signal - 1);
  if (signal == SIGKILL) return true;
  if ((signals.caught | signals.ignored | signals.blocked) & bit) return false;
  // The dump of core that some make is the dying thread's own business, once its call is answered.
  if (ignored_by_default(signal)) return false;
  for (int other : {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSEGV, SIGBUS, SIGSYS, SIGXCPU, SIGXFSZ})
    if (signal == other) return false;
  return true;
}

// It has got one that it does not take by a handler, but maybe by a descriptor.
void Supervisor::keep_signal(const Process &process) {
  if (process.has_signal_fds) check_probes();
}

int Supervisor::deliver(Process &process, int signal, Thread *thread, const siginfo_t *info) {
  if (process.host_dead) return process.gone && process.reaped ? -ESRCH : 0;
  if (signal == 0) return 0;
  if (signal < 0 || signal > SIGRTMAX) return -EINVAL;
  if (signal == SIGSTOP) return stop_process(process, signal), 0;
  if (signal == SIGCONT) continue_process(process);
  const u64 bit = 1ull << (signal - 1);
  Thread *target = thread;
  for (size_t i = 0; !target && i < process.threads.size(); i++)
    if (!(process.remote.signals(process.threads[i]->host_tid).blocked & bit)) target = process.threads[i];
  if (!target) target = process.threads.front();
  const Remote::Signals signals = process.remote.signals(target->host_tid);
  const bool stops = signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
  if (stops && !((signals.caught | signals.ignored | signals.blocked) & bit)) return stop_process(process, signal), 0;
  const pid_t host_pid = process.remote.host_pid();
  if (info ? ::syscall(SYS_rt_tgsigqueueinfo, host_pid, target->host_tid, signal, info) != 0
           : ::syscall(SYS_tgkill, host_pid, target->host_tid, signal) != 0)
    return -errno;
  if (is_fatal(signals, signal)) {
    host_process_ends(process);
    return 0;
  }
  const bool waited_for = (target->wants_signals & bit) != 0;
  const bool ignored = (signals.ignored & bit) || (!(signals.caught & bit) && ignored_by_default(signal));
  if (!ignored && (waited_for || !(signals.blocked & bit))) target->interrupted = true;
  if (waited_for || target->interrupted) wake_thread(*target);
  keep_signal(process);
  return 0;
}

// The host's process is not stopped: its threads get no time on the machine, and what they wait for goes on.
void Supervisor::stop_process(Process &process, int signal) {
  if (process.stop_signal != 0) return;
  process.stop_signal = signal;
  report_stop(process);
}

void Supervisor::continue_process(Process &process) {
  if (process.stop_signal == 0) return;
  process.stop_signal = 0;
  process.stop_reported = false;
  for (Thread *t : process.threads) wake_thread(*t);
  report(process, News::kContinued);
}

// A process is stopped when all of its threads are at rest.
void Supervisor::report_stop(Process &process) {
  const auto at_rest = [](const Thread *t) { return t->waiting; };
  if (process.stop_reported || !std::all_of(process.threads.begin(), process.threads.end(), at_rest)) return;
  process.stop_reported = true;
  report(process, News::kStopped);
}

void Supervisor::report(Process &process, News news) {
  process.news = news;
  if (process.parent && !process.parent->host_dead) deliver(*process.parent, SIGCHLD);
  check_probes();
}

void Supervisor::signal_all(int signal) {
  // Processes are only added by programs, which do not run meanwhile.
  for (auto &process : processes_) {
    if (!process->host_dead) deliver(*process, signal);
  }
}

void Supervisor::kill(Process &process) {
  if (process.host_dead) return;
  ::kill(process.remote.host_pid(), SIGKILL);
  host_process_ends(process);
}

// --- deaths ---

void Supervisor::host_process_ends(Process &process) {
  if (process.host_dead) return;
  // A thread that we keep stopped notices its end only when it is let go; one that dies while it is traced is ours to
  // reap.
  for (Thread *t : process.threads) {
    if (t->traced) ::kill(process.remote.host_pid(), SIGKILL);
    const bool stopped = t->place == Place::kUnborn || t->place == Place::kParked || t->held;
    if (!stopped && !t->traced) continue;
    if (!let_go(t->host_tid) && t->host_tid != process.remote.host_pid()) reap_thread(t->host_tid);
  }
  process.remote.wait_dead();
  while (::waitpid(process.remote.host_pid(), &process.wait_status, __WALL) < 0)
    CHECK(errno == EINTR, "errno {}", errno);
  process.host_dead = true;
  host_.machine().cancel_timer(process.alarm);
  process.timers->clear();
  for (Thread *t : process.threads) {
    t->place = Place::kDead;
    leave_futex(*t);
    std::erase(probing_, t);
    wake_thread(*t);
  }
  check_probes();
}

void Supervisor::host_thread_ends(Thread &t) {
  Process &process = *t.process;
  if (process.threads.size() == 1) return host_process_ends(process);
  // It takes the host a moment; the first thread of a process stays as a zombie.
  for (;;) {
    const char state = process.remote.thread_state(t.host_tid);
    if (state == 0 || state == 'Z' || state == 'X' || process.remote.dead()) break;
    constexpr timespec kShort{0, 20000};
    ::nanosleep(&kShort, nullptr);
  }
  // FIDELITY: no-robust-list.
  t.place = Place::kDead;
  if (t.clear_tid == 0) return;
  const u32 zero = 0;
  process.remote.put(t.clear_tid, zero);
  FutexKey key;
  key.space = process.space;
  key.offset = t.clear_tid;
  wake_futex(key, 1, ~0u);
}

void Supervisor::bury_thread(Thread &t) {
  Process &process = *t.process;
  std::erase(process.threads, &t);
  leave_futex(t);
  std::erase(probing_, &t);
  kernel().put_task(*t.task);
  if (process.threads.empty()) bury_process(process);
  threads_.erase(t.host_tid);  // Destroys it.
}

void Supervisor::bury_process(Process &process) {
  process.gone = true;
  release_vfork(process);
  pid_fds_.ended(process);
  for (size_t i = 0; i < processes_.size(); i++)
    if (processes_[i]->parent == &process) leave_orphan(*processes_[i]);
  if (process.parent && !process.parent->host_dead)
    deliver(*process.parent, SIGCHLD);
  else
    process.reaped = true;
  // A machine may live long and see many of them.
  process.remote.forget();
  const auto is_used = [this](const auto &notifier) {
    return std::any_of(processes_.begin(), processes_.end(),
                       [&notifier](const auto &other) { return other->notifier == notifier.get() && !other->gone; });
  };
  std::erase_if(notifiers_, [&is_used](const auto &notifier) { return !is_used(notifier); });
  check_probes();
}

// Its parent has gone: it has another one from now on, and may have asked to be told.
void Supervisor::leave_orphan(Process &child) {
  Process *parent = child.parent;
  do parent = parent->parent;
  while (parent && (parent->gone || !parent->is_subreaper));
  child.parent = parent;
  if (child.gone && !parent) child.reaped = true;
  if (child.death_signal != 0) deliver(child, child.death_signal);
}

void Supervisor::release_vfork(Process &process) {
  Thread *parent = process.vfork_parent;
  process.vfork_parent = nullptr;
  if (parent) wake_thread(*parent);
}

// --- objects of bpf(2) ---

void Supervisor::hold(const std::shared_ptr<bpf::Object> &object) { held_[{object->kind(), object->id()}] = object; }

void Supervisor::release_objects(const Process *closing, int closing_fd) {
  std::set<std::pair<dev_t, ino_t>> missing;
  for (const auto &[key, object] : held_) missing.insert(object->identity());
  for (const auto &process : processes_) {
    if (missing.empty()) return;
    if (process->host_dead) continue;
    for (int fd : process->remote.fds()) {
      struct stat st;
      if (process.get() == closing && fd == closing_fd) continue;
      if (process->remote.stat_fd(fd, &st)) missing.erase({st.st_dev, st.st_ino});
    }
  }
  // Links first, as their end makes use of what the others are. A release may wait, so the list is made before.
  std::vector<std::shared_ptr<bpf::Object>> released;
  for (auto it = held_.begin(); it != held_.end();) {
    const bool gone = missing.contains(it->second->identity()) && !host_.system().fs().pins(*it->second);
    if (gone) released.push_back(std::move(it->second));
    it = gone ? held_.erase(it) : std::next(it);
  }
  std::stable_partition(released.begin(), released.end(),
                        [](const auto &object) { return object->kind() == bpf::ObjectKind::kLink; });
  for (std::shared_ptr<bpf::Object> &object : released) {
    object->user_released();
    object.reset();
  }
}

// --- the program's memory and descriptors, for bpf(2) ---

int ThreadUserSpace::read(void *to, u64 from, size_t size) { return thread_.process->remote.read(to, from, size); }

int ThreadUserSpace::write(u64 to, const void *from, size_t size) {
  return thread_.process->remote.write(to, from, size);
}

bool ThreadUserSpace::stat_fd(int fd, struct stat *st) { return thread_.process->remote.stat_fd(fd, st); }

int ThreadUserSpace::install_fd(const std::shared_ptr<bpf::Object> &object) {
  const int fd = thread_.process->notifier->add_fd(thread_.call, object->memfd(), true);
  if (fd >= 0) supervisor_.hold(object);
  return fd;
}

}  // namespace uscx::process
