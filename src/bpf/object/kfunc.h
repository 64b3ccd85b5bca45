// SPDX-License-Identifier: GPL-2.0-only
// The kfunc registry. A kfunc is one block in one file:
//
//   USCX_KFUNC(kAny, KF_RCU, bool, scx_bpf_task_running, (const struct task_struct *p)) { return ...; }
//
// From it come the FUNC and FUNC_PROTO in the BTF that we serve as the kernel's (the prototype is parsed from its own
// text, so type names there are the kernel's), the thunk that programs call (it checks each pointer against the
// registry of its type before the body runs), the address in the resolver, and the line of `uscx list kfuncs`.
//
// Rules for prototypes: at most five arguments, each an integer of at most 64 bits or a pointer. Names carry meaning,
// as in the kernel: `x__sz` is the byte size of the buffer before it, `x__nullable` may be NULL, `x__str` and
// `const char *` are strings.
//
// Registrars run before main() and only link entries into a list; users see them sorted by name, so that link order
// decides nothing. A library with such blocks must be linked whole (uscx_keep_registrars() in CMake).
#ifndef USCX_BPF_OBJECT_KFUNC_H_
#define USCX_BPF_OBJECT_KFUNC_H_

#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/types.h"
#include "bpf/exec/program.h"
#include "bpf/object/env.h"

