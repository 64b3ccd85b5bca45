// SPDX-License-Identifier: GPL-2.0-only
// The child runs on a copy of our memory until it executes the program, and does nothing there but system calls. From
// the filter's installation on, even those come to us; the descriptor of the notifier is therefore passed through
// shared memory and taken from the child.
#include "process/launch.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "process/call_table.h"
#include "process/remote.h"
#include "process/tracee.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

namespace uscx::process {
namespace {

// What the child tells us.
struct Shared {
  std::atomic<int> listener;  // A descriptor of the child's + 1, or -errno of the installation.
};

// Pointers to the texts, and a null.
std::vector<char *> pointers_to(const std::vector<std::string> &texts) {
  std::vector<char *> pointers;
  for (const std::string &text : texts) pointers.push_back(const_cast<char *>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void run_child(const ProgramSpec &spec, const char *path, char **argv, char **environment,
                            const sock_fprog &filter, Shared *shared) {
  // A group of its own: the terminal's Ctrl-C is for us, who make a virtual signal of it.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Addresses must not differ from run to run. Where that is forbidden they do, which few programs let show.
  ::personality(ADDR_NO_RANDOMIZE);
  if (!spec.directory.empty() && ::chdir(spec.directory.c_str()) != 0) ::_exit(1);
  for (int fd = 0; fd < 3; fd++)
    if (spec.fds[fd] != fd) ::dup2(spec.fds[fd], fd);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const long listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                  SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &filter);
  shared->listener.store(listener >= 0 ? static_cast<int>(listener) + 1 : -errno);
  if (listener < 0) ::_exit(1);
  ::syscall(SYS_execve, path, argv, environment);
  ::syscall(SYS_exit_group, 127);
  __builtin_unreachable();
}

Result<int> wait_for_listener(const Remote &child, const Shared &shared) {
  while (shared.listener.load() == 0 && !child.dead()) {
    constexpr timespec kShort{0, 100000};
    ::nanosleep(&kShort, nullptr);
  }
  const int listener = shared.listener.load();
  if (listener > 0) {
    Shared copy{};
    if (child.read(&copy, reinterpret_cast<u64>(&shared), sizeof copy) != 0)
      return Status::error("the program's memory cannot be read on this host (process_vm_readv)");
    const int fd = child.borrow_fd(listener - 1);
    if (fd >= 0) return fd;
    return Status::error("the program's descriptors cannot be reached (pidfd_getfd: {})", ::strerror(-fd));
  }
  return Status::error(
      "system calls of programs cannot be intercepted on this host (seccomp user notification with WAIT_KILLABLE_RECV, "
      "Linux 5.19: {})",
      ::strerror(-listener));
}

Status check_file(const std::string &path) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return Status::error("{}: {}", path, ::strerror(errno));
  if (!S_ISREG(st.st_mode) || ::access(path.c_str(), X_OK) != 0)
    return Status::error("{}: not a program that may be executed", path);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  Elf64_Ehdr header{};
  const bool elf =
      fd >= 0 && ::read(fd, &header, sizeof header) == sizeof header && ::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0;
  if (fd >= 0) ::close(fd);
  if (elf && (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64))
    return Status::error("{}: a program for another machine; x86-64 programs can be run", path);
  return Status::ok_status();
}

}  // namespace

Result<std::string> find_program(const std::string &name) {
  if (name.find('/') != std::string::npos) {
    if (Status status = check_file(name); !status.ok()) return status;
    return name;
  }
  const char *path = ::getenv("PATH");
  const std::string list = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(':', at), list.size());
    const std::string file = list.substr(at, end - at) + "/" + name;
    at = end + 1;
    if (check_file(file).ok()) return file;
  }
  return Status::error("{}: not found in PATH", name);
}

Result<Launched> launch(const ProgramSpec &spec) {
  CHECK(!spec.args.empty());
  if (Status status = check_tracing(); !status.ok()) return status;
  Result<std::string> path = spec.file.empty() ? find_program(spec.args[0]) : Result<std::string>(spec.file);
  if (!path.ok()) return path.status();
  std::vector<char *> argv = pointers_to(spec.args);
  std::vector<char *> environment;
  if (spec.environment) environment = pointers_to(*spec.environment);
  std::vector<sock_filter> instructions = call_filter();
  const sock_fprog filter{static_cast<unsigned short>(instructions.size()), instructions.data()};
  void *memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Status::error("{}: mmap: {}", *path, ::strerror(errno));
  Shared *shared = static_cast<Shared *>(memory);

  const pid_t child = ::fork();
  if (child == 0)
    run_child(spec, path->c_str(), argv.data(), spec.environment ? environment.data() : environ, filter, shared);
  if (child < 0) {
    ::munmap(memory, sizeof(Shared));
    return Status::error("{}: fork: {}", *path, ::strerror(errno));
  }
  const Remote remote(child);
  Result<int> listener = wait_for_listener(remote, *shared);
  ::munmap(memory, sizeof(Shared));
  if (!listener.ok()) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return listener.status();
  }
  Launched launched;
  launched.host_pid = child;
  launched.notifier = std::make_unique<Notifier>(*listener);
  return launched;
}

}  // namespace uscx::process
