// SPDX-License-Identifier: GPL-2.0-only
#include "bpf/object/btf_object.h"

#include <bpf/btf.h>
#include <errno.h>

#include <cstring>

#include "base/check.h"
#include "bpf/object/fields.h"
#include "bpf/object/hooks.h"
#include "bpf/object/iter_link.h"
#include "bpf/object/kfunc.h"

namespace uscx::bpf {

namespace {

constexpr size_t kMaxBtfBytes = 16u << 20;

// Bytes of a type's data after its common head; -1 for an unknown kind.
int tail_bytes(const btf_type &type) {
  const u32 vlen = BTF_INFO_VLEN(type.info);
  switch (BTF_INFO_KIND(type.info)) {
    case BTF_KIND_INT: return 4;
    case BTF_KIND_ARRAY: return sizeof(struct btf_array);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION: return static_cast<int>(vlen * sizeof(btf_member));
    case BTF_KIND_ENUM: return static_cast<int>(vlen * sizeof(struct btf_enum));
    case BTF_KIND_ENUM64: return static_cast<int>(vlen * sizeof(struct btf_enum64));
    case BTF_KIND_FUNC_PROTO: return static_cast<int>(vlen * sizeof(btf_param));
    case BTF_KIND_VAR: return sizeof(struct btf_var);
    case BTF_KIND_DATASEC: return static_cast<int>(vlen * sizeof(btf_var_secinfo));
    case BTF_KIND_DECL_TAG: return sizeof(struct btf_decl_tag);
    case BTF_KIND_PTR:
    case BTF_KIND_FWD:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_FUNC:
    case BTF_KIND_FLOAT:
    case BTF_KIND_TYPE_TAG: return 0;
    default: return -1;
  }
}

bool refers_to_type(u32 kind) {
  switch (kind) {
    case BTF_KIND_PTR:
    case BTF_KIND_TYPEDEF:
    case BTF_KIND_VOLATILE:
    case BTF_KIND_CONST:
    case BTF_KIND_RESTRICT:
    case BTF_KIND_FUNC:
    case BTF_KIND_FUNC_PROTO:
    case BTF_KIND_VAR:
    case BTF_KIND_DECL_TAG:
    case BTF_KIND_TYPE_TAG: return true;
    default: return false;
  }
}

// The ids and name offsets inside a type's tail.
bool tail_in_range(const btf_type &type, const u8 *tail, u32 nr_types, u32 strings) {
  const u32 vlen = BTF_INFO_VLEN(type.info);
  auto ok = [&](u32 name, u32 id) { return name < strings && id < nr_types; };
  bool good = true;
  switch (BTF_INFO_KIND(type.info)) {
    case BTF_KIND_ARRAY: {
      const auto *array = reinterpret_cast<const struct btf_array *>(tail);
      return array->type < nr_types && array->index_type < nr_types;
    }
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
      for (u32 i = 0; i < vlen; i++) {
        const auto &member = reinterpret_cast<const btf_member *>(tail)[i];
        good &= ok(member.name_off, member.type);
      }
      return good;
    case BTF_KIND_ENUM:
      for (u32 i = 0; i < vlen; i++) good &= ok(reinterpret_cast<const struct btf_enum *>(tail)[i].name_off, 0);
      return good;
    case BTF_KIND_ENUM64:
      for (u32 i = 0; i < vlen; i++) good &= ok(reinterpret_cast<const struct btf_enum64 *>(tail)[i].name_off, 0);
      return good;
    case BTF_KIND_FUNC_PROTO:
      for (u32 i = 0; i < vlen; i++) {
        const auto &param = reinterpret_cast<const btf_param *>(tail)[i];
        good &= ok(param.name_off, param.type);
      }
      return good;
    case BTF_KIND_DATASEC:
      for (u32 i = 0; i < vlen; i++) good &= ok(0, reinterpret_cast<const btf_var_secinfo *>(tail)[i].type);
      return good;
    default: return true;
  }
}

}  // namespace

int validate_btf(std::span<const u8> raw, std::string *why) {
  btf_header header;
  if (raw.size() < sizeof(header) || raw.size() > kMaxBtfBytes)
    return *why = "btf_header not found", raw.size() > kMaxBtfBytes ? -E2BIG : -EINVAL;
  std::memcpy(&header, raw.data(), sizeof(header));
  if (header.magic != BTF_MAGIC || header.version != BTF_VERSION || header.flags != 0)
    return *why = "Invalid magic, version or flags", header.version != BTF_VERSION ? -ENOTSUP : -EINVAL;
  const u64 body = raw.size() - std::min<u64>(header.hdr_len, raw.size());
  if (header.hdr_len < sizeof(header) || u64{header.type_off} + header.type_len > body ||
      u64{header.str_off} + header.str_len > body || header.type_off % 4 != 0 || header.str_len == 0)
    return *why = "Invalid section offset or length", -EINVAL;
  const u8 *types = raw.data() + header.hdr_len + header.type_off;
  const u8 *strings = raw.data() + header.hdr_len + header.str_off;
  if (strings[0] != 0 || strings[header.str_len - 1] != 0) return *why = "Invalid string section", -EINVAL;

  // Once to count, once to check what they refer to.
  u32 nr_types = 1;
  for (int pass = 0; pass < 2; pass++) {
    u32 id = 1;
    for (u64 at = 0; at < header.type_len; id++) {
      btf_type type;
      if (at + sizeof(type) > header.type_len) return *why = fmt::format("[{}] truncated type", id), -EINVAL;
      std::memcpy(&type, types + at, sizeof(type));
      const int tail = tail_bytes(type);
      if (tail < 0) return *why = fmt::format("[{}] Invalid kind:{}", id, BTF_INFO_KIND(type.info)), -EINVAL;
      if (at + sizeof(type) + tail > header.type_len) return *why = fmt::format("[{}] truncated type", id), -EINVAL;
      if (pass == 1 &&
          (type.name_off >= header.str_len || (refers_to_type(BTF_INFO_KIND(type.info)) && type.type >= nr_types) ||
           !tail_in_range(type, types + at + sizeof(type), nr_types, header.str_len)))
        return *why = fmt::format("[{}] Invalid name or type id", id), -EINVAL;
      at += sizeof(type) + tail;
    }
    nr_types = id;
  }
  return 0;
}

Btf::Btf(BpfSystem &system, std::vector<u8> raw, struct btf *parsed)
    : Object(system, ObjectKind::kBtf, ""), raw_(std::move(raw)), parsed_(parsed) {}
Btf::Btf(BpfSystem &system, const KernelBtf &kernel)
    : Object(system, ObjectKind::kBtf, "vmlinux"), raw_(kernel.raw()), parsed_(nullptr) {}
Btf::~Btf() { btf__free(parsed_); }

std::shared_ptr<const AllocType> Btf::alloc_type(u64 type_id) const {
  if (is_kernel() || type_id >= btf__type_cnt(parsed_)) return nullptr;
  const u32 id = static_cast<u32>(type_id);
  std::lock_guard hold(lock_);
  auto &type = alloc_types_[id];
  const btf_type *found = btf__type_by_id(parsed_, id);
  if (type == nullptr && btf_is_struct(found) && found->size != 0)
    type = std::make_shared<AllocType>(AllocType{found->size, find_fields(parsed_, id)});
  return type;
}

// --- The kernel's ---

namespace {

// Builds the types that a prototype's text names.
class PrototypeTypes {
 public:
  explicit PrototypeTypes(struct btf *btf) : btf_(btf) {}