namespace uscx::bpf {

// Who may call a kfunc: the sets that the kernel's filters know. A kfunc is in one or more.
enum KfuncGroup : u32 {
  kGeneric = 1u << 0,     // not one of sched_ext's: any program
  kAny = 1u << 1,         // sched_ext's struct_ops, syscall and tracing programs
  kIdle = 1u << 2,        // the same programs
  kCid = 1u << 3,         // the same programs
  kSelectCpu = 1u << 4,   // select_cpu, enqueue and what is unlocked
  kEnqueue = 1u << 5,     // select_cpu, enqueue, dispatch
  kDispatch = 1u << 6,    // dispatch
  kUnlocked = 1u << 7,    // callbacks without an rq lock, syscall programs
  kInit = 1u << 8,        // init
  kCpuRelease = 1u << 9,  // cpu_release
  kCpuForm = 1u << 10,    // not for programs of the cid form
};
std::string kfunc_groups_text(u32 groups);

// The kernel's flags of a kfunc, as far as they mean something at run time or in a listing.
enum KfuncFlag : u32 {
  KF_ACQUIRE = 1u << 0,  // returns a reference
  KF_RELEASE = 1u << 1,  // takes one back
  KF_RET_NULL = 1u << 2,
  KF_TRUSTED_ARGS = 1u << 3,
  KF_SLEEPABLE = 1u << 4,  // only in a sleepable program
  KF_DESTRUCTIVE = 1u << 5,
  KF_RCU = 1u << 6,  // arguments are protected by RCU
  KF_ITER_NEW = 1u << 7,
  KF_ITER_NEXT = 1u << 8,
  KF_ITER_DESTROY = 1u << 9,
  KF_RCU_PROTECTED = 1u << 10,
  KF_FASTCALL = 1u << 11,
  KF_IMPLICIT_ARGS = 1u << 12,  // the kernel adds the calling program's bpf_prog_aux
  KF_ARENA_RET = 1u << 13,      // returns an address of user space's view of an arena
  // What a call does to the program's context, which the check at load follows. The kernel knows these by name.
  KF_RCU_LOCK = 1u << 14,
  KF_RCU_UNLOCK = 1u << 15,
  KF_PREEMPT_DISABLE = 1u << 16,
  KF_PREEMPT_ENABLE = 1u << 17,
  KF_SLEEPABLE_CALLBACK = 1u << 18,  // its callback runs later, in a context that can sleep
};

inline constexpr int kMaxArgs = 5;

// What a thunk checks of one argument before the body runs.
enum class ArgKind : u8 {
  kScalar,
  kObject,     // a live object of `object`, or NULL where allowed; or `size` bytes of the program's memory, if not 0
  kMemory,     // `size` readable bytes of the reserved range
  kMemoryOut,  // `size` writable bytes of it
  kBuffer,     // readable bytes, as many as the next argument says
  kBufferOut,  // writable bytes, as many as the next argument says
  kString,     // NUL-terminated, readable
};

struct ArgSpec {
  ArgKind kind = ArgKind::kScalar;
  ObjectType object = ObjectType::kTask;
  bool nullable = false;
  u32 size = 0;
};

// How a C++ pointer type is checked: specialise it for a kernel object's type; all else is memory of its size.
template <typename T>
struct PointerCheck {
  static constexpr bool is_object = false;
  static constexpr ObjectType type = ObjectType::kTask;
};
template <ObjectType kType>
struct ObjectPointerCheck {
  static constexpr bool is_object = true;
  static constexpr ObjectType type = kType;
};

template <typename T>
constexpr u32 pointee_size() {
  if constexpr (std::is_void_v<T>)
    return 0;
  else
    return sizeof(T);
}

template <typename Arg>
constexpr ArgSpec arg_spec() {
  if constexpr (std::is_pointer_v<Arg>) {
    using Pointee = std::remove_pointer_t<Arg>;
    using Bare = std::remove_cv_t<Pointee>;
    ArgSpec spec;
    if constexpr (PointerCheck<Bare>::is_object) {
      spec.kind = ArgKind::kObject;
      spec.object = PointerCheck<Bare>::type;
    } else if constexpr (std::is_same_v<Pointee, const char>) {
      spec.kind = ArgKind::kString;
    } else {
      spec.kind = std::is_const_v<Pointee> ? ArgKind::kMemory : ArgKind::kMemoryOut;
      spec.size = pointee_size<Bare>();
    }
    return spec;
  } else {
    static_assert(std::is_integral_v<Arg> || std::is_enum_v<Arg>, "kfunc arguments are integers or pointers");
    static_assert(sizeof(Arg) <= 8);
    return {};
  }
}

using KfuncThunkFn = u64 (*)(u64, u64, u64, u64, u64);

struct KfuncEntry {
  const char *name;
  const char *return_text;  // "s32"
  const char *params_text;  // "(struct task_struct *p, s32 prev_cpu)"
  u32 groups;
  u32 flags;
  KfuncThunkFn thunk;
  u32 nr_args;
  std::array<ArgSpec, kMaxArgs> args;  // refined from the argument names when the entry is linked in
  CallDesc desc;
  bool has_checks = false;
  KfuncEntry *next = nullptr;
};

// Links an entry into the list and refines its checks from the argument names.
struct KfuncRegistrar {
  explicit KfuncRegistrar(KfuncEntry &entry);
};

// Names of older kernels that stand for a kfunc of today.
struct KfuncAlias {
  const char *alias;
  const char *target;
  KfuncAlias *next = nullptr;
};
struct KfuncAliasRegistrar {
  explicit KfuncAliasRegistrar(KfuncAlias &alias);
};

// All kfuncs, sorted by name; an alias is an entry of its own with its target's thunk and prototype.
const std::vector<const KfuncEntry *> &list_kfuncs();
const KfuncEntry *find_kfunc(std::string_view name);

// One argument of a parsed prototype ("struct task_struct *p" is type "struct task_struct *", name "p").
struct ParsedArg {
  std::string type;
  std::string name;
};
std::vector<ParsedArg> parse_kfunc_params(std::string_view params_text);

// A violation of the running program (which does not return) if an argument is not what its type promises.
void check_kfunc_args(const KfuncEntry &entry, const u64 (&regs)[kMaxArgs]);

// The thunk of a body: registers in, result out, arguments checked.
template <auto kBody, KfuncEntry &kEntry>
struct KfuncThunk;

template <typename R, typename... Args, R (*kBody)(Args...), KfuncEntry &kEntry>
struct KfuncThunk<kBody, kEntry> {
  static_assert(sizeof...(Args) <= kMaxArgs);
  static u64 call(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5) {
    const u64 regs[kMaxArgs] = {r1, r2, r3, r4, r5};
    if (kEntry.has_checks) check_kfunc_args(kEntry, regs);
    return invoke(regs, std::index_sequence_for<Args...>{});
  }

