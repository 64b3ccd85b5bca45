// SPDX-License-Identifier: GPL-2.0-only
// bpf(2)'s commands on programs that are loaded, on links, ids and information.
#include <bpf/btf.h>
#include <errno.h>

#include <cstring>

#include "bpf/memory/region.h"
#include "bpf/object/bpf_system.h"
#include "bpf/object/command.h"
#include "bpf/object/hooks.h"
#include "bpf/object/iter_link.h"
#include "bpf/object/prog.h"
#include "bpf/object/user_memory.h"

namespace uscx::bpf {

USCX_BPF_COMMAND(PROG_BIND_MAP, prog_bind_map.flags) {
  if (attr->prog_bind_map.flags != 0) return -EINVAL;
  const std::shared_ptr<Object> prog = system.object_of_fd(static_cast<int>(attr->prog_bind_map.prog_fd));
  if (prog == nullptr) return -EBADF;
  if (prog->kind() != ObjectKind::kProg) return -EINVAL;
  std::shared_ptr<Map> map;
  if (int err = system.map_of_fd(attr->prog_bind_map.map_fd, &map); err != 0) return err;
  std::static_pointer_cast<Prog>(prog)->bind_map(std::move(map));
  return 0;
}

USCX_BPF_COMMAND(PROG_ASSOC_STRUCT_OPS, prog_assoc_struct_ops.flags) {
  if (attr->prog_assoc_struct_ops.flags != 0) return -EINVAL;
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(attr->prog_assoc_struct_ops.prog_fd));
  if (object == nullptr) return -EBADF;
  const auto prog = std::dynamic_pointer_cast<Prog>(object);
  if (prog == nullptr || prog->type() == BPF_PROG_TYPE_STRUCT_OPS) return -EINVAL;
  std::shared_ptr<Map> map;
  if (int err = system.map_of_fd(attr->prog_assoc_struct_ops.map_fd, &map); err != 0) return err;
  const auto ops = std::dynamic_pointer_cast<StructOpsMap>(map);
  return ops == nullptr ? -EINVAL : prog->associate(ops);
}

USCX_BPF_COMMAND(PROG_TEST_RUN, test.batch_size) {
  constexpr u32 kMaxCtxBytes = 0xffff;
  auto &test = attr->test;
  if ((test.ctx_size_in != 0) != (test.ctx_in != 0) || (test.ctx_size_out != 0) != (test.ctx_out != 0)) return -EINVAL;
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(test.prog_fd));
  if (object == nullptr) return -EBADF;
  const auto prog = std::dynamic_pointer_cast<Prog>(object);
  if (prog == nullptr) return -EINVAL;
  if (prog->type() != BPF_PROG_TYPE_SYSCALL) {
    system.log(fmt::format("bpf: PROG_TEST_RUN of program {}: only syscall programs can be run", prog->name()));
    return -kENotSupp;
  }
  if (test.data_in != 0 || test.data_out != 0 || test.ctx_out != 0 || test.duration != 0 || test.repeat != 0 ||
      test.flags != 0 || test.batch_size != 0 || test.ctx_size_in > kMaxCtxBytes)
    return -EINVAL;
  void *ctx = nullptr;
  if (test.ctx_size_in != 0) {
    ctx = Region::get().alloc_at_end(Half::kReadWrite, test.ctx_size_in);
    if (int err = copy_from_user(ctx, test.ctx_in, test.ctx_size_in); err != 0) {
      Region::get().free_pages(ctx);
      return err;
    }
  }
  u64 r0 = 0;
  const bool ran = system.env().run_prog(*prog, reinterpret_cast<u64>(ctx), &r0);
  int err = 0;
  if (ctx != nullptr) {
    err = copy_to_user(test.ctx_in, ctx, test.ctx_size_in);
    Region::get().free_pages(ctx);
  }
  // FIDELITY: test-run-abort.
  test.retval = ran ? static_cast<u32>(r0) : 0;
  return err;
}

