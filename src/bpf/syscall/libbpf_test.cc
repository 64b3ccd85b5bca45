// SPDX-License-Identifier: GPL-2.0-only
// libbpf, unchanged, against the emulated bpf(2): open, relocate, load, attach, run, detach, as a scheduler's user half
// does it. The struct_ops type is a recorder in place of sched_ext.
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>

#include "abi/kernel.h"
#include "abi/scx.h"
#include "bpf/exec/exec.h"
#include "bpf/object/prog.h"
#include "bpf/testing/env.h"

extern "C" int uscx_libbpf_close(int fd);
extern "C" int uscx_libbpf_fcntl(int fd, int cmd, ...);

namespace uscx::bpf {
namespace {

class Recorder final : public StructOpsType {
 public:
  const char *name() const override { return "sched_ext_ops"; }
  int check_member(const StructOpsMember &member, const Prog &, std::string *why) override {
    if (member.name != refused_member) return 0;
    *why = "refused by the test";
    return -EINVAL;
  }
  bool may_sleep(const StructOpsMember &member) const override { return member.name == "init"; }
  int init_member(const StructOpsMember &member, const void *user_table, void *table) override {
    if (member.is_callback) return 0;
    std::memcpy(static_cast<char *>(table) + member.offset, static_cast<const char *>(user_table) + member.offset,
                member.size);
    return 1;
  }
  int validate(StructOpsMap &) override { return 0; }
  int reg(StructOpsMap &map) override {
    registered = &map;
    return reg_result;
  }
  void unreg(StructOpsMap &) override { registered = nullptr; }

  StructOpsMap *registered = nullptr;
  int reg_result = 0;
  std::string refused_member;
};

std::string libbpf_text;
int keep_text(enum libbpf_print_level, const char *format, va_list args) {
  char line[1024];
  std::vsnprintf(line, sizeof(line), format, args);
  libbpf_text += line;
  return 0;
}

class LibbpfTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto recorder = std::make_unique<Recorder>();
    recorder_ = recorder.get();
    std::vector<std::unique_ptr<StructOpsType>> types;
    types.push_back(std::move(recorder));
    system_ = make_test_system(env_, std::move(types));
    scope_ = std::make_unique<BpfSystem::Scope>(*system_);
    libbpf_text.clear();
    libbpf_set_print(keep_text);
    task_ = static_cast<struct task_struct *>(Region::get().alloc_pages(Half::kReadOnly, sizeof(*task_), true));
    env_.live.insert(task_);
    env_.task = task_;
  }
  void TearDown() override {
    if (object_ != nullptr) bpf_object__close(object_);
    scope_ = nullptr;
    system_ = nullptr;
    Region::get().free_pages(task_);
  }

  void load(const char *path) {
    object_ = bpf_object__open_file(path, nullptr);
    ASSERT_NE(object_, nullptr) << libbpf_text;
    ASSERT_EQ(bpf_object__load(object_), 0) << libbpf_text << env_.logged;
  }
  // Runs a callback of the registered table with up to three arguments.
  RunResult call(const char *member, std::initializer_list<u64> args, ExecMode mode) {
    Prog *prog = recorder_->registered->prog(member);
    CHECK(prog != nullptr);
    u64 *ctx = static_cast<u64 *>(Region::get().alloc_pages(Half::kReadOnly, 4096, true));
    std::copy(args.begin(), args.end(), ctx);
    ExecEnv exec{env_.on_cpu, 0, reinterpret_cast<u64>(env_.task)};
    Invocation invocation(&exec);
    const RunResult result = run(*prog->program(), reinterpret_cast<u64>(ctx), invocation, mode);
    EXPECT_FALSE(result.aborted()) << result.abort->message;
    EXPECT_FALSE(invocation.release_holdings());
    system_->quiescent();
    Region::get().free_pages(ctx);
    return result;
  }
  // A variable of the object's .bss, as user space sees it through its mmap.
  u64 variable(const char *name, size_t bytes = 8) {
    bpf_map *bss = bpf_object__find_map_by_name(object_, ".bss");
    size_t size;
    const char *data = static_cast<const char *>(bpf_map__initial_value(bss, &size));
    const btf *btf = bpf_object__btf(object_);
    const btf_type *section = btf__type_by_id(btf, btf__find_by_name_kind(btf, ".bss", BTF_KIND_DATASEC));
    for (u32 i = 0; i < btf_vlen(section); i++) {
      const btf_var_secinfo &info = btf_var_secinfos(section)[i];
      if (std::strcmp(btf__name_by_offset(btf, btf__type_by_id(btf, info.type)->name_off), name) != 0) continue;
      u64 value = 0;
      std::memcpy(&value, data + info.offset, bytes);
      return value;
    }
    ADD_FAILURE() << "no variable " << name;
    return 0;
  }

  TestEnv env_;
  Recorder *recorder_ = nullptr;
  std::unique_ptr<BpfSystem> system_;
  std::unique_ptr<BpfSystem::Scope> scope_;
  bpf_object *object_ = nullptr;
  struct task_struct *task_ = nullptr;
};

