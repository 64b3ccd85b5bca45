// SPDX-License-Identifier: GPL-2.0-only
// bpf(2)'s commands as user space sees them, and what libbpf's own feature probes find.
#include "bpf/object/bpf_system.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <cstring>

#include "bpf/object/helper.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/prog.h"
#include "bpf/testing/env.h"

extern "C" {
// libbpf's internal probing, with a cache of the caller's.
struct kern_feature_cache;
bool feat_supported(struct kern_feature_cache *cache, int feature);
long uscx_libbpf_syscall(long number, ...);
int uscx_libbpf_close(int fd);
int uscx_libbpf_dup3(int from, int to, int flags);
int uscx_libbpf_fcntl(int fd, int cmd, ...);
int uscx_libbpf_uname(struct utsname *name);
}

namespace uscx::bpf {
namespace {

constexpr bpf_insn insn(u8 code, u8 dst, u8 src, s16 off, s32 imm) { return {code, dst, src, off, imm}; }
constexpr bpf_insn mov(u8 dst, s32 imm) { return insn(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm); }
constexpr bpf_insn call(s32 helper) { return insn(BPF_JMP | BPF_CALL, 0, 0, 0, helper); }
constexpr bpf_insn exit_insn() { return insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }

class BpfSystemTest : public ::testing::Test {
 protected:
  int load(bpf_prog_type type, const std::vector<bpf_insn> &insns, u32 flags = 0) {
    log_[0] = 0;
    LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = flags, .log_level = 1, .log_size = sizeof(log_),
                .log_buf = log_);
    const int fd = bpf_prog_load(type, "test", "GPL", insns.data(), insns.size(), &opts);
    return fd < 0 ? -errno : fd;
  }
  int load_syscall(const std::vector<bpf_insn> &insns) { return load(BPF_PROG_TYPE_SYSCALL, insns, BPF_F_SLEEPABLE); }
  // Runs a syscall program over a context; its result.
  u32 run(int prog, void *ctx = nullptr, u32 size = 0) {
    LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = ctx, .ctx_size_in = size);
    EXPECT_EQ(bpf_prog_test_run_opts(prog, &opts), 0) << errno;
    return opts.retval;
  }
  static int result(int returned) { return returned < 0 ? -errno : returned; }
  long raw(int cmd, union bpf_attr &attr, u32 size) { return system_->bpf(cmd, &attr, size); }

  TestEnv env_;
  std::unique_ptr<BpfSystem> system_ = make_test_system(env_);
  BpfSystem::Scope scope_{*system_};
  char log_[4096];
};

TEST_F(BpfSystemTest, FeatureProbesFindALinux72) {
  // In the order of libbpf 1.7's enumeration. The two that are not there need kprobes, which nothing here has.
  static constexpr const char *kFeatures[] = {"prog name",
                                              "global data",
                                              "BTF",
                                              "BTF func",
                                              "BTF datasec",
                                              "BTF global func",
                                              "array mmap",
                                              "expected_attach_type",
                                              "probe_read_kernel",
                                              "prog bind map",
                                              "module BTF",
                                              "BTF float",
                                              "perf link",
                                              "BTF decl tag",
                                              "BTF type tag",
                                              "memcg accounting",
                                              "cookie",
                                              "BTF enum64",
                                              "-syscall wrapper",
                                              "multi-uprobe link",
                                              "arg:ctx tag",
                                              "BTF ?datasec",
                                              "ldimm64 full range",
                                              "uprobe syscall"};
  std::vector<u32> cache(64);
  for (size_t i = 0; i < std::size(kFeatures); i++) {
    EXPECT_EQ(feat_supported(reinterpret_cast<kern_feature_cache *>(cache.data()), static_cast<int>(i)),
              kFeatures[i][0] != '-')
        << kFeatures[i] << "\n"
        << env_.logged;
  }
}

TEST_F(BpfSystemTest, AttributesBeyondACommandMustBeZero) {
  union bpf_attr attr;
  std::memset(&attr, 0, sizeof(attr));
  attr.map_type = BPF_MAP_TYPE_ARRAY;
  attr.key_size = 4;
  attr.value_size = 4;
  attr.max_entries = 1;
  char large[sizeof(attr) + 8] = {};
  std::memcpy(large, &attr, sizeof(attr));
  EXPECT_GE(raw(BPF_MAP_CREATE, *reinterpret_cast<union bpf_attr *>(large), sizeof(large)), 0);
  large[sizeof(attr) + 7] = 1;
  EXPECT_EQ(raw(BPF_MAP_CREATE, *reinterpret_cast<union bpf_attr *>(large), sizeof(large)), -E2BIG);
  reinterpret_cast<char *>(&attr)[sizeof(attr) - 1] = 1;
  EXPECT_EQ(raw(BPF_MAP_CREATE, attr, sizeof(attr)), -EINVAL);
  EXPECT_EQ(raw(BPF_MAP_CREATE, attr, 8192), -E2BIG);
  EXPECT_EQ(raw(BPF_ENABLE_STATS, attr, sizeof(attr)), -EINVAL);
  EXPECT_NE(env_.logged.find("command 32 is not implemented"), std::string::npos) << env_.logged;
}

