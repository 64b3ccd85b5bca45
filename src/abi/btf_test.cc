// SPDX-License-Identifier: GPL-2.0-only
// The BTF that CO-RE relocates against and the structs that C++ computes with have the same fields at the same offsets.
#include <gtest/gtest.h>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "abi/btf_reader_test.h"
#include "abi/kernel.h"
#include "abi/trace.h"

namespace {

struct Record {
  std::string name;
  size_t size;
  std::map<std::string, size_t> offsets;
};

std::vector<Record> records() {
  std::vector<Record> all;
#define RECORD(type) all.push_back({#type, sizeof(struct type), {}});
#define FIELD(type, member) all.back().offsets[#member] = offsetof(struct type, member);
#include "abi/record_fields.inc"
#undef RECORD
#undef FIELD
  // Behind the compiler's task_struct lies what only programs take for a part of it.
  for (Record &record : all) {
    if (record.name != "task_struct") continue;
    record.offsets["__core"] = record.size;
    record.offsets["cpus_mask"] = kCpusMaskOffset;
    record.size = kCpusMaskOffset + sizeof(cpumask);
  }
  return all;
}

const btf_type *find_struct(const std::string &name) {
  const int id = btf__find_by_name_kind(base_types(), name.c_str(), BTF_KIND_STRUCT);
  return id < 0 ? nullptr : btf__type_by_id(base_types(), static_cast<__u32>(id));
}

TEST(Btf, FieldOffsetsAreTheCompilers) {
  for (const Record &record : records()) {
    const btf_type *t = find_struct(record.name);
    ASSERT_NE(t, nullptr) << record.name;
    EXPECT_EQ(t->size, record.size) << record.name;
    EXPECT_EQ(btf_vlen(t), record.offsets.size()) << record.name << ": a field is missing on one side";
    for (int i = 0; i < btf_vlen(t); i++) {
      const std::string field = btf__name_by_offset(base_types(), btf_members(t)[i].name_off);
      ASSERT_TRUE(record.offsets.contains(field)) << record.name << "." << field;
      EXPECT_EQ(btf_member_bit_offset(t, static_cast<__u32>(i)), record.offsets.at(field) * 8)
          << record.name << "." << field;
    }
  }
}

// What carried the descriptions would show up as kernel variables to a program that looks for a ksym.
TEST(Btf, HoldsTypesOnly) {
  for (__u32 id = 1; id < btf__type_cnt(base_types()); id++) {
    const btf_type *t = btf__type_by_id(base_types(), id);
    EXPECT_FALSE(btf_is_var(t) || btf_is_datasec(t) || btf_is_func(t))
        << btf__name_by_offset(base_types(), t->name_off);
  }
}

TEST(Btf, NamesAreUniqueWithinAKind) {
  std::map<std::pair<int, std::string>, int> seen;
  for (__u32 id = 1; id < btf__type_cnt(base_types()); id++) {
    const btf_type *t = btf__type_by_id(base_types(), id);
    const std::string name = btf__name_by_offset(base_types(), t->name_off);
    if (name.empty()) continue;
    EXPECT_EQ(++seen[std::make_pair(static_cast<int>(btf_kind(t)), name)], 1) << name;
    // A struct that is defined must not be there as a forward declaration too: libbpf would find either.
    if (btf_is_fwd(t)) {
      EXPECT_EQ(find_struct(name), nullptr) << name;
    }
  }
}

// libbpf takes the member of the map value's struct whose type is the table itself.
TEST(Btf, StructOpsValueHoldsTheTable) {
  for (const char *name : {"sched_ext_ops", "sched_ext_ops_cid"}) {
    const int table = btf__find_by_name_kind(base_types(), name, BTF_KIND_STRUCT);
    const btf_type *value = find_struct(std::string("bpf_struct_ops_") + name);
    ASSERT_GT(table, 0);
    ASSERT_NE(value, nullptr);
    ASSERT_EQ(btf_vlen(value), 2);
    EXPECT_EQ(btf_members(value)[1].type, static_cast<__u32>(table));
  }
}

// Every callback slot is a pointer to a prototype, so that a program's type can be checked against it.
TEST(Btf, OperationsHavePrototypes) {
  const btf_type *ops = find_struct("sched_ext_ops");
  ASSERT_NE(ops, nullptr);
  int prototypes = 0;
  for (int i = 0; i < btf_vlen(ops); i++) {
    const btf_type *t = btf__type_by_id(base_types(), btf_members(ops)[i].type);
    if (!btf_is_ptr(t) || t->type == 0) continue;
    EXPECT_TRUE(btf_is_func_proto(btf__type_by_id(base_types(), t->type)));
    prototypes++;
  }
  EXPECT_EQ(prototypes, 37);
}

// Programs that include vmlinux.h find the constants of the BPF user API in it.
TEST(Btf, HasTheUserApisUnnamedEnums) {
  std::map<std::string, u64> values;
  for (__u32 id = 1; id < btf__type_cnt(base_types()); id++) {
    const btf_type *t = btf__type_by_id(base_types(), id);
    if (!btf_is_enum(t) || t->name_off != 0) continue;
    for (int i = 0; i < btf_vlen(t); i++) {
      values[btf__name_by_offset(base_types(), btf_enum(t)[i].name_off)] = static_cast<__u32>(btf_enum(t)[i].val);
    }
  }
  EXPECT_EQ(values.at("BPF_ANY"), 0u);
  EXPECT_EQ(values.at("BPF_NOEXIST"), 1u);
  EXPECT_EQ(values.at("BPF_F_MMAPABLE"), 1024u);
  EXPECT_EQ(values.at("BPF_LOCAL_STORAGE_GET_F_CREATE"), 1u);
  EXPECT_EQ(values.at("BPF_F_TIMER_CPU_PIN"), 2u);
  EXPECT_EQ(values.at("BPF_MAX_LOOPS"), 8388608u);
  EXPECT_EQ(values.at("true"), 1u);
}

}  // namespace