USCX_BPF_COMMAND(PROG_STREAM_READ_BY_FD, prog_stream_read.prog_fd) {
  const auto &read = attr->prog_stream_read;
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(read.prog_fd));
  if (object == nullptr) return -EBADF;
  const auto prog = std::dynamic_pointer_cast<Prog>(object);
  if (prog == nullptr) return -EINVAL;
  if (!Prog::is_stream(read.stream_id)) return -ENOENT;
  size_t bytes = 0;
  const int err = prog->read_stream(read.stream_id, read.stream_buf_len, [&](std::string_view text) {
    bytes = text.size();
    return copy_to_user(read.stream_buf, text.data(), bytes);
  });
  return err != 0 ? err : static_cast<long>(bytes);
}

// --- Links ---

USCX_BPF_COMMAND(LINK_CREATE, link_create.uprobe_multi.pid) {
  const auto &create = attr->link_create;
  if (create.attach_type == BPF_STRUCT_OPS) {
    if (create.flags != 0) return -EINVAL;
    std::shared_ptr<Map> map;
    if (int err = system.map_of_fd(create.map_fd, &map); err != 0) return err;
    const auto ops = std::dynamic_pointer_cast<StructOpsMap>(map);
    if (ops == nullptr) return -EINVAL;
    if (system.env().alloc_fails(machine::AllocSite::link)) return -ENOMEM;
    if (int err = ops->attach(); err != 0) return err;
    return system.install_fd(std::make_shared<StructOpsLink>(system, ops));
  }
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(create.prog_fd));
  if (object == nullptr) return -EBADF;
  const auto prog = std::dynamic_pointer_cast<Prog>(object);
  if (prog == nullptr) return -EINVAL;
  // Attachment by perf event or uprobe fails on its target before anything else is looked at; feature probes rest on
  // it.
  if (create.attach_type == BPF_PERF_EVENT) {
    const auto event = system.get<PerfEvent>(static_cast<int>(create.target_fd));
    if (event == nullptr) return -EBADF;
    if (create.flags != 0) return -EINVAL;
    return attach_to_event(prog, event, create.perf_event.bpf_cookie);
  }
  if (create.attach_type == BPF_TRACE_ITER && prog->attr().expected_attach_type == BPF_TRACE_ITER &&
      prog->type() == BPF_PROG_TYPE_TRACING)
    return create.flags != 0 || create.target_fd != 0 ? -EINVAL : link_iterator(prog, *attr);
  if (create.attach_type == BPF_TRACE_UPROBE_MULTI)
    return static_cast<s32>(create.uprobe_multi.pid) < 0 ? -EINVAL : -EBADF;
  if (prog->type() == BPF_PROG_TYPE_TRACING && create.attach_type == prog->attr().expected_attach_type &&
      create.attach_type != BPF_TRACE_ITER)
    return create.flags != 0 || create.target_fd != 0 ? -EINVAL : attach_tracing(prog, create.tracing.cookie);
  system.log(fmt::format("bpf: LINK_CREATE of program {}: attach type {} is not implemented", prog->name(),
                         u32{create.attach_type}));
  return -EINVAL;
}

USCX_BPF_COMMAND(ITER_CREATE, iter_create.flags) {
  if (attr->iter_create.flags != 0) return -EINVAL;
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(attr->iter_create.link_fd));
  if (object == nullptr) return -EBADF;
  const auto link = std::dynamic_pointer_cast<IterLink>(object);
  return link == nullptr ? -EINVAL : link->read();
}

USCX_BPF_COMMAND(LINK_UPDATE, link_update.old_prog_fd) {
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(attr->link_update.link_fd));
  if (object == nullptr) return -EBADF;
  if (attr->link_update.flags & ~static_cast<u32>(BPF_F_REPLACE) || object->kind() != ObjectKind::kLink) return -EINVAL;
  // The only struct_ops tables there are, sched_ext's, have no update.
  return -EOPNOTSUPP;
}