TEST_F(BpfSystemTest, DescriptorsKeepAnObjectAlive) {
  const int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "one", 4, 8, 1, nullptr);
  const u32 id = system_->get<Map>(fd)->id();
  const int copy = uscx_libbpf_fcntl(fd, F_DUPFD_CLOEXEC, 10);
  ASSERT_GE(copy, 10);
  const int over = open("/dev/null", O_RDONLY);
  ASSERT_EQ(uscx_libbpf_dup3(fd, over, O_CLOEXEC), over);
  uscx_libbpf_close(fd);
  uscx_libbpf_close(copy);
  EXPECT_NE(system_->find_object(ObjectKind::kMap, id), nullptr);
  EXPECT_EQ(system_->get<Map>(over)->id(), id);
  const int again = bpf_map_get_fd_by_id(id);
  ASSERT_GE(again, 0);
  uscx_libbpf_close(over);
  EXPECT_NE(system_->find_object(ObjectKind::kMap, id), nullptr);
  uscx_libbpf_close(again);
  EXPECT_EQ(system_->find_object(ObjectKind::kMap, id), nullptr);
  EXPECT_EQ(result(bpf_map_get_fd_by_id(id)), -ENOENT);
  const u32 key = 0;
  EXPECT_EQ(result(bpf_map_delete_elem(again, &key)), -EBADF);
}

TEST_F(BpfSystemTest, IdsAreWalkedInOrder) {
  u32 next = 0;
  // The kernel's own.
  ASSERT_EQ(bpf_btf_get_next_id(0, &next), 0);
  EXPECT_EQ(next, 1u);
  EXPECT_EQ(result(bpf_btf_get_next_id(next, &next)), -ENOENT);
  next = 0;
  const int first = bpf_map_create(BPF_MAP_TYPE_ARRAY, "a", 4, 8, 1, nullptr);
  const int second = bpf_map_create(BPF_MAP_TYPE_ARRAY, "b", 4, 8, 1, nullptr);
  ASSERT_EQ(bpf_map_get_next_id(0, &next), 0);
  EXPECT_EQ(next, system_->get<Map>(first)->id());
  ASSERT_EQ(bpf_map_get_next_id(next, &next), 0);
  EXPECT_EQ(next, system_->get<Map>(second)->id());
  EXPECT_EQ(result(bpf_map_get_next_id(next, &next)), -ENOENT);
}

TEST_F(BpfSystemTest, KernelBtfIsNobodysTypes) {
  const int kernel = bpf_btf_get_fd_by_id(1);
  char name[16] = {};
  bpf_btf_info info{};
  info.name = reinterpret_cast<u64>(name);
  info.name_len = sizeof(name);
  u32 length = sizeof(info);
  ASSERT_EQ(bpf_btf_get_info_by_fd(kernel, &info, &length), 0);
  EXPECT_STREQ(name, "vmlinux");
  EXPECT_EQ(info.kernel_btf, 1u);
  LIBBPF_OPTS(bpf_map_create_opts, options, .btf_fd = static_cast<u32>(kernel), .btf_key_type_id = 1,
              .btf_value_type_id = 1);
  EXPECT_EQ(result(bpf_map_create(BPF_MAP_TYPE_ARRAY, "a", 4, 8, 1, &options)), -EACCES);
}

