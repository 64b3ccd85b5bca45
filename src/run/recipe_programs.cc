// SPDX-License-Identifier: GPL-2.0-only
#include "run/recipe_programs.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <system_error>

#include "base/units.h"
#include "run/recipe_formula.h"
#include "run/recipe_value.h"

namespace uscx::cli {
namespace {

using schedulers::BtfPlace;
using workload::JsonNode;
using workload::JsonPath;
using Kind = JsonNode::Kind;

// The struct that the program's context points to, or the one that the recipe names; 0 if there is neither.
u32 context_type(const btf *types, const std::string &program, const JsonNode *type_name) {
  if (type_name != nullptr) {
    const s32 named = btf__find_by_name_kind(types, type_name->text.c_str(), BTF_KIND_STRUCT);
    return named > 0 ? static_cast<u32>(named) : 0;
  }
  const s32 func = btf__find_by_name_kind(types, program.c_str(), BTF_KIND_FUNC);
  if (func <= 0) return 0;
  const btf_type *proto = btf__type_by_id(types, btf__type_by_id(types, static_cast<u32>(func))->type);
  if (proto == nullptr || btf_vlen(proto) == 0) return 0;
  const s32 param = btf__resolve_type(types, btf_params(proto)[0].type);
  if (param <= 0 || !btf_is_ptr(btf__type_by_id(types, static_cast<u32>(param)))) return 0;
  const s32 pointee = btf__resolve_type(types, btf__type_by_id(types, static_cast<u32>(param))->type);
  return pointee > 0 && btf_is_composite(btf__type_by_id(types, static_cast<u32>(pointee))) ? static_cast<u32>(pointee)
                                                                                            : 0;
}

Status make_context(const std::string &program, const JsonNode &entry, const JsonPath &path, const RecipePlace &place,
                    TypedBytes *out) {
  const JsonNode *context = entry.find("context");
  const u32 type = context_type(place.types, program, entry.find("context_type"));
  if (type == 0) {
    if (context == nullptr && entry.find("save") == nullptr) return Status::ok_status();
    return Status::error("{}: program {} does not say what its context is; name a struct of the object in context_type",
                         path.text(), program);
  }
  const s64 size = btf__resolve_size(place.types, type);
  if (Status status = make_bytes(place.types, type, static_cast<u32>(size), "context", out); !status.ok())
    return status.at(path.text());
  return context == nullptr ? Status::ok_status()
                            : write_recipe_value(out->place, *context, path.member(*context), place);
}

// The CPU that the entry pins the program to, or 0.
Result<u32> cpu_of(const JsonNode &entry, const JsonPath &path, const RecipePlace &place) {
  const JsonNode *pin = entry.find("pin");
  if (pin == nullptr || (pin->kind == Kind::kBool && pin->integer == 0)) return u32{0};
  if (pin->kind == Kind::kBool) {
    if (const std::optional<u32> cpu = place.first_cpu()) return *cpu;
    return Status::error("{}: true pins the program where each says, which is at no place here",
                         path.member(*pin).text());
  }
  Result<s64> cpu = number_of(*pin, path.member(*pin), place);
  if (!cpu.ok()) return cpu.status();
  if (*cpu < 0 || *cpu >= s64{place.topology->nr_cpus()})
    return Status::error("{}: CPU {} is not there; the machine has CPUs 0 to {}", path.member(*pin).text(), *cpu,
                         place.topology->nr_cpus() - 1);
  return static_cast<u32>(*cpu);
}

Status check_returned(s32 returned, const std::string &program, const JsonNode &entry, const JsonPath &path,
                      const RecipePlace &place) {
  const JsonNode *returns = entry.find("returns");
  if (returns != nullptr && returns->kind == Kind::kString && returns->text == "any") return Status::ok_status();
  Result<s64> wanted = s64{0};
  if (returns != nullptr) wanted = number_of(*returns, path.member(*returns), place);
  if (!wanted.ok()) return wanted.status();
  if (returned == static_cast<s32>(*wanted)) return Status::ok_status();
  return Status::error("{}: program {} returned {}, not {}", path.text(), program, returned, *wanted);
}

Status save_numbers(const BtfPlace &context, const JsonNode &entry, const JsonPath &path, RecipeSaved *saved) {
  const JsonNode *save = entry.find("save");
  if (save == nullptr) return Status::ok_status();
  const JsonPath save_path = path.member(*save);
  for (const JsonNode &child : save->children) {
    Result<BtfPlace> place = schedulers::walk_path(context, "." + child.text);
    if (!place.ok()) return place.status().at(save_path.member(child).text());
    Result<schedulers::Integer> number = schedulers::read_number(*place);
    if (!number.ok()) return number.status().at(save_path.member(child).text());
    (*saved)[child.key].push_back(*number);
  }
  return Status::ok_status();
}

Status run_one(const Recipe::Target &target, const bpf_program *program, const JsonNode &entry, const JsonPath &path,
               const RecipePlace &place) {
  const std::string name = bpf_program__name(program);
  TypedBytes context;
  if (Status status = make_context(name, entry, path, place, &context); !status.ok()) return status;
  Result<u32> cpu = cpu_of(entry, path, place);
  if (!cpu.ok()) return cpu.status();
  target.set_user_cpu(*cpu);
  LIBBPF_OPTS(bpf_test_run_opts, opts);
  opts.ctx_in = context.bytes.empty() ? nullptr : context.bytes.data();
  opts.ctx_size_in = static_cast<u32>(context.bytes.size());
  const int err = bpf_prog_test_run_opts(bpf_program__fd(program), &opts);
  const int error_number = errno;
  target.set_user_cpu(0);
  if (err != 0)
    return Status::error("{}: it cannot be run: {}", path.text(), std::generic_category().message(error_number));
  if (Status status = check_returned(static_cast<s32>(opts.retval), name, entry, path, place); !status.ok())
    return status;
  return save_numbers(context.place, entry, path, target.saved);
}

Status check_save(const JsonNode &save, const JsonPath &path) {
  for (const JsonNode &child : save.children) {
    if (Status status = check_own_name(child.key); !status.ok()) return status.at(path.member(child).text());
    if (Status status = expect_kind(child, path.member(child), Kind::kString); !status.ok()) return status;
  }
  return Status::ok_status();
}

Status check_time(const JsonNode &entry, const JsonPath &path, Recipe::StepTime *time) {
  const JsonNode *at = entry.find("at"), *every = entry.find("every");
  if ((at == nullptr) == (every == nullptr))
    return Status::error("{}: it takes at or every, with a time since the attach (\"100ms\")", path.text());
  const JsonNode &when = at != nullptr ? *at : *every;
  const JsonPath when_path = path.member(when);
  if (Status status = expect_kind(when, when_path, Kind::kString); !status.ok()) return status;
  Result<u64> ns = parse_duration(when.text);
  if (!ns.ok()) return ns.status().at(when_path.text());
  if (*ns == 0) return Status::error("{}: it takes a time above 0; run_after_attach comes before", when_path.text());
  *time = {*ns, every != nullptr};
  return Status::ok_status();
}

}  // namespace

Status check_program_entry(const JsonNode &entry, const JsonPath &path, Recipe::StepTime *time) {
  Status status =
      time != nullptr
          ? check_keys(entry, path,
                       {"program", "context", "context_type", "each", "if", "pin", "returns", "save", "at", "every"})
          : check_keys(entry, path, {"program", "context", "context_type", "each", "if", "pin", "returns", "save"});
  if (!status.ok()) return status;
  if (entry.find("program") == nullptr) return Status::error("{}: program is missing", path.text());
  for (const auto &[key, kind] : {std::pair{"program", Kind::kString}, std::pair{"context", Kind::kObject},
                                  std::pair{"context_type", Kind::kString}, std::pair{"save", Kind::kObject}}) {
    const JsonNode *member = entry.find(key);
    if (member == nullptr) continue;
    if (status = expect_kind(*member, path.member(*member), kind); !status.ok()) return status;
  }
  if (const JsonNode *save = entry.find("save"))
    if (status = check_save(*save, path.member(*save)); !status.ok()) return status;
  return time == nullptr ? Status::ok_status() : check_time(entry, path, time);
}

Status run_program_entry(const Recipe::Target &target, const JsonNode &entry, const JsonPath &path) {
  const JsonNode &name = *entry.find("program");
  const bpf_program *program = bpf_object__find_program_by_name(target.object->object(), name.text.c_str());
  if (program == nullptr) return Status::error("{}: the object has no such program", path.member(name).text());
  if (bpf_program__type(program) != BPF_PROG_TYPE_SYSCALL)
    return Status::error("{}: {} is no syscall program, and others cannot be run", path.member(name).text(), name.text);
  if (bpf_program__fd(program) < 0)
    return Status::error("{}: {} is not loaded; say so in load", path.member(name).text(), name.text);
  // What it saved when it ran before is kept until it saves again: its own context may need it.
  RecipeSaved saved;
  Recipe::Target run = target;
  run.saved = &saved;
  Status status = for_each_entry(entry, path, target.machine,
                                 [&](const RecipePlace &place) { return run_one(run, program, entry, path, place); });
  for (auto &[saved_name, numbers] : saved) (*target.saved)[saved_name] = std::move(numbers);
  return status;
}

}  // namespace uscx::cli