  // The id of "const struct cpumask *", or an error that says which name is not known.
  Result<u32> type_of(std::string_view text) {
    std::vector<std::string> words;
    int stars = 0;
    bool pointee_const = false;
    std::string word;
    for (size_t i = 0; i <= text.size(); i++) {
      const char c = i < text.size() ? text[i] : ' ';
      if (std::isalnum(static_cast<unsigned char>(c)) || c == '_') {
        word += c;
        continue;
      }
      if (word == "const")
        pointee_const |= stars == 0;
      else if (!word.empty())
        words.push_back(word);
      word.clear();
      stars += c == '*';
    }
    Result<u32> base = base_type(words);
    if (!base.ok()) return base;
    u32 id = *base;
    if (pointee_const) id = derived(BTF_KIND_CONST, id);
    for (int i = 0; i < stars; i++) id = derived(BTF_KIND_PTR, id);
    return id;
  }

 private:
  Result<u32> base_type(const std::vector<std::string> &words) {
    if (words.size() == 1) {
      for (const Callback &callback : kCallbacks) {
        if (words[0] == callback.name) return callback_type(callback);
      }
    }
    if (words.size() == 1 && words[0] == "void") return 0;
    if (words.size() == 2 && (words[0] == "struct" || words[0] == "union" || words[0] == "enum")) {
      const u32 kind = words[0] == "struct" ? BTF_KIND_STRUCT : words[0] == "union" ? BTF_KIND_UNION : BTF_KIND_ENUM;
      s32 id = btf__find_by_name_kind(btf_, words[1].c_str(), kind);
      if (id < 0 && kind == BTF_KIND_ENUM) id = btf__find_by_name_kind(btf_, words[1].c_str(), BTF_KIND_ENUM64);
      if (id < 0) id = btf__find_by_name_kind(btf_, words[1].c_str(), BTF_KIND_FWD);
      if (id < 0) id = btf__add_fwd(btf_, words[1].c_str(), kind == BTF_KIND_UNION ? BTF_FWD_UNION : BTF_FWD_STRUCT);
      return checked(id, words[1]);
    }
    if (words.size() == 1) {
      for (u32 kind : {BTF_KIND_TYPEDEF, BTF_KIND_STRUCT, BTF_KIND_INT}) {
        if (const s32 id = btf__find_by_name_kind(btf_, words[0].c_str(), kind); id > 0) return static_cast<u32>(id);
      }
    }
    return integer(words);
  }
  Result<u32> integer(const std::vector<std::string> &words) {
    struct Known {
      const char *text;
      const char *name;
      u32 bytes;
      int encoding;
    };
    static constexpr Known kKnown[] = {{"bool", "_Bool", 1, BTF_INT_BOOL},
                                       {"char", "char", 1, BTF_INT_SIGNED},
                                       {"int", "int", 4, BTF_INT_SIGNED},
                                       {"s32", "int", 4, BTF_INT_SIGNED},
                                       {"unsigned int", "unsigned int", 4, 0},
                                       {"unsigned", "unsigned int", 4, 0},
                                       {"u32", "unsigned int", 4, 0},
                                       {"long", "long", 8, BTF_INT_SIGNED},
                                       {"unsigned long", "unsigned long", 8, 0},
                                       {"size_t", "unsigned long", 8, 0},
                                       {"u8", "unsigned char", 1, 0},
                                       {"unsigned char", "unsigned char", 1, 0},
                                       {"u16", "unsigned short", 2, 0},
                                       {"u64", "unsigned long long", 8, 0},
                                       {"unsigned long long", "unsigned long long", 8, 0},
                                       {"s64", "long long", 8, BTF_INT_SIGNED},
                                       {"long long", "long long", 8, BTF_INT_SIGNED}};
    std::string text;
    for (const std::string &word : words) text += (text.empty() ? "" : " ") + word;
    for (const Known &known : kKnown) {
      if (text != known.text) continue;
      s32 id = btf__find_by_name_kind(btf_, known.name, BTF_KIND_INT);
      if (id < 0) id = btf__add_int(btf_, known.name, known.bytes, known.encoding);
      return checked(id, text);
    }
    return Status::error("type '{}' is not in the kernel BTF", text);
  }
  // Pointers to functions of the program, which prototypes name by words of ours.
  struct Callback {
    const char *name;
    const char *returns;
    const char *params;
  };
  static constexpr Callback kCallbacks[] = {
      {"bpf_rbtree_less_fn", "bool", "(struct bpf_rb_node *a, const struct bpf_rb_node *b)"},
      {"bpf_wq_callback_fn", "int", "(void *map, int *key, void *value)"},
  };
  Result<u32> callback_type(const Callback &callback) {
    Result<u32> returns = type_of(callback.returns);
    if (!returns.ok()) return returns;
    std::vector<std::pair<std::string, u32>> params;
    for (const ParsedArg &arg : parse_kfunc_params(callback.params)) {
      Result<u32> type = type_of(arg.type);
      if (!type.ok()) return type;
      params.emplace_back(arg.name, *type);
    }
    const s32 proto = btf__add_func_proto(btf_, static_cast<int>(*returns));
    for (const auto &[name, type] : params) btf__add_func_param(btf_, name.c_str(), static_cast<int>(type));
    return checked(btf__add_ptr(btf_, proto), callback.name);
  }
  static Result<u32> checked(s32 id, const std::string &name) {
    if (id < 0) return Status::error("type '{}' cannot be added to the kernel BTF", name);
    return static_cast<u32>(id);
  }
  u32 derived(u32 kind, u32 of) {
    u32 &id = derived_[{kind, of}];
    if (id == 0) id = static_cast<u32>(kind == BTF_KIND_PTR ? btf__add_ptr(btf_, of) : btf__add_const(btf_, of));
    return id;
  }