TEST_F(BpfSystemTest, NamesInTheBpfFileSystem) {
  BpfFs &fs = system_->fs();
  const std::string root = "/sys/fs/bpf";
  const std::shared_ptr<Object> map = system_->object_of_fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "a", 4, 8, 1, nullptr));
  EXPECT_EQ(fs.make_directory(root + "/d"), 0);
  EXPECT_EQ(fs.make_directory(root + "/d"), -EEXIST);
  EXPECT_EQ(fs.pin(root + "/d/m", map), 0);
  EXPECT_EQ(fs.pin(root + "/d/m", map), -EEXIST);
  EXPECT_EQ(fs.pin(root + "/none/m", map), -ENOENT);
  EXPECT_EQ(fs.pin(root + "/d/m/m", map), -ENOTDIR);
  EXPECT_EQ(fs.pin("/sys/fs/bpfs", map), -EPERM);
  EXPECT_TRUE(fs.pins(*map));
  EXPECT_EQ(fs.get(root + "/d/m"), map);
  EXPECT_EQ(fs.paths_in(root), std::vector<std::string>{root + "/d"});
  EXPECT_EQ(fs.remove(root + "/d", true), -ENOTEMPTY);
  EXPECT_EQ(fs.remove(root + "/d", false), -EISDIR);
  EXPECT_EQ(fs.remove(root + "/d/m", true), -ENOTDIR);
  EXPECT_EQ(fs.remove(root + "/d/m", false), 0);
  EXPECT_FALSE(fs.pins(*map));
  EXPECT_EQ(fs.remove(root + "/d", true), 0);
  EXPECT_EQ(fs.remove(root + "/d", true), -ENOENT);
}

TEST_F(BpfSystemTest, InformationTellsWhatWasCreated) {
  const int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "name_of_map", 8, 24, 7, nullptr);
  bpf_map_info info{};
  u32 length = sizeof(info);
  ASSERT_EQ(bpf_map_get_info_by_fd(fd, &info, &length), 0);
  EXPECT_EQ(info.type, u32{BPF_MAP_TYPE_HASH});
  EXPECT_EQ(info.key_size, 8u);
  EXPECT_EQ(info.value_size, 24u);
  EXPECT_EQ(info.max_entries, 7u);
  EXPECT_STREQ(info.name, "name_of_map");
  EXPECT_EQ(result(bpf_map_create(BPF_MAP_TYPE_HASH, "no spaces", 8, 24, 7, nullptr)), -EINVAL);
}

TEST_F(BpfSystemTest, BrokenBtfIsRefused) {
  const std::span<const std::byte> base = abi::base_btf();
  const u8 *bytes = reinterpret_cast<const u8 *>(base.data());
  std::vector<u8> raw(bytes, bytes + base.size());
  std::string why;
  EXPECT_EQ(validate_btf(raw, &why), 0) << why;
  EXPECT_EQ(validate_btf(std::span(raw).first(20), &why), -EINVAL);
  EXPECT_EQ(validate_btf(std::span(raw).first(raw.size() - 1), &why), -EINVAL);
  std::vector<u8> bad = raw;
  bad[0] ^= 1;
  EXPECT_EQ(validate_btf(bad, &why), -EINVAL);
  bad = raw;
  bad[24 + 7] = 0xff;  // the kind of type 1
  EXPECT_EQ(validate_btf(bad, &why), -EINVAL);
}

TEST_F(BpfSystemTest, KernelBtfHasEachKfuncWithItsPrototype) {
  for (const KfuncEntry *entry : list_kfuncs()) {
    const u32 id = system_->kernel_btf().find(entry->name, BTF_KIND_FUNC);
    ASSERT_NE(id, 0u) << entry->name;
    EXPECT_EQ(system_->kernel_btf().kfunc(id), entry);
    const btf_type *proto = system_->kernel_btf().type(system_->kernel_btf().type(id)->type);
    EXPECT_EQ(btf_vlen(proto), entry->nr_args) << entry->name;
  }
  EXPECT_NE(find_kfunc("bpf_cpumask_test_cpu"), nullptr);
  EXPECT_EQ(find_kfunc("bpf_cpumask_test"), nullptr);
}

TEST_F(BpfSystemTest, SyscallProgramSeesAndChangesItsContext) {
  // *(u64 *)(r1 + 8) = *(u64 *)(r1 + 0) + 5; return 3
  const int prog =
      load_syscall({insn(BPF_LDX | BPF_MEM | BPF_DW, 2, 1, 0, 0), insn(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, 5),
                    insn(BPF_STX | BPF_MEM | BPF_DW, 1, 2, 8, 0), mov(0, 3), exit_insn()});
  ASSERT_GE(prog, 0) << log_;
  u64 ctx[2] = {37, 0};
  EXPECT_EQ(run(prog, ctx, sizeof(ctx)), 3u);
  EXPECT_EQ(ctx[1], 42u);
  EXPECT_EQ(load(BPF_PROG_TYPE_SYSCALL, {mov(0, 0), exit_insn()}), -EINVAL) << "only sleepable";
}

