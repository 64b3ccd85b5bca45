// SPDX-License-Identifier: GPL-2.0-only
// The files of the simulated kernel that libbpf reads: its BTF, the kernel's configuration, the CPU lists. A path is
// ours with contents, ours and absent (the host's kernel must not show through), or the host's.
#ifndef USCX_BPF_OBJECT_VIRTUAL_FILES_H_
#define USCX_BPF_OBJECT_VIRTUAL_FILES_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace uscx::bpf {

class VirtualFiles {
 public:
  // The contents are asked for at each open.
  void add(std::string path, std::function<std::string()> contents);
  // `prefix` and all below it are absent.
  void hide(std::string prefix);

  enum class Kind { kHost, kOurs, kAbsent };
  Kind kind(std::string_view path) const;
  // A new read-only descriptor at offset 0 of the contents, or -errno.
  int open(std::string_view path) const;
  static int open_text(const std::string &text, const char *name = "uscx-file");
  std::string contents(std::string_view path) const;
  std::vector<std::string> paths() const;  // Of all files with contents, sorted.

 private:
  std::map<std::string, std::function<std::string()>, std::less<>> files_;
  std::vector<std::string> hidden_;
};

// The text of /proc/config.gz's file for a machine of the given tick rate and release.
std::string kernel_config_text(u32 hz);
// "0-7", as the files under /sys/devices/system/cpu have it.
std::string cpu_list_text(u32 nr_cpus);

}  // namespace uscx::bpf

#endif  // USCX_BPF_OBJECT_VIRTUAL_FILES_H_
