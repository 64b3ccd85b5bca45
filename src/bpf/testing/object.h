// SPDX-License-Identifier: GPL-2.0-only
// A test fixture that loads an object with libbpf, runs its syscall programs and reads its variables.
#ifndef USCX_BPF_TESTING_OBJECT_H_
#define USCX_BPF_TESTING_OBJECT_H_

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "bpf/testing/env.h"

namespace uscx::bpf {

class ObjectTest : public ::testing::Test {
 protected:
  void SetUp() override {
    libbpf_text().clear();
    libbpf_set_print([](enum libbpf_print_level level, const char *format, va_list args) {
      char line[2048];
      std::vsnprintf(line, sizeof(line), format, args);
      if (level == LIBBPF_WARN) libbpf_text() += line;
      return 0;
    });
  }
  void TearDown() override { unload(); }

  static std::string &libbpf_text() {
    static std::string text;
    return text;
  }
  void load(const char *path) {
    object_ = bpf_object__open_file(path, nullptr);
    ASSERT_NE(object_, nullptr) << libbpf_text();
    ASSERT_EQ(bpf_object__load(object_), 0) << libbpf_text() << env_.logged;
  }
  void unload() {
    if (object_ != nullptr) bpf_object__close(object_);
    object_ = nullptr;
  }
  int fd_of(const char *map) { return bpf_map__fd(bpf_object__find_map_by_name(object_, map)); }
  // A syscall program's result.
  u32 run_syscall(const char *name, void *ctx = nullptr, u32 size = 0) {
    LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = ctx, .ctx_size_in = size);
    bpf_program *program = bpf_object__find_program_by_name(object_, name);
    EXPECT_NE(program, nullptr) << name;
    if (program == nullptr) return ~0u;
    EXPECT_EQ(bpf_prog_test_run_opts(bpf_program__fd(program), &opts), 0) << name;
    return opts.retval;
  }
  // A variable of a data section, as user space sees it through its mmap.
  u64 variable(const char *name, size_t bytes = 8, const char *section_name = ".bss") {
    u64 value = 0;
    if (const char *place = variable_at(name, section_name)) std::memcpy(&value, place, bytes);
    return value;
  }
  char *variable_at(const char *name, const char *section_name = ".bss") {
    size_t size;
    bpf_map *map = bpf_object__find_map_by_name(object_, section_name);
    char *data = map != nullptr ? static_cast<char *>(bpf_map__initial_value(map, &size)) : nullptr;
    const btf *btf = bpf_object__btf(object_);
    const btf_type *section = btf__type_by_id(btf, btf__find_by_name_kind(btf, section_name, BTF_KIND_DATASEC));
    for (u32 i = 0; data != nullptr && section != nullptr && i < btf_vlen(section); i++) {
      const btf_var_secinfo &info = btf_var_secinfos(section)[i];
      if (std::strcmp(btf__name_by_offset(btf, btf__type_by_id(btf, info.type)->name_off), name) == 0)
        return data + info.offset;
    }
    ADD_FAILURE() << "no variable " << name;
    return nullptr;
  }

  TestEnv env_;
  std::unique_ptr<BpfSystem> system_ = make_test_system(env_);
  BpfSystem::Scope scope_{*system_};
  bpf_object *object_ = nullptr;
};

}  // namespace uscx::bpf

#endif  // USCX_BPF_TESTING_OBJECT_H_