TEST_F(BpfSystemTest, MissingHelpersAreNamedAllAtOnce) {
  EXPECT_EQ(load_syscall({call(BPF_FUNC_skb_load_bytes), call(BPF_FUNC_redirect), exit_insn()}), -EINVAL);
  EXPECT_NE(std::strstr(log_, "bpf_skb_load_bytes"), nullptr) << log_;
  EXPECT_NE(std::strstr(log_, "bpf_redirect"), nullptr) << log_;
  EXPECT_EQ(load_syscall({call(100000), exit_insn()}), -EINVAL);
  EXPECT_NE(std::strstr(log_, "invalid func unknown#100000"), nullptr) << log_;
}

TEST_F(BpfSystemTest, ShortLogIsCutAndSaysSo) {
  char small[8];
  LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE, .log_level = 1, .log_size = sizeof(small),
              .log_buf = small);
  const bpf_insn insns[] = {call(100000), exit_insn()};
  EXPECT_LT(bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "test", "GPL", insns, 2, &opts), 0);
  EXPECT_EQ(std::strlen(small), sizeof(small) - 1);
  EXPECT_GT(opts.log_true_size, sizeof(small));
}

TEST_F(BpfSystemTest, ProgramCountsInAMapAndKeepsItAlive) {
  const int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "counts", 4, 8, 4, nullptr);
  const std::shared_ptr<Map> object = system_->get<Map>(map);
  const int prog = load_syscall(
      {insn(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 2), insn(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0),
       insn(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4), insn(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map),
       insn(0, 0, 0, 0, 0), call(BPF_FUNC_map_lookup_elem), insn(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3, 0), mov(1, 1),
       insn(BPF_STX | BPF_ATOMIC | BPF_DW, 0, 1, 0, BPF_ADD), mov(0, 1), exit_insn()});
  ASSERT_GE(prog, 0) << log_;
  uscx_libbpf_close(map);
  EXPECT_EQ(run(prog), 1u);
  EXPECT_EQ(run(prog), 1u);
  const u32 key = 2;
  EXPECT_EQ(*static_cast<u64 *>(object->lookup(&key)), 2u);
  uscx_libbpf_close(prog);
  EXPECT_EQ(object.use_count(), 1) << "the program has let go of the map";
}

TEST_F(BpfSystemTest, BadPointersIntoHelpersAndKfuncsEndTheProgram) {
  const int prog = load_syscall({mov(1, 4096), mov(2, 8), insn(BPF_ALU64 | BPF_MOV | BPF_X, 3, 10, 0, 0),
                                 call(BPF_FUNC_probe_read_kernel), exit_insn()});
  ASSERT_GE(prog, 0) << log_;
  run(prog);
  EXPECT_NE(env_.logged.find("helper bpf_probe_read_kernel: argument 1"), std::string::npos) << env_.logged;

  env_.logged.clear();
  const u32 id = system_->kernel_btf().find("bpf_cpumask_test_cpu", BTF_KIND_FUNC);
  const int kfunc =
      load_syscall({mov(1, 0), insn(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0),
                    insn(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, static_cast<s32>(id)), exit_insn()});
  ASSERT_GE(kfunc, 0) << log_;
  run(kfunc);
  EXPECT_NE(env_.logged.find("kfunc bpf_cpumask_test_cpu: argument 2"), std::string::npos) << env_.logged;
}

TEST_F(BpfSystemTest, CpumaskKfuncsWorkFromAProgram) {
  auto kfunc = [&](const char *name) {
    return insn(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0,
                static_cast<s32>(system_->kernel_btf().find(name, BTF_KIND_FUNC)));
  };
  auto reg = [](u8 dst, u8 src) { return insn(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0); };
  const int prog = load_syscall({kfunc("bpf_cpumask_create"),
                                 insn(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 15, 0),
                                 reg(6, 0),
                                 mov(1, 2),
                                 reg(2, 6),
                                 kfunc("bpf_cpumask_set_cpu"),
                                 mov(1, 3),
                                 reg(2, 6),
                                 kfunc("bpf_cpumask_set_cpu"),
                                 reg(1, 6),
                                 kfunc("bpf_cpumask_first"),
                                 reg(7, 0),
                                 reg(1, 6),
                                 kfunc("bpf_cpumask_weight"),
                                 insn(BPF_ALU64 | BPF_LSH | BPF_K, 0, 0, 0, 8),
                                 insn(BPF_ALU64 | BPF_OR | BPF_X, 7, 0, 0, 0),
                                 reg(1, 6),
                                 kfunc("bpf_cpumask_release"),
                                 reg(0, 7),
                                 exit_insn()});
  ASSERT_GE(prog, 0) << log_;
  EXPECT_EQ(run(prog), 0x202u);  // two CPUs, the first is 2
}

