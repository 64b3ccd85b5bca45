// SPDX-License-Identifier: GPL-2.0-only
// Opening, loading, attaching and the end of a scheduler. Variables and fields are in scx_values.cc.
#include "schedulers/common/scx_user.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

#include "base/check.h"
#include "base/units.h"

namespace uscx::schedulers {
namespace {

constexpr char kHotplugSeqFile[] = "/sys/kernel/sched_ext/hotplug_seq";
constexpr char kDumpMap[] = ".data.uei_dump";
constexpr char kDumpLength[] = "uei_dump_len";
constexpr char kDumpArray[] = "uei_dump";
constexpr s64 kDumpDefaultLength = 32768;

std::string errno_text(int error) { return std::generic_category().message(error < 0 ? -error : error); }

// What libbpf puts around the verifier's log, and its figures at the end of it: they say nothing of the reason.
bool is_frame(std::string_view line) {
  for (std::string_view frame : {"-- BEGIN PROG LOAD LOG --", "-- END PROG LOAD LOG --", ": failed to load: -",
                                 "failed to load object", "processed ", "verification time ", "stack depth "})
    if (line.find(frame) != std::string_view::npos) return true;
  return false;
}

// What libbpf and the verifier said, in one line: which program, and the last lines, which have the reason. The whole
// is in libbpf_log().
std::string log_summary() {
  constexpr size_t kMaxLines = 6;
  constexpr std::string_view kPrefix = "libbpf: ", kRefused = ": BPF program load failed";
  std::istringstream lines(libbpf_log());
  std::vector<std::string> said;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kPrefix)) line.erase(0, kPrefix.size());
    if (const size_t at = line.find(kRefused); at != std::string::npos) line.resize(at);
    if (!line.empty() && !is_frame(line) && (said.empty() || said.back() != line)) said.push_back(line);
  }
  const bool cut = said.size() > kMaxLines;
  if (cut) said.erase(said.begin() + 1, said.end() - (kMaxLines - 1));
  return said.empty() ? "" : fmt::format(": {}{}", fmt::join(said, "; "), cut ? " (-v shows all)" : "");
}

Result<u64> read_host_hotplug_seq() {
  std::ifstream file(kHotplugSeqFile);
  std::string text;
  if (!(file >> text)) return Status::error("{} cannot be read: this kernel has no sched_ext", kHotplugSeqFile);
  return parse_number(text, 0, ~0ULL);
}

Result<std::vector<u8>> read_file(const std::string &path) {
  std::unique_ptr<FILE, int (*)(FILE *)> file(fopen(path.c_str(), "rb"), fclose);
  if (!file) return Status::error("{}: {}", path, errno_text(errno));
  std::vector<u8> bytes;
  u8 block[65536];
  size_t got;
  while ((got = fread(block, 1, sizeof(block), file.get())) > 0) bytes.insert(bytes.end(), block, block + got);
  if (ferror(file.get())) return Status::error("{}: {}", path, errno_text(errno));
  return bytes;
}

// Whether a map is a table of sched_ext operations, of either form.
bool is_scx_table(const bpf_object *object, const bpf_map *map) {
  if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS) return false;
  const std::string type = type_name(bpf_object__btf(object), bpf_map__btf_value_type_id(map));
  return type == "struct sched_ext_ops" || type == "struct sched_ext_ops_cid";
}

}  // namespace

Environment host_environment() {
  Environment environment;
  environment.hotplug_seq = read_host_hotplug_seq;
  environment.own_pid = getpid();
  return environment;
}

std::string ExitInfo::line() const {
  std::string text = reason;
  if (!msg.empty()) text += fmt::format(" ({})", msg);
  if (cpu.has_value() && *cpu >= 0) text += fmt::format(" on CPU {}", *cpu);
  return text;
}

void print_exit(const ExitInfo &info, FILE *out) {
  if (!info.dump.empty()) {
    const std::string ruler(80, '=');
    fmt::print(out, "\nDEBUG DUMP\n{}\n\n{}\n{}\n\n", ruler, info.dump, ruler);
  }
  fmt::print(out, "EXIT: {}\n", info.line());
}

Result<std::unique_ptr<ScxObject>> ScxObject::open_file(const std::string &path, const Environment &environment) {
  Result<std::vector<u8>> bytes = read_file(path);
  if (!bytes.ok()) return bytes.status();
  const size_t slash = path.rfind('/');
  Result<std::unique_ptr<ScxObject>> object =
      open_memory(slash == std::string::npos ? path : path.substr(slash + 1), *bytes, environment);
  if (!object.ok() && slash != std::string::npos) return object.status().at("in " + path.substr(0, slash));
  return object;
}

