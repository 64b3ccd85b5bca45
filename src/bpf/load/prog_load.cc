// SPDX-License-Identifier: GPL-2.0-only
// BPF_PROG_LOAD: from user space's instructions to a Program that runs. References become addresses, calls become
// thunks; whatever is missing is named in the verifier log, all of it at once. There is no verifier here but for
// what verify.h checks: safety is at run time.
#include <bpf/btf.h>
#include <errno.h>

#include <cstring>
#include <set>

#include "base/check.h"
#include "bpf/exec/exec.h"
#include "bpf/exec/program.h"
#include "bpf/load/verify/verify.h"
#include "bpf/maps/arena_map.h"
#include "bpf/maps/prog_array.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/command.h"
#include "bpf/object/helper.h"
#include "bpf/object/hooks.h"
#include "bpf/object/iter_link.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/prog.h"
#include "bpf/object/user_memory.h"

namespace uscx::bpf {

namespace {

// What libbpf leaves where a relocation failed: calls of helpers that cannot exist. The kernel accepts them where the
// verifier finds them unreachable; here they trap when they are reached.
constexpr u32 kPoisonCore = 195896080;        // 0xbad2310: a CO-RE relocation
constexpr u32 kPoisonMapBase = 2001000000;    // a map that was not created
constexpr u32 kPoisonKfuncBase = 2002000000;  // a weak kfunc that does not exist

constexpr u32 kMaxInsns = 1000000;
constexpr u32 kKnownFlags = BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_STATE_FREQ | BPF_F_SLEEPABLE |
                            BPF_F_TEST_RND_HI32 | BPF_F_XDP_HAS_FRAGS | BPF_F_XDP_DEV_BOUND_ONLY |
                            BPF_F_TEST_REG_INVARIANTS;

// Types that something here runs. Programs of the others load (feature probes do it) and can be attached to nothing.
bool type_runs(u32 type) {
  return type == BPF_PROG_TYPE_STRUCT_OPS || type == BPF_PROG_TYPE_SYSCALL || type == BPF_PROG_TYPE_TRACING ||
         type == BPF_PROG_TYPE_RAW_TRACEPOINT || type == BPF_PROG_TYPE_KPROBE || type == BPF_PROG_TYPE_TRACEPOINT;
}

bool type_loads(u32 type) {
  switch (type) {
    case BPF_PROG_TYPE_SOCKET_FILTER:
    case BPF_PROG_TYPE_PERF_EVENT:
    case BPF_PROG_TYPE_CGROUP_SOCK: return true;
    default: return type_runs(type);
  }
}

}  // namespace

class ProgLoader {
 public:
  ProgLoader(BpfSystem &system, union bpf_attr *attr) : system_(system), attr_(*attr) {}

  // A descriptor or -errno; the reason is in log().
  long load(std::shared_ptr<Prog> *out);
  const std::string &log() const { return log_; }

 private:
  int read_attr(Prog::Attr *out);
  int read_struct_ops(Prog::Attr *out);
  int check_member();
  int read_insns();
  int read_func_info();
  void find_exception_callback(const std::vector<bpf_func_info> &records);
  int read_line_info();
  int bind_fd_array();
  int resolve();
  int resolve_imm64(u32 index);
  int resolve_map_reference(u32 index, bool by_index, bool value);
  int use_arena(const std::shared_ptr<Map> &map);
  int resolve_ksym(u32 index);
  int resolve_call(u32 index);
  int resolve_kfunc(u32 index);
  int resolve_helper(u32 index);
  const Map *map_in_r1(u32 call) const;
  void find_targets();
  VerifyRules rules() const;
  int verify();
  int fail(int err, std::string text) {
    log_ += text + "\n";
    return err;
  }

