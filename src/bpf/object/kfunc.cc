// SPDX-License-Identifier: GPL-2.0-only
// The lists behind the registries of kfuncs and helpers, and the checks of a program's pointers.
#include "bpf/object/kfunc.h"

#include <algorithm>
#include <cstring>

#include "abi/kernel_types.h"
#include "base/check.h"
#include "bpf/exec/exec.h"
#include "bpf/memory/fault.h"
#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/helper.h"
#include "bpf/object/map.h"
#include "bpf/object/prog.h"

namespace uscx::bpf {

namespace {

constinit KfuncEntry *kfunc_head = nullptr;
constinit KfuncAlias *alias_head = nullptr;

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// Whether every page of the range is mapped.
bool mapped(u64 address, u64 size) {
  if (size == 0) return true;
  u64 ignored;
  for (u64 at = address; at < address + size; at = (at / kPageBytes + 1) * kPageBytes) {
    if (!probe_load(at, 1, &ignored)) return false;
  }
  return true;
}

bool readable_range(u64 address, u64 size) {
  return size <= kHalfBytes && Region::contains(address) && (size == 0 || Region::contains(address + size - 1)) &&
         mapped(address, size);
}

bool writable_range(u64 address, u64 size) {
  return size <= kHalfBytes && Region::in_rw(address) && (size == 0 || Region::in_rw(address + size - 1)) &&
         mapped(address, size);
}

// Whether a NUL lies within readable memory.
bool string_ends(u64 address) {
  for (u64 at = address; Region::contains(at); at++) {
    u64 byte;
    if (!probe_load(at, 1, &byte)) return false;
    if (byte == 0) return true;
  }
  return false;
}

[[noreturn]] void violate(const char *what, const char *name, int arg, const char *is_not, u64 value) {
  Invocation *invocation = Invocation::current();
  CHECK(invocation != nullptr, "{} {} was called outside of a program", what, name);
  invocation->violation("{} {}: argument {} ({:#x}) is not {}", what, name, arg, value, is_not);
}

void check_object(const char *what, const char *name, int arg, ObjectType type, u64 value) {
  BpfSystem *system = BpfSystem::current();
  CHECK(system != nullptr);
  if (!system->is_live(type, reinterpret_cast<const void *>(value)))
    violate(what, name, arg, object_type_name(type), value);
}

// Objects of a struct that has nothing but scalars: where a kfunc reads or writes their contents alone, the kernel
// takes any memory of the program's for one.
u32 size_of_scalars(ObjectType type) {
  switch (type) {
    case ObjectType::kCpumask: return sizeof(cpumask);
    case ObjectType::kBpfCpumask: return sizeof(bpf_cpumask);
    case ObjectType::kTask:
    case ObjectType::kCgroup:
    case ObjectType::kRq: break;
  }
  return 0;
}

// Whether a program may use these bytes as it likes. Global data and arrays say where each value ends.
// FIDELITY: far-store. Elsewhere the bytes need only be there.
bool is_own_memory(u64 address, u64 size) {
  if (address % alignof(u64) != 0 || !writable_range(address, size)) return false;
  const Prog *prog = Invocation::current()->program()->owner();
  if (prog == nullptr) return true;
  const char *place = reinterpret_cast<const char *>(address);
  for (const std::shared_ptr<Map> &map : prog->maps()) {
    if (map->type() != BPF_MAP_TYPE_ARRAY && map->type() != BPF_MAP_TYPE_PERCPU_ARRAY) continue;
    if (const char *value = static_cast<const char *>(map->value_around(place)))
      return static_cast<u64>(place - value) + size <= map->value_size();
  }
  return true;
}

void check_object_or_memory(const char *name, int arg, const ArgSpec &spec, u64 value) {
  if (BpfSystem::current()->is_live(spec.object, reinterpret_cast<const void *>(value)) ||
      is_own_memory(value, spec.size))
    return;
  Invocation::current()->violation("kfunc {}: argument {} ({:#x}) is not {}, nor {} bytes of the program's memory",
                                   name, arg, value, object_type_name(spec.object), spec.size);
}

void refine_from_names(KfuncEntry &entry) {
  const std::vector<ParsedArg> parsed = parse_kfunc_params(entry.params_text);
  CHECK(parsed.size() == entry.nr_args, "kfunc {}: cannot read its prototype", entry.name);
  for (u32 i = 0; i < entry.nr_args; i++) {
    ArgSpec &spec = entry.args[i];
    spec.nullable = ends_with(parsed[i].name, "__nullable") || ends_with(parsed[i].name, "__opt");
    const bool sized =
        i + 1 < entry.nr_args && (ends_with(parsed[i + 1].name, "__sz") || ends_with(parsed[i + 1].name, "__szk"));
    if (sized && spec.kind == ArgKind::kMemory) spec.kind = ArgKind::kBuffer;
    if (sized && spec.kind == ArgKind::kMemoryOut) spec.kind = ArgKind::kBufferOut;
    // The body asks whose a dynptr is that is there; one of a callback lies where programs cannot write.
    if (parsed[i].type == "struct bpf_dynptr *" && !ends_with(parsed[i].name, "__uninit")) spec.kind = ArgKind::kMemory;
    // A map is resolved by the body, which knows what to say.
    if (ends_with(parsed[i].name, "__ign") || ends_with(parsed[i].name, "__map")) spec.kind = ArgKind::kScalar;
    // FIDELITY: own-mask-reference. A reference is taken of, and given back for, an object alone.
    if (spec.kind == ArgKind::kObject && (entry.flags & (KF_ACQUIRE | KF_RELEASE)) == 0)
      spec.size = size_of_scalars(spec.object);
    entry.has_checks |= spec.kind != ArgKind::kScalar;
  }
}

}  // namespace

const char *object_type_name(ObjectType type) {
  switch (type) {
    case ObjectType::kTask: return "a live task_struct";
    case ObjectType::kCgroup: return "a live cgroup";
    case ObjectType::kCpumask: return "a live cpumask";
    case ObjectType::kBpfCpumask: return "a live bpf_cpumask";
    case ObjectType::kRq: return "an rq";
  }
  return "?";
}

KfuncRegistrar::KfuncRegistrar(KfuncEntry &entry) {
  entry.next = kfunc_head;
  kfunc_head = &entry;
  if (entry.flags & KF_ARENA_RET) entry.desc.returns = Returns::kScalar;
  refine_from_names(entry);
}

KfuncAliasRegistrar::KfuncAliasRegistrar(KfuncAlias &alias) {
  alias.next = alias_head;
  alias_head = &alias;
}

namespace {

std::vector<const KfuncEntry *> collect_kfuncs() {
  std::vector<const KfuncEntry *> all;
  for (KfuncEntry *entry = kfunc_head; entry != nullptr; entry = entry->next) all.push_back(entry);
  const size_t nr_real = all.size();
  for (KfuncAlias *alias = alias_head; alias != nullptr; alias = alias->next) {
    auto target = std::find_if(all.begin(), all.begin() + nr_real,
                               [&](const KfuncEntry *entry) { return std::strcmp(entry->name, alias->target) == 0; });
    CHECK(target != all.begin() + nr_real, "alias {} of an unknown kfunc {}", alias->alias, alias->target);
    // Aliases live as long as the list, which is for the process.
    KfuncEntry *copy = new KfuncEntry(**target);
    copy->name = alias->alias;
    all.push_back(copy);
  }
  std::sort(all.begin(), all.end(),
            [](const KfuncEntry *a, const KfuncEntry *b) { return std::strcmp(a->name, b->name) < 0; });
  for (size_t i = 1; i < all.size(); i++)
    CHECK(std::strcmp(all[i - 1]->name, all[i]->name) != 0, "kfunc {} is defined twice", all[i]->name);
  return all;
}

}  // namespace

const std::vector<const KfuncEntry *> &list_kfuncs() {
  static const std::vector<const KfuncEntry *> &all = *new std::vector<const KfuncEntry *>(collect_kfuncs());
  return all;
}

const KfuncEntry *find_kfunc(std::string_view name) {
  const auto &all = list_kfuncs();
  auto it = std::lower_bound(all.begin(), all.end(), name,
                             [](const KfuncEntry *entry, std::string_view wanted) { return entry->name < wanted; });
  return it != all.end() && (*it)->name == name ? *it : nullptr;
}

std::string kfunc_groups_text(u32 groups) {
  static constexpr std::pair<u32, const char *> kNames[] = {{kGeneric, "generic"},
                                                            {kAny, "any"},
                                                            {kIdle, "idle"},
                                                            {kCid, "cid"},
                                                            {kSelectCpu, "select_cpu"},
                                                            {kEnqueue, "enqueue"},
                                                            {kDispatch, "dispatch"},
                                                            {kUnlocked, "unlocked"},
                                                            {kInit, "init"},
                                                            {kCpuRelease, "cpu_release"},
                                                            {kCpuForm, "cpu-form"}};
  std::string text;
  for (const auto &[bit, name] : kNames) {
    if (groups & bit) text += (text.empty() ? "" : "|") + std::string(name);
  }
  return text;
}

std::vector<ParsedArg> parse_kfunc_params(std::string_view text) {
  std::vector<ParsedArg> args;
  if (text.size() >= 2 && text.front() == '(') text = text.substr(1, text.size() - 2);
  while (!text.empty() && text != "void") {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view one = text.substr(0, comma);
    text = comma == text.size() ? std::string_view() : text.substr(comma + 1);
    while (!one.empty() && one.front() == ' ') one.remove_prefix(1);
    while (!one.empty() && one.back() == ' ') one.remove_suffix(1);
    size_t name = one.size();
    while (name > 0 && (std::isalnum(static_cast<unsigned char>(one[name - 1])) || one[name - 1] == '_')) name--;
    if (name == 0 || name == one.size()) return {};
    std::string type(one.substr(0, name));
    while (!type.empty() && type.back() == ' ') type.pop_back();
    args.push_back({std::move(type), std::string(one.substr(name))});
  }
  return args;
}

void check_kfunc_args(const KfuncEntry &entry, const u64 (&regs)[kMaxArgs]) {
  static constexpr const char *kWhat = "kfunc";
  for (u32 i = 0; i < entry.nr_args; i++) {
    const ArgSpec &spec = entry.args[i];
    const u64 value = regs[i];
    if (spec.kind == ArgKind::kScalar || (value == 0 && spec.nullable)) continue;
    const int arg = static_cast<int>(i) + 1;
    const u64 next = i + 1 < entry.nr_args ? static_cast<u32>(regs[i + 1]) : 0;
    switch (spec.kind) {
      case ArgKind::kScalar: break;
      case ArgKind::kObject:
        if (spec.size != 0)
          check_object_or_memory(entry.name, arg, spec, value);
        else
          check_object(kWhat, entry.name, arg, spec.object, value);
        break;
      case ArgKind::kMemory:
        if (!readable_range(value, spec.size)) violate(kWhat, entry.name, arg, "readable memory", value);
        break;
      case ArgKind::kMemoryOut:
        if (!writable_range(value, spec.size)) violate(kWhat, entry.name, arg, "writable memory", value);
        break;
      case ArgKind::kBuffer:
        if (next != 0 && !readable_range(value, next))
          violate(kWhat, entry.name, arg, "readable memory of the size given", value);
        break;
      case ArgKind::kBufferOut:
        if (next != 0 && !writable_range(value, next))
          violate(kWhat, entry.name, arg, "writable memory of the size given", value);
        break;
      case ArgKind::kString:
        if (!string_ends(value)) violate(kWhat, entry.name, arg, "a string", value);
        break;
    }
  }
}

void Guard::readable(const char *who, int arg, const void *address, u64 size) {
  if (!readable_range(reinterpret_cast<u64>(address), size))
    violate("helper", who, arg, "readable memory", reinterpret_cast<u64>(address));
  note_helper_access(address, size, false);
}

void Guard::writable(const char *who, int arg, const void *address, u64 size) {
  if (!writable_range(reinterpret_cast<u64>(address), size))
    violate("helper", who, arg, "writable memory", reinterpret_cast<u64>(address));
}

void Guard::object(const char *who, int arg, ObjectType type, const void *address) {
  check_object("helper", who, arg, type, reinterpret_cast<u64>(address));
}

Map *Guard::map(const char *who, int arg, u64 value) {
  if (Region::in_ro(value) && value % alignof(MapHandle) == 0 && mapped(value, sizeof(MapHandle))) {
    const MapHandle *handle = reinterpret_cast<const MapHandle *>(value);
    if (handle->magic == kMapHandleMagic && handle->self == value) return handle->map;
  }
  violate("helper", who, arg, "a map", value);
}

}  // namespace uscx::bpf
