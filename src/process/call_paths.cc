// SPDX-License-Identifier: GPL-2.0-only
#include "process/call_paths.h"

#include <climits>

#include "process/supervisor.h"
#include "process/system_files.h"

namespace uscx::process {
namespace {

constexpr std::string_view kSelf = "/proc/self", kThreadSelf = "/proc/thread-self";
constexpr int kMaxLinks = 8;  // As many as lead from one to another are followed.

bool is_kernels(std::string_view path) { return is_within(path, "/proc") || is_within(path, "/sys"); }

// /proc/H/task/T of the host, which a descriptor's target shows, is another number's for programs.
std::string with_simulated_pids(Supervisor &s, const std::string &path) {
  u32 pid = 0, tid = 0;
  std::string_view rest = path;
  if (!take_numbered(&rest, "/proc/", &pid)) return path;
  for (const auto &process : s.processes()) {
    if (process->gone || process->remote.host_pid() != static_cast<pid_t>(pid)) continue;
    std::string result = fmt::format("/proc/{}", process->pid);
    if (take_numbered(&rest, "task/", &tid))
      for (const Thread *thread : process->threads)
        if (thread->host_tid == static_cast<pid_t>(tid)) result += fmt::format("/task/{}", thread->tid);
    return rest.empty() ? result : fmt::format("{}/{}", result, rest);
  }
  return path;
}

// Where a link of /proc/PID leads to, with what comes after it; empty if it is none, or the host is to follow it.
std::string follow_in_proc(Supervisor &s, const std::string &path, bool follow) {
  u32 pid = 0, tid = 0, fd = 0;
  std::string_view rest = path;
  if (!take_numbered(&rest, "/proc/", &pid)) return "";
  take_numbered(&rest, "task/", &tid);
  const Process *process = s.find_process(static_cast<int>(pid));
  if (!process || process->host_dead) return "";
  std::string to;
  std::string_view below;
  if (is_within(rest, "cwd") || is_within(rest, "root")) {
    const size_t length = rest.starts_with("cwd") ? 3 : 4;
    below = rest.substr(length);
    to = length == 3 ? process->remote.cwd() : "/";
  } else if (take_numbered(&rest, "fd/", &fd)) {
    to = process->remote.link_of_fd(static_cast<int>(fd));
    if (std::string ours = s.system_files().path_of_target(to); !ours.empty())
      to = std::move(ours);
    else if (rest.empty())
      return "";  // Of whatever kind it is.
    below = rest;
  }
  if (to.empty() || to[0] != '/' || (below.empty() && !follow)) return "";
  return fmt::format("{}/{}", to, below);
}

// Where a symbolic link of the host leads to, if that is in the kernel's file systems; else empty.
std::string follow_on_host(const std::string &path) {
  std::string at = path;
  for (int i = 0; i < kMaxLinks; i++) {
    char target[PATH_MAX];
    const ssize_t length = ::readlink(at.c_str(), target, sizeof target);
    if (length <= 0) return "";
    const std::string_view to(target, static_cast<size_t>(length));
    at = to[0] == '/' ? std::string(to) : fmt::format("{}/{}", at.substr(0, at.rfind('/')), to);
    // Names of links are few, and go up from where they are without links of their own.
    std::string normal;
    for (size_t start = 0; start < at.size();) {
      const size_t end = std::min(at.find('/', start), at.size());
      const std::string part = at.substr(start, end - start);
      start = end + 1;
      if (part == "..")
        normal.erase(std::min(normal.rfind('/'), normal.size()));
      else if (!part.empty() && part != ".")
        normal += "/" + part;
    }
    at = normal;
    if (is_kernels(at)) return at;
  }
  return "";
}

}  // namespace

int resolve(Supervisor &s, const Thread &t, u64 dir_fd, u64 address, Lookup lookup, Target *target) {
  SystemFiles &files = s.system_files();
  const Remote &remote = t.process->remote;
  std::string written;
  if (int error = remote.get_string(&written, address, PATH_MAX); error != 0) return error;
  if (written.empty()) {
    if (lookup.empty_is_fd) *target = target_of_fd(s, t, static_cast<int>(dir_fd));
    return 0;
  }
  std::string path = written;
  bool ours_on_host = false;  // Reached by a name that means something else on the host.
  if (written[0] != '/') {
    const int fd = static_cast<int>(dir_fd);
    const std::string base = fd == AT_FDCWD ? remote.cwd() : remote.link_of_fd(fd);
    ours_on_host = !files.path_of_target(base).empty();
    path = with_simulated_pids(s, base) + "/" + written;
  }
  for (int i = 0; i < kMaxLinks; i++) {
    path = files.normalize(path, lookup.follow);
    const bool thread = is_within(path, kThreadSelf);
    if (thread || is_within(path, kSelf)) {
      const size_t length = (thread ? kThreadSelf : kSelf).size();
      const std::string self =
          thread ? fmt::format("{}/task/{}", t.process->pid, t.tid) : std::to_string(t.process->pid);
      if (path.size() == length && !lookup.follow) {
        *target = {path, true, FileKind::kLink, self, ""};
        return 0;
      }
      path = "/proc/" + self + path.substr(length);
    } else if (u32 pid = 0; i == 0 && written[0] == '/') {
      std::string_view rest = path;
      ours_on_host = take_numbered(&rest, "/proc/", &pid);
    }
    std::string next = is_kernels(path) ? follow_in_proc(s, path, lookup.follow)
                       : lookup.follow  ? follow_on_host(path)
                                        : "";
    if (next.empty()) break;
    path = std::move(next);
  }
  const SystemFiles::Found found = files.find(path);
  *target = {path, found.ours, found.kind, "", ""};
  if (found.kind == FileKind::kLink && found.ours) target->link = files.link_target(path);
  if (!found.ours && ours_on_host) target->host_path = found.host_path.empty() ? path : found.host_path;
  return 0;
}

Target target_of_fd(Supervisor &s, const Thread &t, int fd) {
  Target target;
  target.path = fd == AT_FDCWD ? s.system_files().path_of_target(t.process->remote.cwd())
                               : s.system_files().path_of_target(t.process->remote.link_of_fd(fd));
  if (target.path.empty()) return target;
  target.ours = true;
  target.kind = s.system_files().find(target.path).kind;
  return target;
}

}  // namespace uscx::process
