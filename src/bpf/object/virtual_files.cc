// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/virtual_files.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

namespace uscx::bpf {

void VirtualFiles::add(std::string path, std::function<std::string()> contents) {
  files_[std::move(path)] = std::move(contents);
}

void VirtualFiles::hide(std::string prefix) { hidden_.push_back(std::move(prefix)); }

VirtualFiles::Kind VirtualFiles::kind(std::string_view path) const {
  if (files_.contains(path)) return Kind::kOurs;
  for (const std::string &prefix : hidden_) {
    if (path.substr(0, prefix.size()) == prefix) return Kind::kAbsent;
  }
  return Kind::kHost;
}

std::string VirtualFiles::contents(std::string_view path) const {
  auto it = files_.find(path);
  CHECK(it != files_.end());
  return it->second();
}

int VirtualFiles::open(std::string_view path) const { return open_text(contents(path)); }

std::vector<std::string> VirtualFiles::paths() const {
  std::vector<std::string> paths;
  for (const auto &[path, contents] : files_) paths.push_back(path);
  return paths;
}

int VirtualFiles::open_text(const std::string &text, const char *name) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  for (size_t at = 0; at < text.size();) {
    const ssize_t written = ::pwrite(fd, text.data() + at, text.size() - at, static_cast<off_t>(at));
    if (written <= 0) {
      const int err = written < 0 ? errno : EIO;
      ::close(fd);
      return -err;
    }
    at += static_cast<size_t>(written);
  }
  return fd;
}

std::string kernel_config_text(u32 hz) {
  // Tools know the file by its second line.
  std::string text =
      "#\n# Automatically generated file; DO NOT EDIT.\n# The configuration of the simulated kernel\n#\n";
  for (const char *line : {"CONFIG_CC_VERSION_TEXT=\"uscx\"",
                           "CONFIG_64BIT=y",
                           "CONFIG_X86_64=y",
                           "CONFIG_X86=y",
                           "CONFIG_SMP=y",
                           "CONFIG_LOCALVERSION=\"\"",
                           "CONFIG_NR_CPUS=8192",
                           "CONFIG_NODES_SHIFT=10",
                           "CONFIG_NUMA=y",
                           "CONFIG_PREEMPTION=y",
                           "CONFIG_PREEMPT_RCU=y",
                           "CONFIG_PREEMPT_DYNAMIC=y",
                           "CONFIG_PREEMPT_COUNT=y",
                           "CONFIG_HIGH_RES_TIMERS=y",
                           "CONFIG_NO_HZ_COMMON=y",
                           "CONFIG_CGROUPS=y",
                           "CONFIG_CGROUP_SCHED=y",
                           "CONFIG_FAIR_GROUP_SCHED=y",
                           "CONFIG_SCHED_CLASS_EXT=y",
                           "CONFIG_EXT_GROUP_SCHED=y",
                           "CONFIG_EXT_SUB_SCHED=y",
                           "CONFIG_SCHED_SMT=y",
                           "CONFIG_SCHED_MC=y",
                           "CONFIG_BPF=y",
                           "CONFIG_BPF_SYSCALL=y",
                           "CONFIG_BPF_JIT=y",
                           "CONFIG_BPF_JIT_ALWAYS_ON=y",
                           "CONFIG_DEBUG_INFO_BTF=y"})
    text += fmt::format("{}\n", line);
  text += fmt::format("CONFIG_HZ={}\nCONFIG_HZ_{}=y\n", hz, hz);
  return text;
}

std::string cpu_list_text(u32 nr_cpus) { return nr_cpus == 1 ? "0\n" : fmt::format("0-{}\n", nr_cpus - 1); }

}  // namespace uscx::bpf