Result<std::unique_ptr<ScxObject>> ScxObject::open_memory(const std::string &name, std::span<const u8> bytes,
                                                          const Environment &environment) {
  clear_libbpf_log();
  if (bytes.size() < 4 || memcmp(bytes.data(), "\177ELF", 4) != 0)
    return Status::error("{}: not a BPF object (no ELF file)", name);
  const std::string object_name = name.substr(0, name.find('.'));
  LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = object_name.c_str());
  bpf_object *opened = bpf_object__open_mem(bytes.data(), bytes.size(), &opts);
  if (!opened) return Status::error("{}: not a BPF object that libbpf can open{}", name, log_summary());

  std::unique_ptr<ScxObject> object(new ScxObject(name, opened));
  object->nr_possible_cpus_ = environment.nr_possible_cpus;
  Status status = object->find_ops_table();
  if (status.ok()) status = object->read_kernel_enumerators(environment);
  if (!status.ok()) return status.at(name);
  object->fill_enumerators();
  status = object->set_hotplug_seq(environment);
  if (!status.ok()) return status.at(name);
  return object;
}

ScxObject::~ScxObject() {
  detach();
  bpf_object__close(object_);
}

std::vector<std::string> ScxObject::ops_tables() const {
  std::vector<std::string> tables;
  bpf_map *map;
  bpf_object__for_each_map(map, object_) {
    if (is_scx_table(object_, map)) tables.emplace_back(bpf_map__name(map));
  }
  return tables;
}

Status ScxObject::find_ops_table() {
  std::string others;
  bpf_map *map;
  if (!bpf_object__btf(object_)) return Status::error("it has no BTF; compile it with -g");
  bpf_object__for_each_map(map, object_) {
    if (is_scx_table(object_, map)) {
      ops_map_ = map;
      return {};
    }
    if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS && others.empty())
      others = fmt::format("{} is a {}", bpf_map__name(map),
                           type_name(bpf_object__btf(object_), bpf_map__btf_value_type_id(map)));
  }
  if (others.empty()) return Status::error("no scheduler: it has no sched_ext_ops in section .struct_ops.link");
  return Status::error("no scheduler: {}, not a sched_ext_ops", others);
}

Status ScxObject::select_ops_table(std::string_view table) {
  CHECK(!loaded_);
  const std::vector<std::string> tables = ops_tables();
  for (const std::string &candidate : tables) {
    if (candidate != table) continue;
    ops_map_ = bpf_object__find_map_by_name(object_, candidate.c_str());
    return {};
  }
  return Status::error("{} has no ops table '{}'; it has {}", name_, table, fmt::join(tables, ", "));
}

Status ScxObject::set_hotplug_seq(const Environment &environment) {
  if (!environment.hotplug_seq || !ops_field_place("hotplug_seq").ok()) return {};
  Result<u64> seq = environment.hotplug_seq();
  if (!seq.ok()) return seq.status();
  // Each table of the object, for whichever is selected.
  bpf_map *const selected = ops_map_;
  for (const std::string &table : ops_tables()) {
    ops_map_ = bpf_object__find_map_by_name(object_, table.c_str());
    Status status = set_ops_field("hotplug_seq", fmt::format("{}", *seq));
    if (!status.ok()) return status;
  }
  ops_map_ = selected;
  return {};
}

// The buffer takes what the kernel's takes, or the end of the dump would be lost.
Status ScxObject::size_exit_dump() {
  bpf_map *map = bpf_object__find_map_by_name(object_, kDumpMap);
  std::optional<BtfPlace> length = find_variable(kDumpLength);
  if (!map || !length) return {};
  s64 bytes = kDumpDefaultLength;
  if (Result<s64> asked = ops_field("exit_dump_len"); asked.ok() && *asked > 0) bytes = *asked;
  Status status = write_value(*length, fmt::format("{}", bytes));
  if (!status.ok()) return status;
  if (const int error = bpf_map__set_value_size(map, static_cast<u32>(bytes)); error)
    return Status::error("the exit dump buffer cannot be made {} bytes long: {}{}", bytes, errno_text(error),
                         log_summary());
  return {};
}

Status ScxObject::load() {
  CHECK(!loaded_);
  clear_libbpf_log();
  Status status = size_exit_dump();
  if (!status.ok()) return status.at(name_);
  leave_out_unused_callbacks();
  if (const int error = bpf_object__load(object_); error)
    return Status::error("{}: the load was refused: {}{}", name_, errno_text(error), log_summary());
  loaded_ = true;
  return associate_programs().at(name_);
}