TEST_F(LibbpfTest, ObjectLoadsAttachesRunsAndDetaches) {
  load(USCX_TEST_OBJECT);
  bpf_map *ops = bpf_object__find_map_by_name(object_, "test_ops");
  bpf_link *link = bpf_map__attach_struct_ops(ops);
  ASSERT_NE(link, nullptr) << libbpf_text;
  ASSERT_NE(recorder_->registered, nullptr);
  const auto *table = static_cast<const struct sched_ext_ops *>(recorder_->registered->table());
  EXPECT_STREQ(table->name, "libbpf_test");
  EXPECT_EQ(table->timeout_ms, 20u);

  EXPECT_EQ(call("init", {}, ExecMode::kJit).r0, 0u);
  EXPECT_EQ(variable("seen_weight"), 2u);
  EXPECT_EQ(variable("version"), (7u << 16) + (2u << 8) + 12u);
  EXPECT_EQ(variable("hz"), 250u);
  EXPECT_EQ(variable("flags"), 1u);

  task_->pid = 77;
  for (ExecMode mode : {ExecMode::kJit, ExecMode::kInterp}) {
    env_.on_cpu = 2;
    call("enqueue", {reinterpret_cast<u64>(task_), 1}, mode);
  }
  EXPECT_EQ(variable("nr_enqueued"), 2u);
  EXPECT_EQ(variable("last_pid", 4), 77u);
  u64 counts[4];
  const u32 key = 1;
  bpf_map *stats = bpf_object__find_map_by_name(object_, "stats");
  ASSERT_EQ(bpf_map__lookup_elem(stats, &key, 4, counts, sizeof(counts), 0), 0);
  EXPECT_EQ(counts[2], 2u);
  EXPECT_EQ(counts[0], 0u);
  s32 pid = 0;
  const int pids = bpf_map__fd(bpf_object__find_map_by_name(object_, "pids"));
  ASSERT_EQ(bpf_map_lookup_and_delete_elem(pids, nullptr, &pid), 0);
  EXPECT_EQ(pid, 77);

  bpf_link__destroy(link);
  EXPECT_EQ(recorder_->registered, nullptr);
}

TEST_F(LibbpfTest, ClosingTheLinksLastDescriptorDetaches) {
  load(USCX_TEST_OBJECT);
  bpf_map *ops = bpf_object__find_map_by_name(object_, "test_ops");
  bpf_link *link = bpf_map__attach_struct_ops(ops);
  ASSERT_NE(link, nullptr) << libbpf_text;
  EXPECT_LT(bpf_link_create(bpf_map__fd(ops), 0, BPF_STRUCT_OPS, nullptr), 0);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_LT(bpf_link_update(bpf_link__fd(link), bpf_map__fd(ops), nullptr), 0);
  EXPECT_EQ(errno, EOPNOTSUPP);
  const int copy = uscx_libbpf_fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 3);
  bpf_link__destroy(link);
  EXPECT_NE(recorder_->registered, nullptr) << "a descriptor is left";
  uscx_libbpf_close(copy);
  EXPECT_EQ(recorder_->registered, nullptr);
}

TEST_F(LibbpfTest, RefusedRegistrationIsTheAttachsError) {
  load(USCX_TEST_OBJECT);
  recorder_->reg_result = -EBUSY;
  EXPECT_EQ(bpf_map__attach_struct_ops(bpf_object__find_map_by_name(object_, "test_ops")), nullptr);
  EXPECT_EQ(errno, EBUSY);
}

TEST_F(LibbpfTest, RefusedMemberIsNamedInTheLog) {
  recorder_->refused_member = "enqueue";
  object_ = bpf_object__open_file(USCX_TEST_OBJECT, nullptr);
  EXPECT_EQ(bpf_object__load(object_), -EINVAL);
  EXPECT_NE(libbpf_text.find("unsupported member enqueue of struct sched_ext_ops: refused by the test"),
            std::string::npos)
      << libbpf_text;
}

TEST_F(LibbpfTest, ProgramsAreAssociatedWithTheirTable) {
  load(USCX_TEST_OBJECT);
  bpf_program *program = bpf_object__find_program_by_name(object_, "double_it");
  bpf_map *ops = bpf_object__find_map_by_name(object_, "test_ops");
  const auto prog = system_->get<Prog>(bpf_program__fd(program));
  EXPECT_EQ(prog->assoc(), Prog::Assoc::kNone);
  ASSERT_EQ(bpf_program__assoc_struct_ops(program, ops, nullptr), 0);
  EXPECT_EQ(prog->assoc_map()->name(), "test_ops");
  bpf_link *link = bpf_map__attach_struct_ops(ops);
  ASSERT_NE(link, nullptr) << libbpf_text;
  bpf_program *callback = bpf_object__find_program_by_name(object_, "test_enqueue");
  EXPECT_EQ(system_->get<Prog>(bpf_program__fd(callback))->assoc_map(), prog->assoc_map());
  bpf_link__destroy(link);
}

TEST_F(LibbpfTest, SyscallProgramRuns) {
  load(USCX_TEST_OBJECT);
  u64 args[2] = {21, 0};
  LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = args, .ctx_size_in = sizeof(args));
  const int prog = bpf_program__fd(bpf_object__find_program_by_name(object_, "double_it"));
  ASSERT_EQ(bpf_prog_test_run_opts(prog, &opts), 0);
  EXPECT_EQ(opts.retval, 1u);
  EXPECT_EQ(args[1], 42u);
  EXPECT_EQ(env_.printed, "doubled 21");
}

TEST_F(LibbpfTest, NothingIsLeftAfterClosing) {
  load(USCX_TEST_OBJECT);
  bpf_object__close(object_);
  object_ = nullptr;
  EXPECT_TRUE(system_->maps().empty());
  EXPECT_TRUE(system_->programs().empty());
}

}  // namespace
}  // namespace uscx::bpf