TEST_F(BpfSystemTest, TimerRunsItsCallbackOnTimeAndOnceAndDiesWithItsMap) {
  struct btf *btf = btf__new_empty();
  const int word = btf__add_int(btf, "u64", 8, 0);
  const int key_type = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
  const int timer = btf__add_struct(btf, "bpf_timer", 16);
  btf__add_field(btf, "low", word, 0, 0);
  btf__add_field(btf, "high", word, 64, 0);
  const int value = btf__add_struct(btf, "value", 24);
  btf__add_field(btf, "fired", word, 0, 0);
  btf__add_field(btf, "timer", timer, 64, 0);
  ASSERT_EQ(btf__load_into_kernel(btf), 0);
  LIBBPF_OPTS(bpf_map_create_opts, opts, .btf_fd = static_cast<u32>(btf__fd(btf)),
              .btf_key_type_id = static_cast<u32>(key_type), .btf_value_type_id = static_cast<u32>(value));
  const int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "timers", 4, 24, 1, &opts);
  ASSERT_GE(map, 0);
  auto reg = [](u8 dst, u8 src) { return insn(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0); };
  auto add = [](u8 dst, s32 imm) { return insn(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, imm); };
  const bpf_insn load_map = insn(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, map);
  bpf_insn map_in_r2 = load_map;
  map_in_r2.dst_reg = 2;
  const int prog = load_syscall(
      {insn(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0), reg(2, 10), add(2, -4), load_map, insn(0, 0, 0, 0, 0),
       call(BPF_FUNC_map_lookup_elem), reg(6, 0), add(6, 8),  // r6 = &value->timer
       reg(1, 6), map_in_r2, insn(0, 0, 0, 0, 0), mov(3, 1), call(BPF_FUNC_timer_init), reg(1, 6),
       insn(BPF_LD | BPF_IMM | BPF_DW, 2, BPF_PSEUDO_FUNC, 0, 7), insn(0, 0, 0, 0, 0),
       call(BPF_FUNC_timer_set_callback), reg(1, 6), mov(2, 1000), mov(3, 0), call(BPF_FUNC_timer_start), exit_insn(),
       // The callback: r3 is the value.
       mov(1, 1), insn(BPF_STX | BPF_ATOMIC | BPF_DW, 3, 1, 0, BPF_ADD), mov(0, 0), exit_insn()});
  ASSERT_GE(prog, 0) << log_;
  EXPECT_EQ(run(prog), 0u) << env_.logged;
  ASSERT_EQ(env_.timers.size(), 1u);
  const u64 start_ns = env_.clock_ns;
  EXPECT_EQ(env_.timers.begin()->second, start_ns + 1000);
  u64 seen[3] = {};
  const u32 key = 0;
  env_.advance_to(*system_, start_ns + 999);
  ASSERT_EQ(bpf_map_lookup_elem(map, &key, seen), 0);
  EXPECT_EQ(seen[0], 0u);
  env_.advance_to(*system_, start_ns + 5000);
  ASSERT_EQ(bpf_map_lookup_elem(map, &key, seen), 0);
  EXPECT_EQ(seen[0], 1u);
  EXPECT_EQ(seen[1], 0u) << "user space does not see the timer's bytes";
  EXPECT_EQ(run(prog), 0u);
  EXPECT_EQ(env_.timers.size(), 1u) << "armed again: init was busy, start was not";
  uscx_libbpf_close(prog);
  uscx_libbpf_close(map);
  btf__free(btf);
}

TEST_F(BpfSystemTest, DirectValuesOutOfRangeAreRefusedInTheKernelsWords) {
  const int map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "value", 4, 16, 1, nullptr);
  EXPECT_EQ(load(BPF_PROG_TYPE_SOCKET_FILTER,
                 {insn(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_VALUE, 0, map), insn(0, 0, 0, 0, 16), exit_insn()}),
            -EINVAL);
  EXPECT_STREQ(log_, "invalid access to map value pointer, value_size=16 off=16\n");
}

TEST_F(BpfSystemTest, HelpersAndMapTypesAreListedOnce) {
  EXPECT_GE(list_helpers().size(), 30u);
  EXPECT_GE(list_map_types().size(), 14u);
  for (const HelperEntry *entry : list_helpers()) EXPECT_STREQ(entry->name, helper_name(entry->id));
}

}  // namespace
}  // namespace uscx::bpf