USCX_BPF_COMMAND(LINK_DETACH, link_detach.link_fd) {
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(attr->link_detach.link_fd));
  if (object == nullptr) return -EBADF;
  if (object->kind() != ObjectKind::kLink) return -EINVAL;
  const auto link = std::dynamic_pointer_cast<StructOpsLink>(object);
  return link == nullptr ? -EOPNOTSUPP : link->detach();
}

USCX_BPF_COMMAND(RAW_TRACEPOINT_OPEN, raw_tracepoint.cookie) {
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(attr->raw_tracepoint.prog_fd));
  if (object == nullptr) return -EBADF;
  const auto prog = std::dynamic_pointer_cast<Prog>(object);
  if (prog == nullptr) return -EINVAL;
  if (prog->type() == BPF_PROG_TYPE_TRACING) {
    // Where it goes was said when it was loaded.
    if (attr->raw_tracepoint.name != 0 || prog->attr().expected_attach_type == BPF_TRACE_ITER) return -EINVAL;
    return attach_tracing(prog, attr->raw_tracepoint.cookie);
  }
  if (prog->type() != BPF_PROG_TYPE_RAW_TRACEPOINT) return -EINVAL;
  char name[128] = {};
  for (size_t i = 0; i < sizeof(name) - 1; i++) {
    if (copy_from_user(&name[i], attr->raw_tracepoint.name + i, 1) != 0) return -EFAULT;
    if (name[i] == 0) break;
  }
  const s32 hook = find_hook(HookKind::kTracepoint, name);
  return hook < 0 ? -ENOENT : attach_tracing(prog, hook, attr->raw_tracepoint.cookie);
}

// --- Ids ---

namespace {

long next_id(const BpfSystem &system, ObjectKind kind, union bpf_attr *attr) {
  if (attr->start_id >= INT32_MAX) return -EINVAL;
  const u32 next = system.next_id(kind, attr->start_id);
  if (next == 0) return -ENOENT;
  attr->next_id = next;
  return 0;
}

long fd_by_id(BpfSystem &system, ObjectKind kind, const union bpf_attr &attr) {
  const std::shared_ptr<Object> object = system.find_object(kind, attr.start_id);
  return object == nullptr ? -ENOENT : system.install_fd(object);
}

}  // namespace

USCX_BPF_COMMAND(PROG_GET_NEXT_ID, next_id) { return next_id(system, ObjectKind::kProg, attr); }
USCX_BPF_COMMAND(MAP_GET_NEXT_ID, next_id) { return next_id(system, ObjectKind::kMap, attr); }
USCX_BPF_COMMAND(BTF_GET_NEXT_ID, next_id) { return next_id(system, ObjectKind::kBtf, attr); }
USCX_BPF_COMMAND(LINK_GET_NEXT_ID, next_id) { return next_id(system, ObjectKind::kLink, attr); }

USCX_BPF_COMMAND(PROG_GET_FD_BY_ID, fd_by_id_token_fd) { return fd_by_id(system, ObjectKind::kProg, *attr); }
USCX_BPF_COMMAND(MAP_GET_FD_BY_ID, fd_by_id_token_fd) { return fd_by_id(system, ObjectKind::kMap, *attr); }
USCX_BPF_COMMAND(BTF_GET_FD_BY_ID, fd_by_id_token_fd) { return fd_by_id(system, ObjectKind::kBtf, *attr); }
USCX_BPF_COMMAND(LINK_GET_FD_BY_ID, fd_by_id_token_fd) { return fd_by_id(system, ObjectKind::kLink, *attr); }

// --- Information ---

