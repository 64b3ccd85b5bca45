// SPDX-License-Identifier: GPL-2.0-only
// The scan, on objects that need what there is not (tests/bpf/scan_*.bpf.c), on unmodified kernel schedulers, and on
// damaged files.
#include "bpf/load/scan/scan.h"

#include <bpf/btf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#include "abi/btf.h"
#include "base/rng.h"
#include "bpf/load/scan/scan_elf.h"

namespace uscx::bpf {
namespace {

using Lines = std::vector<std::string>;

std::vector<u8> read_file(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<u8> object(const std::string &name) {
  return read_file(std::string(USCX_SCAN_OBJECTS "/") + name + ".bpf.o");
}

const struct btf *kernel_btf() {
  static const std::unique_ptr<struct btf, BtfFree> btf(
      btf__new(abi::base_btf().data(), static_cast<u32>(abi::base_btf().size())));
  return btf.get();
}

ScanTarget small_target() {
  ScanTarget target;
  target.kernel_btf = kernel_btf();
  target.kfuncs = {"scx_bpf_created"};
  target.helpers = {BPF_FUNC_map_lookup_elem, BPF_FUNC_loop};
  target.map_types = {BPF_MAP_TYPE_ARRAY};
  target.kernel_config = "CONFIG_HZ_250=y\nCONFIG_HZ=250\n";
  target.release = "7.2.12-test";
  return target;
}

ScanResult scan(std::span<const u8> bytes, const ScanTarget &target) {
  Result<ScanResult> result = scan_object(bytes, target);
  EXPECT_TRUE(result.ok()) << result.message();
  return result.ok() ? result.take() : ScanResult{};
}

std::string scan_error(std::span<const u8> bytes) {
  const Result<ScanResult> result = scan_object(bytes, small_target());
  return result.ok() ? "" : result.message();
}

// The contents of a global constant as user space would have set them.
template <typename T>
void set_constant(ScanTarget *target, const std::vector<u8> &bytes, const std::string &name, T value) {
  target->set_rodata = [&bytes, name, value, before = target->set_rodata](const std::string &section,
                                                                          std::span<u8> contents) {
    if (before != nullptr) before(section, contents);
    Result<ObjectFile> file = ObjectFile::parse(bytes);
    ASSERT_TRUE(file.ok());
    const ElfSymbol *symbol = file->find_symbol(static_cast<u32>(file->find_section(section)), name);
    if (symbol == nullptr) return;
    ASSERT_EQ(symbol->size, sizeof(T));
    ASSERT_LE(symbol->value + sizeof(T), contents.size());
    std::memcpy(contents.data() + symbol->value, &value, sizeof(T));
  };
}

// --- What is missing ---

TEST(Scan, NamesAllThatIsMissingAtOnce) {
  const ScanResult result = scan(object("scan_missing"), small_target());
  EXPECT_EQ(result.missing, (Lines{
                                "program type fentry (SEC(\"fentry/bpf_scx_reg\") missing_fentry) is not implemented",
                                "map type RINGBUF (map events) is not implemented",
                                "bpf_wq in a value of map holders is not implemented",
                                "kfunc scx_bpf_not_there is not implemented",
                                "kfunc scx_bpf_not_there_in_callback is not implemented",
                                "kfunc scx_bpf_not_there_in_function is not implemented",
                                "kernel variable no_such_variable is not modelled",
                                "CONFIG_NO_SUCH_THING is not set in the simulated kernel's configuration",
                                "helper bpf_ringbuf_reserve is not implemented",
                                "helper bpf_ringbuf_submit is not implemented",
                                "no_such_struct.field is not modelled",
                                "task_struct.no_such_field is not modelled",
                                "task_struct.pid is modelled with another type",
                                "task_struct.scx.no_such_inner_field is not modelled",
                                "enumerator SCX_ENQ_NO_SUCH of enum scx_enq_flags is not modelled",
                                "struct no_such_struct is not modelled",
                            }));
  EXPECT_EQ(result.unreached, Lines{});
  EXPECT_EQ(result.trapping, Lines{"scx_bpf_weak_call"});
}

TEST(Scan, ListsWhatTheObjectHasAndUses) {
  const ScanResult result = scan(object("scan_missing"), small_target());
  EXPECT_EQ(result.helpers, (Lines{"bpf_loop", "bpf_map_lookup_elem", "bpf_ringbuf_reserve", "bpf_ringbuf_submit"}));
  EXPECT_EQ(result.fields, Lines{"task_struct.scx.weight"});
  ASSERT_EQ(result.tables.size(), 1u);
  EXPECT_EQ(result.tables[0].name, "missing_ops");
  EXPECT_EQ(result.tables[0].type, "sched_ext_ops");
  EXPECT_EQ(result.tables[0].callbacks, (Lines{"dispatch", "enqueue"}));
  ASSERT_EQ(result.maps.size(), 2u);
  EXPECT_EQ(result.maps[0].name, "events");
  EXPECT_EQ(result.maps[0].type, u32{BPF_MAP_TYPE_RINGBUF});
  EXPECT_EQ(result.maps[0].max_entries, 4096u);
  Lines loaded;
  for (const auto &program : result.programs) {
    if (program.loaded) loaded.push_back(program.name);
  }
  EXPECT_EQ(loaded, (Lines{"missing_dispatch", "missing_enqueue", "missing_fentry"}));
}

TEST(Scan, NamesMembersThatAreNotActedUpon) {
  ScanTarget target = small_target();
  target.kfuncs.insert("scx_bpf_if_choice");
  target.ops_members = {"dispatch", "name"};
  EXPECT_EQ(scan(object("scan_guarded"), target).missing, Lines{"sched_ext_ops.enqueue is not implemented"});
  // Data counts as soon as it is not zero.
  const Lines missing = scan(object("scan_missing"), target).missing;
  EXPECT_EQ(std::count(missing.begin(), missing.end(), "sched_ext_ops.exit_dump_len is not implemented"), 1);
}

TEST(Scan, RefusesATableThatIsNotOffered) {
  ScanTarget target = small_target();
  target.struct_ops = {"sched_ext_ops_cid"};
  EXPECT_EQ(scan(object("scan_guarded"), target).missing, Lines{"struct_ops sched_ext_ops is not implemented"});
}

// --- What is guarded ---

TEST(Scan, WhatIsAskedForFirstIsNotMissing) {
  const ScanResult result = scan(object("scan_guarded"), small_target());
  EXPECT_EQ(result.missing, Lines{});
  EXPECT_EQ(result.trapping, Lines{});
  EXPECT_EQ(result.kfuncs, Lines{"scx_bpf_created"});
  EXPECT_EQ(result.helpers, Lines{});
  Lines unreached = result.unreached;
  std::sort(unreached.begin(), unreached.end());
  EXPECT_EQ(unreached, (Lines{"scx_bpf_dead", "scx_bpf_if_choice", "scx_bpf_if_config", "scx_bpf_if_enumerator",
                              "scx_bpf_if_enumerator_is_set", "scx_bpf_if_field", "scx_bpf_if_flag",
                              "scx_bpf_if_option", "scx_bpf_if_range", "scx_bpf_if_type", "scx_bpf_if_variable",
                              "scx_bpf_if_version", "scx_bpf_if_weak", "scx_bpf_if_wide"}));
}

// Each guard opens when its answer changes, so that the test above cannot pass by reaching nothing.
TEST(Scan, AnAnswerThatChangesOpensItsBranch) {
  const std::vector<u8> bytes = object("scan_guarded");
  struct Case {
    const char *kfunc;
    void (*change)(ScanTarget *target);
  };
  const Case cases[] = {
      {"scx_bpf_if_weak", [](ScanTarget *target) { target->kfuncs.insert("scx_bpf_weak"); }},
      {"scx_bpf_if_config", [](ScanTarget *target) { target->kernel_config = "CONFIG_HZ=1000\n"; }},
      {"scx_bpf_if_config", [](ScanTarget *target) { target->kernel_config += "CONFIG_WEAK=y\n"; }},
      {"scx_bpf_if_version", [](ScanTarget *target) { target->release = "7.1.99"; }},
      {"scx_bpf_if_variable",
       [](ScanTarget *target) {
         target->has_variable = [](std::string_view name) { return name == "weak_variable"; };
       }},
  };
  for (const Case &c : cases) {
    ScanTarget target = small_target();
    c.change(&target);
    EXPECT_EQ(scan(bytes, target).missing, Lines{fmt::format("kfunc {} is not implemented", c.kfunc)});
  }
}

TEST(Scan, GlobalConstantsHaveTheValuesThatUserSpaceSets) {
  const std::vector<u8> bytes = object("scan_guarded");
  const Lines behind_option{"kfunc scx_bpf_if_option is not implemented", "helper bpf_jiffies64 is not implemented"};
  ScanTarget target = small_target();
  set_constant(&target, bytes, "option", true);
  EXPECT_EQ(scan(bytes, target).missing, behind_option);

  target = small_target();
  set_constant(&target, bytes, "level", u64{6});
  EXPECT_EQ(scan(bytes, target).missing, behind_option);

  target = small_target();
  set_constant(&target, bytes, "mark", true);
  EXPECT_EQ(scan(bytes, target).missing, Lines{"kfunc scx_bpf_if_flag is not implemented"});

  target = small_target();
  set_constant(&target, bytes, "__SCX_SLICE_DFL", u64{0});
  EXPECT_EQ(scan(bytes, target).missing, Lines{"kfunc scx_bpf_if_enumerator_is_set is not implemented"});
}

TEST(Scan, UnreachedStrongExternsCanBeMadeWeak) {
  const std::vector<u8> bytes = object("scan_guarded");
  const ScanResult before = scan(bytes, small_target());
  ASSERT_FALSE(before.unreached.empty());
  const std::vector<u8> weakened = weaken_unreached(bytes, before);
  ASSERT_EQ(weakened.size(), bytes.size());
  const ScanResult after = scan(weakened, small_target());
  EXPECT_EQ(after.unreached, Lines{});
  EXPECT_EQ(after.kfuncs, before.kfuncs);
}

// --- Files of no use ---

TEST(Scan, SaysWhatIsWrongWithAFile) {
  EXPECT_EQ(scan_error({}), "not an ELF file");
  const std::vector<u8> text(200, 'x');
  EXPECT_EQ(scan_error(text), "not an ELF file");
  EXPECT_EQ(scan_error(object("scan_no_ops")), "no sched_ext_ops in the object: it is not a scheduler");
  EXPECT_EQ(scan_error(object("scan_other_ops")),
            "no sched_ext_ops in the object: it is for another struct_ops (tcp_congestion_ops)");

  std::vector<u8> bytes = object("scan_guarded");
  bytes[18] = 62;  // e_machine
  EXPECT_EQ(scan_error(bytes), "an ELF file, but not for BPF (machine 62, not 247)");
  bytes = object("scan_guarded");
  bytes[5] = 2;  // EI_DATA
  EXPECT_EQ(scan_error(bytes), "not little-endian: compile it with -target bpf or bpfel");
  bytes = object("scan_guarded");
  bytes.resize(bytes.size() / 2);
  EXPECT_NE(scan_error(bytes), "");

  bytes = object("scan_guarded");
  const auto name = std::search(bytes.begin(), bytes.end(), std::begin(".BTF"), std::end(".BTF"));
  ASSERT_NE(name, bytes.end());
  *name = 'x';  // the string is shared with .rel.BTF
  EXPECT_EQ(scan_error(bytes), "no BTF in the object: compile it with clang -g");
}

// Changes one to four bytes or cuts the file, mostly in the parts that the scan reads.
std::vector<u8> damage(const std::vector<u8> &good, const std::vector<std::pair<u64, u64>> &parts, Rng *rng) {
  std::vector<u8> bytes = good;
  if (rng->below(8) == 0) {
    bytes.resize(rng->below(bytes.size()));
    return bytes;
  }
  for (u64 i = rng->between(1, 4); i > 0; i--) {
    const auto &[at, size] = parts[rng->below(parts.size())];
    bytes[at + rng->below(size)] = static_cast<u8>(rng->next());
  }
  return bytes;
}

TEST(Scan, DamagedFilesNeverCrashIt) {
  constexpr int kFiles = 1000;
  for (const char *name : {"scan_missing", "scan_guarded"}) {
    const std::vector<u8> good = object(name);
    Result<ObjectFile> file = ObjectFile::parse(good);
    ASSERT_TRUE(file.ok());
    std::vector<std::pair<u64, u64>> parts = {{0, 64}, {0, good.size()}};
    parts.push_back({good.size() - std::min<u64>(good.size(), 3000), std::min<u64>(good.size(), 3000)});
    for (const ElfSection &section : file->sections()) {
      if (!section.bytes.empty() && section.name.find("debug") == std::string::npos)
        parts.push_back({static_cast<u64>(section.bytes.data() - good.data()), section.bytes.size()});
    }
    Rng rng(1, name);
    int understood = 0;
    for (int i = 0; i < kFiles; i++) understood += scan_object(damage(good, parts, &rng), small_target()).ok();
    // Damage goes deep enough to matter and not so deep that nothing is looked at.
    EXPECT_GT(understood, 0);
    EXPECT_LT(understood, kFiles);
  }
}

// --- Unmodified schedulers ---

struct Scheduler {
  const char *path;
  Lines kfuncs;
  Lines missing;
};

// Prints the path in a failure.
std::ostream &operator<<(std::ostream &out, const Scheduler &scheduler) { return out << scheduler.path; }

class KernelObject : public testing::TestWithParam<Scheduler> {};

TEST_P(KernelObject, NeedsWhatWasCounted) {
  const std::string path = std::string(USCX_TEST_KERNEL_OBJECTS "/") + GetParam().path;
  if (access(path.c_str(), R_OK) != 0) GTEST_SKIP() << path << " is not built";
  const std::vector<u8> bytes = read_file(path);
  ScanTarget target = small_target();
  target.kfuncs.clear();
  for (const std::string &kfunc : GetParam().kfuncs) target.kfuncs.insert(kfunc);
  for (u32 id = 0; id < __BPF_FUNC_MAX_ID; id++) target.helpers.insert(id);
  for (u32 type = 0; type < __MAX_BPF_MAP_TYPE; type++) target.map_types.insert(type);
  const ScanResult result = scan(bytes, target);
  EXPECT_EQ(result.missing, GetParam().missing);
  EXPECT_EQ(result.kfuncs, GetParam().kfuncs);

  // Without kfuncs there is a line for each that is strong, and none for the others.
  target.kfuncs.clear();
  EXPECT_GT(scan(bytes, target).missing.size(), GetParam().missing.size());
}

INSTANTIATE_TEST_SUITE_P(
    Linux, KernelObject,
    testing::Values(Scheduler{"linux-source-6.12/scx_simple.bpf.o",
                              {"scx_bpf_consume", "scx_bpf_create_dsq", "scx_bpf_dispatch", "scx_bpf_dispatch_vtime",
                               "scx_bpf_select_cpu_dfl"},
                              {}},
                    Scheduler{"linux-source-7.2/scx_simple.bpf.o",
                              {"__scx_bpf_dsq_insert_vtime", "scx_bpf_create_dsq", "scx_bpf_dsq_insert___v2",
                               "scx_bpf_dsq_move_to_local___v2", "scx_bpf_error_bstr", "scx_bpf_select_cpu_dfl",
                               "scx_bpf_task_set_dsq_vtime"},
                              {}},
                    Scheduler{"linux-source-7.2/scx_cpu0.bpf.o",
                              {"scx_bpf_create_dsq", "scx_bpf_dsq_insert___v2", "scx_bpf_dsq_move_to_local___v2",
                               "scx_bpf_error_bstr", "scx_bpf_task_cpu"},
                              {}},
                    // Its nr_cpu_ids is 1 until its user half sets it, so that its timer passes over each CPU, before
                    // it would ask for scx_bpf_dsq_nr_queued.
                    Scheduler{
                        "linux-source-7.2/scx_central.bpf.o",
                        {"bpf_cpumask_test_cpu", "bpf_iter_num_destroy", "bpf_iter_num_new", "bpf_iter_num_next",
                         "bpf_task_from_pid", "bpf_task_release", "scx_bpf_create_dsq", "scx_bpf_dispatch_nr_slots",
                         "scx_bpf_dsq_insert___v2", "scx_bpf_dsq_move_to_local___v2", "scx_bpf_error_bstr",
                         "scx_bpf_kick_cpu", "scx_bpf_now", "scx_bpf_task_cpu", "scx_bpf_task_running"},
                        {}},
                    Scheduler{"linux-source-7.2/scx_flatcg.bpf.o",
                              {"__scx_bpf_dsq_insert_vtime",
                               "bpf_cgroup_ancestor",
                               "bpf_cgroup_from_id",
                               "bpf_cgroup_release",
                               "bpf_iter_num_destroy",
                               "bpf_iter_num_new",
                               "bpf_iter_num_next",
                               "bpf_obj_drop_impl",
                               "bpf_obj_new_impl",
                               "bpf_rbtree_add_impl",
                               "bpf_rbtree_first",
                               "bpf_rbtree_remove",
                               "scx_bpf_create_dsq",
                               "scx_bpf_destroy_dsq",
                               "scx_bpf_dsq_insert___v2",
                               "scx_bpf_dsq_move_to_local___v2",
                               "scx_bpf_dsq_nr_queued",
                               "scx_bpf_error_bstr",
                               "scx_bpf_now",
                               "scx_bpf_select_cpu_dfl",
                               "scx_bpf_task_cgroup",
                               "scx_bpf_task_set_dsq_vtime"},
                              {"bpf_rb_root in a value of map .data.CGV_TREE is not implemented"}},
                    Scheduler{"linux-source-7.2/scx_pair.bpf.o",
                              {"bpf_cgroup_release", "bpf_iter_num_destroy", "bpf_iter_num_new", "bpf_iter_num_next",
                               "bpf_task_from_pid", "bpf_task_release", "scx_bpf_dsq_insert___v2", "scx_bpf_error_bstr",
                               "scx_bpf_kick_cpu", "scx_bpf_now", "scx_bpf_task_cgroup"},
                              {}}));

TEST(KernelObjectOfTheCidForm, IsRefusedByName) {
  const std::string path = std::string(USCX_TEST_KERNEL_OBJECTS "/linux-source-7.2/scx_qmap.bpf.o");
  if (access(path.c_str(), R_OK) != 0) GTEST_SKIP() << path << " is not built";
  const std::vector<u8> bytes = read_file(path);
  const Lines missing = scan(bytes, small_target()).missing;
  ASSERT_FALSE(missing.empty());
  EXPECT_EQ(missing[0], "struct_ops sched_ext_ops_cid is not implemented");
  EXPECT_EQ(std::count(missing.begin(), missing.end(), "map type ARENA (map arena) is not implemented"), 1);
}

}  // namespace
}  // namespace uscx::bpf