  BpfSystem &system_;
  union bpf_attr &attr_;
  std::shared_ptr<Prog> prog_;
  std::string log_;
  std::vector<bpf_insn> insns_;
  std::vector<bool> second_slot_;  // of a two-slot instruction
  std::vector<bool> jump_target_;
  std::map<u32, const Map *> map_loads_;  // by the slot of ld_imm64
  const Map *arena_ = nullptr;
  StructOpsMember member_;  // of a struct_ops program
  ProgramOptions options_;
  VerifyInput verify_;
};

int ProgLoader::read_attr(Prog::Attr *out) {
  if (attr_.prog_flags & ~kKnownFlags)
    return fail(-EINVAL, fmt::format("program flags {:#x} are not implemented", attr_.prog_flags & ~kKnownFlags));
  if (attr_.insn_cnt == 0 || attr_.insn_cnt > kMaxInsns) return -E2BIG;
  if (!object_name_ok(attr_.prog_name, &out->name)) return -EINVAL;
  if (attr_.core_relo_cnt != 0 || attr_.signature != 0 || attr_.prog_ifindex != 0)
    return fail(-EINVAL, "relocation in the kernel, signatures and device programs are not implemented");
  char license[128] = {};
  for (size_t i = 0; i < sizeof(license) - 1; i++) {
    if (copy_from_user(&license[i], attr_.license + i, 1) != 0) return -EFAULT;
    if (license[i] == 0) break;
  }
  for (const char *gpl : {"GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"})
    out->gpl_compatible |= std::strcmp(license, gpl) == 0;
  out->type = attr_.prog_type;
  out->expected_attach_type = attr_.expected_attach_type;
  out->attach_btf_id = attr_.attach_btf_id;
  out->flags = attr_.prog_flags;
  if (!type_loads(out->type)) {
    system_.log(fmt::format("bpf: program {}: program type {} is not implemented", out->name, out->type));
    return fail(-EINVAL, fmt::format("program type {} is not implemented", out->type));
  }
  if (attr_.prog_btf_fd != 0 || attr_.func_info_cnt != 0 || attr_.line_info_cnt != 0) {
    out->btf = system_.get<Btf>(static_cast<int>(attr_.prog_btf_fd));
    if (out->btf == nullptr)
      return system_.object_of_fd(static_cast<int>(attr_.prog_btf_fd)) == nullptr ? -EBADF : -EINVAL;
    if (out->btf->is_kernel()) return -EACCES;
  }
  const bool attaches = out->type == BPF_PROG_TYPE_STRUCT_OPS || out->type == BPF_PROG_TYPE_TRACING;
  if (!attaches && out->attach_btf_id != 0) return -EINVAL;
  if (attr_.attach_btf_obj_fd != 0)
    return fail(-EINVAL, "attaching to a module's or a program's BTF is not implemented");
  if (out->type == BPF_PROG_TYPE_SYSCALL && !(out->flags & BPF_F_SLEEPABLE))
    return fail(-EINVAL, "Syscall programs can only be sleepable");
  if (out->type == BPF_PROG_TYPE_TRACING) {
    const btf_type *target = system_.kernel_btf().type(out->attach_btf_id);
    const bool tracepoint = out->expected_attach_type == BPF_TRACE_RAW_TP;
    if (out->attach_btf_id == 0 || target == nullptr || !(tracepoint ? btf_is_typedef(target) : btf_is_func(target)))
      return fail(-EINVAL,
                  fmt::format("attach_btf_id {} is not a {}", out->attach_btf_id, tracepoint ? "typedef" : "function"));
    const std::string_view name = system_.kernel_btf().type_name(out->attach_btf_id);
    const bool iterates = out->expected_attach_type == BPF_TRACE_ITER;
    if (iterates &&
        (!name.starts_with(kIteratorPrefix) || find_iterator(name.substr(kIteratorPrefix.size())) == nullptr))
      return fail(-EINVAL, fmt::format("attach_btf_id {} ({}) is not an iterator", out->attach_btf_id, name));
    if (tracepoint && !name.starts_with(kTracepointPrefix))
      return fail(-EINVAL, fmt::format("attach_btf_id {} points to wrong type name {}", out->attach_btf_id, name));
  }
  return out->type == BPF_PROG_TYPE_STRUCT_OPS ? read_struct_ops(out) : 0;
}

int ProgLoader::read_struct_ops(Prog::Attr *out) {
  if (!out->gpl_compatible) return fail(-EINVAL, "struct ops programs must have a GPL compatible license");
  const KernelBtf &kernel = system_.kernel_btf();
  const btf_type *type = kernel.type(out->attach_btf_id);
  out->struct_ops = out->attach_btf_id != 0 && type != nullptr && btf_is_struct(type)
                        ? system_.struct_ops_type(kernel.type_name(out->attach_btf_id))
                        : nullptr;
  if (out->struct_ops == nullptr)
    return fail(-kENotSupp, fmt::format("attach_btf_id {} is not a supported struct", out->attach_btf_id));
  if (out->expected_attach_type >= btf_vlen(type))
    return fail(-EINVAL, fmt::format("attach to invalid member idx {} of struct {}", out->expected_attach_type,
                                     out->struct_ops->name()));
  const btf_member &member = btf_members(type)[out->expected_attach_type];
  const struct btf *btf = kernel.parsed();
  out->member = btf__name_by_offset(btf, member.name_off);
  const btf_type *pointer = btf__type_by_id(btf, btf__resolve_type(btf, member.type));
  const s32 target = btf_is_ptr(pointer) ? btf__resolve_type(btf, pointer->type) : -1;
  if (target < 0 || !btf_is_func_proto(btf__type_by_id(btf, target)))
    return fail(-EINVAL, fmt::format("attach to invalid member {}({}) of struct {}", out->member,
                                     out->expected_attach_type, out->struct_ops->name()));
  member_.name = out->member;
  member_.index = out->expected_attach_type;
  member_.offset = btf_member_bit_offset(type, out->expected_attach_type) / 8;
  member_.size = sizeof(void *);
  member_.is_callback = true;
  return 0;
}

int ProgLoader::check_member() {
  StructOpsType *type = prog_->attr().struct_ops;
  if (type == nullptr) return 0;
  if (prog_->sleepable() && !type->may_sleep(member_))
    return fail(-EINVAL, fmt::format("attach to unsupported member {} of struct {}: it must not sleep", member_.name,
                                     type->name()));
  std::string why;
  if (int err = type->check_member(member_, *prog_, &why); err != 0)
    return fail(err, fmt::format("attach to unsupported member {} of struct {}{}{}", member_.name, type->name(),
                                 why.empty() ? "" : ": ", why));
  return 0;
}

int ProgLoader::read_insns() {
  insns_.resize(attr_.insn_cnt);
  if (int err = copy_from_user(insns_.data(), attr_.insns, insns_.size() * sizeof(bpf_insn)); err != 0) return err;
  prog_->insns_ = insns_;
  second_slot_.resize(insns_.size() + 1);
  for (u32 i = 0; i + 1 < insns_.size(); i++) {
    if (insns_[i].code == (BPF_LD | BPF_IMM | BPF_DW)) {
      second_slot_[i + 1] = true;
      i++;
    }
  }
  return 0;
}

// The first fields of records whose size user space states; what is beyond ours must be zero.
template <typename Record>
static int read_records(u64 address, u32 count, u32 size, std::vector<Record> *out) {
  constexpr u32 kMaxRecordBytes = 252;
  if (count == 0) return 0;
  if (size < sizeof(Record) || size > kMaxRecordBytes || size % sizeof(u32) != 0) return -EINVAL;
  out->resize(count);
  for (u32 i = 0; i < count; i++) {
    if (int err = copy_from_user(&(*out)[i], address + u64{i} * size, sizeof(Record)); err != 0) return err;
  }
  return 0;
}

int ProgLoader::read_func_info() {
  std::vector<bpf_func_info> records;
  if (int err = read_records(attr_.func_info, attr_.func_info_cnt, attr_.func_info_rec_size, &records); err != 0)
    return err;
  u32 previous = 0;
  for (size_t i = 0; i < records.size(); i++) {
    const bpf_func_info &record = records[i];
    if ((i == 0 && record.insn_off != 0) || (i > 0 && record.insn_off <= previous) || record.insn_off >= insns_.size())
      return fail(-EINVAL, "same or smaller insn offset in func_info, or beyond the program");
    previous = record.insn_off;
    const struct btf *btf = prog_->attr().btf->parsed();
    const btf_type *func = btf__type_by_id(btf, record.type_id);
    if (func == nullptr || !btf_is_func(func))
      return fail(-EINVAL, fmt::format("invalid type id {} in func info", record.type_id));
    options_.subprogs[record.insn_off] = btf__name_by_offset(btf, func->name_off);
  }
  if (!records.empty()) find_exception_callback(records);
  prog_->func_info_ = std::move(records);
  return 0;
}

// The program's own function names the one that exceptions end in by a tag.
void ProgLoader::find_exception_callback(const std::vector<bpf_func_info> &records) {
  constexpr std::string_view kTag = "exception_callback:";
  const struct btf *btf = prog_->attr().btf->parsed();
  for (u32 id = 1; id < btf__type_cnt(btf); id++) {
    const btf_type *tag = btf__type_by_id(btf, id);
    if (!btf_is_decl_tag(tag) || tag->type != records[0].type_id) continue;
    std::string_view name = btf__name_by_offset(btf, tag->name_off);
    if (!name.starts_with(kTag)) continue;
    name.remove_prefix(kTag.size());
    for (const auto &[start, function] : options_.subprogs) {
      if (function == name) options_.exception_callback = start;
    }
  }
}

int ProgLoader::read_line_info() {
  std::vector<bpf_line_info> records;
  if (int err = read_records(attr_.line_info, attr_.line_info_cnt, attr_.line_info_rec_size, &records); err != 0)
    return err;
  for (size_t i = 0; i < records.size(); i++) {
    const bpf_line_info &record = records[i];
    const struct btf *btf = prog_->attr().btf->parsed();
    const char *file = btf__name_by_offset(btf, record.file_name_off);
    const char *text = btf__name_by_offset(btf, record.line_off);
    if (file == nullptr || text == nullptr || record.insn_off >= insns_.size() ||
        (i > 0 && record.insn_off <= records[i - 1].insn_off))
      return fail(-EINVAL, fmt::format("Invalid line_info[{}]", i));
    options_.lines.push_back({record.insn_off, BPF_LINE_INFO_LINE_NUM(record.line_col),
                              BPF_LINE_INFO_LINE_COL(record.line_col), file, text});
  }
  prog_->line_info_ = std::move(records);
  return 0;
}

int ProgLoader::bind_fd_array() {
  for (u32 i = 0; i < attr_.fd_array_cnt; i++) {
    s32 fd;
    if (copy_from_user(&fd, attr_.fd_array + i * sizeof(fd), sizeof(fd)) != 0) return -EFAULT;
    if (std::shared_ptr<Map> map = system_.get<Map>(fd)) {
      if (int err = use_arena(map); err != 0) return err;
      prog_->bind_map(std::move(map));
    } else if (system_.get<Btf>(fd) == nullptr) {
      return fail(-EBADF, fmt::format("fd_array[{}] is neither a map nor BTF", i));
    }
  }
  return 0;
}

void ProgLoader::find_targets() {
  jump_target_.resize(insns_.size() + 1);
  for (u32 i = 0; i < insns_.size(); i++) {
    const bpf_insn &insn = insns_[i];
    const u8 cls = BPF_CLASS(insn.code);
    if (second_slot_[i] || (cls != BPF_JMP && cls != BPF_JMP32) || BPF_OP(insn.code) == BPF_EXIT) continue;
    const bool call = BPF_OP(insn.code) == BPF_CALL;
    if (call && insn.src_reg != BPF_PSEUDO_CALL) continue;
    const bool wide = call || (cls == BPF_JMP32 && BPF_OP(insn.code) == BPF_JA);
    const s64 target = s64{i} + 1 + (wide ? s64{insn.imm} : s64{insn.off});
    if (target >= 0 && target < static_cast<s64>(insns_.size())) jump_target_[static_cast<size_t>(target)] = true;
  }
}

int ProgLoader::resolve() {
  find_targets();
  // Each reference is looked at even after one failed, so that one load names everything that is missing.
  int first = 0;
  for (u32 i = 0; i < insns_.size(); i++) {
    if (second_slot_[i]) continue;
    int err = 0;
    if (insns_[i].code == (BPF_LD | BPF_IMM | BPF_DW))
      err = resolve_imm64(i);
    else if (insns_[i].code == (BPF_JMP | BPF_CALL))
      err = resolve_call(i);
    if (first == 0) first = err;
  }
  return first;
}

int ProgLoader::resolve_imm64(u32 index) {
  if (index + 1 >= insns_.size() || insns_[index + 1].code != 0)
    return fail(-EINVAL, fmt::format("invalid bpf_ld_imm64 insn {}", index));
  switch (insns_[index].src_reg) {
    case kImm64Plain:
    case kImm64Func: return 0;
    case kImm64MapFd: return resolve_map_reference(index, false, false);
    case kImm64MapValue: return resolve_map_reference(index, false, true);
    case kImm64MapIdx: return resolve_map_reference(index, true, false);
    case kImm64MapIdxValue: return resolve_map_reference(index, true, true);
    case kImm64BtfId: return resolve_ksym(index);
    default: return fail(-EINVAL, fmt::format("unrecognized bpf_ld_imm64 insn {}", index));
  }
}

int ProgLoader::resolve_map_reference(u32 index, bool by_index, bool value) {
  bpf_insn *insn = &insns_[index];
  const u32 offset = static_cast<u32>(insn[1].imm);
  s32 fd = insn[0].imm;
  if (by_index && copy_from_user(&fd, attr_.fd_array + static_cast<u32>(insn[0].imm) * sizeof(fd), sizeof(fd)) != 0)
    return -EFAULT;
  if (!value && offset != 0) return fail(-EINVAL, fmt::format("unrecognized bpf_ld_imm64 insn {}", index));
  const std::shared_ptr<Object> object = system_.object_of_fd(fd);
  if (object == nullptr) return fail(-EBADF, fmt::format("fd {} is not pointing to valid bpf_map", fd));
  const auto map = std::dynamic_pointer_cast<Map>(object);
  if (map == nullptr) return fail(-EINVAL, fmt::format("fd {} is not pointing to valid bpf_map", fd));
  if (int err = use_arena(map); err != 0) return err;
  u64 address = reinterpret_cast<u64>(map->handle());
  if (value) {
    int err = 0;
    address = map->direct_value(offset, &err);
    if (err != 0)
      return fail(err,
                  fmt::format("invalid access to map value pointer, value_size={} off={}", map->value_size(), offset));
  } else {
    map_loads_[index] = map.get();
  }
  if (auto *programs = dynamic_cast<ProgArray *>(map.get()); programs != nullptr && !programs->fits(*prog_))
    return fail(-EINVAL, fmt::format("map {} is for programs of another kind", map->name()));
  prog_->bind_map(map);
  prog_->insns_[index].src_reg = value ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD;
  prog_->insns_[index].imm = static_cast<s32>(map->id());
  insn[0].src_reg = kImm64Plain;
  insn[0].imm = static_cast<s32>(address);
  insn[1].imm = static_cast<s32>(address >> 32);
  return 0;
}

// A program has one arena at most: the one that its casts are about.
int ProgLoader::use_arena(const std::shared_ptr<Map> &map) {
  const auto *arena = dynamic_cast<const ArenaMap *>(map.get());
  if (arena == nullptr || arena == arena_) return 0;
  if (arena_ != nullptr) return fail(-EBUSY, "Only one arena per program");
  if (arena->window_base() == 0) return fail(-EINVAL, "arena's user address must be set via map_extra or mmap()");
  arena_ = arena;
  options_.arena_base = arena->window_base();
  options_.arena_user_high = arena->user_base();
  options_.arena_user_base = arena->converts_to_user() ? arena->user_base() : 0;
  return 0;
}

int ProgLoader::resolve_ksym(u32 index) {
  bpf_insn *insn = &insns_[index];
  const KernelBtf &kernel = system_.kernel_btf();
  const u32 id = static_cast<u32>(insn[0].imm);
  const btf_type *type = kernel.type(id);
  if (insn[1].imm != 0) return fail(-EINVAL, "ksyms of modules are not implemented");
  u64 address = 0;
  if (type != nullptr && btf_is_var(type))
    address = reinterpret_cast<u64>(system_.env().ksym_address(kernel.type_name(id)));
  else if (type != nullptr && btf_is_func(type))
    address = kernel_text_address(id);
  else
    return fail(-EINVAL, fmt::format("ldimm64 unable to resolve the kernel symbol with BTF id {}", id));
  if (address == 0) return fail(-ENOENT, fmt::format("kernel variable {} is not modelled", kernel.type_name(id)));
  insn[0].src_reg = kImm64Plain;
  insn[0].imm = static_cast<s32>(address);
  insn[1].imm = static_cast<s32>(address >> 32);
  return 0;
}

int ProgLoader::resolve_call(u32 index) {
  switch (insns_[index].src_reg) {
    case kCallHelper: return resolve_helper(index);
    case kCallSubprog: return 0;
    case kCallKfunc: return resolve_kfunc(index);
    default: return fail(-EINVAL, fmt::format("insn {}: unknown kind of call {}", index, u32{insns_[index].src_reg}));
  }
}

int ProgLoader::resolve_kfunc(u32 index) {
  const u32 id = static_cast<u32>(insns_[index].imm);
  if (insns_[index].off != 0)
    return fail(-EINVAL, fmt::format("insn {}: kfuncs of modules are not implemented", index));
  const KfuncEntry *kfunc = system_.kernel_btf().kfunc(id);
  if (kfunc == nullptr) return fail(-EINVAL, fmt::format("kernel btf_id {} is not a kernel function", id));
  verify_.kfuncs[index] = kfunc;
  options_.calls[index] = {reinterpret_cast<void *>(kfunc->thunk), &kfunc->desc, {}};
  prog_->kfuncs_.push_back(kfunc);
  return 0;
}

const Map *ProgLoader::map_in_r1(u32 call) const {
  // The compiler loads the map right before the call: walk back over straight code to what wrote r1.
  constexpr u32 kFar = 16;
  for (u32 i = call; i > 0 && call - i < kFar; i--) {
    if (jump_target_[i]) return nullptr;
    const u32 at = second_slot_[i - 1] && i >= 2 ? i - 2 : i - 1;
    const bpf_insn &insn = insns_[at];
    const u8 cls = BPF_CLASS(insn.code);
    if (cls == BPF_JMP || cls == BPF_JMP32) return nullptr;
    const bool writes_dst = cls == BPF_ALU || cls == BPF_ALU64 || cls == BPF_LD || cls == BPF_LDX;
    const bool writes_src = cls == BPF_STX && BPF_MODE(insn.code) == BPF_ATOMIC;  // a fetching one
    if ((writes_dst && insn.dst_reg == BPF_REG_1) || (writes_src && insn.src_reg == BPF_REG_1)) {
      auto it = map_loads_.find(at);
      return it != map_loads_.end() ? it->second : nullptr;
    }
    i = at + 1;
  }
  return nullptr;
}

int ProgLoader::resolve_helper(u32 index) {
  const u32 id = static_cast<u32>(insns_[index].imm);
  if (id == kPoisonCore || (id >= kPoisonMapBase && id < kPoisonMapBase + kMaxInsns) ||
      (id >= kPoisonKfuncBase && id < kPoisonKfuncBase + kMaxInsns)) {
    options_.traps.push_back(index);
    return 0;
  }
  const HelperEntry *helper = find_helper(id);
  const char *name = helper_name(id);
  if (helper == nullptr && name == nullptr) return fail(-EINVAL, fmt::format("invalid func unknown#{}", id));
  // A program that nothing runs may call whatever the kernel has.
  if (helper == nullptr && !type_runs(prog_->type())) return 0;
  if (helper == nullptr) {
    system_.log(fmt::format("bpf: program {}: helper {} is not implemented", prog_->name(), name));
    return fail(-EINVAL, fmt::format("helper {}#{} is not implemented", name, id));
  }
  CallTarget target{reinterpret_cast<void *>(helper->thunk), &helper->desc, {}};
  if (id == BPF_FUNC_map_lookup_elem) {
    static constexpr CallDesc kWritable{"bpf_map_lookup_elem", 2, Returns::kReadWritePtr};
    if (const Map *map = map_in_r1(index)) {
      target.inline_op = map->inline_lookup();
      if (map->values_writable()) target.desc = &kWritable;
    }
  } else if (id == BPF_FUNC_get_smp_processor_id) {
    target.inline_op.kind = InlineOp::Kind::kEnvLoad;
    target.inline_op.env = {offsetof(ExecEnv, cpu), sizeof(u32)};
  } else if (id == BPF_FUNC_get_current_task_btf || id == BPF_FUNC_get_current_task) {
    target.inline_op.kind = InlineOp::Kind::kEnvLoad;
    target.inline_op.env = {offsetof(ExecEnv, current_task), sizeof(u64)};
  }
  target.may_end = id == BPF_FUNC_tail_call;
  verify_.helpers[index] = id;
  options_.calls[index] = target;
  return 0;
}

VerifyRules ProgLoader::rules() const {
  const Prog::Attr &attr = prog_->attr();
  VerifyRules rules;
  switch (attr.type) {
    case BPF_PROG_TYPE_STRUCT_OPS: rules = attr.struct_ops->rules(member_); break;
    case BPF_PROG_TYPE_SYSCALL:
      rules = {.caller = "a syscall program", .groups = kAny | kIdle | kCid | kSelectCpu | kUnlocked | kCpuForm};
      break;
    case BPF_PROG_TYPE_TRACING:
    case BPF_PROG_TYPE_TRACEPOINT:
    case BPF_PROG_TYPE_PERF_EVENT:
      rules = {.caller = "a tracing program", .groups = kAny | kIdle | kCid | kCpuForm};
      break;
    default: rules = {.caller = "a program of this type", .groups = 0}; break;
  }
  if (attr.type == BPF_PROG_TYPE_TRACING && attr.expected_attach_type == BPF_TRACE_ITER) {
    const std::string_view name = system_.kernel_btf().type_name(attr.attach_btf_id);
    const Iterator &iterator = *find_iterator(name.substr(kIteratorPrefix.size()));
    rules.nullable_words = iterator.nullable_words;
    rules.args = iterator.args();
  }
  rules.sleepable = prog_->sleepable();
  return rules;
}

int ProgLoader::verify() {
  const VerifyRules rules = this->rules();
  if (prog_->program_ == nullptr) {
    // Nothing runs it, so that paths do not matter.
    for (const auto &[index, kfunc] : verify_.kfuncs) {
      if (!kfunc_allowed(*kfunc, rules.groups)) return fail(-EACCES, kfunc_refusal(*kfunc, rules));
    }
    return 0;
  }
  verify_.program = prog_->program_.get();
  verify_.maps = prog_->maps();
  const Verdict verdict = verify_program(verify_, rules);
  if (verdict.err != 0) return fail(verdict.err, verdict.log);
  if (!verdict.doubt.empty())
    log_ += fmt::format("not refused, as it follows from a number of which not all is known in a loop:\n{}\n",
                        verdict.doubt);
  if (!verdict.whole) log_ += "more paths than are followed: the rest of the program was not looked at\n";
  return 0;
}

long ProgLoader::load(std::shared_ptr<Prog> *out) {
  Prog::Attr attr;
  if (int err = read_attr(&attr); err != 0) return err;
  if (system_.env().alloc_fails(machine::AllocSite::prog)) return -ENOMEM;
  prog_ = std::make_shared<Prog>(system_, std::move(attr));
  for (int (ProgLoader::*step)() : {&ProgLoader::check_member, &ProgLoader::read_insns, &ProgLoader::read_func_info,
                                    &ProgLoader::read_line_info, &ProgLoader::bind_fd_array, &ProgLoader::resolve}) {
    if (int err = (this->*step)(); err != 0) return err;
  }
  if (type_runs(prog_->type())) {
    if (system_.env().alloc_fails(machine::AllocSite::prog_code)) return -ENOMEM;
    options_.name = prog_->name();
    options_.explore = system_.options().explore;
    options_.jit = false;  // Not before verify() has looked at it.
    Result<std::unique_ptr<Program>> program = Program::prepare(insns_, std::move(options_));
    if (!program.ok()) return fail(-EINVAL, program.message());
    prog_->program_ = program.take();
    prog_->program_->set_owner(prog_.get());
  }
  if (int err = verify(); err != 0) return err;
  if (prog_->program_ != nullptr && system_.options().use_jit)
    if (Status status = prog_->program_->translate(); !status.ok()) return fail(-EINVAL, status.message());
  *out = prog_;
  return 0;
}

USCX_BPF_COMMAND(PROG_LOAD, keyring_id) {
  if ((attr->log_buf == 0) != (attr->log_size == 0) && attr->log_level != 0) return -EINVAL;
  ProgLoader loader(system, attr);
  std::shared_ptr<Prog> prog;
  const long err = loader.load(&prog);
  attr->log_true_size = attr->log_level != 0 ? static_cast<u32>(loader.log().size() + 1) : 0;
  const int log_err = write_log(attr->log_buf, attr->log_size, attr->log_level, loader.log());
  if (err != 0) return err;
  return log_err != 0 ? log_err : system.install_fd(prog);
}

}  // namespace uscx::bpf
