// SPDX-License-Identifier: GPL-2.0-only
// The helper registry. A helper is one block in one file of helpers/:
//
//   USCX_HELPER(BPF_FUNC_map_lookup_elem, map_lookup_elem, void *, (Map *map, const void *key)) { return ...; }
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

struct HelperEntry {
  u32 id;
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

}  // namespace uscx::bpf

#define USCX_HELPER(id_, name_, ret_, params_)                                                \
  static ret_ bpf_##name_##_body params_;                                                     \
  namespace helper_entries {                                                                  \
  extern ::uscx::bpf::HelperEntry name_;                                                      \
  ::uscx::bpf::HelperEntry name_{(id_),                                                       \
                                 "bpf_" #name_,                                               \
                                 #ret_,                                                       \
                                 #params_,                                                    \
                                 &::uscx::bpf::HelperThunk<&bpf_##name_##_body, name_>::call, \
                                 ::uscx::bpf::call_desc("bpf_" #name_, &bpf_##name_##_body)}; \
  static const ::uscx::bpf::HelperRegistrar name_##_registrar{name_};                         \
  }                                                                                           \
  static ret_ bpf_##name_##_body params_

#endif  // USCX_BPF_OBJECT_HELPER_H_