  struct btf *btf_;
  std::map<std::pair<u32, u32>, u32> derived_;
};

}  // namespace

namespace {

// Adds a prototype, with `first` in front of its parameters unless that is empty.
Result<u32> add_prototype(struct btf *btf, PrototypeTypes *types, const char *returns, const char *params_text,
                          const ParsedArg &first) {
  Result<u32> result = types->type_of(returns);
  if (!result.ok()) return result;
  std::vector<ParsedArg> args = parse_kfunc_params(params_text);
  if (!first.type.empty()) args.insert(args.begin(), first);
  // Argument types first: adding a type ends the list of parameters.
  std::vector<std::pair<std::string, u32>> params;
  for (const ParsedArg &arg : args) {
    Result<u32> type = types->type_of(arg.type);
    if (!type.ok()) return type.status().at(fmt::format("argument {}", arg.name));
    params.emplace_back(arg.name, *type);
  }
  const s32 proto = btf__add_func_proto(btf, static_cast<int>(*result));
  for (const auto &[name, type] : params) btf__add_func_param(btf, name.c_str(), static_cast<int>(type));
  if (proto < 0) return Status::error("its prototype cannot be added");
  return static_cast<u32>(proto);
}

// A tracepoint is known by the type of its handlers, which get a word of their own first.
Status add_hooks(struct btf *btf) {
  PrototypeTypes types(btf);
  for (const Hook &hook : list_hooks()) {
    if (hook.kind == HookKind::kEvent) continue;
    const bool tracepoint = hook.kind == HookKind::kTracepoint;
    Result<u32> proto =
        add_prototype(btf, &types, hook.returns, hook.params, tracepoint ? ParsedArg{"void *", "__data"} : ParsedArg{});
    if (!proto.ok()) return proto.status().at(fmt::format("hook {}", hook.name));
    const int id = static_cast<int>(*proto);
    const s32 added = tracepoint
                          ? btf__add_typedef(btf, fmt::format("{}{}", kTracepointPrefix, hook.short_name()).c_str(),
                                             btf__add_ptr(btf, id))
                          : btf__add_func(btf, hook.name, BTF_FUNC_STATIC, id);
    if (added < 0) return Status::error("hook {} cannot be added to the kernel BTF", hook.name);
  }
  return Status::ok_status();
}

Status add_iterators(struct btf *btf) {
  PrototypeTypes types(btf);
  for (const Iterator &iterator : list_iterators()) {
    Result<u32> proto = add_prototype(btf, &types, "int", iterator.params, {"struct bpf_iter_meta *", "meta"});
    if (!proto.ok()) return proto.status().at(fmt::format("iterator {}", iterator.name));
    if (btf__add_func(btf, fmt::format("{}{}", kIteratorPrefix, iterator.name).c_str(), BTF_FUNC_STATIC,
                      static_cast<int>(*proto)) < 0)
      return Status::error("iterator {} cannot be added to the kernel BTF", iterator.name);
  }
  return Status::ok_status();
}

Status add_variables(struct btf *btf) {
  PrototypeTypes types(btf);
  for (const KernelVariable &variable : list_kernel_variables()) {
    Result<u32> type = types.type_of(variable.type);
    if (!type.ok()) return type.status().at(fmt::format("variable {}", variable.name));
    if (btf__add_var(btf, variable.name, BTF_VAR_GLOBAL_ALLOCATED, static_cast<int>(*type)) < 0)
      return Status::error("variable {} cannot be added to the kernel BTF", variable.name);
  }
  return Status::ok_status();
}

}  // namespace

Result<std::unique_ptr<KernelBtf>> KernelBtf::build(std::span<const u8> base,
                                                    const std::vector<std::string> &struct_ops) {
  struct btf *btf = btf__new(base.data(), static_cast<u32>(base.size()));
  if (btf == nullptr) return Status::error("the base BTF cannot be parsed (errno {})", errno);
  std::unique_ptr<KernelBtf> kernel(new KernelBtf(btf));
  for (const std::string &name : struct_ops) {
    if (Status status = kernel->add_struct_ops(name); !status.ok()) return status;
  }
  if (Status status = kernel->add_kfuncs(); !status.ok()) return status;
  if (Status status = add_hooks(btf); !status.ok()) return status;
  if (Status status = add_iterators(btf); !status.ok()) return status;
  if (Status status = add_variables(btf); !status.ok()) return status;
  u32 size = 0;
  const void *raw = btf__raw_data(btf, &size);
  if (raw == nullptr) return Status::error("the kernel BTF cannot be written (errno {})", errno);
  kernel->raw_.assign(static_cast<const u8 *>(raw), static_cast<const u8 *>(raw) + size);
  return kernel;
}

KernelBtf::~KernelBtf() { btf__free(btf_); }

Status KernelBtf::add_struct_ops(const std::string &name) {
  const std::string value_name = "bpf_struct_ops_" + name;
  const u32 struct_id = find(name, BTF_KIND_STRUCT);
  if (struct_id == 0) return Status::error("struct {} is not in the base BTF", name);
  if (find(value_name, BTF_KIND_STRUCT) != 0) return Status::ok_status();
  // As in the kernel: a head of a reference count and a state, then the table on a cache line of its own.
  constexpr u32 kCacheLine = 64;
  s32 word = btf__find_by_name_kind(btf_, "int", BTF_KIND_INT);
  if (word < 0) word = btf__add_int(btf_, "int", 4, BTF_INT_SIGNED);
  s32 common = btf__find_by_name_kind(btf_, "bpf_struct_ops_common_value", BTF_KIND_STRUCT);
  if (common < 0) {
    common = btf__add_struct(btf_, "bpf_struct_ops_common_value", 8);
    btf__add_field(btf_, "refcnt", word, 0, 0);
    btf__add_field(btf_, "state", word, 32, 0);
  }
  const u32 size = (btf__type_by_id(btf_, struct_id)->size + kCacheLine - 1) / kCacheLine * kCacheLine;
  if (btf__add_struct(btf_, value_name.c_str(), kCacheLine + size) < 0 ||
      btf__add_field(btf_, "common", common, 0, 0) < 0 ||
      btf__add_field(btf_, "data", static_cast<int>(struct_id), kCacheLine * 8, 0) < 0)
    return Status::error("struct {} cannot be added to the kernel BTF", value_name);
  return Status::ok_status();
}

Status KernelBtf::add_kfuncs() {
  PrototypeTypes types(btf_);
  for (const KfuncEntry *entry : list_kfuncs()) {
    Result<u32> added = add_prototype(btf_, &types, entry->return_text, entry->params_text, {});
    if (!added.ok()) return added.status().at(fmt::format("kfunc {}", entry->name));
    const s32 proto = static_cast<s32>(*added);
    const s32 func = btf__add_func(btf_, entry->name, BTF_FUNC_STATIC, proto);
    if (func < 0) return Status::error("kfunc {} cannot be added to the kernel BTF", entry->name);
    kfuncs_[static_cast<u32>(func)] = entry;
  }
  return Status::ok_status();
}

const struct btf_type *KernelBtf::type(u32 id) const { return btf__type_by_id(btf_, id); }

const char *KernelBtf::type_name(u32 id) const {
  const btf_type *found = type(id);
  return found != nullptr ? btf__name_by_offset(btf_, found->name_off) : "";
}

u32 KernelBtf::find(std::string_view name, u32 kind) const {
  const s32 id = btf__find_by_name_kind(btf_, std::string(name).c_str(), kind);
  return id > 0 ? static_cast<u32>(id) : 0;
}

const KfuncEntry *KernelBtf::kfunc(u32 id) const {
  auto it = kfuncs_.find(id);
  return it != kfuncs_.end() ? it->second : nullptr;
}

}  // namespace uscx::bpf