namespace {

constexpr u32 kKernelBtfId = 1;

void copy_name(char (&out)[BPF_OBJ_NAME_LEN], const std::string &name) {
  std::memset(out, 0, sizeof(out));
  std::memcpy(out, name.data(), std::min(name.size(), sizeof(out) - 1));
}

// Reads what user space asks of an info structure, and writes back as much of ours as its buffer takes.
template <typename Info>
struct InfoBuffer {
  Info info{};
  int read(const union bpf_attr *attr) {
    const u32 length = std::min<u32>(attr->info.info_len, sizeof(Info));
    for (u32 at = sizeof(Info); at < attr->info.info_len; at++) {
      u8 byte;
      if (copy_from_user(&byte, attr->info.info + at, 1) != 0) return -EFAULT;
      if (byte != 0) return -E2BIG;
    }
    return copy_from_user(&info, attr->info.info, length);
  }
  int write(union bpf_attr *attr) {
    attr->info.info_len = std::min<u32>(attr->info.info_len, sizeof(Info));
    return copy_to_user(attr->info.info, &info, attr->info.info_len);
  }
};

int map_info(const Map &map, union bpf_attr *attr) {
  InfoBuffer<bpf_map_info> buffer;
  if (int err = buffer.read(attr); err != 0) return err;
  bpf_map_info info{};
  info.type = map.type();
  info.id = map.id();
  info.key_size = map.key_size();
  info.value_size = map.value_size();
  info.max_entries = map.max_entries();
  info.map_flags = map.attr().flags;
  info.map_extra = map.attr().extra;
  copy_name(info.name, map.name());
  if (map.attr().btf != nullptr) {
    info.btf_id = map.attr().btf->id();
    info.btf_key_type_id = map.attr().btf_key_type_id;
    info.btf_value_type_id = map.attr().btf_value_type_id;
  }
  info.btf_vmlinux_value_type_id = map.attr().btf_vmlinux_value_type_id;
  if (info.btf_vmlinux_value_type_id != 0) info.btf_vmlinux_id = kKernelBtfId;
  buffer.info = info;
  return buffer.write(attr);
}

// Arrays of which user space says where they go and how much there is room for.
template <typename T>
int copy_array(u64 to, u64 wanted, std::span<const T> ours) {
  return to == 0 ? 0 : copy_to_user(to, ours.data(), std::min<u64>(wanted, ours.size()) * sizeof(T));
}

int copy_prog_arrays(const Prog &prog, const bpf_prog_info &asked) {
  std::vector<u32> map_ids;
  for (const auto &map : prog.maps()) map_ids.push_back(map->id());
  const std::span<const u8> insns(reinterpret_cast<const u8 *>(prog.insns().data()),
                                  prog.insns().size() * sizeof(bpf_insn));
  for (int err : {copy_array<u32>(asked.map_ids, asked.nr_map_ids, map_ids),
                  copy_array<u8>(asked.xlated_prog_insns, asked.xlated_prog_len, insns),
                  copy_array<u8>(asked.jited_prog_insns, asked.jited_prog_len, prog.code()),
                  copy_array<bpf_func_info>(asked.func_info, asked.nr_func_info, prog.func_info()),
                  copy_array<bpf_line_info>(asked.line_info, asked.nr_line_info, prog.line_info())})
    if (err != 0) return err;
  return 0;
}

int prog_info(const Prog &prog, union bpf_attr *attr) {
  InfoBuffer<bpf_prog_info> buffer;
  if (int err = buffer.read(attr); err != 0) return err;
  if (int err = copy_prog_arrays(prog, buffer.info); err != 0) return err;
  const bpf_prog_info asked = buffer.info;
  bpf_prog_info &info = buffer.info;
  info = {};
  info.type = prog.type();
  info.id = prog.id();
  copy_name(info.name, prog.name());
  const u64 tag = prog.tag();
  std::memcpy(info.tag, &tag, sizeof info.tag);
  info.load_time = prog.loaded_ns();
  info.jited_prog_len = static_cast<u32>(prog.code().size());
  info.jited_prog_insns = asked.jited_prog_insns;
  info.xlated_prog_len = static_cast<u32>(prog.insns().size() * sizeof(bpf_insn));
  info.xlated_prog_insns = asked.xlated_prog_insns;
  info.verified_insns = static_cast<u32>(prog.insns().size());
  info.gpl_compatible = prog.attr().gpl_compatible;
  info.attach_btf_obj_id = prog.attr().attach_btf_id != 0 ? kKernelBtfId : 0;
  info.attach_btf_id = prog.attr().attach_btf_id;
  info.btf_id = prog.attr().btf != nullptr ? prog.attr().btf->id() : 0;
  info.nr_map_ids = static_cast<u32>(prog.maps().size());
  info.map_ids = asked.map_ids;
  info.func_info_rec_size = sizeof(bpf_func_info);
  info.nr_func_info = static_cast<u32>(prog.func_info().size());
  info.func_info = asked.func_info;
  info.line_info_rec_size = sizeof(bpf_line_info);
  info.nr_line_info = static_cast<u32>(prog.line_info().size());
  info.line_info = asked.line_info;
  return buffer.write(attr);
}

int btf_info(const Btf &btf, union bpf_attr *attr) {
  InfoBuffer<bpf_btf_info> buffer;
  if (int err = buffer.read(attr); err != 0) return err;
  bpf_btf_info &info = buffer.info;
  if ((info.name == 0) != (info.name_len == 0)) return -EINVAL;
  const u32 wanted = info.btf_size, room = info.name_len;
  info.btf_size = static_cast<u32>(btf.raw().size());
  info.id = btf.id();
  info.kernel_btf = btf.is_kernel();
  info.name_len = static_cast<u32>(btf.name().size());
  if (int err = copy_to_user(info.btf, btf.raw().data(), std::min(wanted, info.btf_size)); err != 0) return err;
  const std::string name = btf.name().substr(0, room != 0 ? room - 1 : 0);
  if (int err = room != 0 ? copy_to_user(info.name, name.c_str(), name.size() + 1) : 0; err != 0) return err;
  const int err = buffer.write(attr);
  return err == 0 && room != 0 && name.size() < btf.name().size() ? -ENOSPC : err;
}

int link_info(const Object &link, union bpf_attr *attr) {
  InfoBuffer<bpf_link_info> buffer;
  if (int err = buffer.read(attr); err != 0) return err;
  bpf_link_info info{};
  info.id = link.id();
  if (const auto *tracing = dynamic_cast<const TracingLink *>(&link)) {
    const Prog::Attr &attr = tracing->prog()->attr();
    info.type = tracing->is_perf()                   ? BPF_LINK_TYPE_PERF_EVENT
                : attr.type == BPF_PROG_TYPE_TRACING ? BPF_LINK_TYPE_TRACING
                                                     : BPF_LINK_TYPE_RAW_TRACEPOINT;
    info.prog_id = tracing->prog()->id();
    if (attr.type == BPF_PROG_TYPE_TRACING) {
      info.tracing.attach_type = attr.expected_attach_type;
      info.tracing.target_obj_id = kKernelBtfId;
      info.tracing.target_btf_id = attr.attach_btf_id;
    }
  } else if (const auto *iterator = dynamic_cast<const IterLink *>(&link)) {
    info.type = BPF_LINK_TYPE_ITER;
    info.prog_id = iterator->prog()->id();
  } else {
    info.type = BPF_LINK_TYPE_STRUCT_OPS;
    const StructOpsMap *map = static_cast<const StructOpsLink &>(link).map();
    info.struct_ops.map_id = map != nullptr ? map->id() : 0;
  }
  buffer.info = info;
  return buffer.write(attr);
}

}  // namespace