// Kfuncs act for the scheduler that a program is associated with. A kernel that knows no association (EINVAL) has one
// scheduler at a time anyway.
Status ScxObject::associate_programs() {
  bpf_program *program;
  bpf_object__for_each_program(program, object_) {
    if (bpf_program__type(program) == BPF_PROG_TYPE_STRUCT_OPS || bpf_program__fd(program) < 0) continue;
    const int error = bpf_program__assoc_struct_ops(program, ops_map_, nullptr);
    if (error && error != -EINVAL)
      return Status::error("program {} cannot be associated with {}: {}{}", bpf_program__name(program),
                           bpf_map__name(ops_map_), errno_text(error), log_summary());
  }
  return {};
}

Status ScxObject::attach_programs() {
  bpf_program *program;
  bpf_object__for_each_program(program, object_) {
    if (bpf_program__type(program) == BPF_PROG_TYPE_STRUCT_OPS || bpf_program__fd(program) < 0 ||
        !bpf_program__autoattach(program))
      continue;
    bpf_link *link = bpf_program__attach(program);
    if (link) {
      program_links_.push_back(link);
      continue;
    }
    // A program that somebody runs or attaches by hand.
    if (errno == EOPNOTSUPP) continue;
    attach_errno_ = errno;
    return Status::error("{}: program {} cannot be attached: {}{}", name_, bpf_program__name(program),
                         errno_text(attach_errno_), log_summary());
  }
  return {};
}

Status ScxObject::attach() {
  CHECK(loaded_ && !link_);
  clear_libbpf_log();
  attach_errno_ = 0;
  Status status = attach_programs();
  if (!status.ok()) {
    detach();
    return status;
  }
  link_ = bpf_map__attach_struct_ops(ops_map_);
  if (link_) return {};
  attach_errno_ = errno;
  detach();
  if (attach_errno_ == EBUSY) return Status::error("{}: another scheduler is enabled (EBUSY)", name_);
  return Status::error("{}: {} cannot be attached: {}{}", name_, bpf_map__name(ops_map_), errno_text(attach_errno_),
                       log_summary());
}

void ScxObject::detach() {
  if (link_) bpf_link__destroy(link_);
  link_ = nullptr;
  for (bpf_link *link : program_links_) bpf_link__destroy(link);
  program_links_.clear();
}

bool ScxObject::exited() const {
  const std::optional<BtfPlace> record = find_exit_record();
  if (!record) return false;
  Result<BtfPlace> kind = find_member(*record, "kind");
  // Pairs with the exchange of the BPF half, which writes the kind after everything else.
  return kind.ok() && __atomic_load_n(reinterpret_cast<const u32 *>(kind->data), __ATOMIC_ACQUIRE) != 0;
}

ExitInfo ScxObject::exit_info() const {
  ExitInfo info;
  if (!exited()) return info;
  const BtfPlace record = *find_exit_record();
  const auto integer = [&](std::string_view member) -> std::optional<s64> {
    Result<BtfPlace> place = find_member(record, member);
    return place.ok() ? std::optional<s64>(read_integer(*place)) : std::nullopt;
  };
  const auto string = [&](std::string_view member) {
    Result<BtfPlace> place = find_member(record, member);
    return place.ok() ? read_string(*place) : std::string();
  };
  info.kind = integer("kind").value_or(0);
  info.code = integer("exit_code").value_or(0);
  if (const std::optional<s64> cpu = integer("exit_cpu")) info.cpu = static_cast<s32>(*cpu);
  info.reason = string("reason");
  info.msg = string("msg");
  if (const std::optional<BtfPlace> dump = find_variable(kDumpArray)) info.dump = read_string(*dump);
  return info;
}

Result<std::vector<u64>> ScxObject::percpu_sums(const char *map_name, u32 n) const {
  CHECK(loaded_);
  const bpf_map *map = bpf_object__find_map_by_name(object_, map_name);
  if (!map || bpf_map__type(map) != BPF_MAP_TYPE_PERCPU_ARRAY || bpf_map__value_size(map) != sizeof(u64))
    return Status::error("{} has no per-CPU array of u64 named {}", name_, map_name);
  const int cpus = nr_possible_cpus_ > 0 ? static_cast<int>(nr_possible_cpus_) : libbpf_num_possible_cpus();
  if (cpus <= 0) return Status::error("the number of possible CPUs is unknown: {}", errno_text(cpus));
  std::vector<u64> values(static_cast<size_t>(cpus));
  std::vector<u64> sums(n);
  for (u32 key = 0; key < n; key++) {
    // Not bpf_map__lookup_elem(): it checks the size against the number of CPUs that libbpf remembers.
    const int error = bpf_map_lookup_elem(bpf_map__fd(map), &key, values.data());
    if (error) return Status::error("map {}: {}", map_name, errno_text(error));
    for (const u64 value : values) sums[key] += value;
  }
  return sums;
}

}  // namespace uscx::schedulers
