// SPDX-License-Identifier: GPL-2.0-only
// Helpers and kfuncs without a map, performance events with libbpf's consumer, bpf(2)'s batches, and that all names
// which known schedulers use are there.
#include <errno.h>
#include <linux/perf_event.h>

#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "bpf/exec/exec.h"
#include "bpf/object/helper.h"
#include "bpf/object/kfunc.h"
#include "bpf/object/perf_event.h"
#include "bpf/object/prog.h"
#include "bpf/object/seq_file.h"
#include "bpf/testing/object.h"

namespace uscx::bpf {
namespace {

class MiscTest : public ObjectTest, public ::testing::WithParamInterface<ExecMode> {
 protected:
  void SetUp() override {
    ObjectTest::SetUp();
    set_default_exec_mode(GetParam());
    load(USCX_TEST_OBJECTS "/misc_test.bpf.o");
  }
  void TearDown() override {
    set_default_exec_mode(ExecMode::kJit);
    ObjectTest::TearDown();
  }
  static int result(int returned) { return returned < 0 ? -errno : returned; }
  s64 signed_variable(const char *name) { return static_cast<s64>(variable(name)); }
};

TEST_P(MiscTest, NumbersInText) { EXPECT_EQ(run_syscall("numbers"), 0u); }
TEST_P(MiscTest, Strings) { EXPECT_EQ(run_syscall("strings"), 0u); }

TEST_P(MiscTest, AMaskMayBeAnyMemoryOfTheProgramThatIsLargeEnough) {
  EXPECT_EQ(run_syscall("own_masks"), 0u) << env_.logged;
}

TEST_P(MiscTest, OtherMemoryIsNoMask) {
  constexpr const char *kReasons[] = {
      "bpf_cpumask_weight: argument 1",  "bpf_cpumask_set_cpu: argument 2", "bpf_cpumask_weight: argument 1",
      "bpf_cpumask_weight: argument 1",  "bpf_cpumask_weight: argument 1",  "bpf_cpumask_release: argument 1",
      "bpf_cpumask_acquire: argument 1", "bpf_cpumask_weight: argument 1",
  };
  for (u32 i = 0; i < std::size(kReasons); i++) {
    env_.logged.clear();
    run_syscall("no_masks", &i, sizeof(i));
    EXPECT_NE(env_.logged.find(kReasons[i]), std::string::npos) << "case " << i << "\n" << env_.logged;
  }
}

// Which structs have only scalars is the kernel's BTF's to say; ours has the same members where it has any.
TEST(KfuncArguments, ObjectsOfScalarsAreMemoryUnlessAReferenceIsMeant) {
  u32 nr_memory = 0;
  for (const KfuncEntry *kfunc : list_kfuncs()) {
    for (u32 i = 0; i < kfunc->nr_args; i++) {
      const ArgSpec &spec = kfunc->args[i];
      if (spec.kind != ArgKind::kObject) continue;
      const bool scalars = spec.object == ObjectType::kCpumask || spec.object == ObjectType::kBpfCpumask;
      const bool by_reference = kfunc->flags & (KF_ACQUIRE | KF_RELEASE);
      EXPECT_EQ(spec.size != 0, scalars && !by_reference) << kfunc->name;
      nr_memory += spec.size != 0;
    }
  }
  EXPECT_GT(nr_memory, 20u);
}

TEST_P(MiscTest, BitsAreIterated) {
  EXPECT_EQ(run_syscall("iterate_bits"), 0u) << env_.logged;
  EXPECT_EQ(signed_variable("bits_err"), 0);
  EXPECT_EQ(variable("nr_bits"), 3u);
  EXPECT_EQ(variable("sum_of_bits"), 0u + 63 + 132);
}

TEST_P(MiscTest, StreamsAreReadOnce) {
  EXPECT_EQ(run_syscall("print"), 0u);
  EXPECT_EQ(env_.printed, "5 and one two Three");
  const int prog = bpf_program__fd(bpf_object__find_program_by_name(object_, "print"));
  char buffer[64] = {};
  EXPECT_EQ(bpf_prog_stream_read(prog, 1, buffer, 5, nullptr), 5);
  EXPECT_STREQ(buffer, "5 and");
  EXPECT_EQ(bpf_prog_stream_read(prog, 1, buffer, sizeof(buffer), nullptr), 14);
  EXPECT_EQ(bpf_prog_stream_read(prog, 1, buffer, sizeof(buffer), nullptr), 0);
  EXPECT_EQ(result(bpf_prog_stream_read(prog, 9, buffer, sizeof(buffer), nullptr)), -ENOENT);
}

// Several CPUs run one program: texts are whole, and none is lost before the stream is full.
TEST_P(MiscTest, StreamsAreWrittenBySeveralCpus) {
  constexpr u32 kWriters = 4, kTexts = 2000;
  const int fd = bpf_program__fd(bpf_object__find_program_by_name(object_, "print"));
  const auto prog = std::dynamic_pointer_cast<Prog>(system_->object_of_fd(fd));
  ASSERT_NE(prog, nullptr);
  std::vector<std::thread> writers;
  for (u32 i = 0; i < kWriters; i++)
    writers.emplace_back([&] {
      for (u32 n = 0; n < kTexts; n++) prog->print_to(1, "0123456789");
    });
  for (std::thread &writer : writers) writer.join();
  std::string all;
  EXPECT_EQ(prog->read_stream(1, ~size_t{0}, [&](std::string_view text) { return all = text, 0; }), 0);
  EXPECT_EQ(all.size(), kWriters * kTexts * 10u);
  for (size_t i = 0; i < all.size(); i++) ASSERT_EQ(all[i], '0' + static_cast<int>(i % 10)) << i;
}

TEST_P(MiscTest, CountersFollowVirtualTime) {
  u64 ctx = 0;
  EXPECT_EQ(run_syscall("perf", &ctx, sizeof(ctx)), 0u);
  EXPECT_EQ(signed_variable("read_err"), -ENOENT);
  perf_event_attr attr = {.type = PERF_TYPE_HARDWARE, .size = sizeof(attr), .config = PERF_COUNT_HW_CPU_CYCLES};
  EXPECT_EQ(system_->perf_event_open(&attr, -1, -1, -1, 0), -EINVAL);
  EXPECT_EQ(system_->perf_event_open(&attr, -1, 9, -1, 0), -EINVAL);
  const int fd = system_->perf_event_open(&attr, -1, 1, -1, PERF_FLAG_FD_CLOEXEC);
  ASSERT_GE(fd, 0);
  u32 cpu = 1;
  ASSERT_EQ(bpf_map_update_elem(fd_of("events"), &cpu, &fd, 0), 0);
  env_.on_cpu = 1;
  env_.clock_ns += 5000;
  run_syscall("perf", &ctx, sizeof(ctx));
  EXPECT_EQ(signed_variable("read_err"), 0);
  EXPECT_EQ(variable("counter"), 5000u);
  EXPECT_EQ(variable("running"), 5000u);
  EXPECT_EQ(system_->get<PerfEvent>(fd)->words(), std::vector<u64>({5000}));
  EXPECT_EQ(system_->perf_event_ioctl(fd, PERF_EVENT_IOC_DISABLE), 0);
  env_.clock_ns += 5000;
  run_syscall("perf", &ctx, sizeof(ctx));
  EXPECT_EQ(variable("counter"), 5000u);
  EXPECT_EQ(signed_variable("output_err"), -EINVAL) << "no event for output";
  attr.type = PERF_TYPE_TRACEPOINT;
  EXPECT_EQ(system_->perf_event_open(&attr, -1, 1, -1, 0), -ENOENT);
  const int other = fd_of("events");
  EXPECT_EQ(result(bpf_map_update_elem(fd_of("events"), &cpu, &other, 0)), -EBADF);
}

TEST_P(MiscTest, LibbpfsPerfBufferGetsSamples) {
  struct Got {
    std::vector<u64> numbers;
    u64 lost = 0;
  } got;
  LIBBPF_OPTS(perf_buffer_opts, opts);
  perf_buffer *consumer = perf_buffer__new(
      fd_of("events"), 1,
      [](void *ctx, int cpu, void *data, u32 size) {
        EXPECT_EQ(cpu, 2);
        EXPECT_GE(size, 16u);
        u64 number;  // Samples need not be aligned.
        std::memcpy(&number, data, sizeof(number));
        static_cast<Got *>(ctx)->numbers.push_back(number);
      },
      [](void *ctx, int, u64 lost) { static_cast<Got *>(ctx)->lost += lost; }, &got, &opts);
  ASSERT_NE(consumer, nullptr) << libbpf_text() << env_.logged;
  env_.on_cpu = 2;
  for (u64 i = 0; i < 300; i++) {
    run_syscall("perf", &i, sizeof(i));
    ASSERT_EQ(signed_variable("output_err"), 0);
    if (i % 50 == 49) {
      EXPECT_GT(perf_buffer__poll(consumer, 1000), 0);
    }
  }
  ASSERT_EQ(got.numbers.size(), 300u);
  for (u64 i = 0; i < 300; i++) EXPECT_EQ(got.numbers[i], i);
  for (u64 i = 0; i < 300; i++) run_syscall("perf", &i, sizeof(i));
  perf_buffer__poll(consumer, 0);
  u64 last = 7;
  run_syscall("perf", &last, sizeof(last));
  perf_buffer__poll(consumer, 0);
  EXPECT_GT(got.lost, 0u);
  EXPECT_EQ(got.numbers.back(), 7u);
  EXPECT_EQ(got.numbers.size() + got.lost, 601u);
  perf_buffer__free(consumer);
}

INSTANTIATE_TEST_SUITE_P(Modes, MiscTest, ::testing::Values(ExecMode::kJit, ExecMode::kInterp),
                         [](const auto &info) { return info.param == ExecMode::kJit ? "jit" : "interp"; });

class BatchTest : public ObjectTest {
 protected:
  static int result(int returned) { return returned < 0 ? -errno : returned; }
};

TEST_F(BatchTest, HashTablesInWholeBuckets) {
  const int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "hash", 4, 8, 64, nullptr);
  std::vector<u32> keys(50);
  std::vector<u64> values(50);
  for (u32 i = 0; i < 50; i++) keys[i] = i * 3, values[i] = i;
  u32 count = 50;
  LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = BPF_NOEXIST);
  EXPECT_EQ(result(bpf_map_update_batch(fd, keys.data(), values.data(), &count, &opts)), -EINVAL);
  opts.elem_flags = 0;
  count = 50;
  ASSERT_EQ(result(bpf_map_update_batch(fd, keys.data(), values.data(), &count, &opts)), 0);
  EXPECT_EQ(count, 50u);
  std::set<u32> seen;
  u32 position = 0;
  for (void *in = nullptr;; in = &position) {
    u32 some_keys[8];
    u64 some_values[8];
    count = 8;
    const int err = result(bpf_map_lookup_batch(fd, in, &position, some_keys, some_values, &count, &opts));
    for (u32 i = 0; i < count; i++) {
      EXPECT_TRUE(seen.insert(some_keys[i]).second);
      EXPECT_EQ(some_values[i] * 3, some_keys[i]);
    }
    if (err == -ENOENT) break;
    ASSERT_EQ(err, 0);
  }
  EXPECT_EQ(seen.size(), 50u);
  count = 2;
  const u32 gone[2] = {3, 1000};
  EXPECT_EQ(result(bpf_map_delete_batch(fd, gone, &count, &opts)), -ENOENT);
  EXPECT_EQ(count, 1u);
  count = 64;
  u32 all_keys[64];
  u64 all_values[64];
  EXPECT_EQ(result(bpf_map_lookup_and_delete_batch(fd, nullptr, &position, all_keys, all_values, &count, &opts)),
            -ENOENT);
  EXPECT_EQ(count, 49u);
  u32 next;
  EXPECT_EQ(result(bpf_map_get_next_key(fd, nullptr, &next)), -ENOENT);
}

