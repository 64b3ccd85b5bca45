// SPDX-License-Identifier: GPL-2.0-only
// The helper registry. A helper is one block in one file of helpers/:
//
//   USCX_HELPER(BPF_FUNC_map_lookup_elem, HELPER_RET_MAP_VALUE_OR_NULL, map_lookup_elem, void *,
//               (Map *map, const void *key)) { return ...; }
//
// The thunk turns registers into typed arguments. `Map *` arguments are resolved from the handle that a program holds
// and are never null in the body; task_struct pointers are checked as for a kfunc; other pointers are the body's to
// check (their sizes often depend on the map) through Guard below. The list of helpers derives from these blocks.
#ifndef USCX_BPF_OBJECT_HELPER_H_
#define USCX_BPF_OBJECT_HELPER_H_

#include <string>
#include <tuple>
#include <vector>

#include "bpf/exec/program.h"
#include "bpf/object/kfunc.h"

namespace uscx::bpf {

class Map;

// What is checked of a helper when a program is loaded (bpf/load/verify/verify.h). A helper that returns a pointer must
// have one of the HELPER_RET flags.
enum HelperFlag : u32 {
  HELPER_RET_PTR = 1u << 0,  // never NULL
  // These may be NULL, and the kernel's log has a name of its own for each.
  HELPER_RET_MAP_VALUE_OR_NULL = 1u << 1,
  HELPER_RET_RINGBUF_MEM_OR_NULL = 1u << 2,
  HELPER_RET_MEM_OR_NULL = 1u << 3,
  HELPER_RET_PTR_OR_NULL = 1u << 4,
  HELPER_SLEEPS = 1u << 5,           // only sleepable programs have it
  HELPER_ATOMIC_CALLBACK = 1u << 6,  // its callback runs later, outside of the program, and cannot sleep
};
inline constexpr u32 kHelperRetMayBeNull =
    HELPER_RET_MAP_VALUE_OR_NULL | HELPER_RET_RINGBUF_MEM_OR_NULL | HELPER_RET_MEM_OR_NULL | HELPER_RET_PTR_OR_NULL;

struct HelperEntry {
  u32 id;
  u32 flags;
  u32 const_args;    // bit i: argument i is a pointer through which the helper only reads
  const char *name;  // "bpf_map_lookup_elem"
  const char *return_text;
  const char *params_text;
  KfuncThunkFn thunk;
  CallDesc desc;
  HelperEntry *next = nullptr;
};
struct HelperRegistrar {
  explicit HelperRegistrar(HelperEntry &entry);
};

// All helpers, sorted by id.
const std::vector<const HelperEntry *> &list_helpers();
const HelperEntry *find_helper(u32 id);
// The name that the uapi gives an id ("bpf_ringbuf_reserve"), also of those that are not implemented; null out of
// range.
const char *helper_name(u32 id);

// Checks of the running program's pointers. A failing check is a violation ("bpf_x: argument N ..."), which does not
// return, so a body makes its checks before it owns anything.
struct Guard {
  static void readable(const char *who, int arg, const void *address, u64 size);
  static void writable(const char *who, int arg, const void *address, u64 size);
  static void object(const char *who, int arg, ObjectType type, const void *address);
  // The map behind a handle.
  static Map *map(const char *who, int arg, u64 handle);
};

template <auto kBody, HelperEntry &kEntry>
struct HelperThunk;

template <typename R, typename... Args, R (*kBody)(Args...), HelperEntry &kEntry>
struct HelperThunk<kBody, kEntry> {
  static_assert(sizeof...(Args) <= kMaxArgs);
  static u64 call(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5) {
    const u64 regs[kMaxArgs] = {r1, r2, r3, r4, r5};
    return invoke(regs, std::index_sequence_for<Args...>{});
  }

 private:
  template <typename Arg>
  static Arg convert(u64 reg, int index) {
    if constexpr (std::is_same_v<Arg, Map *>) {
      return Guard::map(kEntry.name, index + 1, reg);
    } else if constexpr (std::is_pointer_v<Arg>) {
      return reinterpret_cast<Arg>(reg);
    } else {
      return static_cast<Arg>(reg);
    }
  }
  template <size_t... kIndex>
  static u64 invoke(const u64 (&regs)[kMaxArgs], std::index_sequence<kIndex...>) {
    const std::tuple<Args...> args{convert<Args>(regs[kIndex], kIndex)...};
    // A helper's result fills the whole register: negative errno values are 64 bits wide.
    if constexpr (std::is_void_v<R>) {
      kBody(std::get<kIndex>(args)...);
      return 0;
    } else if constexpr (std::is_pointer_v<R>) {
      return reinterpret_cast<u64>(kBody(std::get<kIndex>(args)...));
    } else {
      return static_cast<u64>(kBody(std::get<kIndex>(args)...));
    }
  }
};

template <typename R, typename... Args>
constexpr bool helper_flags_are_whole(R (*)(Args...), u32 flags) {
  return !std::is_pointer_v<R> || flags & (HELPER_RET_PTR | kHelperRetMayBeNull);
}

template <typename R, typename... Args>
constexpr u32 const_args(R (*)(Args...)) {
  u32 mask = 0, bit = 1;
  ((mask |= std::is_pointer_v<Args> && std::is_const_v<std::remove_pointer_t<Args>> ? bit : 0, bit <<= 1), ...);
  return mask;
}

}  // namespace uscx::bpf

#define USCX_HELPER(id_, flags_, name_, ret_, params_)                                        \
  static ret_ bpf_##name_##_body params_;                                                     \
  static_assert(::uscx::bpf::helper_flags_are_whole(&bpf_##name_##_body, (flags_)),           \
                "bpf_" #name_ " returns a pointer: say with a HELPER_RET flag which");        \
  namespace helper_entries {                                                                  \
  extern ::uscx::bpf::HelperEntry name_;                                                      \
  ::uscx::bpf::HelperEntry name_{(id_),                                                       \
                                 (flags_),                                                    \
                                 ::uscx::bpf::const_args(&bpf_##name_##_body),                \
                                 "bpf_" #name_,                                               \
                                 #ret_,                                                       \
                                 #params_,                                                    \
                                 &::uscx::bpf::HelperThunk<&bpf_##name_##_body, name_>::call, \
                                 ::uscx::bpf::call_desc("bpf_" #name_, &bpf_##name_##_body)}; \
  static const ::uscx::bpf::HelperRegistrar name_##_registrar{name_};                         \
  }                                                                                           \
  static ret_ bpf_##name_##_body params_

#endif  // USCX_BPF_OBJECT_HELPER_H_
