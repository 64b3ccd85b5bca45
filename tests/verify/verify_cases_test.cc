// SPDX-License-Identifier: GPL-2.0-only
// Loads of whole programs through libbpf: which are refused, and why. Each table of verify_cases.bpf.c is loaded alone.
// The kernel's selftests say what its verifier does with the same questions.
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "bridge/host.h"
#include "schedulers/common/scx_user.h"

namespace uscx {
namespace {

// What libbpf warns of, the verifier's log among it.
std::string *printed = nullptr;
int keep_print(libbpf_print_level level, const char *format, va_list list) {
  if (level == LIBBPF_DEBUG) return 0;
  char line[4096];
  std::vsnprintf(line, sizeof(line), format, list);
  if (printed) *printed += line;
  return 0;
}

struct Load {
  int err = 0;
  std::string log;
};

// Opens, prepares and loads; everything is gone afterwards.
template <typename Prepare>
Load load(const std::string &path, Prepare prepare) {
  Load out;
  auto host = bridge::Host::create({});
  CHECK(host.ok(), "{}", host.message());
  bpf::BpfSystem::Scope scope((*host)->system());
  printed = &out.log;
  const libbpf_print_fn_t before = libbpf_set_print(keep_print);
  bpf_object *object = bpf_object__open_file(path.c_str(), nullptr);
  if (object) {
    prepare(object);
    out.err = bpf_object__load(object);
    bpf_object__close(object);
  } else {
    out.err = -errno;
  }
  libbpf_set_print(before);
  printed = nullptr;
  return out;
}

struct Case {
  const char *table;
  const char *refused_for;  // Null: it loads.
};
constexpr Case kCases[] = {
    {"prev_checked", nullptr},
    {"prev_unchecked", "argument prev of ops.dispatch may be NULL and is used unchecked"},
    {"prev_spilled_unchecked", "argument prev of ops.dispatch may be NULL and is used unchecked"},
    {"prev_spilled_checked", nullptr},
    {"callee_checks", nullptr},
    {"callee_does_not", "argument prev of ops.dispatch may be NULL and is used unchecked"},
    {"caller_checks", nullptr},
    {"wrong_side", "argument prev of ops.dispatch is NULL here"},
    {"loop_checked", nullptr},
    {"loop_unchecked", "argument prev of ops.dispatch may be NULL and is used unchecked"},
    {"unless_never", nullptr},
    {"to_unchecked", "argument to of ops.yield may be NULL and is used unchecked"},
    {"from_alone", nullptr},
    {"running_needs_none", nullptr},
    {"curr_unchecked", "the result of scx_bpf_cpu_curr may be NULL"},
    {"prev_into_kfunc", "Possibly NULL pointer passed to trusted arg0 of scx_bpf_task_cpu"},
    {"in_struct_unchecked", "argument prev of ops.dispatch may be NULL and is used unchecked"},
    {"in_struct_checked", nullptr},
    {"copy_checked", nullptr},
    {"one_side_checked", "argument prev of ops.dispatch may be NULL and is used unchecked"},
    {"both_sides_checked", nullptr},
    {"checked_too_late", "argument prev of ops.dispatch may be NULL and is used unchecked"},
    {"function_asked", nullptr},
    {"returned_unchecked", "the result of bpf_map_lookup_elem may be NULL and is used unchecked"},
    {"returned_checked", nullptr},
    {"storage_unchecked", "the result of bpf_task_storage_get may be NULL and is used unchecked"},
    {"released_unchecked", "Possibly NULL pointer passed to trusted arg0 of bpf_task_release"},
    {"added_unchecked", "the result of bpf_map_lookup_elem may be NULL"},
    {"insert_in_tick", "calling kernel function scx_bpf_dsq_insert___v2 is not allowed"},
    {"insert_below_running", "calling kernel function scx_bpf_dsq_insert___v2 is not allowed"},
    {"insert_in_enqueue", nullptr},
    {"move_in_callback", "calling kernel function scx_bpf_dsq_move_to_local___v2 is not allowed"},
    {"move_in_dispatch", nullptr},
    {"unreached_move", nullptr},
    {"create_in_init", nullptr},
    {"create_without_sleep", "program must be sleepable to call sleepable kfunc scx_bpf_create_dsq"},
    {"flag_bit", nullptr},
    {"flag_bit_inverted", "argument prev of ops.dispatch is NULL here"},
    {"flag_of_three", nullptr},
    {"many_branches", nullptr},
    {"many_branches_locked", "kernel func scx_bpf_create_dsq is sleepable within rcu_read_lock region"},
    {"kicks_from_tcp", "calling kernel function scx_bpf_kick_cpu is not allowed"},
};

class VerifyCase : public testing::TestWithParam<Case> {};

TEST_P(VerifyCase, LoadsOrIsRefusedForTheRightReason) {
  const Case &one = GetParam();
  const Load loaded = load(VERIFY_CASES, [&](bpf_object *object) {
    // libbpf takes only the first table of an optional section for optional.
    bpf_map *map;
    bpf_object__for_each_map(map, object) {
      if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
        bpf_map__set_autocreate(map, std::string(bpf_map__name(map)) == one.table);
    }
  });
  if (!one.refused_for) {
    EXPECT_EQ(loaded.err, 0) << loaded.log;
  } else {
    EXPECT_EQ(loaded.err, -EACCES) << loaded.log;
    EXPECT_NE(loaded.log.find(one.refused_for), std::string::npos) << loaded.log;
  }
}
INSTANTIATE_TEST_SUITE_P(Cases, VerifyCase, testing::ValuesIn(kCases),
                         [](const auto &info) { return std::string(info.param.table); });

TEST(VerifyCases, EachTableIsACase) {
  std::set<std::string> known, there;
  for (const Case &one : kCases) known.insert(one.table);
  load(VERIFY_CASES, [&](bpf_object *object) {
    bpf_map *map;
    bpf_object__for_each_map(map, object) {
      if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS) there.insert(bpf_map__name(map));
    }
  });
  EXPECT_EQ(known, there);
}

// Objects of the kernel's that a verifier lets pass: none may be refused by ours. What they need and we lack is another
// matter, which a scan of the object says before it is loaded.
const std::set<std::string> kRefusedByTheKernel = {"maybe_null_fail_dsp.bpf.o", "maybe_null_fail_yld.bpf.o",
                                                   "non_scx_kfunc_deny.bpf.o"};

std::vector<std::filesystem::path> kernel_objects() {
  std::vector<std::filesystem::path> all;
  for (const char *folder : {"linux-source-6.12", "linux-source-7.2", "linux-source-7.2/selftests"}) {
    const std::filesystem::path path = std::filesystem::path(TEST_BUILD_DIR) / folder;
    if (!std::filesystem::exists(path)) continue;
    for (const auto &entry : std::filesystem::directory_iterator(path))
      if (entry.path().string().ends_with(".bpf.o")) all.push_back(entry.path());
  }
  std::sort(all.begin(), all.end());
  return all;
}

TEST(VerifyKernelObjects, OnlyWhatTheKernelRefusesIsRefused) {
  const std::vector<std::filesystem::path> objects = kernel_objects();
  if (objects.empty()) GTEST_SKIP() << "run `make objects` first";
  for (const std::filesystem::path &path : objects) {
    SCOPED_TRACE(path.string());
    const Load loaded = load(path, [](bpf_object *) {});
    // The words of all our reasons.
    bool refused = false;
    for (const char *word :
         {"is not allowed", "invalid mem access", "null-check it", "Possibly NULL", "sleepable", "RCU"})
      refused |= loaded.log.find(word) != std::string::npos;
    EXPECT_EQ(refused, kRefusedByTheKernel.contains(path.filename().string())) << loaded.log;
    if (refused) {
      EXPECT_EQ(loaded.err, -EACCES);
    }
    EXPECT_EQ(loaded.log.find("more paths than"), std::string::npos) << loaded.log;
  }
}

}  // namespace
}  // namespace uscx