TEST_F(BatchTest, ArraysByKey) {
  const int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "array", 4, 8, 10, nullptr);
  u32 keys[10], position = 0, count = 4;
  u64 values[10];
  LIBBPF_OPTS(bpf_map_batch_opts, opts);
  EXPECT_EQ(result(bpf_map_lookup_batch(fd, nullptr, &position, keys, values, &count, &opts)), 0);
  EXPECT_EQ(count, 4u);
  EXPECT_EQ(position, 3u);
  count = 10;
  EXPECT_EQ(result(bpf_map_lookup_batch(fd, &position, &position, keys, values, &count, &opts)), -ENOENT);
  EXPECT_EQ(count, 6u);
  EXPECT_EQ(keys[0], 4u);
  count = 1;
  EXPECT_EQ(result(bpf_map_delete_batch(fd, keys, &count, &opts)), -kENotSupp);
  const int queue = bpf_map_create(BPF_MAP_TYPE_QUEUE, "queue", 0, 8, 10, nullptr);
  EXPECT_EQ(result(bpf_map_lookup_batch(queue, nullptr, &position, keys, values, &count, &opts)), -kENotSupp);
}

TEST(SeqFile, KeepsWholeWritesOnly) {
  SeqFile file(8);
  EXPECT_EQ(SeqFile::find(file.address()), &file);
  EXPECT_EQ(SeqFile::find(nullptr), nullptr);
  EXPECT_EQ(file.write("12345"), 0);
  EXPECT_EQ(file.write("6789"), -EOVERFLOW);
  EXPECT_TRUE(file.overflowed());
  EXPECT_EQ(file.take(), "12345");
  EXPECT_EQ(file.write("6789"), 0);
}