USCX_BPF_COMMAND(OBJ_GET_INFO_BY_FD, info.info) {
  const std::shared_ptr<Object> object = system.object_of_fd(static_cast<int>(attr->info.bpf_fd));
  if (object == nullptr) return -EBADF;
  switch (object->kind()) {
    case ObjectKind::kMap: return map_info(static_cast<Map &>(*object), attr);
    case ObjectKind::kProg: return prog_info(static_cast<Prog &>(*object), attr);
    case ObjectKind::kBtf: return btf_info(static_cast<Btf &>(*object), attr);
    case ObjectKind::kLink: return link_info(*object, attr);
    case ObjectKind::kPerfEvent:
    case ObjectKind::kIterator: break;
  }
  return -EINVAL;
}

// --- /proc/PID/fdinfo ---

namespace {

// FIDELITY: memlock. What the values and keys need, without what a map has around them.
u64 memory_bytes(const Map &map) {
  const u64 element = ((map.key_size() + 7) & ~7ull) + ((map.value_size() + 7) & ~7ull);
  return (std::max<u64>(map.mmap_size(), element * map.max_entries()) + kPageBytes - 1) & ~(kPageBytes - 1);
}

std::string tag_text(const Prog &prog) {
  u64 tag = prog.tag();
  std::string text;
  for (size_t i = 0; i < sizeof tag; i++) text += fmt::format("{:02x}", (tag >> 8 * i) & 0xff);
  return text;
}

std::string map_fdinfo(const Map &map) {
  return fmt::format(
      "map_type:\t{}\nkey_size:\t{}\nvalue_size:\t{}\nmax_entries:\t{}\nmap_flags:\t{:#x}\nmap_extra:\t{:#x}\n"
      "memlock:\t{}\nmap_id:\t{}\nfrozen:\t{}\n",
      map.type(), map.key_size(), map.value_size(), map.max_entries(), map.attr().flags, map.attr().extra,
      memory_bytes(map), map.id(), map.frozen() ? 1 : 0);
}

std::string prog_fdinfo(const Prog &prog) {
  return fmt::format(
      "prog_type:\t{}\nprog_jited:\t{}\nprog_tag:\t{}\nmemlock:\t{}\nprog_id:\t{}\nrun_time_ns:\t0\nrun_cnt:\t0\n"
      "recursion_misses:\t0\nverified_insns:\t{}\n",
      prog.type(), prog.code().empty() ? 0 : 1, tag_text(prog), kPageBytes, prog.id(), prog.insns().size());
}

std::string link_fdinfo(const Object &link) {
  const auto *tracing = dynamic_cast<const TracingLink *>(&link);
  const auto *iterator = dynamic_cast<const IterLink *>(&link);
  const auto *ops = dynamic_cast<const StructOpsLink *>(&link);
  const Prog *prog = tracing != nullptr    ? tracing->prog().get()
                     : iterator != nullptr ? iterator->prog().get()
                                           : nullptr;
  const char *type = ops != nullptr                             ? "struct_ops"
                     : iterator != nullptr                      ? "iter"
                     : tracing != nullptr && tracing->is_perf() ? "perf_event"
                     : prog->type() == BPF_PROG_TYPE_TRACING    ? "tracing"
                                                                : "raw_tracepoint";
  std::string text = fmt::format("link_type:\t{}\nlink_id:\t{}\n", type, link.id());
  if (prog != nullptr) text += fmt::format("prog_tag:\t{}\nprog_id:\t{}\n", tag_text(*prog), prog->id());
  if (ops != nullptr && ops->map() != nullptr) text += fmt::format("map_id:\t{}\n", ops->map()->id());
  return text;
}

}  // namespace

std::string BpfSystem::fdinfo_text(const Object &object) const {
  const std::string start = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t1\n";
  switch (object.kind()) {
    case ObjectKind::kMap: return start + map_fdinfo(static_cast<const Map &>(object));
    case ObjectKind::kProg: return start + prog_fdinfo(static_cast<const Prog &>(object));
    case ObjectKind::kBtf: return start + fmt::format("btf_id:\t{}\n", object.id());
    case ObjectKind::kLink: return start + link_fdinfo(object);
    case ObjectKind::kPerfEvent:
    case ObjectKind::kIterator: break;
  }
  return start;
}

}  // namespace uscx::bpf
