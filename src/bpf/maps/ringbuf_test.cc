// SPDX-License-Identifier: GPL-2.0-only
// Ring buffers with libbpf's own consumer and producer on the other end.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include "bpf/exec/exec.h"
#include "bpf/maps/ringbuf_map.h"
#include "bpf/testing/object.h"

extern "C" void *uscx_libbpf_mmap(void *address, size_t size, int prot, int flags, int fd, off_t offset);

namespace uscx::bpf {
namespace {

struct Event {
  u64 number;
  u64 square;
};

class RingbufTest : public ObjectTest, public ::testing::WithParamInterface<ExecMode> {
 protected:
  void SetUp() override {
    ObjectTest::SetUp();
    set_default_exec_mode(GetParam());
    load(USCX_TEST_OBJECTS "/ringbuf_test.bpf.o");
  }
  void TearDown() override {
    set_default_exec_mode(ExecMode::kJit);
    ObjectTest::TearDown();
  }
  int map_result(u64 size, int prot, u64 offset) {
    void *got = uscx_libbpf_mmap(nullptr, size, prot, MAP_SHARED, fd_of("ring"), static_cast<off_t>(offset));
    if (got == MAP_FAILED) return -errno;
    munmap(got, size);
    return 0;
  }
};

TEST_P(RingbufTest, LibbpfsConsumerGetsWhatProgramsSubmit) {
  std::vector<Event> got;
  ring_buffer *consumer = ring_buffer__new(
      fd_of("ring"),
      [](void *ctx, void *data, size_t size) {
        EXPECT_EQ(size, sizeof(Event));
        static_cast<std::vector<Event> *>(ctx)->push_back(*static_cast<Event *>(data));
        return 0;
      },
      &got, nullptr);
  ASSERT_NE(consumer, nullptr) << libbpf_text();
  EXPECT_EQ(ring_buffer__poll(consumer, 1000), 0) << "nothing is there, and no time passes";
  // Several times around the ring: 24 bytes a record in 4096.
  for (u64 i = 0; i < 1000; i++) {
    ASSERT_EQ(run_syscall("produce"), 0u);
    if (i % 100 == 99) {
      ASSERT_EQ(ring_buffer__poll(consumer, 0), 75);
    }
  }
  ASSERT_EQ(got.size(), 750u);
  for (size_t i = 0; i < got.size(); i++) {
    EXPECT_EQ(got[i].number, i / 3 * 4 + i % 3);
    EXPECT_EQ(got[i].square, got[i].number * got[i].number);
  }
  EXPECT_EQ(run_syscall("produce_other"), 0u);
  EXPECT_EQ(ring_buffer__poll(consumer, 0), 2);
  EXPECT_EQ(got[750].number, 1000u);
  EXPECT_EQ(got[751].number, 1001u);
  EXPECT_EQ(static_cast<s64>(variable("results")), 0);
  ring_buffer__free(consumer);
}

TEST_P(RingbufTest, FullRingRefuses) {
  u32 produced = 0;
  while (run_syscall("produce") == 0) produced++;
  EXPECT_EQ(produced, 4095u / 24) << "the last byte is never used";
  EXPECT_EQ(variable("refused"), 1u);
  EXPECT_EQ(variable("available"), produced * 24);
}

TEST_P(RingbufTest, RecordThatIsNotGivenBackIsDiscarded) {
  EXPECT_EQ(run_syscall("leak"), 1u);
  EXPECT_EQ(run_syscall("produce"), 0u);
  ring_buffer *consumer = ring_buffer__new(
      fd_of("ring"), [](void *, void *, size_t) { return 0; }, nullptr, nullptr);
  ASSERT_NE(consumer, nullptr);
  EXPECT_EQ(ring_buffer__consume(consumer), 1);
  ring_buffer__free(consumer);
  run_syscall("submit_twice");
  EXPECT_NE(env_.logged.find("bpf_ringbuf_submit: argument 1 is not a reserved record"), std::string::npos)
      << env_.logged;
}

TEST_P(RingbufTest, LibbpfsProducerIsDrained) {
  user_ring_buffer *producer = user_ring_buffer__new(fd_of("commands"), nullptr);
  ASSERT_NE(producer, nullptr) << libbpf_text();
  u64 sum = 0;
  for (u64 round = 0; round < 100; round++) {
    for (u64 value = 1; value <= 10; value++) {
      void *sample = user_ring_buffer__reserve(producer, sizeof(u64));
      ASSERT_NE(sample, nullptr);
      std::memcpy(sample, &value, sizeof(value));
      if (value == 5) {
        user_ring_buffer__discard(producer, sample);
      } else {
        user_ring_buffer__submit(producer, sample);
        sum += value;
      }
    }
    run_syscall("drain");
    ASSERT_EQ(variable("drained"), 9u);
    ASSERT_EQ(variable("command_sum"), sum);
  }
  EXPECT_EQ(variable("null_data"), 0u) << "a sample is memory of the program's, as in the kernel";
  // The callback's 1 ends the drain.
  for (u64 value : {99, 1, 2}) {
    void *sample = user_ring_buffer__reserve(producer, sizeof(u64));
    std::memcpy(sample, &value, sizeof(value));
    user_ring_buffer__submit(producer, sample);
  }
  run_syscall("drain");
  EXPECT_EQ(variable("drained"), 1u);
  run_syscall("drain");
  EXPECT_EQ(variable("drained"), 2u);
  user_ring_buffer__free(producer);
}

TEST_P(RingbufTest, BrokenPositionsOfUserSpaceAreErrnos) {
  const auto map = std::static_pointer_cast<RingbufMap>(system_->get<Map>(fd_of("commands")));
  char *pages = static_cast<char *>(mmap(nullptr, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map->memfd(), 0));
  u64 &produced = *reinterpret_cast<u64 *>(pages + 4096);
  u32 &length = *reinterpret_cast<u32 *>(pages + 8192);
  void *payload;
  u32 size;
  EXPECT_EQ(map->next_sample(&payload, &size), -ENODATA);
  produced = 3;
  EXPECT_EQ(map->next_sample(&payload, &size), -EINVAL);
  produced = 16;
  length = 9;
  EXPECT_EQ(map->next_sample(&payload, &size), -EINVAL) << "longer than what was produced";
  produced = 1ull << 40;
  length = 8192;
  EXPECT_EQ(map->next_sample(&payload, &size), -E2BIG);
  length = 8 | BPF_RINGBUF_BUSY_BIT;
  EXPECT_EQ(map->next_sample(&payload, &size), -ENODATA);
  length = 8 | BPF_RINGBUF_DISCARD_BIT;
  EXPECT_EQ(map->next_sample(&payload, &size), -EAGAIN);
  munmap(pages, 3 * 4096);
}

TEST_P(RingbufTest, MappingsAreTheKernels) {
  constexpr int kRead = PROT_READ;
  constexpr int kWrite = PROT_READ | PROT_WRITE;
  EXPECT_EQ(map_result(4096, kWrite, 0), 0);
  EXPECT_EQ(map_result(8192, kWrite, 0), -EPERM);
  EXPECT_EQ(map_result(4096, kWrite, 4096), -EPERM);
  EXPECT_EQ(map_result(3 * 4096, kRead, 4096), 0);
  EXPECT_EQ(map_result(4 * 4096, kRead, 4096), -EINVAL);
  const auto create = [](bpf_map_type type, u32 key, u32 entries, u32 flags) {
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
    return bpf_map_create(type, "ring", key, 0, entries, &opts) < 0 ? -errno : 0;
  };
  EXPECT_EQ(create(BPF_MAP_TYPE_RINGBUF, 0, 4097, 0), -EINVAL);
  EXPECT_EQ(create(BPF_MAP_TYPE_RINGBUF, 0, 12288, 0), -EINVAL);
  EXPECT_EQ(create(BPF_MAP_TYPE_RINGBUF, 4, 4096, 0), -EINVAL);
  EXPECT_EQ(create(BPF_MAP_TYPE_RINGBUF, 0, 4096, BPF_F_MMAPABLE), -EINVAL);
  EXPECT_EQ(create(BPF_MAP_TYPE_USER_RINGBUF, 0, 8192, 0), 0);
}

// What the kernel lets a program do with a dynptr of each kind (bpf_dynptr_init() in ringbuf.c and helpers.c): all that
// there are are local memory that may be written, or nothing.
struct Rights {
  const char *kind;
  s64 is_null, is_rdonly, size, data, slice, slice_rdwr, read, write, clone, clone_has_less, copy_from, copy_to, memset,
      adjust;
};
constexpr Rights all_rights(const char *kind) { return {kind, 0, 0, 16, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}; }
constexpr Rights no_rights(const char *kind) {
  return {kind, 1, 0, -EINVAL, 0, 0, 0, -EINVAL, -EINVAL, -EINVAL, 1, -EINVAL, -EINVAL, -E2BIG, -EINVAL};
}
constexpr Rights kRights[] = {
    all_rights("a clone of memory"),   all_rights("memory"),
    all_rights("a clone of a record"), all_rights("a reserved record"),
    no_rights("a submitted record"),   all_rights("a clone of a sample of user space"),
    all_rights("such a sample"),       no_rights("a record that was refused"),
};

TEST_P(RingbufTest, EachKindOfDynptrHasTheKernelsRights) {
  user_ring_buffer *producer = user_ring_buffer__new(fd_of("commands"), nullptr);
  ASSERT_NE(producer, nullptr) << libbpf_text();
  user_ring_buffer__submit(producer, user_ring_buffer__reserve(producer, 16));
  EXPECT_EQ(run_syscall("try_kinds"), 0u) << env_.logged;
  user_ring_buffer__free(producer);
  ASSERT_EQ(variable("nr_rights"), std::size(kRights)) << env_.logged;
  for (size_t i = 0; i < std::size(kRights); i++) {
    const Rights &want = kRights[i];
    const s64 columns[] = {want.is_null,    want.is_rdonly, want.size,   want.data,  want.slice,
                           want.slice_rdwr, want.read,      want.write,  want.clone, want.clone_has_less,
                           want.copy_from,  want.copy_to,   want.memset, want.adjust};
    s64 got[std::size(columns)];
    std::memcpy(got, variable_at("rights") + i * sizeof(got), sizeof(got));
    for (size_t column = 0; column < std::size(columns); column++)
      EXPECT_EQ(got[column], columns[column]) << want.kind << ", column " << column;
  }
}

TEST_P(RingbufTest, Dynptrs) { EXPECT_EQ(run_syscall("dynptrs"), 0u) << env_.logged; }

TEST_P(RingbufTest, OldRecordsMakeWayWhereAsked) {
  LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_RB_OVERWRITE);
  EXPECT_LT(bpf_map_create(BPF_MAP_TYPE_USER_RINGBUF, "ring", 0, 0, 4096, &opts), 0);
  const int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ring", 0, 0, 4096, &opts);
  ASSERT_GE(fd, 0);
  auto &ring = static_cast<RingbufMap &>(*system_->get<Map>(fd));
  Event event{};
  for (u64 i = 0; i < 500; i++) {
    event.number = i;
    ASSERT_EQ(ring.output(&event, sizeof(event), 0), 0);
    ASSERT_LT(ring.query(BPF_RB_AVAIL_DATA), 4096u);
  }
  const u64 oldest = ring.query(BPF_RB_OVERWRITE_POS);
  EXPECT_EQ(ring.query(BPF_RB_PROD_POS), 500u * 24);
  EXPECT_EQ(oldest, (500 - 170) * 24u) << "as many as fit";
  // A record that is being written is not written over.
  void *const open = ring.reserve(sizeof(event));
  ASSERT_NE(open, nullptr);
  u32 more = 0;
  while (ring.output(&event, sizeof(event), 0) == 0 && more < 1000) more++;
  EXPECT_EQ(more, 169u);
  ring.commit(open, 0, false);
  EXPECT_EQ(ring.output(&event, sizeof(event), 0), 0);
}

INSTANTIATE_TEST_SUITE_P(Modes, RingbufTest, ::testing::Values(ExecMode::kJit, ExecMode::kInterp),
                         [](const auto &info) { return info.param == ExecMode::kJit ? "jit" : "interp"; });

}  // namespace
}  // namespace uscx::bpf