// What the objects of known schedulers and tools use.
TEST(Demand, EveryHelperIsThere) {
  for (u32 id : {BPF_FUNC_probe_read_kernel_str,
                 BPF_FUNC_task_storage_get,
                 BPF_FUNC_ktime_get_ns,
                 BPF_FUNC_trace_printk,
                 BPF_FUNC_get_current_task_btf,
                 BPF_FUNC_map_lookup_elem,
                 BPF_FUNC_get_smp_processor_id,
                 BPF_FUNC_kptr_xchg,
                 BPF_FUNC_map_lookup_percpu_elem,
                 BPF_FUNC_timer_init,
                 BPF_FUNC_timer_set_callback,
                 BPF_FUNC_timer_start,
                 BPF_FUNC_task_storage_delete,
                 BPF_FUNC_trace_vprintk,
                 BPF_FUNC_per_cpu_ptr,
                 BPF_FUNC_map_update_elem,
                 BPF_FUNC_spin_lock,
                 BPF_FUNC_spin_unlock,
                 BPF_FUNC_map_delete_elem,
                 BPF_FUNC_get_prandom_u32,
                 BPF_FUNC_probe_read_kernel,
                 BPF_FUNC_cgrp_storage_get,
                 BPF_FUNC_cgrp_storage_delete,
                 BPF_FUNC_perf_event_read_value,
                 BPF_FUNC_get_current_pid_tgid,
                 BPF_FUNC_ringbuf_reserve,
                 BPF_FUNC_ringbuf_submit,
                 BPF_FUNC_ringbuf_discard,
                 BPF_FUNC_ringbuf_output,
                 BPF_FUNC_strncmp,
                 BPF_FUNC_dynptr_data,
                 BPF_FUNC_dynptr_read,
                 BPF_FUNC_dynptr_write,
                 BPF_FUNC_dynptr_from_mem,
                 BPF_FUNC_get_current_task,
                 BPF_FUNC_jiffies64,
                 BPF_FUNC_probe_read_str,
                 BPF_FUNC_ringbuf_query,
                 BPF_FUNC_seq_write,
                 BPF_FUNC_seq_printf,
                 BPF_FUNC_snprintf,
                 BPF_FUNC_this_cpu_ptr,
                 BPF_FUNC_user_ringbuf_drain,
                 BPF_FUNC_map_pop_elem,
                 BPF_FUNC_map_push_elem,
                 BPF_FUNC_get_func_ip,
                 BPF_FUNC_get_stack,
                 BPF_FUNC_perf_event_output,
                 BPF_FUNC_get_numa_node_id,
                 BPF_FUNC_ktime_get_tai_ns,
                 BPF_FUNC_copy_from_user,
                 BPF_FUNC_strtol,
                 BPF_FUNC_strtoul})
    EXPECT_NE(find_helper(id), nullptr) << helper_name(id);
}

