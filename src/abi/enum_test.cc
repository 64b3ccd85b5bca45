// SPDX-License-Identifier: GPL-2.0-only
// Enums of sched_ext: the header's values, the BTF's values and the kernel's values are the same, and the BTF has the
// kinds and signs that CO-RE enum relocations of existing objects were made for.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "abi/btf_reader_test.h"
#include "abi/kernel.h"

namespace {

struct Row {
  const char *type;
  const char *name;
  u64 in_kernel;
  u64 in_header;
  size_t size;
};

const Row kRows[] = {
#define ENUMERATOR(type, name, value) \
  {#type, #name, static_cast<u64>(value), static_cast<u64>(name), sizeof(enum type)},
#include "abi/enum_values.inc"
#undef ENUMERATOR
};

// The enumerators of a BTF enum, sign-extended to 64 bits.
std::map<std::string, u64> enumerators(const btf *types, const btf_type *t) {
  std::map<std::string, u64> all;
  for (int i = 0; i < btf_vlen(t); i++) {
    if (btf_is_enum64(t)) {
      all[btf__name_by_offset(types, btf_enum64(t)[i].name_off)] = btf_enum64_value(btf_enum64(t) + i);
    } else {
      const s32 value = btf_enum(t)[i].val;
      all[btf__name_by_offset(types, btf_enum(t)[i].name_off)] =
          btf_kflag(t) ? static_cast<u64>(static_cast<s64>(value)) : static_cast<u32>(value);
    }
  }
  return all;
}

const btf_type *find_enum(const char *name) {
  int id = btf__find_by_name_kind(base_types(), name, BTF_KIND_ENUM);
  if (id < 0) id = btf__find_by_name_kind(base_types(), name, BTF_KIND_ENUM64);
  return id < 0 ? nullptr : btf__type_by_id(base_types(), static_cast<__u32>(id));
}

TEST(Enums, HeaderHasTheKernelsValues) {
  for (const Row &row : kRows) EXPECT_EQ(row.in_header, row.in_kernel) << row.type << "." << row.name;
}

TEST(Enums, BtfHasTheKernelsValuesUnderTheTypesName) {
  for (const Row &row : kRows) {
    const btf_type *t = find_enum(row.type);
    ASSERT_NE(t, nullptr) << row.type;
    const auto all = enumerators(base_types(), t);
    ASSERT_TRUE(all.contains(row.name)) << row.type << "." << row.name;
    EXPECT_EQ(all.at(row.name), row.in_kernel) << row.type << "." << row.name;
  }
}

TEST(Enums, BtfHasNoEnumeratorThatTheKernelLacks) {
  std::map<std::string, size_t> expected;
  for (const Row &row : kRows) expected[row.type]++;
  size_t found = 0;
  for (__u32 id = 1; id < btf__type_cnt(base_types()); id++) {
    const btf_type *t = btf__type_by_id(base_types(), id);
    const std::string name = btf__name_by_offset(base_types(), t->name_off);
    if (!btf_is_any_enum(t) || !name.starts_with("scx_")) continue;
    EXPECT_EQ(enumerators(base_types(), t).size(), expected[name]) << name;
    found++;
  }
  EXPECT_EQ(found, 27u);
}

TEST(Enums, KindAndSignAreTheKernels) {
  for (const Row &row : kRows) {
    const btf_type *t = find_enum(row.type);
    ASSERT_NE(t, nullptr) << row.type;
    EXPECT_EQ(t->size, row.size) << row.type;
    EXPECT_EQ(btf_is_enum64(t), row.size == 8) << row.type;
    EXPECT_EQ(btf_kflag(t), std::string(row.type) == "scx_ent_flags") << row.type;
  }
  for (const char *wide : {"scx_public_consts", "scx_dsq_id_flags", "scx_enq_flags", "scx_deq_flags", "scx_reenq_flags",
                           "scx_ops_flags", "scx_exit_code"}) {
    EXPECT_TRUE(btf_is_enum64(find_enum(wide))) << wide;
  }
}

}  // namespace