 private:
  template <typename Arg>
  static Arg convert(u64 reg) {
    if constexpr (std::is_pointer_v<Arg>)
      return reinterpret_cast<Arg>(reg);
    else
      return static_cast<Arg>(reg);
  }
  template <size_t... kIndex>
  static u64 invoke(const u64 (&regs)[kMaxArgs], std::index_sequence<kIndex...>) {
    if constexpr (std::is_void_v<R>) {
      kBody(convert<Args>(regs[kIndex])...);
      return 0;
    } else if constexpr (std::is_pointer_v<R>) {
      return reinterpret_cast<u64>(kBody(convert<Args>(regs[kIndex])...));
    } else if constexpr (sizeof(R) == 4) {
      // As a 32-bit register write leaves it: programs extend a narrow result themselves.
      return static_cast<u32>(kBody(convert<Args>(regs[kIndex])...));
    } else {
      return static_cast<u64>(kBody(convert<Args>(regs[kIndex])...));
    }
  }
};

template <typename R, typename... Args>
constexpr u32 count_args(R (*)(Args...)) {
  return sizeof...(Args);
}
template <typename R, typename... Args>
constexpr std::array<ArgSpec, kMaxArgs> arg_specs(R (*)(Args...)) {
  return {arg_spec<Args>()...};
}

// Pointers that functions return are NULL or lie in the reserved range.
template <typename R, typename... Args>
constexpr CallDesc call_desc(const char *name, R (*)(Args...)) {
  return {name, sizeof...(Args), std::is_pointer_v<R> ? Returns::kRegionPtr : Returns::kScalar};
}

}  // namespace uscx::bpf

#define USCX_KFUNC(groups_, flags_, ret_, name_, params_)                             \
  static ret_ name_##_body params_;                                                   \
  namespace kfunc_entries {                                                           \
  extern ::uscx::bpf::KfuncEntry name_;                                               \
  ::uscx::bpf::KfuncEntry name_{#name_,                                               \
                                #ret_,                                                \
                                #params_,                                             \
                                (groups_),                                            \
                                (flags_),                                             \
                                &::uscx::bpf::KfuncThunk<&name_##_body, name_>::call, \
                                ::uscx::bpf::count_args(&name_##_body),               \
                                ::uscx::bpf::arg_specs(&name_##_body),                \
                                ::uscx::bpf::call_desc(#name_, &name_##_body)};       \
  static const ::uscx::bpf::KfuncRegistrar name_##_registrar{name_};                  \
  }                                                                                   \
  static ret_ name_##_body params_

// USCX_KFUNC_ALIAS(scx_bpf_dispatch, scx_bpf_dsq_insert): the old name loads and behaves as the new one.
#define USCX_KFUNC_ALIAS(alias_, target_)                                 \
  static ::uscx::bpf::KfuncAlias alias_##_kfunc_alias{#alias_, #target_}; \
  static const ::uscx::bpf::KfuncAliasRegistrar alias_##_alias_registrar{alias_##_kfunc_alias};

// USCX_KFUNC_OBJECT(task_struct, kTask): pointers to the type are checked against the live objects. Global namespace.
#define USCX_KFUNC_OBJECT(type_, object_type_) \
  template <>                                  \
  struct uscx::bpf::PointerCheck<type_> : uscx::bpf::ObjectPointerCheck<uscx::bpf::ObjectType::object_type_> {}

struct task_struct;
struct cgroup;
struct cpumask;
struct bpf_cpumask;
struct rq;
USCX_KFUNC_OBJECT(task_struct, kTask);
USCX_KFUNC_OBJECT(cgroup, kCgroup);
USCX_KFUNC_OBJECT(cpumask, kCpumask);
USCX_KFUNC_OBJECT(bpf_cpumask, kBpfCpumask);
USCX_KFUNC_OBJECT(rq, kRq);

#endif  // USCX_BPF_OBJECT_KFUNC_H_