TEST(Demand, EveryMapTypeIsThere) {
  for (u32 type : {BPF_MAP_TYPE_TASK_STORAGE, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_HASH,
                   BPF_MAP_TYPE_ARENA, BPF_MAP_TYPE_CGRP_STORAGE, BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_PERF_EVENT_ARRAY,
                   BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_USER_RINGBUF, BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_ARRAY_OF_MAPS,
                   BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_HASH})
    EXPECT_NE(find_map_type(type), nullptr) << map_type_name(type);
}

// Those that know of tasks and cgroups are the bridge's.
TEST(Demand, EveryGenericKfuncIsThere) {
  for (const char *name : {"bpf_iter_num_new",
                           "bpf_iter_num_next",
                           "bpf_iter_num_destroy",
                           "bpf_iter_bits_new",
                           "bpf_iter_bits_next",
                           "bpf_iter_bits_destroy",
                           "bpf_iter_task_new",
                           "bpf_iter_task_next",
                           "bpf_iter_task_destroy",
                           "bpf_iter_css_new",
                           "bpf_iter_css_next",
                           "bpf_iter_css_destroy",
                           "bpf_cpumask_create",
                           "bpf_cpumask_acquire",
                           "bpf_cpumask_release",
                           "bpf_cpumask_first",
                           "bpf_cpumask_first_zero",
                           "bpf_cpumask_first_and",
                           "bpf_cpumask_set_cpu",
                           "bpf_cpumask_clear_cpu",
                           "bpf_cpumask_test_cpu",
                           "bpf_cpumask_test_and_set_cpu",
                           "bpf_cpumask_test_and_clear_cpu",
                           "bpf_cpumask_setall",
                           "bpf_cpumask_clear",
                           "bpf_cpumask_and",
                           "bpf_cpumask_or",
                           "bpf_cpumask_xor",
                           "bpf_cpumask_equal",
                           "bpf_cpumask_intersects",
                           "bpf_cpumask_subset",
                           "bpf_cpumask_empty",
                           "bpf_cpumask_full",
                           "bpf_cpumask_copy",
                           "bpf_cpumask_any_distribute",
                           "bpf_cpumask_any_and_distribute",
                           "bpf_cpumask_weight",
                           "bpf_cpumask_populate",
                           "bpf_rcu_read_lock",
                           "bpf_rcu_read_unlock",
                           "bpf_preempt_disable",
                           "bpf_preempt_enable",
                           "bpf_local_irq_save",
                           "bpf_local_irq_restore",
                           "bpf_arena_alloc_pages",
                           "bpf_arena_free_pages",
                           "bpf_arena_reserve_pages",
                           "bpf_obj_new",
                           "bpf_obj_new_impl",
                           "bpf_obj_drop",
                           "bpf_obj_drop_impl",
                           "bpf_percpu_obj_new_impl",
                           "bpf_percpu_obj_drop_impl",
                           "bpf_refcount_acquire_impl",
                           "bpf_list_push_front_impl",
                           "bpf_list_push_back_impl",
                           "bpf_list_pop_front",
                           "bpf_list_pop_back",
                           "bpf_list_front",
                           "bpf_list_back",
                           "bpf_rbtree_add_impl",
                           "bpf_rbtree_add",
                           "bpf_rbtree_first",
                           "bpf_rbtree_remove",
                           "bpf_rbtree_root",
                           "bpf_rbtree_left",
                           "bpf_rbtree_right",
                           "bpf_res_spin_lock",
                           "bpf_res_spin_unlock",
                           "bpf_res_spin_lock_irqsave",
                           "bpf_res_spin_unlock_irqrestore",
                           "bpf_wq_init",
                           "bpf_wq_set_callback",
                           "bpf_wq_set_callback_impl",
                           "bpf_wq_start",
                           "bpf_dynptr_slice",
                           "bpf_dynptr_slice_rdwr",
                           "bpf_dynptr_adjust",
                           "bpf_dynptr_is_null",
                           "bpf_dynptr_is_rdonly",
                           "bpf_dynptr_size",
                           "bpf_dynptr_clone",
                           "bpf_dynptr_copy",
                           "bpf_dynptr_memset",
                           "bpf_stream_vprintk",
                           "bpf_stream_vprintk_impl",
                           "bpf_strlen",
                           "bpf_strcmp"})
    EXPECT_NE(find_kfunc(name), nullptr) << name;
}

}  // namespace
}  // namespace uscx::bpf
