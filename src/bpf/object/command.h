// SPDX-License-Identifier: GPL-2.0-only
// The registry of bpf(2)'s commands. A command is one block in one file of syscall/ or load/:
//
//   USCX_BPF_COMMAND(MAP_FREEZE, map_fd) { ... return 0; }
//
// The body has `system` (BpfSystem &) and `attr` (union bpf_attr *, a copy; user space sees what the body writes
// there), and returns a result or -errno. The second argument is the last field of the attributes that the command
// knows: bytes behind it must be zero, or the call gives -EINVAL before the body runs.
//
// Registrars run before main() and only link entries into a list, which is searched by number, so that link order
// decides nothing.
#ifndef USCX_BPF_OBJECT_COMMAND_H_
#define USCX_BPF_OBJECT_COMMAND_H_

#include <linux/bpf.h>

#include <cstddef>

#include "base/types.h"

namespace uscx::bpf {

class BpfSystem;

struct CommandEntry {
  int number;
  const char *name;  // "MAP_FREEZE"
  u32 attr_end;      // bytes of the attribute union beyond this must be zero
  long (*run)(BpfSystem &system, union bpf_attr *attr);
  CommandEntry *next = nullptr;
};
struct CommandRegistrar {
  explicit CommandRegistrar(CommandEntry &entry);
};
// Null: there is no such command.
const CommandEntry *find_command(int number);

}  // namespace uscx::bpf

#define USCX_BPF_COMMAND(name_, last_field_)                                                                         \
  static long command_##name_(::uscx::bpf::BpfSystem &system, union bpf_attr *attr);                                 \
  static ::uscx::bpf::CommandEntry command_##name_##_entry{                                                          \
      BPF_##name_, #name_, static_cast<u32>(offsetof(union bpf_attr, last_field_) + sizeof(bpf_attr{}.last_field_)), \
      command_##name_};                                                                                              \
  static const ::uscx::bpf::CommandRegistrar command_##name_##_registrar{command_##name_##_entry};                   \
  static long command_##name_([[maybe_unused]] ::uscx::bpf::BpfSystem &system, union bpf_attr *attr)

#endif  // USCX_BPF_OBJECT_COMMAND_H_
